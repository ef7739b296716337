"""What happens whatever we decide: Bitcoin, prices, weather, outages, topology."""

"""What does not depend on our decisions: Bitcoin, prices, weather, outages, topology."""

"""What it earns and costs: contracts, pools, the ledger."""

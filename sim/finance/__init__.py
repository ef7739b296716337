"""The firm's money: contracts, pools, the ledger, loans, tax and valuation."""

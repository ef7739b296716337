"""Studies over runs: bounds, comparisons, experiments."""

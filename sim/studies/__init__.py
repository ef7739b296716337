"""Studies of many runs: experiments, cells, executors, comparisons, statistics."""

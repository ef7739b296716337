"""Many runs that can be trusted: experiments, cells, executors, comparisons, statistics."""

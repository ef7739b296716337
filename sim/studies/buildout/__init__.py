"""Where containers should be built, and how many: the question, the search, the plan."""

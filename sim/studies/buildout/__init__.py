"""How many containers to build at which sites: the question, the search and the plan."""

"""What evidence says: the rows of the fault matrix as rules, grouped by what they look at."""

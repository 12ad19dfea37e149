"""N-grams counted, as ids within a limit of memory and as strings."""

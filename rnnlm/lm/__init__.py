"""Language models: their common parts, n-grams, networks, and mixtures."""

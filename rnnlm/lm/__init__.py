"""Language models: what all of them share, n-grams, networks, and mixtures."""

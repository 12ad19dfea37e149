"""Language models: what all share, n-grams, networks, and mixtures of them."""

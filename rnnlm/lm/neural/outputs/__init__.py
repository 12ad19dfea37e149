"""Output layers: from features to log-probabilities of the next token."""

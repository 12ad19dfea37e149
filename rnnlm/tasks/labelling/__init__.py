"""Tagging and classification: words or texts in, labels out. Data, networks, training, evaluation
and use."""

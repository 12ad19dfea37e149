"""Inspect the knowledge of a model, without changing it: gradients, weights, gates, memory, word
vectors, probes, lessons."""

"""Inspect what a model learned, without changing it: gradients, weights, gates, memory, word
vectors, probes, lessons."""

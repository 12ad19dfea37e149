"""What a model learned and why, without changing it: gradients, weights, gates, memory, word
vectors, probes, lessons."""

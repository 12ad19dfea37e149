"""N-best lists: formats, features, tuned weights, word errors."""

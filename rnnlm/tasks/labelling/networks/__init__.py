"""Networks that label words and texts: encoders, heads, and layers of language models."""

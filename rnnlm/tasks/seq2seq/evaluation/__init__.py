"""Encoder-decoders measured: perplexity of the target, and figures of what they write."""

"""Perplexity and its companions: signature, soundness."""

"""Perplexity and its companions: signature, calibration, soundness."""

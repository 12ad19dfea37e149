"""Perplexity and other metrics, comparisons, resampling and plots."""

"""Sampling, beam search, completion of words."""

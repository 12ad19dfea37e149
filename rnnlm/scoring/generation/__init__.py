"""Sampling, beam search, constraints, autocomplete."""

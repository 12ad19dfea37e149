"""Texts compressed by the probabilities of a language model, as a proof of them."""

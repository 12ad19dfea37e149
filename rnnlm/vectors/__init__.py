"""Vectors of words, and of lines and their words in context."""

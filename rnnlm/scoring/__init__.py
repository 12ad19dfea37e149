"""Sentences, words and next words scored, and text generated."""

"""Sentences, words, pairs and next words scored, and text generated."""

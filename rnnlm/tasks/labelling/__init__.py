"""Taggers and classifiers in use: raw text, lists of words and whole files in, labels out."""

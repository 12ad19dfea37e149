"""Vectors of words, of words in context and of lines: of models, of files, learned from text."""

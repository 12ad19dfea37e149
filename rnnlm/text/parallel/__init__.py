"""Parallel text: a source and its targets, line by line."""

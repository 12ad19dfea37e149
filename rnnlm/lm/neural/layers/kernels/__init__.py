"""Recurrences over a whole window: torch's kernels and our own loops."""

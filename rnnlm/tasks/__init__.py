"""Tagging and classification with the recurrent stack."""

"""Sentences and their scores."""

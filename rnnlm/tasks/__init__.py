"""Tagging, classification and encoder-decoders on the recurrent stack."""

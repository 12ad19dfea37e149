"""Tagging, classification and encoder-decoders on top of the core. Each can be removed."""

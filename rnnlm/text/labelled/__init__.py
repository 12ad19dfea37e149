"""Texts with labels, of words or of whole texts: their formats, the schemes that write spans as labels, and labels written back."""

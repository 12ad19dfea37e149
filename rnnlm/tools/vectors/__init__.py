"""Vectors of words, of words in context and of lines: of models, of files, learned from text."""

import lazy_loader as _lazy_loader

__getattr__, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)

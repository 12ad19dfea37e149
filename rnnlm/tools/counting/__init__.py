"""Counts of n-grams beyond memory, by workers, in folders, and as tables and pictures."""

import lazy_loader as _lazy_loader

__getattr__, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)

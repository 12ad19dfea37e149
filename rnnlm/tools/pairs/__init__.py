"""Minimal pairs: two sentences of which a good model finds one likelier; accuracy by kind, with
intervals.

Sets of pairs come as tables of good and bad sentences (BLiMP), agreement templates and Winograd
schemas.
"""

import lazy_loader as _lazy_loader

__getattr__, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)

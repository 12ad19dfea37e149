"""Checks of `rnnlm doctor` that score texts: by a model, a function of Python, a server."""

import lazy_loader as _lazy_loader

__getattr__, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)

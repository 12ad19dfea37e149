"""The version of rnnlm, apart from `rnnlm/__init__.py`, so that every module may import it."""

__version__ = "0.1.0"

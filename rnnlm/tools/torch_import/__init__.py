"""Recurrent language models from files of PyTorch."""

PICKLED = rb"PK\x03\x04|\x80[\x02-\x05]"  # how they begin: an archive, or a pickle

"""Recurrent language models from files of PyTorch."""

# By the first bytes of a file: an archive, or a pickle.
FILE_KINDS = ("a PyTorch file", "a zip archive", "a Python pickle")

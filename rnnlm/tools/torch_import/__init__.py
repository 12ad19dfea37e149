"""Recurrent language models from files of PyTorch."""

SAFETENSORS = "a safetensors file"  # which is refused with the way out
# By the first bytes of a file: an archive, or a pickle.
FILE_KINDS = ("a PyTorch file", "a zip archive", "a Python pickle", SAFETENSORS)

"""Recurrent language models from files of PyTorch."""

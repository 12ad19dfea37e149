"""Binary models of KenLM, read by its package `kenlm`."""

KIND, PIECES = "a KenLM binary", "a sentencepiece model"  # by the first bytes of a file

"""Binary models of KenLM, read by its package `kenlm`."""

KIND = "a KenLM binary"  # by the first bytes of a file

"""Binary models of KenLM, read by its package `kenlm`."""

BEGINS = b"mmap lm http://kheafield.com/code format version"

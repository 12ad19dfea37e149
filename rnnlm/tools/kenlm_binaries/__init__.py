"""Binary models of KenLM, read by its package `kenlm`."""

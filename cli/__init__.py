"""The command line of rnnlm: one file per command. A command parses, calls one function of the
library, prints."""

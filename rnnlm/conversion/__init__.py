"""One model made into another: pruning, the compact form."""

"""One model made into another: pruning."""

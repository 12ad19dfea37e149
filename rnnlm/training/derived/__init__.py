"""Models made from other models: pruned, imported."""

"""Models made from other models: mixed, tuned, pruned, imported."""

"""Models made of models: mixtures, caches, dynamic evaluation."""

"""Commands on language models: train, eval, score, generate, compare, and more."""

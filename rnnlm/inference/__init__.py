"""Text through a model: spans, next-token distributions, word surprisal, growing prefixes."""

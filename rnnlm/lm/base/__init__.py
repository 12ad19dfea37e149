"""The common parts of all language models: finding, loading, and reading text; words of tokens."""

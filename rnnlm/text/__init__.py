"""Text as token ids: sources, lines, corpora, tokenizers, encoding, batches."""

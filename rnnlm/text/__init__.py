"""From lines to token ids: sources, corpora, encoding, batches."""

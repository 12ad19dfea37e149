"""Text filtered by its perplexity or by its language: shards of documents, and data sets."""

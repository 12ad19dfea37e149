"""Word vectors: those of a model, of a file, or learned from text; and vectors of words and lines in context."""

"""Commands on texts and counts: count, prepare, list."""

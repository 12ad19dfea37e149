"""Bytes on disk: compression, bounded reading, atomic writing, tables, tensors, locks."""

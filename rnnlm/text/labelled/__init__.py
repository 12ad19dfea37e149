"""Text with labels: readers, schemes of spans, alignment."""

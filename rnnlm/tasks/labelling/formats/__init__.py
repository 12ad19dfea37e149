"""Text with labels: readers of its formats, schemes of spans, alignment."""

"""What the layers of a network know of labels: linear probes, with their controls."""

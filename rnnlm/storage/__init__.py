"""Models on disk: the folder of a model, its manifest, checkpoints and log of metrics."""

"""A model on disk: the registry of kinds, the folder and its manifest, the card, checkpoints, the
metrics log."""

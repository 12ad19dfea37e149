"""The texts of a training run: read, held out, shared by the runs of a grid."""

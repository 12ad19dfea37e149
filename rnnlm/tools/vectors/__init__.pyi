"""The public names of the folder, which `rnnlm` has, too."""

from .word_vectors import (
    WordVectors as WordVectors,
    learn_vectors as learn_vectors,
    read_vectors as read_vectors,
)

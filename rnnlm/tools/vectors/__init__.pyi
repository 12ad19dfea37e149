"""The public names of the folder, which `rnnlm` has, too."""

from .word_vectors import WordVectors as WordVectors
from .word_vectors import learn_vectors as learn_vectors
from .word_vectors import read_vectors as read_vectors

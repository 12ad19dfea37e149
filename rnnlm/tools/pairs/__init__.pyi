"""The public names of the folder, which `rnnlm` has, too."""

from .pair import Pair as Pair
from .pair import read_pairs as read_pairs

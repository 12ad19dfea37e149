"""The public names of the folder, which `rnnlm` has, too."""

from .grid import GridFinished as GridFinished
from .grid import GridRunEnded as GridRunEnded
from .grid import train_grid as train_grid

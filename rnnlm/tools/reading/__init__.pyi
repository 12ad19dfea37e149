"""The public names of the folder, which `rnnlm` has, too."""

from .analysis import ReadingAnalysis as ReadingAnalysis
from .analysis import reading as reading

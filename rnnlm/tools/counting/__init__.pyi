"""The public names of the folder, which `rnnlm` has, too."""

from .run import count as count

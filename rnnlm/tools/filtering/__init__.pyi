"""The public names of the folder, which `rnnlm` has, too."""

from .predicate import filter as filter

"""The public names of the folder, which `rnnlm` has, too."""

from .preparation import prepare as prepare

"""The public names of the folder, which `rnnlm` has, too."""

from .options import DecodingSettings as DecodingSettings

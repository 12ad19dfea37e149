"""The public names of the folder, which `rnnlm` has, too."""

from .mixing import mix as mix
from .static import mix_static as mix_static

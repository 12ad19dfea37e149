"""`-p support.core_alone`: import modules of a copy of rnnlm without satellites alone."""

import sys

# An editable installation would find modules in the checkout that the copy lacks.
sys.meta_path[:] = [finder for finder in sys.meta_path if "ditable" not in repr(finder)]

"""A plugin for the tests of a copy of rnnlm without satellites: modules come from the copy alone.
`-p support.core_alone` loads it."""

import sys

# An editable installation would find modules in the checkout that the copy lacks.
sys.meta_path[:] = [finder for finder in sys.meta_path if "ditable" not in repr(finder)]

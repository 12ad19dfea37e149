"""Models that come with rnnlm, one folder each. Your own runs go to ./checkpoints/NAME of where you
work.

The models are named here: in a checkout your runs lie in this same folder, and are never taken for
shipped ones.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = ("demo",)

"""Models that come with rnnlm, one folder each. (Your own runs go to ./checkpoints/NAME of where you work.)"""

from pathlib import Path

FOLDER = Path(__file__).parent

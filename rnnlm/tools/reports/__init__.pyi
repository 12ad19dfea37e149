"""The public names of the folder, which `rnnlm` has, too."""

from .curve_plots import plot_curves as plot_curves
from .run_report import report as report

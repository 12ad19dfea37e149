"""The public name of the folder, which `rnnlm` has, too."""

from .scorer_checks import check_scorer as check_scorer

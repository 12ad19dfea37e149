"""Two systems on the same labelled text: every figure that applies to both, by how much it differs, and how sure that is."""

from rnnlm.errors import ComparisonError
from rnnlm.evaluation.labels.report import Predictions, measures
from rnnlm.evaluation.resampling import PERMUTATIONS, RESAMPLES
from rnnlm.evaluation.significance import FigureDifference, figure_differences


def differences(
    first: Predictions, second: Predictions, *, resamples: int = RESAMPLES, permutations: int = PERMUTATIONS, seed: int = 1
) -> dict[str, FigureDifference]:
    """The figures of the second system less those of the first, by name; figures that only one of them has are left out.

    Raises:
        ComparisonError: the two are not about the same labels, counted alike. UsageError: the labels are not of the same words.
    """
    for name, what in (("task", "tasks"), ("scheme", "schemes"), ("mode", "ways to count spans"), ("multi_label", "kinds of labels")):
        values = [getattr(each, name) for each in (first, second)]
        if values[0] != values[1]:
            raise ComparisonError("the figures do not compare", f"they are of two {what}: {values[0]} and {values[1]}")
    for gold in ("gold", "references"):
        if _plain(getattr(first, gold)) != _plain(getattr(second, gold)):
            raise ComparisonError("the figures do not compare", "the gold labels differ", "measure both on the same labelled text")
    return figure_differences(measures(first), measures(second), resamples=resamples, permutations=permutations, seed=seed)


def _plain(labels: object) -> object:
    """Nested lists and tuples as lists, so that they compare."""
    return [_plain(each) for each in labels] if isinstance(labels, (list, tuple)) else labels

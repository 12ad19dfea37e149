"""Two systems on the same sentences: every figure, by how much it differs, and how sure that is."""

from rnnlm.errors import ComparisonError
from rnnlm.evaluation.resampling import PERMUTATIONS, RESAMPLES
from rnnlm.evaluation.significance import FigureDifference, figure_differences
from rnnlm.evaluation.translation.figures import measures
from rnnlm.evaluation.translation.translations import Translations


def differences(
    first: Translations, second: Translations, *, resamples: int = RESAMPLES, permutations: int = PERMUTATIONS, seed: int = 1
) -> dict[str, FigureDifference]:
    """The figures of the second system less those of the first, by name, with the interval and p-value of the paired bootstrap (Koehn
    2004) and the p-value of approximate randomisation (Riezler & Maxwell 2005); figures that have no value are left out.

    Raises:
        ComparisonError: the two are not measured alike, or not against the same references.
        UsageError: the BLEU tokenizer needs a package that is not installed.
    """
    if first.settings != second.settings:
        differing = [name for name, value in vars(first.settings).items() if getattr(second.settings, name) != value]
        raise ComparisonError("the figures do not compare", f"they differ in {', '.join(differing)}", "measure both alike")
    if [list(each) for each in first.references] != [list(each) for each in second.references]:
        raise ComparisonError("the figures do not compare", "the references differ", "measure both on the same pairs")
    return figure_differences(measures(first), measures(second), resamples=resamples, permutations=permutations, seed=seed)

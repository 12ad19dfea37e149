"""The kinds of language models that are trained or made here, of all families."""

from rnnlm.config import ResolvedSettings
from rnnlm.lm.neural.cells import cells
from rnnlm.lm.neural.kinds import (
    OF_LANGUAGE_MODELS,
    OF_PROBABILITIES,
    WITHOUT_CELLS as OTHER_NETWORKS,
    Network,
)
from rnnlm.lm.ngram.settings import NgramSettings, UnigramSettings
from rnnlm.registry import Kind, imported


class Unigram(Kind):
    """Frequencies of words."""

    family = "ngram"
    settings = (UnigramSettings,)
    fit = imported(__package__, "ngram.unigram:fit")
    array_shapes = imported(__package__, "ngram.unigram:array_shapes")
    from_arrays = imported(__package__, "ngram.unigram:from_arrays")


class Ngram(Kind):
    """N-grams with backoff."""

    family = "ngram"
    is_mapped = True
    settings = (NgramSettings,)

    def check(self, resolved: ResolvedSettings, has_valid: bool) -> None:
        from rnnlm.lm.ngram.fitting import check

        super().check(resolved, has_valid)
        check(resolved, has_valid)

    fit = imported(__package__, "ngram.fitting:fit")
    array_shapes = imported(__package__, "ngram.model:array_shapes")
    from_arrays = imported(__package__, "ngram.model:from_arrays")


WITHOUT_CELLS: list[Kind] = [
    *OTHER_NETWORKS,
    Unigram("unigram", "smoothed word frequencies", OF_PROBABILITIES),
    Ngram(
        "ngram",
        "n-grams with backoff: Kneser-Ney and the other classical estimators",
        OF_PROBABILITIES | {"n-grams"},
    ),
]


def kinds() -> list[Kind]:
    """Return the kinds of language models that are trained here, one for each cell among them."""
    of_cells = [
        Network(cell.name, cell.about, OF_LANGUAGE_MODELS | cell.has) for cell in cells().values()
    ]
    return [*of_cells, *WITHOUT_CELLS]

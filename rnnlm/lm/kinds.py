"""The kinds of language models that are trained or made here, of all families.

Each function imports the object of its name, when it is used.
"""

from typing import TYPE_CHECKING, Any

from rnnlm.lm.neural.kinds import KINDS as NETWORKS
from rnnlm.lm.neural.kinds import OF_PROBABILITIES
from rnnlm.registry import Function, Kind

if TYPE_CHECKING:
    from rnnlm.config import ResolvedSettings


class Unigram(Kind):
    """Frequencies of words."""

    family = "ngram"

    @property
    def settings(self) -> tuple[type, ...]:
        from rnnlm.lm.ngram.settings import UnigramSettings

        return (UnigramSettings,)

    @property
    def fit(self) -> Function:
        from rnnlm.lm.ngram.unigram import fit

        return fit

    @property
    def array_shapes(self) -> Function:
        from rnnlm.lm.ngram.unigram import array_shapes

        return array_shapes

    @property
    def from_arrays(self) -> Function:
        from rnnlm.lm.ngram.unigram import from_arrays

        return from_arrays


class Ngram(Kind):
    """N-grams with backoff."""

    family = "ngram"
    is_mapped = True

    @property
    def settings(self) -> tuple[type, ...]:
        from rnnlm.lm.ngram.settings import NgramSettings

        return (NgramSettings,)

    def check(self, resolved: "ResolvedSettings", has_valid: bool) -> None:
        from rnnlm.lm.ngram.fitting import check

        super().check(resolved, has_valid)
        check(resolved, has_valid)

    @property
    def fit(self) -> Function:
        from rnnlm.lm.ngram.fitting import fit

        return fit

    def text_to_read(
        self, text: Any, tokenizer: Any, share: float, resolved: Any, progress: Any
    ) -> Any:
        from rnnlm.lm.ngram.fitting import text_to_read

        return text_to_read(text, tokenizer, share, resolved, progress)

    def check_counts(self, folder: str) -> None:
        from rnnlm.lm.ngram.fitting import check_counts

        check_counts(folder)

    @property
    def open_counts(self) -> Function:
        from rnnlm.lm.ngram.fitting import open_counts

        return open_counts

    def clean_up(self, resolved: "ResolvedSettings", data: Any) -> None:
        from rnnlm.lm.ngram.fitting import clean_up

        clean_up(resolved, data)

    def foresee(self, resolved: "ResolvedSettings", data: Any) -> dict[str, int]:
        from rnnlm.lm.ngram.fitting import foresee

        return foresee(resolved, data)

    @property
    def array_shapes(self) -> Function:
        from rnnlm.lm.ngram.model import array_shapes

        return array_shapes

    @property
    def from_arrays(self) -> Function:
        from rnnlm.lm.ngram.model import from_arrays

        return from_arrays


class Mixture(Kind):
    """Several models as one."""

    family = "combination"
    takes_parts = True
    made_with = "rnnlm mix A B --on TEXT"

    @property
    def settings(self) -> tuple[type, ...]:
        from rnnlm.lm.mixtures.mixture import MixtureSettings

        return (MixtureSettings,)

    @property
    def array_shapes(self) -> Function:
        from rnnlm.lm.mixtures.mixture import array_shapes

        return array_shapes

    @property
    def from_arrays(self) -> Function:
        from rnnlm.lm.mixtures.mixture import from_arrays

        return from_arrays


KINDS = [
    *NETWORKS,
    Unigram("unigram", "smoothed word frequencies", OF_PROBABILITIES),
    Ngram(
        "ngram",
        "n-grams with backoff: Kneser-Ney and the other classical estimators",
        OF_PROBABILITIES | {"n-grams"},
    ),
    Mixture("mixture", "several models as one, each with a weight", OF_PROBABILITIES),
]

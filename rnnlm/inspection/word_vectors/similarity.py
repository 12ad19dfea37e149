"""How well cosines of word vectors rank pairs of words as people do: Spearman's correlation (SimLex-999: Hill et al. 2015; MEN: Bruni et
al. 2014)."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm.errors import TextError
from rnnlm.evaluation import plotting
from rnnlm.evaluation.resampling import percentile_bounds
from rnnlm.inspection.result import Table
from rnnlm.inspection.subjects import Model
from rnnlm.inspection.word_vectors.vocabulary import described, lower_cases, vectors_of
from rnnlm.inspection.word_vectors.word_tables import read_pairs
from rnnlm.models.loading import SHIPPED
from rnnlm.vectors.word_vectors import Which, WordVectors

if TYPE_CHECKING:
    from matplotlib.figure import Figure


BATCH_PAIRS = 2_000_000  # drawn at a time, which bounds the memory
FEWEST = 20  # pairs with an interval: a bootstrap of a few pairs is far too narrow


@dataclass(frozen=True)
class JudgedPair:
    """Two words, how alike people find them, and the cosine of their vectors; None where one has no vector."""

    word1: str
    word2: str
    score: float
    cosine: float | None


@dataclass(frozen=True)
class Similarity:
    """Spearman's correlation between judgments and cosines over the pairs that have both, with its 95 % interval (bootstrap over pairs).
    None with fewer than 20 pairs. file: what holds the pairs. source: what the vectors are."""

    file: str
    source: str
    pairs: tuple[JudgedPair, ...]
    spearman: float
    low: float | None
    high: float | None

    @property
    def known(self) -> int:
        """How many pairs have a vector for both words."""
        return sum(pair.cosine is not None for pair in self.pairs)

    @property
    def verdict(self) -> str:
        """The correlation, over how many pairs, and whether it could be chance."""
        share = f"{self.known:,} of {len(self.pairs):,} pairs ({self.known / len(self.pairs):.1%}) have vectors for both words"
        said = f"Spearman's correlation with the judgments is {self.spearman:.3f}"
        if self.low is None or self.high is None:
            return f"{said}; {share}: too few to tell whether these vectors rank pairs as people do."
        said = f"{said} [{self.low:.3f}, {self.high:.3f}]; {share}."
        if self.low > 0:
            return f"{said} Words that people find alike have vectors that are alike."
        if self.high < 0:
            return f"{said} Words that people find alike have vectors that are less alike than others."
        return f"{said} The interval holds 0: nothing shows that these vectors rank pairs as people do."

    def tables(self) -> Sequence[Table]:
        """The correlation and what it was measured on."""
        row = (self.file, len(self.pairs), self.known, self.known / len(self.pairs), self.spearman, self.low, self.high)
        return [Table(("file", "pairs", "known", "share known", "spearman", "low", "high"), (row,), self.source)]

    def to_dict(self) -> dict[str, Any]:
        """All of it in JSON's types, the pairs among it."""
        return {**dataclasses.asdict(self), "known": self.known}

    def figure(self) -> "Figure":
        """Cosines over judgments, a point a pair."""
        figure, axes = plotting.new_figure(f"Spearman {self.spearman:.3f}", "judgment", "cosine")
        known = [(pair.score, pair.cosine) for pair in self.pairs if pair.cosine is not None]
        axes.scatter([score for score, _ in known], [cosine for _, cosine in known], s=6, alpha=0.4, linewidths=0)
        return figure


def inspect_similarity(
    model: Model | WordVectors = SHIPPED, file: str | Path = "-", *, which: Which = "input",
    columns: str | None = None, strip_tags: bool = False, seed: int = 1,
) -> Similarity:  # fmt: skip
    """Spearman's correlation between how alike people find the words of each pair in a `file` and the cosines of their vectors. model and
    which as for :func:`rnnlm.inspect_neighbours`. columns: "WORD1,WORD2,SCORE" by name or number; None: two of words and one of numbers
    behind them. strip_tags: words lose tags such as -n at their end. Where no word that has a vector has capital letters, the file's words
    are lower-cased, and a notice says so. seed: of the bootstrap.

    Raises:
        TextError: the file cannot be read, lacks a column, fewer than three of its pairs have vectors for both words, or all judgments
            or cosines are equal. UsageError: the model has no such vectors. ModelError: there is no such model.
    """
    known = vectors_of("similarity", model, which)
    read = read_pairs(str(file), columns, strip_tags)
    lowers = lower_cases(known, (word for pair in read for word in (pair.word1, pair.word2)), str(file))
    pairs = []
    for pair in read:
        word1, word2 = (word.lower() if lowers else word for word in (pair.word1, pair.word2))
        row1, row2 = known.numbers.get(word1), known.numbers.get(word2)
        cosine = None if row1 is None or row2 is None else float(known.unit_VE[row1] @ known.unit_VE[row2])
        pairs.append(JudgedPair(word1, word2, pair.score, cosine))
    judged = np.array([(pair.score, pair.cosine) for pair in pairs if pair.cosine is not None])
    if len(judged) < 3:
        why = f"{len(judged)} of {len(pairs):,} pairs have vectors for both words"
        raise TextError(f"too few pairs of {file} are known", why, "words may be written in another case, or carry tags: --strip-tags")
    if (np.ptp(judged, axis=0) == 0).any():
        raise TextError(f"{file}: nothing to rank", "all judgments, or all cosines, are equal")
    return Similarity(str(file), described(known), tuple(pairs), *spearman(judged[:, 0], judged[:, 1], seed))


def spearman(scores_N: np.ndarray, cosines_N: np.ndarray, seed: int = 1) -> tuple[float, float | None, float | None]:
    """Spearman's rank correlation, ties at their mean rank, and the bounds of its interval: percentile bootstrap over the N pairs,
    None with fewer than 20."""
    from scipy.stats import rankdata

    def correlation(scores: np.ndarray, cosines: np.ndarray, axis: int = -1) -> np.ndarray:
        x, y = (rankdata(each, axis=axis) for each in (scores, cosines))
        x, y = (each - each.mean(axis=axis, keepdims=True) for each in (x, y))
        return np.asarray((x * y).sum(axis=axis) / np.sqrt((x * x).sum(axis=axis) * (y * y).sum(axis=axis)))

    if len(scores_N) < FEWEST:
        return float(correlation(scores_N, cosines_N)), None, None
    low, high = percentile_bounds((scores_N, cosines_N), correlation, seed=seed, batch_units=BATCH_PAIRS)
    return float(correlation(scores_N, cosines_N)), low, high

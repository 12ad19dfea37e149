"""Evaluate word vectors on test sets: pairs that people have judged (SimLex-999, MEN), and
analogies."""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm.errors import TextError
from rnnlm.evaluation import plotting
from rnnlm.evaluation.resampling import percentile_bounds, ratio_interval
from rnnlm.inspection.common import Inspection, Model, Table
from rnnlm.inspection.neighbours import described, lower_cases, vectors_of
from rnnlm.inspection.word_tables import Question, read_analogies, read_pairs
from rnnlm.models.loading import SHIPPED
from rnnlm.vectors.word_vectors import Which, WordVectors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# ---- How well cosines of word vectors rank pairs of words as people do: Spearman's correlation
# (SimLex-999: Hill et al. 2015; MEN: Bruni et al. 2014).

BATCH_PAIRS = 2_000_000  # drawn at a time, which bounds the memory
FEWEST = 20  # pairs for an interval: a bootstrap of fewer is far too narrow


@dataclass(frozen=True)
class JudgedPair:
    """Two words, how similar people find them, and the cosine of their vectors; None where one
    has no vector."""

    word1: str
    word2: str
    score: float
    cosine: float | None


@dataclass(frozen=True, repr=False)
class Similarity(Inspection):
    """Spearman's correlation between judgments and cosines over the pairs that have both, with
    its 95 % interval (bootstrap over pairs), which is None with fewer than 20 pairs. file: of
    the pairs. source: a description of the vectors."""

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
        share = (
            f"{self.known:,} of {len(self.pairs):,} pairs "
            f"({self.known / len(self.pairs):.1%}) have vectors for both words"
        )
        said = f"Spearman's correlation with the judgments is {self.spearman:.3f}"
        if self.low is None or self.high is None:
            return (
                f"{said}; {share}: too few to tell whether these vectors rank pairs as people do."
            )
        said = f"{said} [{self.low:.3f}, {self.high:.3f}]; {share}."
        if self.low > 0:
            return f"{said} Words that people find alike have vectors that are alike."
        if self.high < 0:
            return (
                f"{said} Words that people find alike have vectors that are less alike than others."
            )
        return (
            f"{said} The interval holds 0: nothing shows that these vectors rank pairs as people "
            "do."
        )

    def tables(self) -> Sequence[Table]:
        """Return the correlation and what it was measured on."""
        row = {
            "file": self.file,
            "pairs": len(self.pairs),
            "known": self.known,
            "share known": self.known / len(self.pairs),
            "spearman": self.spearman,
            "low": self.low,
            "high": self.high,
        }
        return [Table(tuple(row), (tuple(row.values()),), self.source)]

    def to_dict(self) -> dict[str, Any]:
        """Return the result in JSON's types, including the pairs."""
        return {**dataclasses.asdict(self), "known": self.known}

    def figure(self, axes: "Axes | None" = None) -> "Figure":
        """Draw cosines by judgments, a point for each pair."""
        spearman = plotting.with_minus(f"{self.spearman:.3f}")
        title = f"Spearman {spearman} (1: cosines rise as judgments do)"
        label = "judgment of people (in the scale of the file)"
        figure, axes = plotting.new_figure(title, label, "cosine of both vectors", axes=axes)
        scores, cosines = [], []
        for pair in self.pairs:
            if pair.cosine is not None:
                scores.append(pair.score)
                cosines.append(pair.cosine)
        axes.scatter(scores, cosines, s=9, alpha=0.5, linewidths=0, color=plotting.COLOURS[0])
        return figure


def inspect_similarity(
    model: Model | WordVectors = SHIPPED, file: str | Path = "-", *, which: Which = "input",
    columns: str | None = None, strip_tags: bool = False, seed: int = 1,
) -> Similarity:  # fmt: skip
    """Compute Spearman's correlation between how similar people find the words of each pair in a
    `file` and the cosines of their vectors. model and which as for
    :func:`rnnlm.inspect_neighbours`. columns: "WORD1,WORD2,SCORE" by name or number; None: two of
    words and one of numbers behind them. strip_tags: words lose tags such as -n at their end. If no
    word that has a vector has capital letters, the file's words are lower-cased, and a notice says
    so. seed: of the bootstrap.

    Raises:
        TextError: the file cannot be read, lacks a column, fewer than three of its pairs have
            vectors for both words, or all judgments or cosines are equal. UsageError: the model has
            no such vectors. ModelError: there is no such model.
    """
    known = vectors_of("similarity", model, which)
    read = read_pairs(str(file), columns, strip_tags)
    words = itertools.chain.from_iterable((pair.word1, pair.word2) for pair in read)
    lowers = lower_cases(known, words, str(file))

    # The cosine of each pair that has both vectors.
    pairs = []
    for pair in read:
        word1, word2 = pair.word1, pair.word2
        if lowers:
            word1, word2 = word1.lower(), word2.lower()
        row1, row2 = known.numbers.get(word1), known.numbers.get(word2)
        cosine = None
        if row1 is not None and row2 is not None:
            cosine = float(known.unit_VE[row1] @ known.unit_VE[row2])
        pairs.append(JudgedPair(word1, word2, pair.score, cosine))

    judged = np.array([(pair.score, pair.cosine) for pair in pairs if pair.cosine is not None])
    if len(judged) < 3:
        why = f"{len(judged)} of {len(pairs):,} pairs have vectors for both words"
        raise TextError(
            f"too few pairs of {file} are known",
            why,
            "words may be written in another case, or carry tags: --strip-tags",
        )
    if (np.ptp(judged, axis=0) == 0).any():
        raise TextError(f"{file}: nothing to rank", "all judgments, or all cosines, are equal")
    correlation = spearman(judged[:, 0], judged[:, 1], seed)
    return Similarity(str(file), described(known), tuple(pairs), *correlation)


def spearman(
    scores_N: np.ndarray, cosines_N: np.ndarray, seed: int = 1
) -> tuple[float, float | None, float | None]:
    """Return Spearman's rank correlation, ties at their mean rank, and the bounds of its
    interval: percentile bootstrap over the N pairs, None with fewer than 20."""
    from scipy.stats import rankdata

    def correlation(scores: np.ndarray, cosines: np.ndarray, axis: int = -1) -> np.ndarray:
        x, y = rankdata(scores, axis=axis), rankdata(cosines, axis=axis)
        x = x - x.mean(axis=axis, keepdims=True)
        y = y - y.mean(axis=axis, keepdims=True)
        squares = (x * x).sum(axis=axis) * (y * y).sum(axis=axis)
        return np.asarray((x * y).sum(axis=axis) / np.sqrt(squares))

    estimate = float(correlation(scores_N, cosines_N))
    if len(scores_N) < FEWEST:
        return estimate, None, None
    low, high = percentile_bounds(
        (scores_N, cosines_N), correlation, seed=seed, batch_units=BATCH_PAIRS
    )
    return estimate, low, high


# ---- A test set of analogies, a is to b as c is to d: how often d is the word nearest to b - a +
# c, by type (Mikolov et al. 2013; Levy & Goldberg 2014, equation 3: 3CosAdd).

ALL = "all"
_NUMBERS = 1 << 25  # cosines computed at a time, which bounds the memory


@dataclass(frozen=True)
class TypeAccuracy:
    """The result for one type of analogy, or "all": how many questions, those whose four words
    have vectors, how many of these are answered right, and the share with its 95 % interval
    (bootstrap over questions); None where none is known."""

    type: str
    questions: int
    known: int
    right: int
    accuracy: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, repr=False)
class Analogies(Inspection):
    """Accuracy by type, all types together last. file: of the questions. source: a description
    of the vectors. words: how many could be the answer."""

    file: str
    source: str
    words: int
    types: tuple[TypeAccuracy, ...]

    @property
    def verdict(self) -> str:
        """The accuracy over all types, compared with chance."""
        total = self.types[-1]
        share = (
            f"{total.known:,} of {total.questions:,} questions "
            f"({total.known / total.questions:.1%}) have vectors for all four words"
        )
        right = f"{total.accuracy:.1%} [{total.low:.1%}, {total.high:.1%}]"
        said = (
            f"{right} of the analogies come out; guesses would be right in {1 / self.words:.3%}. "
            f"{share}."
        )

        # The best and the worst type, where there is a difference.
        known = [each for each in self.types[:-1] if each.accuracy is not None]
        if len({each.accuracy for each in known}) > 1:
            best = max(known, key=lambda each: each.accuracy or 0.0)
            worst = min(known, key=lambda each: each.accuracy or 0.0)
            said += (
                f" Best: {best.type} ({best.accuracy:.1%}); worst: {worst.type} "
                f"({worst.accuracy:.1%})."
            )
        return said

    def tables(self) -> Sequence[Table]:
        """Return a row for each type, all types together last."""
        columns = tuple(field.name for field in dataclasses.fields(TypeAccuracy))
        rows = tuple(map(dataclasses.astuple, self.types))
        return [Table(columns, rows, self.source)]

    def to_dict(self) -> dict[str, Any]:
        """Return the result in JSON's types."""
        return dataclasses.asdict(self)

    def figure(self, axes: "Axes | None" = None) -> "Figure":
        """Draw accuracies with their intervals, one line for each type."""
        shown = [each for each in self.types if each.accuracy is not None]
        height = 1 + 0.25 * len(shown)
        title = "Share of analogies that come out, with 95 % intervals"
        figure, axes = plotting.new_figure(title, "accuracy", "", height=height, axes=axes)
        bounds = [(each.accuracy, each.low, each.high) for each in shown]
        middle, low, high = np.array(bounds, dtype=np.float64).reshape(-1, 3).T
        bars = np.stack([middle - low, high - middle])
        axes.errorbar(
            middle, range(len(shown)), xerr=bars, fmt="o", capsize=3, color=plotting.COLOURS[0]
        )
        axes.set_yticks(range(len(shown)), [each.type for each in shown], parse_math=False)
        axes.set_xlim(-0.02, 1.02)
        axes.invert_yaxis()
        return figure


def inspect_analogies(
    model: Model | WordVectors = SHIPPED, file: str | Path = "-", *, which: Which = "input",
    columns: str | None = None,
) -> Analogies:  # fmt: skip
    """Count how many analogies of a `file` come out, by type: its lines are `A B C D`, those of a
    type below a line `: TYPE`, or it is a table. model and which as for
    :func:`rnnlm.inspect_neighbours`. columns: for a table: "TYPE,A,B,C,D" or "A,B,C,D" by name or
    number; None: its last five or four columns of words.

    The three words of a question are not counted as answers. If no word that has a vector has
    capital letters, the file's words are lower-cased, and a notice says so.

    Raises:
        TextError: the file cannot be read, lacks a column, or no question has vectors for its four
            words. UsageError: the model has no such vectors. ModelError: there is no such model.
    """
    known = vectors_of("analogies", model, which)
    questions = read_analogies(str(file), columns)
    words = itertools.chain.from_iterable(each.words for each in questions)
    if lower_cases(known, words, str(file)):
        questions = [Question(each.kind, *map(str.lower, each.words)) for each in questions]

    # Ask only the questions whose words all have vectors.
    is_known_Q = np.zeros(len(questions), dtype=bool)
    rows = []
    for number, each in enumerate(questions):
        if all(word in known.numbers for word in each.words):
            is_known_Q[number] = True
            rows.append([known.numbers[word] for word in each.words])
    if not rows:
        why = f"no question of {len(questions):,} has vectors for its four words"
        raise TextError(
            f"no analogy of {file} is known", why, "they may be written in another case"
        )
    rows_Q4 = np.array(rows)
    is_right_Q = np.zeros(len(questions), dtype=bool)
    is_right_Q[is_known_Q] = _answers(known, rows_Q4) == rows_Q4[:, 3]

    # Each type by itself, if the file has types, and all of them.
    kinds = np.array([each.kind for each in questions])
    names = list(dict.fromkeys(kinds.tolist()))
    types = []
    if names != [""]:
        for name in names:
            types.append(_accuracy(name, kinds == name, is_known_Q, is_right_Q))
    every_Q = np.ones(len(questions), dtype=bool)
    types.append(_accuracy(ALL, every_Q, is_known_Q, is_right_Q))
    return Analogies(str(file), described(known), int(known.is_word_V.sum()), tuple(types))


def _answers(known: WordVectors, rows_Q4: np.ndarray) -> np.ndarray:
    """Return the row of the word nearest to b - a + c, for each question; a, b and c are not
    counted as answers."""
    unit_VE, batch = known.unit_VE, max(1, _NUMBERS // len(known.words))
    found = []
    for start in range(0, len(rows_Q4), batch):
        a, b, c, _ = rows_Q4[start : start + batch].T
        score_QV = (unit_VE[b] - unit_VE[a] + unit_VE[c]) @ unit_VE.T
        score_QV[:, ~known.is_word_V] = -np.inf
        for each in (a, b, c):
            score_QV[np.arange(len(each)), each] = -np.inf
        found.append(score_QV.argmax(axis=1))
    return np.concatenate(found)


def _accuracy(
    name: str, is_it_Q: np.ndarray, is_known_Q: np.ndarray, is_right_Q: np.ndarray
) -> TypeAccuracy:
    """Return the accuracy on the questions of one type."""
    right = is_right_Q[is_it_Q & is_known_Q]
    counts = int(is_it_Q.sum()), len(right), int(right.sum())
    if not len(right):
        return TypeAccuracy(name, *counts, None, None, None)
    interval = ratio_interval(right)
    return TypeAccuracy(name, *counts, interval.estimate, interval.low, interval.high)

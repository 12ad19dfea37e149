"""Compare lines by the cosine of their vectors, and rank pairs of words as people rated them."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm import corpora
from rnnlm.amounts import plural
from rnnlm.checks import several
from rnnlm.errors import TextError, UsageError
from rnnlm.evaluation import plotting
from rnnlm.evaluation.resampling import percentile_bounds
from rnnlm.lm.base.loading import SHIPPED
from rnnlm.storage.files.reading import opened, text_lines
from rnnlm.tabular import Table
from rnnlm.tools.inspection.common import Inspection, Model, checked_sentence, load_model_for
from rnnlm.tools.inspection.neighbours import briefly, described, vectors_of
from rnnlm.tools.vectors.settings import EmbeddingSettings
from rnnlm.tools.vectors.word_vectors import Which, WordVectors

FEWEST_RATED = 20  # pairs for an interval: a bootstrap of fewer is far too narrow


@dataclass(frozen=True)
class ComparedPair:
    """Two lines and the cosines of their vectors.

    Attributes:
        first: The first line.
        second: The second line.
        words: Cosine of the sums of their word vectors; None if a line has no word with a vector.
        state: Cosine of the features of a network that has read them; None for vectors from a file.
        one_hot: Cosine of the counts of their words.
        rating: Rating of the pair by people, if there is one.
    """

    first: str
    second: str
    words: float | None
    state: float | None
    one_hot: float
    rating: float | None = None


@dataclass(frozen=True, repr=False)
class Similarity(Inspection):
    """The cosines of pairs of lines.

    Attributes:
        source: Description of the vectors.
        pairs: The pairs with their cosines.
        spearman: Rank correlation of ratings and cosines; None without ratings.
        low: Lower bound of its 95 % interval; None with fewer than 20 pairs.
        high: Upper bound of its 95 % interval.
    """

    source: str
    pairs: tuple[ComparedPair, ...]
    spearman: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def known(self) -> int:
        """The number of pairs whose words have vectors."""
        return sum(pair.words is not None for pair in self.pairs)

    @property
    def verdict(self) -> str:
        """What the cosines tell beside the cosines of one-hot vectors, or the correlation."""
        if self.spearman is None:
            return (
                "One-hot vectors find two lines alike as far as they share words; vectors of words "
                "also if their words occur in the same contexts; the state of a network depends on "
                "the order of the words, too."
            )
        of_pairs = f"over {self.known:,} of {plural(len(self.pairs), 'pair')}"
        interval = "" if self.low is None else f" [{self.low:.3f}, {self.high:.3f}]"
        return (
            f"Spearman's correlation with ratings is {self.spearman:.3f}{interval}, {of_pairs}; 0 "
            "is chance, and one-hot vectors, which find all words equally different, have none."
        )

    def tables(self) -> Sequence[Table]:
        """Return the cosines of each pair, or the correlation with ratings."""
        if self.spearman is not None:
            cells = (len(self.pairs), self.known, self.spearman, self.low, self.high)
            return [Table(("pairs", "known", "spearman", "low", "high"), (cells,), self.source)]
        rows = tuple(
            (pair.first, pair.second, pair.one_hot, pair.words, pair.state) for pair in self.pairs
        )
        return [Table(("line", "other line", "one-hot", "words", "state"), rows, self.source)]

    def figure(self, axes: "plotting.Axes | None" = None) -> "plotting.Figure":
        """Draw the cosines by ratings, or as bars beside the cosines of one-hot vectors.

        Args:
            axes: Axes to draw into; None makes a figure.

        Returns:
            The figure.
        """
        if self.spearman is not None:
            spearman = plotting.with_minus(f"{self.spearman:.2f}")
            title = f"Spearman {spearman}: {briefly(self.source)}"
            figure, axes = plotting.new_figure(title, "rating of people", "cosine", axes=axes)
            ratings_N, cosines_N = rated(self.pairs).T
            axes.scatter(ratings_N, cosines_N, s=12, color=plotting.COLOURS[0])
            return figure

        # Three bars for each pair, the first pair on top.
        height = 1.2 + 0.75 * len(self.pairs)
        figure, axes = plotting.new_figure(
            "Cosines of lines", "cosine", "", height=height, axes=axes
        )
        series = {}
        for kind in ("one_hot", "words", "state"):
            values = [getattr(pair, kind) for pair in self.pairs]
            if any(value is not None for value in values):
                series[kind.replace("_", "-")] = values
        names = [f"{pair.first}\n{pair.second}" for pair in self.pairs]
        plotting.draw_bars(axes, names, series, ".2f")
        plotting.legend_below(figure, axes)
        return figure


def inspect_similarity(
    model: Model | WordVectors = SHIPPED, lines: Sequence[str] = (), *, which: Which = "input",
    ratings: str | Path | None = None,
) -> Similarity:  # fmt: skip
    """Compare every two of some `lines`, or rank the pairs of words of a file as people rated them
    (MEN, SimLex-999): Spearman's correlation of ratings and cosines.

    model and which as for :meth:`rnnlm.Model.inspect_neighbours`. ratings: a file with two words
    and a number on each line; "ratings" is a bundled one.

    Raises:
        UsageError: neither two lines nor ratings are given, or the model has no such vectors.
        TextError: the file cannot be read, or fewer than three of its pairs have vectors.
        ModelError: there is no such model.
    """
    if not isinstance(model, WordVectors):
        model = load_model_for("similarity", model, "cpu").model
    known = vectors_of("similarity", model, which)
    if ratings is not None:
        pairs = tuple(
            _compared(known, (first, second), ([first], [second]), rating=rating)
            for first, second, rating in read_ratings(corpora.list_named(ratings))
        )
        return Similarity(described(known), pairs, *_correlation(pairs, str(ratings)))

    # A network splits lines into its words, and its state has read a line as a whole.
    lines = list(map(checked_sentence, several(lines, "lines")))
    if len(lines) < 2:
        raise UsageError("two lines at least are compared", hint="name a second one")
    words = [line.split() for line in lines]
    states: Any = [None] * len(lines)
    if not isinstance(model, WordVectors):
        from rnnlm.tools.vectors.embedding import Embedder

        embedder = Embedder(model, EmbeddingSettings())
        words = [written[:-1] for written in embedder.reader.tokenizer.surfaces(lines)]
        states = embedder.vectors(lines)
    pairs = tuple(
        _compared(known, (lines[i], lines[j]), (words[i], words[j]), (states[i], states[j]))
        for i, j in itertools.combinations(range(len(lines)), 2)
    )
    return Similarity(described(known), pairs)


def read_ratings(source: str | Path) -> list[tuple[str, str, float]]:
    """Read pairs of words that people rated: two words and the first number behind them on each
    line, between tabs, commas, semicolons or spaces; the first line may be a header."""
    name = str(source)
    rated = []
    with opened(name) as stream:
        for number, line in enumerate(text_lines(name, stream, None), start=1):
            cells = line.replace(",", " ").replace(";", " ").split()
            numbers = [float(cell) for cell in cells[2:] if _is_number(cell)]
            if numbers:
                rated.append((cells[0], cells[1], numbers[0]))
            elif cells and number > 1:
                raise TextError(
                    f"{name}, line {number}: no rating",
                    "a line has two words and a number",
                    "for instance: sun sunlight 50",
                )
    return rated


def _is_number(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False


def rated(pairs: Sequence[ComparedPair]) -> np.ndarray:
    """Return the rating and the cosine of each pair that has both, (N, 2)."""
    numbers = [(pair.rating, pair.words) for pair in pairs if pair.words is not None]
    return np.array(numbers, dtype=np.float64).reshape(-1, 2)


def _compared(
    known: WordVectors,
    lines: tuple[str, str],
    words: tuple[list[str], list[str]],
    states: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
    rating: float | None = None,
) -> ComparedPair:
    """Compute the cosines of two lines, given the words and the state of each. A word is looked up
    as it is, then in lower case."""
    # The sum of the vectors of each line's words.
    sums = []
    for of_line in words:
        spelled = [word if word in known.numbers else word.lower() for word in of_line]
        rows = [known.numbers[word] for word in spelled if word in known.numbers]
        sums.append(known.unit_VE[rows].sum(axis=0))

    # The cosine of their counts of words.
    first, second = map(Counter, words)
    shared = sum(count * second[word] for word, count in first.items())
    lengths = [sum(count**2 for count in counts.values()) for counts in (first, second)]
    return ComparedPair(
        first=lines[0],
        second=lines[1],
        words=_cosine(*sums),
        state=_cosine(*states),
        one_hot=shared / np.sqrt(np.prod(lengths)),
        rating=rating,
    )


def _cosine(first: np.ndarray | None, second: np.ndarray | None) -> float | None:
    """Return the cosine of two vectors; None where there is none, or one is zero."""
    if first is None or second is None or not (first.any() and second.any()):
        return None
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


def _correlation(
    pairs: Sequence[ComparedPair], source: str
) -> tuple[float, float | None, float | None]:
    """Return Spearman's correlation of ratings and cosines, ties at their mean rank, and the bounds
    of its interval (percentile bootstrap over pairs)."""
    from scipy.stats import rankdata

    rated_N2 = rated(pairs)
    if len(rated_N2) < 3 or (np.ptp(rated_N2, axis=0) == 0).any():
        why = f"{len(rated_N2)} of {plural(len(pairs), 'pair')} have vectors for both words"
        raise TextError(f"{source}: too few different pairs to rank", why)

    # Pearson's correlation of the ranks.
    def correlation(ratings: np.ndarray, cosines: np.ndarray, axis: int = -1) -> np.ndarray:
        ranks = [rankdata(values, axis=axis) for values in (ratings, cosines)]
        x, y = (rank - rank.mean(axis=axis, keepdims=True) for rank in ranks)
        squares = (x * x).sum(axis=axis) * (y * y).sum(axis=axis)
        return np.asarray((x * y).sum(axis=axis) / np.sqrt(squares))

    ratings_N, cosines_N = rated_N2.T
    estimate = float(correlation(ratings_N, cosines_N))
    if len(rated_N2) < FEWEST_RATED:
        return estimate, None, None
    return estimate, *percentile_bounds((ratings_N, cosines_N), correlation)

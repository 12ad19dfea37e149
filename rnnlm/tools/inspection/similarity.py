"""Compare words and lines by the cosine of the angle between their vectors: the words nearest to a
word or to the sum of an analogy, the similarity of pairs, and how it ranks them beside people's
ratings."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm import corpora
from rnnlm.amounts import plural
from rnnlm.checks import several
from rnnlm.errors import TextError, UsageError
from rnnlm.evaluation import plotting
from rnnlm.evaluation.resampling import Interval, jackknife_interval
from rnnlm.lm.base.loading import SHIPPED
from rnnlm.storage.files import tables
from rnnlm.tabular import Table
from rnnlm.text.named_columns import (
    KINDS,
    InputTable,
    content_of,
    detect_format,
    is_quantity,
    open_table,
    unclear,
)
from rnnlm.tools.inspection.common import Inspection, Model, checked_sentence, load_model_for
from rnnlm.tools.vectors.settings import EmbeddingSettings
from rnnlm.tools.vectors.word_vectors import Which, WordVectors, word_vectors

# ---- The words whose vectors lie nearest to a word's.

RANDOM_PAIRS = 10_000
_PER_ROW = 2  # panels of a plot
BARS_ON_A_SLIDE = 20  # above each other, in two rows of panels
HEADING = "The longer the bar, the more alike are the contexts of two words"


@dataclass(frozen=True)
class Neighbour:
    """A word that is near another.

    Attributes:
        word: The word.
        cosine: Cosine of the two vectors, -1 to 1.
    """

    word: str
    cosine: float


@dataclass(frozen=True, repr=False)
class Neighbours(Inspection):
    """The nearest words of some words.

    Attributes:
        source: Description of the vectors.
        words: The words.
        neighbours: Neighbours of each word, nearest first.
        random_mean: Mean cosine of two random words, over 10,000 pairs, to compare with.
        random_deviation: Standard deviation of these cosines.
    """

    source: str
    words: tuple[str, ...]
    neighbours: tuple[tuple[Neighbour, ...], ...]
    random_mean: float
    random_deviation: float

    @property
    def verdict(self) -> str:
        """Which word is nearest, and how that compares with chance."""
        nearest = "; ".join(
            f'"{word}" lies nearest to "{first.word}" (cosine {first.cosine:z.2f})'
            for word, (first, *_) in zip(self.words, self.neighbours, strict=True)
        )
        return (
            f"{nearest}. The cosine of two words drawn at random is {self.random_mean:z.2f} on "
            f"average (standard deviation {self.random_deviation:.2f})."
        )

    def tables(self) -> Sequence[Table]:
        """Return the neighbours of each word, the nearest first."""
        rows = []
        for word, nearest_words in zip(self.words, self.neighbours, strict=True):
            for rank, neighbour in enumerate(nearest_words, start=1):
                rows.append((word, rank, neighbour.word, neighbour.cosine))
        return [Table(("word", "rank", "neighbour", "cosine"), tuple(rows), self.source)]

    def figure(self, axes: "plotting.Axes | None" = None) -> "plotting.Figure":
        """Draw the cosines as bars, one panel per word, with a line at the cosine of two random
        words.

        Args:
            axes: Draw there instead of in a new figure; only for one word.
        """
        # The size of the figure follows from the number of panels and bars; a few fit on a slide.
        across = min(_PER_ROW, len(self.words))
        down = -(-len(self.words) // _PER_ROW)
        labels = [(plotting.short_name(word, 20), "cosine", "") for word in self.words]
        width = min(plotting.WIDEST, 1 + 3.0 * across)
        bars = down * len(self.neighbours[0])
        height = 1.1 + 0.7 * down + 0.2 * bars
        if bars <= BARS_ON_A_SLIDE:
            height = min(height, plotting.TALLEST)
        heading = f"{HEADING} ({briefly(self.source)})"
        figure, panels = plotting.new_panels(labels, width, height, across, axes, heading=heading)

        # All panels have the same scale, and a line at chance.
        style: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 1.2}
        cosines = [
            neighbour.cosine for nearest_words in self.neighbours for neighbour in nearest_words
        ]
        for panel, nearest_words in zip(panels, self.neighbours, strict=True):
            draw_cosines(panel, nearest_words)
            panel.axvline(self.random_mean, label="two random words (mean)", **style)
            panel.set_xlim(min(0, *cosines), 1.05 * max(0, self.random_mean, *cosines) or 1)
        plotting.legend_below(figure, *panels)
        return figure


def inspect_neighbours(
    model: Model | WordVectors = SHIPPED, words: Sequence[str] = (), *, which: Which = "input",
    count: int = 10,
) -> Neighbours:  # fmt: skip
    """Find the `count` nearest neighbours of each of the `words` by cosine, among all words that
    have a vector. model: a network of any task, its name, or word vectors; which: for a network,
    the vectors that it reads ("input") or the vectors of its softmax ("output").

    Raises:
        UsageError: a word has no vector, no word is given, or the model has no such vectors.
        ModelError: the model does not exist.
    """
    words = several(words, "words")
    known = vectors_of("neighbours", model, which)
    if not words or count < 1:
        raise UsageError("nothing to look up", "ask for at least one word and one neighbour")
    rows = list(map(known.number, words))
    neighbours = [_nearest(known, known.unit_VE[row], count, [row]) for row in rows]
    if not all(neighbours):
        raise UsageError(f"{known.source}: there are no other words")

    # The mean cosine of pairs of random words shows how high a cosine must be to mean anything.
    # Leave out pairs of a word with itself.
    words_V = np.flatnonzero(known.is_word_V)
    first_N, second_N = np.random.default_rng(0).choice(words_V, (2, RANDOM_PAIRS))
    cosine_N = np.einsum("ne,ne->n", known.unit_VE[first_N], known.unit_VE[second_N])
    chance = cosine_N[first_N != second_N].astype(np.float64)
    mean, deviation = float(chance.mean()), float(chance.std())
    return Neighbours(described(known), tuple(words), tuple(neighbours), mean, deviation)


def _nearest(
    known: WordVectors, target_E: np.ndarray, count: int, without: Sequence[int] = ()
) -> tuple[Neighbour, ...]:
    """Return the words nearest to a vector, the nearest first. without: rows to leave out."""
    return tuple(Neighbour(*found) for found in known.nearest(target_E, count, without))


def draw_cosines(axes: "plotting.Axes", neighbours: Sequence[Neighbour]) -> None:
    """Draw a bar for each word, the first one on top."""
    names = [plotting.short_name(neighbour.word, 20) for neighbour in neighbours]
    plotting.draw_bars(axes, names, {"": [neighbour.cosine for neighbour in neighbours]})
    axes.grid(visible=False, axis="y")


# ---- King - man + woman: an analogy as arithmetic on word vectors, 3CosAdd (Mikolov, Yih & Zweig
# 2013; Levy & Goldberg 2014, equation 3).


@dataclass(frozen=True, repr=False)
class Analogy(Inspection):
    """The words nearest to a - b + c.

    Attributes:
        source: Description of the vectors.
        a: First word.
        b: Second word.
        c: Third word.
        answers: Nearest words without these three, best first.
        unfiltered: Nearest word if the three words counted.
    """

    source: str
    a: str
    b: str
    c: str
    answers: tuple[Neighbour, ...]
    unfiltered: Neighbour

    @property
    def verdict(self) -> str:
        """The first answer, and the answer if none of the three words were left out."""
        first, *others = self.answers
        text = (
            f'{self.a} - {self.b} + {self.c} is nearest to "{first.word}" (cosine '
            f"{first.cosine:z.2f})"
        )
        if others:
            text += f', ahead of "{others[0].word}" ({others[0].cosine:z.2f})'
        if self.unfiltered.word == first.word:
            return f"{text}; no question word is nearer."
        return (
            f'{text}, once the three words of the question are left out: "{self.unfiltered.word}" '
            f"is nearer ({self.unfiltered.cosine:z.2f})."
        )

    def tables(self) -> Sequence[Table]:
        """Return the answers, the best first."""
        rows = tuple(
            (rank, answer.word, answer.cosine) for rank, answer in enumerate(self.answers, start=1)
        )
        title = f"{self.a} - {self.b} + {self.c}; {self.source}"
        return [Table(("rank", "word", "cosine"), rows, title)]

    def figure(self, axes: "plotting.Axes | None" = None) -> "plotting.Figure":
        """Draw the cosines of the answers as bars.

        Args:
            axes: Draw there instead of in a new figure.
        """
        question = f"{self.a} \u2212 {self.b} + {self.c}"
        title = f"The words nearest to {question} ({briefly(self.source)})"
        height = 1 + 0.25 * len(self.answers)
        figure, panel = plotting.new_figure(title, "cosine", "", height=height, axes=axes)
        draw_cosines(panel, self.answers)
        return figure


def inspect_analogy(
    model: Model | WordVectors = SHIPPED, words: Sequence[str] = (), *, which: Which = "input",
    count: int = 10,
) -> Analogy:  # fmt: skip
    """Find the `count` words nearest to a - b + c, where (a, b, c) are the `words`, each vector at
    length 1; the three are not counted as answers. model and which as for
    :func:`inspect_neighbours`.

    Raises:
        UsageError: there are not three words, one has no vector, or the model has no such vectors.
        ModelError: the model does not exist.
    """
    words = several(words, "words")
    known = vectors_of("neighbours", model, which)
    if len(words) != 3 or count < 1:
        raise UsageError(
            f"an analogy needs three words, not {len(words)}",
            "A B C asks for A - B + C",
            "for instance: king man woman",
        )
    a, b, c = map(known.number, words)
    target_E = known.unit_VE[a] - known.unit_VE[b] + known.unit_VE[c]
    answers = _nearest(known, target_E, count, [a, b, c])
    if not answers:
        raise UsageError(f"{known.source}: there are no other words")
    unfiltered = _nearest(known, target_E, 1)[0]
    return Analogy(described(known), words[0], words[1], words[2], answers, unfiltered)


# ---- The vectors that are looked at.


def vectors_of(what: str, model: Model | WordVectors, which: Which) -> WordVectors:
    """Return the vectors themselves, or the vectors of a model that the inspection `what` applies
    to."""
    if isinstance(model, WordVectors):
        return model
    return word_vectors(load_model_for(what, model, "cpu").model, which)


def described(vectors: WordVectors) -> str:
    """Describe the vectors, as in the title of a table."""
    note = f" ({vectors.note})" if vectors.note else ""
    return f"{vectors.source}{note}: {plural(len(vectors.words), 'word')}, {vectors.width_in_words}"


def briefly(source: str) -> str:
    """Shorten a description of vectors to the name of their source, for the title of a picture."""
    without_counts = source.rpartition(": ")[0] or source
    return plotting.short_name(without_counts.partition(" (")[0], 40)


# ---- The similarity of lines, and of pairs of words that people rated.

FEWEST_RATED = 20  # pairs for an interval


@dataclass(frozen=True)
class ComparedPair:
    """Two lines and the cosines of their vectors.

    Attributes:
        first: The first line.
        second: The second line.
        words: Cosine of the sums of their word vectors; None if a line has no word with a vector,
            or the lines differ only in words without one.
        state: Cosine of the features of a network that has read them; None for vectors from a file,
            if the network knows no word of a line, or if it reads both lines alike because it
            knows none of the words in which they differ.
        one_hot: Cosine of the counts of their words; None if a line has none.
        rating: Rating of the pair by people, if there is one.
    """

    first: str
    second: str
    words: float | None
    state: float | None
    one_hot: float | None
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
        columns: Names of the columns of the two words and their rating; those of a file without a
            header are numbers. None without ratings.
    """

    source: str
    pairs: tuple[ComparedPair, ...]
    spearman: float | None = None
    low: float | None = None
    high: float | None = None
    columns: tuple[str, ...] | None = None

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
        of_pairs += f" (columns {', '.join(self.columns or ())})"
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

    model and which as for :meth:`rnnlm.Model.inspect_neighbours`. ratings: a table with two words
    and a number in each row; "ratings" is a bundled one.

    Raises:
        UsageError: neither two lines nor ratings are given, or the model has no such vectors.
        TextError: the file cannot be read, or fewer than three of its pairs have vectors.
        ModelError: there is no such model.
    """
    if not isinstance(model, WordVectors):
        model = load_model_for("similarity", model, "cpu").model
    known = vectors_of("similarity", model, which)
    if ratings is not None:
        rated_pairs, columns = read_ratings(corpora.list_named(ratings))
        pairs = tuple(
            _compared(known, _Line(first, [first]), _Line(second, [second]), rating)
            for first, second, rating in rated_pairs
        )
        correlation = _correlation(pairs, str(ratings))
        return Similarity(described(known), pairs, *correlation, columns=columns)

    # A network splits lines into its words, and its state has read a line as a whole.
    lines = list(map(checked_sentence, several(lines, "lines")))
    if len(lines) < 2:
        raise UsageError("two lines at least are compared", hint="name a second one")
    if isinstance(model, WordVectors):
        read = [_Line(line, line.split()) for line in lines]
    else:
        from rnnlm.tools.vectors.embedding import Embedder

        embedder = Embedder(model, EmbeddingSettings())
        tokenizer = embedder.reader.tokenizer
        as_read = embedder.reader.lines_read(lines)
        read = []
        for line, words, state in zip(lines, as_read, embedder.vectors(lines), strict=True):
            ids = tokenizer.encode([words]).ids[:-1]
            ids = np.where(ids == tokenizer.unk_id, _UNKNOWN, ids)
            read.append(_Line(line, tokenizer.surface(words)[:-1], ids.tolist(), state))
    pairs = tuple(_compared(known, *pair) for pair in itertools.combinations(read, 2))
    return Similarity(described(known), pairs)


_UNKNOWN = -1  # in place of the number of a word


@dataclass(frozen=True)
class _Line:
    """A line and its words; for a network the tokens that it reads, and its state after them."""

    text: str
    words: Sequence[str]
    ids: Sequence[int] = ()
    state: np.ndarray | None = None


RatedPair = tuple[str, str, float]


def read_ratings(source: str | Path) -> tuple[list[RatedPair], tuple[str, ...]]:
    """Read pairs of words that people rated from a table, or from lines with blanks between cells.
    Return them and the names of their columns.

    The rating is the first column of numbers behind two columns of words.
    """

    def by_lines(lines: Iterator[str]) -> str:
        first = next(lines, "")
        if "\t" in first:
            return "tsv"
        return "csv" if first.count(tables.delimiter_of(first)) > 1 else tables.BLANKS

    name = str(source)
    format = detect_format(name, None, by_lines)
    kind = KINDS.get(format, format)
    table = open_table(name, kind, None)
    columns = _rated_columns(table) if table.sample else ()
    pairs = []
    for row in table.rows:
        if kind in (tables.CSV, tables.TSV, tables.BLANKS) and None in row.values.values():
            why = "a number with a decimal comma needs quotation marks where commas separate cells"
            raise TextError(f"{row.where}: no rating", "the row has fewer cells than columns", why)
        first, second, rating = (
            tables.cell_text(row.values.get(column)).strip() for column in columns
        )
        number = float(rating.replace(",", ".")) if is_quantity(rating) else math.nan
        if not (first and second and math.isfinite(number)):
            raise TextError(
                f"{row.where}: no rating",
                f"columns {', '.join(columns)} should hold two words and a number",
                "for instance: sun sunlight 50",
            )
        pairs.append((first, second, number))
    return pairs, columns


LONGEST_RATED = 3  # words in a cell; longer ones are sentences in which the words occur


def _rated_columns(table: InputTable) -> tuple[str, ...]:
    """Return the columns of the first word, the second word and the rating."""
    contents = {name: content_of(name, table.sample) for name in table.names}
    numbers = [name for name, content in contents.items() if content.is_numeric]
    texts = [name for name in contents if 0 < contents[name].words <= LONGEST_RATED]
    texts = [name for name in texts if name not in numbers]

    # Relations, parts of speech and the like have fewer values than the words.
    texts.sort(
        key=lambda name: (not tables.folded(name).startswith("word"), -contents[name].different)
    )
    words = sorted(texts[:2], key=table.names.index)
    if len(words) < 2 or not numbers:
        raise unclear(table.where, table.names, "the words, and which one the rating", ())
    behind = [name for name in numbers if table.names.index(name) > table.names.index(words[1])]
    return (*words, (behind or numbers)[0])


def rated(pairs: Sequence[ComparedPair]) -> np.ndarray:
    """Return the rating and the cosine of each pair that has both, (N, 2)."""
    numbers = [(pair.rating, pair.words) for pair in pairs if pair.words is not None]
    return np.array(numbers, dtype=np.float64).reshape(-1, 2)


def _compared(
    known: WordVectors, first: _Line, second: _Line, rating: float | None = None
) -> ComparedPair:
    """Compute the cosines of two lines. A word is looked up as it is, then in lower case."""
    # The sum of the vectors of each line's words, in whatever order they are.
    sums, numbers = [], []
    for line in (first, second):
        spelled = [word if word in known.numbers else word.lower() for word in line.words]
        rows = [known.numbers[word] for word in spelled if word in known.numbers]
        sums.append(known.unit_VE[rows].sum(axis=0))
        numbers.append(sorted(rows) + [_UNKNOWN] * (len(spelled) - len(rows)))

    # The cosine of their counts of words.
    counts, others = Counter(first.words), Counter(second.words)
    shared = sum(count * others[word] for word, count in counts.items())
    squares = sum(count**2 for count in counts.values())
    squares *= sum(count**2 for count in others.values())
    return ComparedPair(
        first=first.text,
        second=second.text,
        words=_cosine(*sums) if _can_compare(*numbers) else None,
        state=_cosine(first.state, second.state) if _can_compare(first.ids, second.ids) else None,
        one_hot=shared / math.sqrt(squares) if squares else None,
        rating=rating,
    )


def _can_compare(first: Sequence[int], second: Sequence[int]) -> bool:
    """Return whether two lines of numbers of words have known words, and do not differ in unknown
    words alone."""
    are_alike = first == second and _UNKNOWN in first
    return not are_alike and all({*line} - {_UNKNOWN} for line in (first, second))


def _cosine(first: np.ndarray | None, second: np.ndarray | None) -> float | None:
    """Return the cosine of two vectors; None where there is none, or one is zero."""
    if first is None or second is None or not (first.any() and second.any()):
        return None
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


def _correlation(
    pairs: Sequence[ComparedPair], source: str
) -> tuple[float, float | None, float | None]:
    """Return Spearman's correlation of ratings and cosines, ties at their mean rank, and the bounds
    of its interval (each pair left out)."""
    rated_N2 = rated(pairs)
    if len(rated_N2) < 3 or (np.ptp(rated_N2, axis=0) == 0).any():
        why = f"{len(rated_N2)} of {plural(len(pairs), 'pair')} have vectors for both words"
        raise TextError(f"{source}: too few different pairs to rank", why)

    interval = rank_correlation(rated_N2)
    if len(rated_N2) < FEWEST_RATED:
        return interval.estimate, None, None
    return interval.estimate, interval.low, interval.high


def rank_correlation(values_N2: np.ndarray) -> Interval:
    """Return Spearman's correlation of two columns with its 95 % interval: each row is left out."""
    from scipy.stats import rankdata

    # Pearson's correlation of the ranks; without a row, those above it are one lower, and equal
    # ones half.
    rank_2N = rankdata(values_N2, axis=0).T
    left = []
    for row in range(len(values_N2)):
        rank_21 = rank_2N[:, [row]]
        lower_2N = (rank_2N > rank_21) + 0.5 * (rank_2N == rank_21)
        left.append(np.corrcoef(np.delete(rank_2N - lower_2N, row, axis=1))[0, 1])
    estimate = float(np.corrcoef(rank_2N)[0, 1])
    return jackknife_interval(estimate, np.array(left), least=-1.0, most=1.0)

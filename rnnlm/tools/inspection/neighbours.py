"""Find the words nearest to a word, or to the sum of an analogy, by the cosine of the angle
between vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm.amounts import plural
from rnnlm.checks import several
from rnnlm.errors import UsageError
from rnnlm.evaluation import plotting
from rnnlm.lm.base.loading import SHIPPED
from rnnlm.tabular import Table
from rnnlm.tools.inspection.common import Inspection, Model, load_model_for
from rnnlm.tools.vectors.word_vectors import Which, WordVectors, word_vectors

# ---- The words whose vectors lie nearest to a word's, by the cosine of the angle between them.

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

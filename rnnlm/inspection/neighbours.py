"""The words nearest to a word, or to the sum of an analogy, by the cosine of the angle between
vectors."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm.checks import several
from rnnlm.errors import UsageError, notice
from rnnlm.evaluation import plotting
from rnnlm.inspection.common import Model, Table, subject
from rnnlm.models.loading import SHIPPED
from rnnlm.vectors.word_vectors import Which, WordVectors, word_vectors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# ---- The words whose vectors lie nearest to a word's, by the cosine of the angle between them.

RANDOM_PAIRS = 10_000
_PER_ROW = 4  # panels of a figure


@dataclass(frozen=True)
class Neighbour:
    """A word and the cosine of its vector with another."""

    word: str
    cosine: float


@dataclass(frozen=True)
class Neighbours:
    """The nearest words of some words. source: what the vectors are. random_mean, random_deviation:
    the cosine of two words drawn at random, over 10,000 pairs, to compare with."""

    source: str
    words: tuple[str, ...]
    neighbours: tuple[tuple[Neighbour, ...], ...]
    random_mean: float
    random_deviation: float

    @property
    def verdict(self) -> str:
        """Which word is nearest, and how that compares with chance."""
        nearest = [(word, its[0]) for word, its in zip(self.words, self.neighbours, strict=True)]
        said = "; ".join(
            f'"{word}" lies nearest to "{first.word}" (cosine {first.cosine:.2f})'
            for word, first in nearest
        )
        chance = (
            f"{self.random_mean:.2f} on average (standard deviation {self.random_deviation:.2f})"
        )
        return f"{said}. The cosine of two words drawn at random is {chance}."

    def tables(self) -> Sequence[Table]:
        """The neighbours of each word, the nearest first."""
        pairs = zip(self.words, self.neighbours, strict=True)
        rows = [
            (word, rank, each.word, each.cosine)
            for word, its in pairs
            for rank, each in enumerate(its, start=1)
        ]
        return [Table(("word", "rank", "neighbour", "cosine"), tuple(rows), self.source)]

    def to_dict(self) -> dict[str, Any]:
        """All of it in JSON's types."""
        return dataclasses.asdict(self)

    def figure(self) -> "Figure":
        """Bars of the cosines, one panel a word, and a line at two random words."""
        across, down = min(_PER_ROW, len(self.words)), -(-len(self.words) // _PER_ROW)
        labels = [(word, "cosine", "") for word in self.words]
        height = 0.8 + down * (0.6 + 0.22 * len(self.neighbours[0]))
        figure, panels = plotting.new_panels(labels, 1 + 2.6 * across, height, across)
        for axes, its in zip(panels, self.neighbours, strict=True):
            draw_cosines(axes, its)
            axes.axvline(self.random_mean, color="grey", linestyle=":")
        return figure


def inspect_neighbours(
    model: Model | WordVectors = SHIPPED, words: Sequence[str] = (), *, which: Which = "input",
    count: int = 10,
) -> Neighbours:  # fmt: skip
    """The `count` nearest neighbours of each of the `words` by cosine, among all words that have a
    vector. model: a network of any task, its name, or word vectors; which: of a network, those it
    reads ("input") or those of its softmax ("output").

    Raises:
        UsageError: a word has no vector, no word is given, or the model has no such vectors.
            ModelError: there is no such model.
    """
    words = several(words, "words")
    known = vectors_of("neighbours", model, which)
    if not words or count < 1:
        raise UsageError("nothing to look up", "one word and one neighbour at least are needed")
    rows = [known.number(word) for word in words]
    found = tuple(
        tuple(Neighbour(*each) for each in known.nearest(known.unit_VE[row], count, [row]))
        for row in rows
    )
    if not all(found):
        raise UsageError(f"{known.source}: there are no other words")
    first_N, second_N = np.random.default_rng(0).choice(
        np.flatnonzero(known.is_word_V), (2, RANDOM_PAIRS)
    )
    cosines = np.einsum("ne,ne->n", known.unit_VE[first_N], known.unit_VE[second_N])[
        first_N != second_N
    ].astype(np.float64)
    return Neighbours(
        described(known), tuple(words), found, float(cosines.mean()), float(cosines.std())
    )


def draw_cosines(axes: "Axes", its: Sequence[Neighbour]) -> None:
    """A bar for each word, the first one on top."""
    axes.barh(range(len(its)), [each.cosine for each in its], color=plotting.COLOURS[0])
    axes.set_yticks(
        range(len(its)), [plotting.short_name(each.word, 20) for each in its], parse_math=False
    )
    axes.invert_yaxis()


# ---- King - man + woman: an analogy as arithmetic on word vectors, 3CosAdd (Mikolov, Yih & Zweig
# 2013; Levy & Goldberg 2014, equation 3).


@dataclass(frozen=True)
class Analogy:
    """The words nearest to a - b + c. answers: without the three words themselves. unfiltered: what
    would come first with them."""

    source: str
    a: str
    b: str
    c: str
    answers: tuple[Neighbour, ...]
    unfiltered: Neighbour

    @property
    def verdict(self) -> str:
        """The first answer, and what it would be if none of the three words were left out."""
        first, *others = self.answers
        ahead = f', ahead of "{others[0].word}" ({others[0].cosine:.2f})' if others else ""
        said = (
            f'{self.a} - {self.b} + {self.c} is nearest to "{first.word}" (cosine '
            f"{first.cosine:.2f}){ahead}"
        )
        if self.unfiltered.word == first.word:
            return f"{said}; no question word is nearer."
        return (
            f'{said}, once the three words of the question are left out: "{self.unfiltered.word}" '
            f"is nearer ({self.unfiltered.cosine:.2f})."
        )

    def tables(self) -> Sequence[Table]:
        """The answers, the best first."""
        rows = tuple(
            (rank, each.word, each.cosine) for rank, each in enumerate(self.answers, start=1)
        )
        return [
            Table(
                ("rank", "word", "cosine"), rows, f"{self.a} - {self.b} + {self.c}; {self.source}"
            )
        ]

    def to_dict(self) -> dict[str, Any]:
        """All of it in JSON's types."""
        return dataclasses.asdict(self)

    def figure(self) -> "Figure":
        """Bars of the cosines of the answers."""
        title = f"{self.a} - {self.b} + {self.c}"
        figure, axes = plotting.new_figure(title, "cosine", "", height=1 + 0.25 * len(self.answers))
        draw_cosines(axes, self.answers)
        return figure


def inspect_analogy(
    model: Model | WordVectors = SHIPPED, words: Sequence[str] = (), *, which: Which = "input",
    count: int = 10,
) -> Analogy:  # fmt: skip
    """The `count` words nearest to a - b + c, (a, b, c) being `words`, each vector at length 1; the
    three are no answers. model and which as for :func:`rnnlm.inspect_neighbours`.

    Raises:
        UsageError: there are not three words, one has no vector, or the model has no such vectors.
            ModelError: there is no such model.
    """
    words = several(words, "words")
    known = vectors_of("analogy", model, which)
    if len(words) != 3 or count < 1:
        raise UsageError(
            f"an analogy needs three words, not {len(words)}",
            "A B C asks for A - B + C",
            "for instance: king man woman",
        )
    a, b, c = (known.number(word) for word in words)
    target_E = known.unit_VE[a] - known.unit_VE[b] + known.unit_VE[c]
    answers = tuple(Neighbour(*each) for each in known.nearest(target_E, count, [a, b, c]))
    if not answers:
        raise UsageError(f"{known.source}: there are no other words")
    return Analogy(
        described(known),
        words[0],
        words[1],
        words[2],
        answers,
        Neighbour(*known.nearest(target_E, 1)[0]),
    )


# ---- The vectors that are looked at, and the words of a file as they know them.


def vectors_of(what: str, model: Model | WordVectors, which: Which) -> WordVectors:
    """The vectors themselves, or those of a model that the look `what` applies to.

    Raises:
        UsageError: it does not, or the model has no vectors of that kind. ModelError: there is no
            such model.
    """
    return (
        model
        if isinstance(model, WordVectors)
        else word_vectors(subject(what, model, "cpu").model, which)
    )


def lower_cases(vectors: WordVectors, words: Iterable[str], source: str) -> bool:
    """Whether words of a file are to be lower-cased, as all words that have a vector are; a notice
    says so."""
    if not vectors.is_lower or not (capitals := sum(word != word.lower() for word in words)):
        return False
    notice(f"{source}: {capitals:,} words are lower-cased, as those of the {vectors.source} are")
    return True


def described(vectors: WordVectors) -> str:
    """What the vectors are, as the title of a table has it."""
    note = f" ({vectors.note})" if vectors.note else ""
    return f"{vectors.source}{note}: {len(vectors.words):,} words, {vectors.width_in_words}"

"""The words whose vectors lie nearest to a word's, by the cosine of the angle between them."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.evaluation import plotting
from rnnlm.inspection.result import Table
from rnnlm.inspection.subjects import Model
from rnnlm.inspection.word_vectors.vocabulary import described, vectors_of
from rnnlm.models.loading import SHIPPED
from rnnlm.vectors.word_vectors import Which, WordVectors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RANDOM_PAIRS = 10_000
_PER_ROW = 4  # panels of a figure


@dataclass(frozen=True)
class Neighbour:
    """A word and the cosine of its vector with another."""

    word: str
    cosine: float


@dataclass(frozen=True)
class Neighbours:
    """The nearest words of some words. source: what the vectors are. random_mean, random_deviation: the cosine of two words drawn at
    random, over 10,000 pairs, to compare with."""

    source: str
    words: tuple[str, ...]
    neighbours: tuple[tuple[Neighbour, ...], ...]
    random_mean: float
    random_deviation: float

    @property
    def verdict(self) -> str:
        """Which word is nearest, and how that compares with chance."""
        nearest = [(word, its[0]) for word, its in zip(self.words, self.neighbours, strict=True)]
        said = "; ".join(f'"{word}" lies nearest to "{first.word}" (cosine {first.cosine:.2f})' for word, first in nearest)
        chance = f"{self.random_mean:.2f} on average (standard deviation {self.random_deviation:.2f})"
        return f"{said}. The cosine of two words drawn at random is {chance}."

    def tables(self) -> Sequence[Table]:
        """The neighbours of each word, the nearest first."""
        pairs = zip(self.words, self.neighbours, strict=True)
        rows = [(word, rank, each.word, each.cosine) for word, its in pairs for rank, each in enumerate(its, start=1)]
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
    """The `count` nearest neighbours of each of the `words` by cosine, among all words that have a vector. model: a network of any task,
    its name, or word vectors; which: of a network, those it reads ("input") or those of its softmax ("output").

    Raises:
        UsageError: a word has no vector, no word is given, or the model has no such vectors. ModelError: there is no such model.
    """
    known = vectors_of("neighbours", model, which)
    if not words or count < 1:
        raise UsageError("nothing to look up", "one word and one neighbour at least are needed")
    rows = [known.number(word) for word in words]
    found = tuple(tuple(Neighbour(*each) for each in known.nearest(known.unit_VE[row], count, [row])) for row in rows)
    if not all(found):
        raise UsageError(f"{known.source}: there are no other words")
    first_N, second_N = np.random.default_rng(0).choice(np.flatnonzero(known.is_word_V), (2, RANDOM_PAIRS))
    cosines = np.einsum("ne,ne->n", known.unit_VE[first_N], known.unit_VE[second_N])[first_N != second_N].astype(np.float64)
    return Neighbours(described(known), tuple(words), found, float(cosines.mean()), float(cosines.std()))


def draw_cosines(axes: "Axes", its: Sequence[Neighbour]) -> None:
    """A bar for each word, the first one on top."""
    axes.barh(range(len(its)), [each.cosine for each in its], color=plotting.COLOURS[0])
    axes.set_yticks(range(len(its)), [plotting.short_name(each.word, 20) for each in its], parse_math=False)
    axes.invert_yaxis()

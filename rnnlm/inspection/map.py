"""Draw word vectors on a plane: their two principal components (Pearson 1901), by numpy's
singular value decomposition."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm.checks import several
from rnnlm.errors import UsageError
from rnnlm.evaluation import plotting
from rnnlm.inspection.common import Inspection, Model, Table
from rnnlm.inspection.neighbours import briefly, described, vectors_of
from rnnlm.inspection.word_tables import read_words
from rnnlm.models.loading import SHIPPED
from rnnlm.vectors.word_vectors import Which, WordVectors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


FONT = plotting.SMALL  # points, of the words
TITLE = "Words that are used alike lie together"
DOT = 2.0  # points, half of its width
# Where a word may be written beside its dot, in points: above, below, beside, and further away
BESIDE = ((3, 3), (3, -11), (-3, 3), (-3, -11), (5, -4), (-5, -4), (3, 13), (3, -21), (-3, 13),
          (-3, -21))  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A word and its coordinates on the first and second principal component."""

    word: str
    x: float
    y: float


@dataclass(frozen=True, repr=False)
class WordMap(Inspection):
    """Words on the plane of their two principal components. variance: the share of the variance
    along each."""

    source: str
    places: tuple[Place, ...]
    variance: tuple[float, float]

    @property
    def verdict(self) -> str:
        """How much of the distances between words the plane shows."""
        first, second = self.variance
        return (
            f"The plane shows {first + second:.1%} of the variance of {len(self.places)} words "
            f"({first:.1%} and {second:.1%}): what lies together in it may lie apart in the other "
            f"{1 - first - second:.1%}."
        )

    def tables(self) -> Sequence[Table]:
        """Return the coordinates of each word."""
        rows = tuple((place.word, place.x, place.y) for place in self.places)
        return [Table(("word", "x", "y"), rows, self.source)]

    def to_dict(self) -> dict[str, Any]:
        """Return the map in JSON's types."""
        return {**dataclasses.asdict(self), "variance": list(self.variance)}

    def figure(self, axes: "Axes | None" = None) -> "Figure":
        """Draw the words at their places."""
        labels = []
        for number, share in enumerate(self.variance, start=1):
            labels.append(f"principal component {number} ({share:.1%} of the variance)")
        width, height = plotting.WIDEST, 5.2
        title = f"{TITLE} ({briefly(self.source)})"
        figure, axes = plotting.new_figure(title, labels[0], labels[1], width, height, axes)
        style: dict[str, Any] = {"s": 14, "color": plotting.COLOURS[0]}
        axes.scatter([at.x for at in self.places], [at.y for at in self.places], **style)
        axes.margins(x=0.15, y=0.08)

        # Where the dots are in points, about, so that words can be kept from covering each other.
        across, up = 72 * width * 0.85, 72 * height * 0.85
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        dots = []
        for place in self.places:
            x = (place.x - left) / (right - left) * across
            y = (place.y - low) / (high - low) * up
            dots.append((x, y))

        names = [plotting.short_name(place.word) for place in self.places]
        for place, name, offset in zip(self.places, names, label_offsets(names, dots), strict=True):
            axes.annotate(
                name,
                (place.x, place.y),
                offset,
                textcoords="offset points",
                fontsize=FONT,
                parse_math=False,
                ha="right" if offset[0] < 0 else "left",
            )
        return figure


def label_offsets(
    names: Sequence[str], dots: Sequence[tuple[float, float]]
) -> list[tuple[int, int]]:
    """Choose where each word is written beside its dot, in points: at the first of the places
    where it covers the fewest words before it and, of these, the fewest dots."""
    boxes: list[tuple[float, float, float, float]] = []  # west, south, east, north
    marks = [(x - DOT, y - DOT, x + DOT, y + DOT) for x, y in dots]
    found: list[tuple[int, int]] = []
    for name, (x, y) in zip(names, dots, strict=True):
        width = 0.6 * FONT * len(name)
        choices = {}
        for right, up in BESIDE:
            left = x + right - (width if right < 0 else 0)
            choices[right, up] = (left, y + up, left + width, y + up + FONT)
        # Boxes of later words are not known yet: those before have the right of way.
        covered = {}
        for offset, box in choices.items():
            words = sum(_overlap(box, other) for other in boxes)
            covered[offset] = (words, sum(_overlap(box, mark) for mark in marks))
        chosen = min(covered, key=covered.__getitem__)
        found.append(chosen)
        boxes.append(choices[chosen])
    return found


def _overlap(
    first: tuple[float, float, float, float], second: tuple[float, float, float, float]
) -> bool:
    west, south, east, north = first
    is_beside = west >= second[2] or second[0] >= east
    is_above = south >= second[3] or second[1] >= north
    return not is_beside and not is_above


def inspect_map(
    model: Model | WordVectors = SHIPPED,
    words: Sequence[str] | Path = (),
    *,
    which: Which = "input",
) -> WordMap:
    """Draw the vectors of some words on the plane of their two principal components. words: three
    or more, or the path of a file that lists them. model and which as for
    :func:`rnnlm.inspect_neighbours`.

    Raises:
        UsageError: there are fewer than three words, one has no vector, all vectors are equal, or
            the model has no such vectors. TextError: the file cannot be read. ModelError: there is
            no such model.
    """
    known = vectors_of("map", model, which)
    given = read_words(str(words)) if isinstance(words, Path) else several(words, "words")
    chosen = tuple(dict.fromkeys(given))
    if len(chosen) < 3:
        raise UsageError(f"a map needs three words or more, not {len(chosen)}")
    rows = list(map(known.number, chosen))
    places_N2, variance = principal_plane(known.matrix_VE[rows].astype(np.float64))
    places = []
    for word, (x, y) in zip(chosen, places_N2, strict=True):
        places.append(Place(word, float(x), float(y)))
    return WordMap(described(known), tuple(places), variance)


def principal_plane(matrix_NE: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """Return the coordinates (N, 2) of rows on their two principal components, and the share of
    the variance along each. The largest coordinate on each is positive, since the sign of a
    component is arbitrary."""
    centred_NE = matrix_NE - matrix_NE.mean(axis=0)
    u_NK, s_K, _ = np.linalg.svd(centred_NE, full_matrices=False)
    if not s_K[0] > 1e-12 * max(1.0, float(np.abs(matrix_NE).max())):
        raise UsageError("there is nothing to draw", "all vectors are equal")
    places_N2 = np.zeros((len(matrix_NE), 2))
    places_N2[:, : min(2, len(s_K))] = (u_NK * s_K)[:, :2]
    largest_2 = places_N2[np.abs(places_N2).argmax(axis=0), [0, 1]]
    signs_2 = np.where(largest_2 < 0, -1, 1)
    shares = [*(s_K**2 / (s_K**2).sum()).tolist(), 0.0]
    return places_N2 * signs_2, (shares[0], shares[1])

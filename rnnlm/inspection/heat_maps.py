"""Draw heat maps of a grid of numbers, with words along its edges."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rnnlm.errors import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_LABELS = 40  # along an edge: of more words, only some are named
LONGEST_LABEL = 16  # characters of a word


def draw_heat_map(
    axes: "Axes", values_YX: np.ndarray, across: Sequence[str], down: Sequence[str],
    colours: str = "viridis",
    lowest: float | None = 0.0, highest: float | None = None, label: str = "",
) -> None:  # fmt: skip
    """Draw a map with the words `across` below and `down` beside it, the first one on top.
    lowest, highest: the ends of the colour range; None: those of the values. label: the name of
    the values."""
    image = axes.imshow(
        values_YX, cmap=colours, vmin=lowest, vmax=highest, aspect="auto", interpolation="nearest"
    )
    axes.grid(visible=False)
    axes.set_xticks(*_ticks(across), rotation=90, fontsize=8)
    axes.set_yticks(*_ticks(down), fontsize=8)
    axes.figure.colorbar(image, ax=axes, label=label)


def _ticks(words: Sequence[str]) -> tuple[list[int], list[str]]:
    """Return the places of the words that are named, and their names."""
    stride = -(-len(words) // MOST_LABELS)
    places = list(range(0, len(words), stride))
    return places, [_short(words[place]) for place in places]


def _short(word: str) -> str:
    word = visible(word)
    if len(word) > LONGEST_LABEL:
        word = word[: LONGEST_LABEL - 1] + "\u2026"
    return word

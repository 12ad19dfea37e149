"""Draw heat maps of a grid of numbers, with words along its edges."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnlm.errors import visible
from rnnlm.evaluation.plotting import SMALL, Axes

MOST_LABELS = 36  # along an edge: of more words, only some are named
LONGEST_LABEL = 16  # characters of a word
INCHES_PER_LABEL = 0.155  # so that no two words touch

# A few cells far above the others would leave all others in one colour. Where the largest value is
# OUTLYING times the quantile MOST_CELLS of the values, colours end at this quantile, as the colour
# bar shows.
MOST_CELLS, OUTLYING = 0.95, 1.5


def draw_heat_map(
    axes: "Axes", values_YX: np.ndarray, across: Sequence[str], down: Sequence[str],
    colours: str = "viridis",
    lowest: float | None = 0.0, highest: float | None = None, label: str = "",
    most: int = MOST_LABELS, most_down: int = MOST_LABELS,
    longest: int = LONGEST_LABEL, numbers_YX: np.ndarray | None = None,
) -> None:  # fmt: skip
    """Draw a map with the words `across` below and `down` beside it, the first one on top. lowest,
    highest: the ends of the colour range; None: the ends of the values, for the highest without a
    few cells far above the others. label: the name of the values. most, most_down: how many words
    fit below the map and beside it; 0: none is written. longest: characters of a word. numbers_YX:
    written into the cells where they are not 0."""
    if highest is None:
        highest = robust_highest(values_YX)
    # Arrows at the ends of the colour bar where values lie beyond them.
    is_above = np.nanmax(values_YX, initial=-np.inf) > highest
    is_below = lowest is not None and np.nanmin(values_YX, initial=np.inf) < lowest
    extend = {(False, True): "max", (True, False): "min", (True, True): "both"}.get(
        (bool(is_below), bool(is_above)), "neither"
    )
    if extend != "neither":
        label += f"\n(clipped at {highest:.2g})"
    image = axes.imshow(
        values_YX, cmap=colours, vmin=lowest, vmax=highest, aspect="auto", interpolation="nearest"
    )
    axes.grid(visible=False)
    axes.set_xticks(*_ticks(across, most, longest), fontsize=SMALL, parse_math=False)
    # Letters are upright; longer words are rotated.
    for name in axes.get_xticklabels():
        name.set_rotation(90 if len(name.get_text()) > 1 else 0)
    axes.set_yticks(*_ticks(down, most_down, longest), fontsize=SMALL, parse_math=False)
    if numbers_YX is not None:
        style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": SMALL}
        for y, x in np.argwhere(numbers_YX).tolist():
            is_light = np.dot(image.to_rgba(values_YX[y, x])[:3], (0.299, 0.587, 0.114)) > 0.5
            colour = "black" if is_light else "white"
            axes.text(x, y, str(numbers_YX[y, x]), color=colour, **style)
    bar = axes.figure.colorbar(image, ax=axes, label=label, extend=extend)
    bar.ax.tick_params(labelsize=SMALL)


def robust_highest(values_YX: np.ndarray) -> float:
    """Return where the colours of a map end: at its largest value, or where it is far above nearly
    all others, at their quantile MOST_CELLS."""
    values = values_YX[np.isfinite(values_YX)]
    if not len(values):
        return 1.0
    largest, usual = float(values.max()), float(np.quantile(values, MOST_CELLS))
    return usual if 0 < OUTLYING * usual < largest else largest


def _ticks(words: Sequence[str], most: int, longest: int) -> tuple[list[int], list[str]]:
    """Return the places of the words that are named, and their names."""
    if not most:
        return [], []
    stride = -(-len(words) // most)
    names = [shortened(word, longest) for word in words[::stride]]
    return list(range(0, len(words), stride)), names


def shortened(word: str, longest: int) -> str:
    """Return a word as it is shown: spaces and control characters visible, the end of a long one
    cut."""
    word = "\u2423" if word == " " else visible(word)
    return word if len(word) <= longest else f"{word[: longest - 1]}\u2026"

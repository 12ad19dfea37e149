"""Draw heat maps of a grid of numbers, with words along its edges."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm.errors import visible
from rnnlm.evaluation.plotting import SMALL, Axes, with_minus

if TYPE_CHECKING:
    from matplotlib.image import AxesImage

MOST_LABELS = 36  # along an edge: of more words, only some are named
LONGEST_LABEL = 16  # characters of a word
INCHES_PER_LABEL = 0.155  # so that no two words touch

# A few cells far above the others would leave all others in one colour. Where the largest value is
# OUTLYING times that which all but a share of 1 - MOST_CELLS of the cells keep below, colours end
# there, as the colour bar shows.
MOST_CELLS, OUTLYING = 0.95, 1.5


def draw_heat_map(
    axes: "Axes", values_YX: np.ndarray, across: Sequence[str], down: Sequence[str],
    colours: str = "viridis",
    lowest: float | None = 0.0, highest: float | None = None, label: str = "",
    most: int = MOST_LABELS, most_down: int = MOST_LABELS,
    upright: bool = False, numbers: str = "", longest: int = LONGEST_LABEL,
) -> None:  # fmt: skip
    """Draw a map with the words `across` below and `down` beside it, the first one on top. lowest,
    highest: the ends of the colour range; None: the ends of the values, for the highest without a
    few cells far above the others. label: the name of the values. most, most_down: how many words
    fit below the map and beside it; 0: none is written. upright: write the words below the map from
    left to right: for few. numbers: the format of the value that is written into each cell, instead
    of a bar of colours; "": none. longest: characters of a word."""
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
    angle = 0 if upright else 90
    axes.set_xticks(
        *_ticks(across, most, longest), rotation=angle, fontsize=SMALL, parse_math=False
    )
    axes.set_yticks(*_ticks(down, most_down, longest), fontsize=SMALL, parse_math=False)
    if numbers:
        _write_numbers(axes, image, values_YX, numbers)
        return
    bar = axes.figure.colorbar(image, ax=axes, label=label, extend=extend)
    bar.ax.tick_params(labelsize=SMALL)


def robust_highest(values_YX: np.ndarray) -> float:
    """Return where the colours of a map end: at its largest value, or where that is far above
    nearly all others, at the one that these keep below."""
    values = values_YX[np.isfinite(values_YX)]
    if not len(values):
        return 1.0
    largest, usual = float(values.max()), float(np.quantile(values, MOST_CELLS))
    if 0 < OUTLYING * usual < largest:
        return usual
    return largest


def _write_numbers(axes: "Axes", image: "AxesImage", values_YX: np.ndarray, form: str) -> None:
    """Write each value into its cell, black on light colours and white on dark ones."""
    for (y, x), value in np.ndenumerate(values_YX):
        if not np.isfinite(value):
            continue
        text = format(value, form)
        if float(text) == 0:
            text = text.removeprefix("-")
        colour = letters_on(image.to_rgba(value))
        axes.text(x, y, with_minus(text), ha="center", va="center", color=colour, fontsize=SMALL)


def letters_on(colour: Any) -> str:
    """Return the colour of letters on a colour (red, green, blue, opacity): black on light ones,
    white on dark ones."""
    red, green, blue, _ = colour
    is_light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
    return "black" if is_light else "white"


def _ticks(words: Sequence[str], most: int, longest: int) -> tuple[list[int], list[str]]:
    """Return the places of the words that are named, and their names."""
    if not most:
        return [], []
    stride = -(-len(words) // most)
    places = list(range(0, len(words), stride))
    return places, [_short(words[place], longest) for place in places]


def _short(word: str, longest: int) -> str:
    word = visible(word)
    if len(word) > longest:
        word = word[: longest - 1] + "\u2026"
    return word

"""Draw figures in one style, as SVG for a page or as a file; matplotlib is imported when one is
made."""

import contextlib
import dataclasses
import functools
import io
import math
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import lazy_loader

from rnnlm.errors import ArgumentTypeError, UsageError, given, nearest, visible
from rnnlm.storage.files.outputs import save_file

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
else:  # whoever draws imports matplotlib and numpy; those who look at type hints need not
    np = lazy_loader.load("numpy")
    Axes = Axis = Figure = Any

SUFFIXES = (".svg", ".png", ".pdf")
DPI, DPI_IN_NOTEBOOKS = 150, 100
LONGEST_NAME = 32  # characters of a model's name in a plot

# ---- The size of pictures. A page shows one about 700 pixels wide; at WIDEST inches, letters of
# SMALL points are then 12 pixels high (9 points on a screen). A slide of 4:3 has 1024 x 768 pixels;
# up to TALLEST inches, a picture that fills it has letters of 14 pixels.

WIDEST, TALLEST = 7.0, 6.1  # inches
NORMAL, SMALL = 10, 9  # points: titles and names of axes; numbers, words and legends
LETTER = 0.58  # the mean width of a letter, in its size

# ---- The look of series. Okabe & Ito (2008): colour-blind readers can distinguish the colours.
# Each has its own marker; where there are more series than colours, lines are dashed and markers
# differ.

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "osD^vP"
LINES = ("-", "--", ":", "-.")
REFERENCE = "#666666"  # lines to compare the series with: chance, bounds, the diagonal
BAND = 0.15  # opacity

_STYLE: dict[Any, Any] = {
    "font.size": NORMAL,
    "axes.titlesize": NORMAL,
    "axes.labelsize": NORMAL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "figure.titlesize": NORMAL,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "svg.fonttype": "none",
    "svg.hashsalt": "rnnlm",
    "text.parse_math": False,
    "figure.constrained_layout.w_pad": 0.1,  # inches: other fonts are wider
}


@dataclasses.dataclass(frozen=True)
class SeriesStyle:
    """The style of a series: its colour, marker and line."""

    colour: str
    marker: str
    line: str


def series_style(number: int) -> SeriesStyle:
    """Return the style of a series by its number, from 0 on."""
    turn, place = divmod(number, len(COLOURS))
    marker = MARKERS[(place + turn) % len(MARKERS)]
    return SeriesStyle(COLOURS[place], marker, LINES[turn % len(LINES)])


def series_styles(names: Iterable[str]) -> dict[str, SeriesStyle]:
    """Return the style of each name. Pictures of the same models in the same order agree, even
    where one of them lacks a model."""
    return {name: series_style(number) for number, name in enumerate(dict.fromkeys(names))}


def imported_matplotlib() -> ModuleType:
    """Import matplotlib. Notebooks hand the backend of their own environment to the programs that
    they start, where it may be missing, and matplotlib then fails: it is set aside."""
    if "matplotlib" in sys.modules:
        return sys.modules["matplotlib"]
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = backend
    return matplotlib


@contextlib.contextmanager
def _styled() -> Iterator[None]:
    """Draw in our style, regardless of the user's settings of matplotlib."""
    matplotlib = imported_matplotlib()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


@functools.cache
def _figure_class() -> "type[Figure]":
    """Return the class of figures that are made here: notebooks show them without pyplot."""
    imported_matplotlib()
    from matplotlib.figure import Figure

    class Drawing(Figure):
        """A figure that has a picture of itself for notebooks."""

        def _repr_png_(self) -> bytes:
            return _rendered(self, "png", DPI_IN_NOTEBOOKS)

        def __reduce__(self) -> "tuple[Callable[[], Figure], tuple[()], object]":
            return _unmade_figure, (), self.__getstate__()

    return Drawing


def _unmade_figure() -> "Figure":
    """Return a figure that a pickle then fills: pickles cannot name a class in a function."""
    kind = _figure_class()
    return kind.__new__(kind)


def new_figure(
    title: str,
    x_label: str,
    y_label: str,
    width: float = WIDEST,
    height: float = 4.0,
    axes: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """Return an empty figure (inches) with one pair of axes, or those given and their figure. Text
    is drawn as it is, never as mathematics."""
    figure, (panel,) = new_panels([(title, x_label, y_label)], width, height, axes=axes)
    return figure, panel


def new_panels(
    labels: Sequence[tuple[str, str, str] | None],
    width: float = WIDEST,
    height: float = 4.0,
    columns: int | None = None,
    axes: "Axes | None" = None,
    heading: str = "",
) -> "tuple[Figure, list[Axes]]":
    """Return a figure as :func:`new_figure` does, with a pair of axes for each (title, x_label,
    y_label); None leaves a place free. Panels lie row by row in `columns` columns, or all side
    by side. axes: where to draw a single panel instead. heading: above all panels. Long titles are
    broken into lines."""
    if axes is not None:
        return _into(axes, [label for label in labels if label is not None])
    with _styled():
        figure = _figure_class()(figsize=(width, height), layout="constrained")
        panels = []
        columns = columns or len(labels)
        rows = -(-len(labels) // columns)
        for number, names in enumerate(labels, start=1):
            if names is None:
                continue
            # Axes take their grid and spines from the style when they are made.
            title, x_label, y_label = names
            panel = figure.add_subplot(rows, columns, number)
            panel.set(xlabel=x_label, ylabel=y_label, title=_broken(title, width / columns - 0.7))
            panel.set_prop_cycle(color=list(COLOURS))
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_major_formatter(written)
                axis.isDefault_majfmt = True  # names of categories take its place
            panels.append(panel)
        if heading:
            figure.suptitle(_broken(heading, width - 0.3))
    return figure, panels


def _broken(title: str, inches: float) -> str:
    """Break a title into lines of some width."""
    letters = int(inches * 72 / (LETTER * NORMAL))
    return "\n".join(textwrap.wrap(title, max(10, letters)))


def _into(axes: "Axes", labels: Sequence[tuple[str, str, str]]) -> "tuple[Figure, list[Axes]]":
    """Label axes that a caller gave, and return them with their figure."""
    imported_matplotlib()
    from matplotlib.axes import Axes

    if not isinstance(axes, Axes):
        raise ArgumentTypeError(
            f"axes must be matplotlib axes, not {given(axes)}",
            hint="to write a file, call savefig(path) of the figure",
        )
    if len(labels) != 1:
        raise UsageError(
            f"this picture has {len(labels)} panels", "axes= holds one", "leave axes= out"
        )
    [(title, x_label, y_label)] = labels
    axes.set(xlabel=x_label, ylabel=y_label)
    if title:
        axes.set_title(title, parse_math=False)
    axes.set_prop_cycle(color=list(COLOURS))
    return axes.figure.figure, [axes]  # of a subfigure, the figure that it is in


def short_name(name: str, longest: int = LONGEST_NAME) -> str:
    """Shorten a model's name to fit into a plot: keep the end of a long path, `longest`
    characters at most."""
    name = visible(name)
    return name if len(name) <= longest else "\u2026" + name[1 - longest :]


def legend_below(figure: "Figure", *panels: "Axes") -> None:
    """Name the series of `panels` below all panels of their figure, each name once, in as many
    columns as fit; in another's figure, in the axes."""
    # A series that several panels show is named once.
    handles: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if not handles:
        return
    with _styled():
        if not isinstance(figure, _figure_class()):
            panels[0].legend(handles.values(), handles)
            return

        # As many columns as fit, measured as they are drawn.
        available = figure.get_figwidth() * figure.dpi - 2 * NORMAL
        for columns in range(min(len(handles), 4), 0, -1):
            legend = figure.legend(
                handles.values(), handles, loc="outside lower center", ncols=columns
            )
            if columns == 1 or legend.get_window_extent().width <= available:
                break
            legend.remove()


def with_bars(
    intervals: Sequence[tuple[float | None, float | None, float | None]],
) -> "tuple[np.ndarray, np.ndarray]":
    """Return the middles of intervals, (N,), and how far each reaches below and above, (2, N).
    intervals: the middle, the low and the high end of each; None where there is none."""
    middle_N, low_N, high_N = np.array(intervals, dtype=np.float64).reshape(-1, 3).T
    # Rounding may put an end on the other side.
    return middle_N, np.maximum([middle_N - low_N, high_N - middle_N], 0)


def draw_bars(
    axes: "Axes", names: Sequence[str], series: Mapping[str, Sequence[float | None]], form: str = ""
) -> None:
    """Draw a horizontal bar for each name and series, the first name on top; None has no bar. form:
    how the value is written beside its bar; "": it is not."""
    for number, (label, values) in enumerate(series.items()):
        places = np.arange(len(names)) + (number - (len(series) - 1) / 2) * 0.8 / len(series)
        widths = [value or 0.0 for value in values]
        colour, hatch = series_style(number).colour, "//" * (number // len(COLOURS))
        bars = axes.barh(places, widths, 0.7 / len(series), label=label, color=colour, hatch=hatch)
        if form:
            texts = ["" if value is None else with_minus(format(value, form)) for value in values]
            axes.bar_label(bars, texts, padding=3, fontsize=SMALL)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.margins(x=0.12)
    axes.invert_yaxis()


def write_framed(axes: "Axes", place: tuple[float, float], text: str, colour: str) -> None:
    """Write text into a frame of a colour."""
    frame = {"boxstyle": "round", "facecolor": "white", "edgecolor": colour}
    axes.text(*place, text, ha="center", va="center", bbox=frame, fontsize=SMALL, parse_math=False)


def name_intervals(axes: "Axes") -> None:
    """Add the bars of intervals to the series that a legend names."""
    axes.errorbar([], [], yerr=[], fmt="none", ecolor=REFERENCE, capsize=3, label="95 % interval")


def name_bands(axes: "Axes", name: str) -> None:
    """Add bands around lines to the series that a legend names."""
    axes.fill_between([], [], [], color=REFERENCE, alpha=BAND, linewidth=0, label=name)


# ---- Numbers beside axes, written as in a text: without exponents such as 1e7, and without a
# part that all of them share.

SMALLEST_IN_FULL = 1e-4
SMALLEST_BETWEEN_POWERS = 1e-3  # on a logarithmic axis
_RAISED = str.maketrans(
    "-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
)


def written(value: float, _: float | None = None) -> str:
    """Write a number beside an axis: 1,000,000 or 12.5 or 2 x 10 to the -6th."""
    if not math.isfinite(value):
        return ""
    if 0 < abs(value) < SMALLEST_IN_FULL:
        text = _as_power(value)
    elif math.isclose(value, round(value), rel_tol=1e-9):
        text = f"{value:,.0f}"
    else:
        text = f"{value:,.6g}"
    return with_minus(text)


def with_minus(text: str) -> str:
    """Write numbers with a minus sign, which is as wide as a plus, instead of a hyphen."""
    return text.replace("-", "\u2212")


def _as_power(value: float) -> str:
    """Write a number as a power of ten, or as a digit and one."""
    digits, exponent = f"{value:.0e}".split("e")
    power = "10" + str(int(exponent)).translate(_RAISED)
    return power if digits == "1" else f"{digits}\u00d7{power}"


def _on_log_axis(value: float, _: float | None = None) -> str:
    return _as_power(value) if 0 < value < SMALLEST_BETWEEN_POWERS else written(value)


def _in_millions(value: float, _: float | None = None) -> str:
    return written(value / 1e6)


def count_x(axes: "Axes", what: str, highest: float) -> None:
    """Name the counts below the x axis, in millions if they reach that far."""
    if highest < 1e6:
        axes.set_xlabel(what)
        return
    axes.set_xlabel(f"{what} (millions)")
    axes.xaxis.set_major_formatter(_in_millions)


def log_y(axes: "Axes") -> None:
    """Make the y axis logarithmic, with plain numbers beside it."""
    axes.set_yscale("log")
    _plain_numbers(axes.yaxis, *axes.get_ylim())


def log_x(axes: "Axes") -> None:
    """Make the x axis logarithmic, with plain numbers below it."""
    axes.set_xscale("log")
    _plain_numbers(axes.xaxis, *axes.get_xlim())


def _plain_numbers(axis: "Axis", low: float, high: float) -> None:
    """Label an axis with few enough numbers to be read."""
    from matplotlib import ticker

    # The wider the range, the fewer marks between two powers of ten.
    subs: Sequence[float] = (1,)
    if high < 2.5 * low:
        subs = (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9)
    elif high < 10 * low:
        subs = (1, 1.5, 2, 3, 4, 5, 7)
    elif high < 1000 * low:
        subs = (1, 2, 5)

    axis.set_major_locator(ticker.LogLocator(subs=subs))
    axis.set_major_formatter(ticker.FuncFormatter(_on_log_axis))
    axis.set_minor_locator(ticker.NullLocator())


def as_svg(figure: "Figure") -> str:
    """Return the `<svg>` element of a figure, for a page; the same figure gives the same text."""
    text = _rendered(figure, "svg").decode("utf-8")
    return text[text.index("<svg") :]


def check_path(path: Path) -> None:
    """Refuse a path whose suffix is no suffix of a plot."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path} does not have a plot suffix", hint=nearest(path.suffix, SUFFIXES))
    imported_matplotlib()  # where it is missing, say so before time goes into a plot


def save(figure: "Figure", path: Path) -> None:
    """Write a figure to a file, in the format of its suffix."""
    check_path(path)
    save_file(path, [_rendered(figure, path.suffix[1:].lower())])


def _rendered(figure: "Figure", kind: str, dpi: int = DPI) -> bytes:
    # Leave the date out, so that the same figure gives the same file.
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    stream = io.BytesIO()
    with _styled():
        figure.savefig(stream, format=kind, dpi=dpi, metadata=metadata)
    if kind != "svg":
        return stream.getvalue()

    # Hundredths of a point are invisible; without them a file is smaller by up to a fifth.
    return _PLACES.sub(lambda place: _DIGITS.sub(rb"\1", place[0]), stream.getvalue())


_PLACES, _DIGITS = re.compile(rb' (?:d|x|y)="[^"]*"'), re.compile(rb"(\.\d\d)\d+")


# ---- Heat maps of a grid of numbers, with words along its edges.

MOST_LABELS = 36  # along an edge: of more words, only some are named
LONGEST_LABEL = 16  # characters of a word
INCHES_PER_LABEL = 0.155  # so that no two words touch

# A few cells far above the others would leave all others in one colour. Where the largest value is
# OUTLYING times the quantile MOST_CELLS of the values, colours end at this quantile, as the colour
# bar shows.
MOST_CELLS, OUTLYING = 0.95, 1.5


def draw_heat_map(
    axes: "Axes", values_YX: "np.ndarray", across: Sequence[str], down: Sequence[str],
    colours: str = "viridis",
    lowest: float | None = 0.0, highest: float | None = None, label: str = "",
    most: int = MOST_LABELS, most_down: int = MOST_LABELS,
    longest: int = LONGEST_LABEL, numbers_YX: "np.ndarray | None" = None,
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


def robust_highest(values_YX: "np.ndarray") -> float:
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

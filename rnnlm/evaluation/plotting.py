"""Draw figures in one style, as SVG for a page or as a file; matplotlib is imported when one is
made."""

import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnlm.errors import ArgumentTypeError, UsageError, given, nearest, visible
from rnnlm.files.outputs import check_file, save_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png", ".pdf")
MARKERS = "osD^vP"
DPI, DPI_IN_NOTEBOOKS = 150, 100
LONGEST_NAME = 32  # characters of a model's name in a plot
# Okabe & Ito: colour-blind readers can distinguish them
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_STYLE: dict[Any, Any] = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False,
                          "axes.grid": True, "grid.alpha": 0.3,
          "svg.fonttype": "none", "svg.hashsalt": "rnnlm", "legend.frameon": False,
          "text.parse_math": False}  # fmt: skip


@functools.cache
def _figure_class() -> "type[Figure]":
    """Return the class of figures that are made here: notebooks show them without pyplot."""
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
    width: float = 6.4,
    height: float = 4.0,
    axes: "Axes | None" = None,
) -> "tuple[Figure, Axes]":
    """Return an empty figure (inches) with one pair of axes, or those given and their figure. Text
    is drawn as it is, never as mathematics."""
    figure, (panel,) = new_panels([(title, x_label, y_label)], width, height, axes=axes)
    return figure, panel


def new_panels(
    labels: Sequence[tuple[str, str, str] | None],
    width: float = 6.4,
    height: float = 4.0,
    columns: int | None = None,
    axes: "Axes | None" = None,
) -> "tuple[Figure, list[Axes]]":
    """Return a figure as :func:`new_figure` does, with a pair of axes for each (title, x_label,
    y_label); None leaves a place free. Panels lie row by row in `columns` columns, or all side
    by side. axes: where to draw a single panel instead."""
    import matplotlib

    if axes is not None:
        return _into(axes, [each for each in labels if each is not None])
    with matplotlib.rc_context(_STYLE):
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
            panel.set(xlabel=x_label, ylabel=y_label, title=title)
            panel.set_prop_cycle(color=list(COLOURS))
            panels.append(panel)
    return figure, panels


def _into(axes: "Axes", labels: Sequence[tuple[str, str, str]]) -> "tuple[Figure, list[Axes]]":
    """Label axes that a caller gave, and return them with their figure."""
    from matplotlib.axes import Axes

    if not isinstance(axes, Axes):
        raise ArgumentTypeError(
            f"axes must be axes of matplotlib, not {given(axes)}",
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
    if len(name) > longest:
        name = "\u2026" + name[1 - longest :]
    return name


def legend_above(figure: "Figure", axes: "Axes") -> None:
    """Name the series of `axes` above all panels of its figure; in another's figure, in `axes`."""
    import matplotlib

    handles, labels = axes.get_legend_handles_labels()
    if not isinstance(figure, _figure_class()):
        axes.legend(handles, labels)
        return
    with matplotlib.rc_context(_STYLE):
        figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 4))


def log_y(axes: "Axes") -> None:
    """Make the y axis logarithmic, with plain numbers beside it."""
    axes.set_yscale("log")
    _plain_numbers(axes.yaxis, *axes.get_ylim())


def log_x(axes: "Axes") -> None:
    """Make the x axis logarithmic, with plain numbers below it."""
    axes.set_xscale("log")
    _plain_numbers(axes.xaxis, *axes.get_xlim())


def _plain_numbers(axis: "Axis", low: float, high: float) -> None:
    """Label an axis with few enough numbers to be read, written without exponents."""
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
    axis.set_major_formatter(ticker.FuncFormatter(_written))
    axis.set_minor_locator(ticker.NullLocator())


def _written(value: float, _: int | None) -> str:
    """Write a number beside an axis."""
    if value >= 10:
        return f"{value:,.0f}"
    return f"{value:g}"


def as_svg(figure: "Figure") -> str:
    """Return the `<svg>` element of a figure, for a page; the same figure gives the same text."""
    text = _rendered(figure, "svg").decode("utf-8")
    return text[text.index("<svg") :]


def check_path(path: Path) -> None:
    """Refuse a path whose suffix is not that of a plot."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path} does not have a plot suffix", hint=nearest(path.suffix, SUFFIXES))
    import matplotlib  # noqa: F401 where it is not installed, say so before time goes into a plot


def check(path: Path, overwrite: bool) -> None:
    """Make sure that a figure can be written there, before any work is done."""
    check_path(path)
    check_file(path, overwrite)


def save(figure: "Figure", path: Path) -> None:
    """Write a figure to a file, in the format of its suffix."""
    check_path(path)
    save_file(path, [_rendered(figure, path.suffix[1:].lower())])


def _rendered(figure: "Figure", kind: str, dpi: int = DPI) -> bytes:
    import matplotlib

    # Leave the date out, so that the same figure gives the same file.
    metadata: dict[str, None] = {}
    if kind == "svg":
        metadata["Date"] = None
    elif kind == "pdf":
        metadata["CreationDate"] = None
    stream = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(stream, format=kind, dpi=dpi, metadata=metadata)
    return stream.getvalue()

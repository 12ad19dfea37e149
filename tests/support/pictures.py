"""What is wrong with a picture, for somebody who sees it for the first time."""

import itertools
import re

from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.lines import Line2D
from matplotlib.text import Text

from rnnlm.evaluation.plotting import REFERENCE

PIXELS, LETTERS = 700, 12  # the width of a page; 9 points on a screen
SLIDE = 944, 688  # pixels of a picture that fills a slide of 4:3, less its edges
LETTERS_ON_SLIDE = 14
TOUCHING = 1.5  # pixels by which two texts may lie over each other
EXPONENT = re.compile(r"\d[eE][+-]?\d")
HYPHEN = re.compile(r"(?<![\w.])-\d")  # before a number, where a minus belongs


def faults_of(figure, fits_a_slide=True):
    """Return what cannot be read in a figure, in words; empty if it can. fits_a_slide: False for
    pictures with a row for each model or layer, which may be longer than a slide."""
    figure.draw_without_rendering()
    texts = _texts(figure)
    faults = [*_outside(figure), *_letters(figure, texts), *_numbers(figure), *_nameless(figure)]
    faults += [*_unnamed_axes(figure), *_hyphens(texts)]
    if fits_a_slide:
        faults += _letters_on_a_slide(figure, texts)
    return faults + list(_overlapping(figure, texts))


def _texts(figure):
    """Return the texts that are drawn: of the numbers beside axes, only those in sight."""
    hidden = set()
    for axes in figure.findobj(Axes):
        for axis in (axes.xaxis, axes.yaxis):
            drawn = {id(tick) for tick in axis._update_ticks()}
            for tick in (*axis.majorTicks, *axis.minorTicks):
                if id(tick) not in drawn:
                    hidden |= {tick.label1, tick.label2}
    texts = [each for each in figure.findobj(Text) if each not in hidden]
    return [each for each in texts if each.get_visible() and each.get_text().strip()]


def _outside(figure):
    """Yield what lies beyond the edges."""
    box, page = figure.get_tightbbox(), figure.bbox_inches
    if box.x0 < -0.01 or box.y0 < -0.01 or box.x1 > page.x1 + 0.01 or box.y1 > page.y1 + 0.01:
        yield f"drawn to {box}, the page is {page}"


def _letters(figure, texts):
    """Yield texts that are too small on a page."""
    pixels = PIXELS / (72 * figure.get_figwidth())
    for text in texts:
        if text.get_fontsize() * pixels < LETTERS - 0.01:
            yield f"{text.get_text()!r} has {text.get_fontsize() * pixels:.1f} pixels"


def _letters_on_a_slide(figure, texts):
    """Return the smallest letters of a figure that are too small where it fills a slide."""
    width, height = figure.get_size_inches()
    pixels = min(SLIDE[0] / width, SLIDE[1] / height) / 72
    smallest = min(text.get_fontsize() for text in texts)
    if smallest * pixels < LETTERS_ON_SLIDE - 0.01:
        return [f"on a slide, letters have {smallest * pixels:.1f} pixels"]
    return []


def _hyphens(texts):
    """Yield texts with a hyphen in place of a minus."""
    for text in texts:
        if HYPHEN.search(text.get_text()):
            yield f"{text.get_text()!r} has a hyphen for a minus"


def _unnamed_axes(figure):
    """Yield axes of numbers without a name. Panels beside each other may share one."""
    panels = [axes for axes in figure.axes if axes.axison]
    named_rows = {_row(axes) for axes in panels if axes.get_ylabel()}
    for axes in panels:
        if _has_numbers(axes.xaxis) and not axes.get_xlabel():
            yield f"no name below the numbers of {axes.get_title()!r}"
        is_named = axes.get_ylabel() or _row(axes) in named_rows
        if _has_numbers(axes.yaxis) and not is_named:
            yield f"no name beside the numbers of {axes.get_title()!r}"


def _row(axes):
    place = axes.get_subplotspec()
    return place and place.rowspan.start


def _has_numbers(axis):
    """Return whether numbers stand beside an axis, not words."""
    shown = [label.get_text() for label in axis.get_ticklabels() if label.get_visible()]
    numbers = [re.fullmatch(r"\u2212?[\d.,]+", text) for text in shown if text]
    return axis.get_visible() and bool(numbers) and all(numbers)


def _numbers(figure):
    """Yield numbers beside axes that are written as programs write them."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_offset_text().get_text():
                yield f"an axis has an offset: {axis.get_offset_text().get_text()}"
            if axis.get_visible():
                for label in axis.get_ticklabels():
                    if EXPONENT.search(label.get_text()):
                        yield f"an axis has the number {label.get_text()}"


def lines_in_legends(figure):
    """Return the lines that the legends of a figure show."""
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    return [line for legend in filter(None, legends) for line in legend.findobj(Line2D)]


def colours_of(figure):
    """Return the colour of each name that a legend has."""
    found = {}
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            line = handle.lines[0] if isinstance(handle, ErrorbarContainer) else handle
            if isinstance(line, Line2D):
                found[name] = line.get_color()
    return found


def _nameless(figure):
    """Yield lines whose colour or kind no legend names, where there are several colours. A line at
    zero is named by the axis."""
    named = lines_in_legends(figure)
    colours = {each.get_color() for each in named}
    kinds = set().union(*map(_kind, named))
    lines = []
    for axes in figure.axes:
        parts = {part for bars in _error_bars(axes) for part in bars.lines[1]}
        own = [each for each in axes.lines if each not in parts]
        lines += [each for each in own if {*each.get_xdata()} != {0}]
    if len({line.get_color() for line in lines} - {REFERENCE}) < 2:
        return
    for line in lines:
        if line.get_color() not in colours or not _kind(line) <= kinds:
            yield f"no legend names the line {line.get_label()!r}, {line.get_color()}"


def _error_bars(axes):
    return [each for each in axes.containers if isinstance(each, ErrorbarContainer)]


def _kind(line):
    """Return how a line is drawn, and the marks on it."""
    parts = {line.get_linestyle(), line.get_marker()}
    return frozenset(parts - {"", "None", "none", None})


def _overlapping(figure, texts):
    """Yield pairs of texts that lie over each other."""
    page, boxes = figure.bbox, []
    for text in texts:
        box = text.get_window_extent()
        if box.width and box.overlaps(page):
            boxes.append((text.get_text(), box))
    for (one, first), (other, second) in itertools.combinations(boxes, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        up = min(first.y1, second.y1) - max(first.y0, second.y0)
        if across > TOUCHING and up > TOUCHING:
            yield f"{one!r} lies over {other!r}"

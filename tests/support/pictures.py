"""What is wrong with a picture, for somebody who sees it for the first time, 700 pixels wide."""

import itertools
import re

from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.lines import Line2D
from matplotlib.text import Text

from rnnlm.evaluation.plotting import REFERENCE

PIXELS, LETTERS = 700, 12  # the width of a page; 9 points on a screen
TOUCHING = 1.5  # pixels by which two texts may lie over each other
EXPONENT = re.compile(r"\d[eE][+-]?\d")


def faults_of(figure, words_may_touch=False):
    """Return what cannot be read in a figure, in words; empty if it can. words_may_touch: of what is
    written into the axes."""
    figure.draw_without_rendering()
    faults = [*_outside(figure), *_letters(figure), *_numbers(figure), *_nameless(figure)]
    return faults + list(_overlapping(figure, words_may_touch))


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


def _letters(figure):
    """Yield texts that are too small on a page."""
    pixels = PIXELS / (72 * figure.get_figwidth())
    for text in _texts(figure):
        if text.get_fontsize() * pixels < LETTERS - 0.01:
            yield f"{text.get_text()!r} has {text.get_fontsize() * pixels:.1f} pixels"


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


def _overlapping(figure, words_may_touch):
    """Yield pairs of texts that lie over each other."""
    page, boxes = figure.bbox, []
    inside = {text for axes in figure.axes for text in axes.texts}
    for text in _texts(figure):
        if words_may_touch and text in inside:
            continue
        box = text.get_window_extent()
        if box.width and box.overlaps(page):
            boxes.append((text.get_text(), box))
    for (one, first), (other, second) in itertools.combinations(boxes, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        up = min(first.y1, second.y1) - max(first.y0, second.y0)
        if across > TOUCHING and up > TOUCHING:
            yield f"{one!r} lies over {other!r}"

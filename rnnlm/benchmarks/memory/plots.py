"""The longest lags as bars: a group for each task, a bar for each layer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rnnlm.benchmarks.memory.search import Reach
from rnnlm.evaluation import plotting

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(reaches: Sequence[Reach]) -> "Figure":
    """On a logarithmic axis of lags; a layer that solves no lag has a bar without height, marked 0."""
    tasks, cells = (list(dict.fromkeys(names)) for names in zip(*((each.task, each.cell) for each in reaches), strict=True))
    figure, axes = plotting.new_figure("Longest lag learned", "task", "lag in steps", width=7.2)
    width = 0.8 / len(cells)
    for number, cell in enumerate(cells):
        own = [each for each in reaches if each.cell == cell]
        places = [tasks.index(each.task) + (number - (len(cells) - 1) / 2) * width for each in own]
        bars = axes.bar(places, [max(1, each.longest) for each in own], width, label=cell)
        axes.bar_label(bars, labels=[str(each.longest) for each in own], fontsize=8)
    axes.set_xticks(range(len(tasks)), tasks)
    plotting.log_y(axes)
    axes.set_ylim(bottom=1)
    plotting.legend_above(figure, axes)
    return figure

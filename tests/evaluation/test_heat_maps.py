import numpy as np
import pytest

from rnnlm.evaluation import plotting
from rnnlm.evaluation.plotting import draw_heat_map, robust_highest
from support.pictures import faults_of

pytestmark = pytest.mark.long

WORDS = [f"w{number}" for number in range(10)]


def values(*outliers):
    grid = np.linspace(0, 1, 100)
    grid[: len(outliers)] = outliers
    return grid.reshape(10, 10)


@pytest.mark.parametrize(
    "outliers, highest", [((), 1.0), ((100.0,), 0.96), ((1.2,), 1.2), ((np.nan,), 1.0)]
)
def test_one_cell_does_not_set_the_colours(outliers, highest):
    assert robust_highest(values(*outliers)) == pytest.approx(highest, abs=0.01)


def test_colour_bar_has_a_range_and_says_what_lies_beyond_it():
    assert robust_highest(np.zeros((2, 2))) == 0 and robust_highest(np.full((2, 2), np.nan)) == 1
    for outliers, ends in (((), "neither"), ((100.0,), "max")):
        figure, axes = plotting.new_figure("", "", "", 5.0)
        draw_heat_map(axes, values(*outliers), WORDS, WORDS, label="size")
        assert axes.images[0].colorbar.extend == ends
        assert ("clipped at 0.96" in figure.axes[1].get_ylabel()) == bool(outliers)
        assert faults_of(figure) == []

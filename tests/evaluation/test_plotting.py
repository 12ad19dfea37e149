import itertools
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from rnnlm.errors import OutputError, UsageError
from rnnlm.evaluation import plotting
from support.pictures import colours_of, faults_of

pytestmark = pytest.mark.long

# How colour-blind people see, in linear RGB: Machado, Oliveira & Fernandes 2009, severity 1.
EYES = {
    "usual": np.eye(3),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]),
}  # fmt: skip
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
DISTINCT = 15  # CIELAB; about six times what is just noticed


def figure():
    figure, axes = plotting.new_figure("a $ b < c", "distance", "accuracy")
    axes.plot([0, 1, 2], [0.9, 0.8, 0.7], label="lstm")
    return figure


@pytest.mark.processes
def test_same_figure_gives_same_svg_whatever_others_set(tmp_path):
    svg = plotting.as_svg(figure())
    assert svg == plotting.as_svg(figure())
    assert "a $ b < c" in "".join(ElementTree.fromstring(svg).itertext())
    # The backend of a notebook that is not installed here, and somebody's own style.
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 30\nbackend: QtAgg\n")
    backend = "module://of_a_notebook.backend"
    drawn = subprocess.run(
        [sys.executable, "-c", DRAW], cwd=tmp_path, env={**os.environ, "MPLBACKEND": backend},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert drawn.stdout == plotting.as_svg(figure()) + backend


DRAW = """
import os
from rnnlm.evaluation import plotting
figure, axes = plotting.new_figure("a $ b < c", "distance", "accuracy")
axes.plot([0, 1, 2], [0.9, 0.8, 0.7], label="lstm")
print(plotting.as_svg(figure), end=os.environ["MPLBACKEND"])
"""


@pytest.mark.parametrize(
    "suffix, begins", [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")]
)
def test_file_suffix_determines_the_format(tmp_path, suffix, begins):
    plotting.save(figure(), tmp_path / f"plot{suffix}")
    assert (tmp_path / f"plot{suffix}").read_bytes().startswith(begins)


def test_unknown_suffix_or_unwritable_path_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="does not have a plot suffix"):
        plotting.save(figure(), tmp_path / "plot.doc")
    with pytest.raises(OutputError, match="cannot write"):
        plotting.save(figure(), tmp_path / "nowhere" / "plot.svg")


@pytest.mark.parametrize("values, shown", [
    ((1, 2.5e6), ["1", "1,000", "1,000,000"]), ((1.2, 4), ["1.5", "2", "3"]),
    ((80, 230), ["100", "150", "200"]),
])  # fmt: skip
def test_a_logarithmic_axis_has_plain_numbers(values, shown):
    drawn, axes = plotting.new_figure("", "", "")
    axes.plot(values)
    plotting.log_y(axes)
    texts = [each.strip() for each in ElementTree.fromstring(plotting.as_svg(drawn)).itertext()]
    assert set(shown) <= set(texts) and not any("$" in each for each in texts)


def in_cielab(colour, eyes):
    """Return a colour as eyes see it."""
    channels = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(EYES[eyes] @ linear, 0, 1) / np.array([0.9505, 1, 1.089])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eyes", EYES)
def test_colour_blind_readers_tell_all_series_apart(eyes):
    assert np.allclose(in_cielab("#ffffff", "usual"), [100, 0, 0], atol=0.1)
    for one, other in itertools.combinations((*plotting.COLOURS, plotting.REFERENCE), 2):
        distance = np.linalg.norm(in_cielab(one, eyes) - in_cielab(other, eyes))
        assert distance > DISTINCT, (one, other)


def test_no_two_series_look_alike_and_colours_stay_without_a_model():
    styles = [plotting.series_style(number) for number in range(24)]
    assert len({(each.colour, each.line) for each in styles}) == 24
    assert len({(each.colour, each.marker) for each in styles}) == 24
    styles = plotting.series_styles(["a", "b", "c"])
    figure, axes = plotting.new_figure("", "x", "y")
    for name in ("a", "c"):
        axes.plot([0, 1], color=styles[name].colour, label=name)
    assert colours_of(figure) == {"a": plotting.COLOURS[0], "c": plotting.COLOURS[2]}


@pytest.mark.parametrize("value, text", [
    (0, "0"), (12.5, "12.5"), (0.25, "0.25"), (-0.5, "\u22120.5"), (1e7, "10,000,000"),
    (1e-6, "10\u207b\u2076"), (3e-12, "3\u00d710\u207b\u00b9\u00b2"), (0.1 + 0.2, "0.3"),
])  # fmt: skip
def test_numbers_are_written_as_in_a_text(value, text):
    assert plotting.written(value) == text


def test_millions_are_named_once_below_the_axis():
    drawn, axes = plotting.new_figure("", "tokens", "y")
    axes.plot([0, 4e7], [1, 2])
    plotting.count_x(axes, "tokens", 4e7)
    drawn.draw_without_rendering()
    texts = [label.get_text() for label in axes.get_xticklabels()]
    assert axes.get_xlabel() == "tokens (millions)" and {"0", "20", "40"} <= set(texts)


@pytest.mark.parametrize("series", [2, 9])
def test_long_names_stay_inside_the_picture(series):
    drawn, axes = plotting.new_figure("a title that is long " * 5, "x", "y", 5.0)
    for number in range(series):
        style = plotting.series_style(number)
        name = plotting.short_name(f"a/folder/of/models/with/a/long/name-{number}")
        axes.plot([0, number], style.line, color=style.colour, marker=style.marker, label=name)
    plotting.legend_below(drawn, axes)
    assert faults_of(drawn) == [] and len(colours_of(drawn)) == series


def test_faults_of_a_picture_are_found():
    drawn, axes = plotting.new_figure("below -2", "x", "", height=7)
    axes.set_xlabel("a name too long for its axis " * 6)
    axes.plot([0, 1], label="named")
    axes.plot([1, 0])
    axes.text(0.5, 0.5, "small", fontsize=5)
    axes.text(0.5, 0.5, "small, too", fontsize=5)
    plotting.legend_below(drawn, axes)
    found = " ".join(faults_of(drawn))
    faults = "drawn to|pixels|no legend names|lies over|on a slide|hyphen|no name beside"
    for fault in faults.split("|"):
        assert fault in found

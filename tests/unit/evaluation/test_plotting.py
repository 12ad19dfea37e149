import xml.etree.ElementTree as ElementTree

import pytest

from rnnlm.errors import OutputError, UsageError
from rnnlm.evaluation import plotting


def figure():
    figure, axes = plotting.new_figure("a $ b < c", "distance", "accuracy")
    axes.plot([0, 1, 2], [0.9, 0.8, 0.7], label="lstm")
    return figure


def test_same_figure_gives_same_svg_with_real_text():
    svg = plotting.as_svg(figure())
    assert svg == plotting.as_svg(figure())
    assert "a $ b < c" in "".join(ElementTree.fromstring(svg).itertext())


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


@pytest.mark.parametrize(
    "values, shown",
    [
        ((1, 2.5e6), ["1", "1,000", "1,000,000"]),
        ((1.2, 4), ["1.5", "2", "3"]),
        ((80, 230), ["100", "150", "200"]),
    ],
)
def test_a_logarithmic_axis_has_plain_numbers(values, shown):
    drawn, axes = plotting.new_figure("", "", "")
    axes.plot(values)
    plotting.log_y(axes)
    texts = [each.strip() for each in ElementTree.fromstring(plotting.as_svg(drawn)).itertext()]
    assert set(shown) <= set(texts) and not any("$" in each for each in texts)

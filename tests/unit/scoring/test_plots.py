import math
import xml.etree.ElementTree as ElementTree

import pytest

import rnnlm
from rnnlm.errors import RnnlmWarning, UsageError
from rnnlm.evaluation import plotting
from rnnlm.scoring import plots
from rnnlm.scoring.plots import plot_surprisals
from support.pictures import faults_of
from support.tiny_models import halves_model


def scores(*sentences: str):
    return rnnlm.Model(halves_model()).score_sentences(list(sentences), with_words=True)


def shown(figure) -> str:
    return "".join(ElementTree.fromstring(plotting.as_svg(figure)).itertext())


def labels(axes) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels()]


def test_sentences_are_panels_models_lines_unknowns_hollow_marks():
    scored = scores("a zorp b", "b a")
    upper, lower = plot_surprisals({"one": scored, "other/model": scored}).axes
    one, one_unknown, other, other_unknown, _ = upper.lines
    assert labels(upper) == ["a", "zorp", "b"] and labels(lower) == ["b", "a"]
    assert (
        one.get_xydata().tolist()
        == other.get_xydata().tolist()
        == [[0, pytest.approx(1)], [1, pytest.approx(3)], [2, pytest.approx(3)]]
    )
    assert (
        one_unknown.get_xydata().tolist() == [[1, pytest.approx(3)]]
        and one_unknown.get_markerfacecolor() == "white"
    )
    assert (
        one_unknown.get_color() == one.get_color() != other.get_color() == other_unknown.get_color()
    )
    assert faults_of(upper.figure) == []
    assert len(lower.lines) == 2 and upper.get_ylim() == lower.get_ylim()


def test_words_are_drawn_literally_and_zeros_are_gaps():
    text = "$a$ <b> never a^2"
    figure = plot_surprisals(scores(text))
    (axes,) = figure.axes
    assert labels(axes) == text.split() and not figure.axes[0].get_title()
    assert [math.isnan(y) for y in axes.lines[0].get_ydata()] == [False, False, True, False]
    assert "unknown word" in shown(figure) and "$a$" in shown(figure)
    assert not plot_surprisals(scores("a b")).legends
    assert plotting.as_svg(plot_surprisals(scores(text))) == plotting.as_svg(
        plot_surprisals(scores(text))
    )


def test_an_overfull_plot_is_cut_with_a_notice(monkeypatch):
    monkeypatch.setattr(plots, "MOST_SENTENCES", 2)
    monkeypatch.setattr(plots, "MOST_WORDS", 3)
    with pytest.warns(RnnlmWarning) as said:
        figure = plot_surprisals(scores("a b", "a b a b", "b"))
    assert [str(each.message) for each in said] == [
        "the plot shows the first 2 sentences",
        "the plot shows the first 3 words of a sentence; the longest has 4"
    ]  # fmt: skip
    assert [labels(axes) for axes in figure.axes] == [["a", "b"], ["a", "b", "a"]]


def test_a_long_sentence_goes_on_below():
    words = [f"word{number}" for number in range(50)]
    figure = plot_surprisals(scores(" ".join(words)))
    first, second = map(labels, figure.axes)
    assert first + second == words and len(first) == len(second) == 25
    assert faults_of(figure) == []


@pytest.mark.parametrize(
    "suffix, begins", [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")]
)
def test_the_suffix_determines_the_figures_format(tmp_path, suffix, begins):
    plot_surprisals(scores("a b"), tmp_path / f"plot{suffix}")
    assert (tmp_path / f"plot{suffix}").read_bytes().startswith(begins)


def test_without_words_there_is_nothing_to_plot(tmp_path):
    for empty in ([], scores(""), rnnlm.Model(halves_model()).score_sentences(["a b"])):
        with pytest.raises(UsageError, match="nothing to plot"):
            plot_surprisals(empty, tmp_path / "plot.svg")
    with pytest.raises(UsageError, match="plot suffix"):
        plot_surprisals(scores("a"), tmp_path / "plot.doc")
    assert not list(tmp_path.iterdir())

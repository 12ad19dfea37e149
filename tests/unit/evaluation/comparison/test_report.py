import html
import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from rnnlm.errors import OutputError
from rnnlm.evaluation import plotting
from rnnlm.evaluation.comparison import report
from rnnlm.evaluation.comparison.comparison import compare
from rnnlm.evaluation.comparison.settings import ComparisonSettings
from support.pictures import colours_of, faults_of
from support.tiny_models import LINES, fit, save

NASTY = "<script>alert(1)</script> & \x07 the cat"
NAME = 'kn <b>"x"</b>\x1b[31m'


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Make a comparison with a learning curve, calibration, and markup in text and names."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "text.txt").write_text(
        "\n".join([*LINES, NASTY, "the mat sat"]) + "\n", encoding="utf-8"
    )
    save(folder / "lstm", fit("lstm"), "lstm")
    events = [
        {"event": "validated", "step": s, "epoch": s, "seconds": s, "ppl_token": 90.0 - s}
        for s in range(1, 4)
    ]
    lines = [json.dumps(event) for event in [{"event": "started"}, *events]]
    (folder / "lstm" / "metrics.jsonl").write_text("\n".join([*lines, '{"event": "valid']))
    settings = ComparisonSettings(calibration_tokens=1000)
    return compare(
        [str(folder / "lstm"), fit("ngram")],
        str(folder / "text.txt"),
        settings=settings,
        names=["lstm", NAME],
    )


@pytest.fixture(scope="module")
def page(compared):
    return report.render(compared)


def tree(page: str) -> ElementTree.Element:
    return ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))


def titles(page: str) -> list[str]:
    return [
        "".join(each.itertext()) for each in tree(page).iter("{http://www.w3.org/1999/xhtml}h3")
    ]


def test_report_is_well_formed_with_plots_and_figures(page, compared):
    root = tree(page)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}svg"))) == 7
    for title in (
        "Differences",
        "Perplexity by training frequency",
        "Perplexity by position",
        "Calibration",
        "Learning curves",
    ):
        assert title in titles(page)
    text = "".join(root.itertext())
    for model in compared.models:
        assert f"{model.evaluation.ppl_token:,.2f}" in text and model.evaluation.signature in text


@pytest.fixture
def figures(compared, monkeypatch):
    """Return the figures of the plots by their titles."""
    drawn = []
    monkeypatch.setattr(plotting, "as_svg", lambda figure: drawn.append(figure) or "")
    return dict(zip([plot.title for plot in report.plots(compared)], drawn, strict=True))


def test_plots_give_a_model_one_colour(figures, compared):
    names = [plotting.short_name(model.name) for model in compared.models]
    colours = dict(zip(names, plotting.COLOURS, strict=False))
    drawn = 0
    for figure in figures.values():
        assert faults_of(figure) == []
        for label, colour in colours_of(figure).items():
            name = label.partition(": ECE")[0]
            drawn += name in colours
            assert colours.get(name, colour) == colour
    assert drawn >= 9


def test_line_ends_and_unknown_words_rule_no_curve(figures, compared):
    [axes] = figures["Perplexity by training frequency"].axes
    groups = [label.get_text() for label in axes.get_xticklabels()]
    assert groups and not {"</s>", "unknown"} & set(groups)
    assert {"</s>", "unknown"} < {row.group for row in compared.bands}
    page = html.unescape(report.render(compared))
    assert "Not drawn, but in the table: ends of lines and unknown words." in page


def test_nothing_is_fetched_and_no_script_is_run(page):
    root = tree(page)
    assert not [
        each
        for each in root.iter()
        if each.tag.rpartition("}")[2] in ("script", "link", "iframe", "img", "object", "base")
    ]
    for each in root.iter():
        for name, value in each.attrib.items():
            assert not name.startswith("on"), name
            if name.rpartition("}")[2] in ("href", "src", "srcset", "action"):
                assert value.startswith(("#", "data:")), value
    assert set(re.findall(r"url\((.)", page)) <= {"#"} and "@import" not in page


def test_text_and_names_are_shown_as_they_are(page):
    assert (
        "<script" not in page
        and "<b>" not in page
        and html.escape("<script>alert(1)</script>") in page
    )
    assert "\x07" not in page and "\x1b" not in page
    text = "".join(tree(page).itertext())
    assert "<script>alert(1)</script> & \\x07 the cat" in text and 'kn <b>"x"</b>\\x1b[31m' in text


def test_report_reads_well_on_phones_and_dark_screens(page):
    assert '<meta name="viewport" content="width=device-width' in page
    assert "prefers-color-scheme: dark" in page and "max-width: 40rem" in page


def test_report_handles_zero_probabilities_and_a_single_line(tmp_path):
    (tmp_path / "one.txt").write_text("the zebra\n")
    models = [fit("ngram", smoothing="mle"), fit("ngram", smoothing="mle")]
    found = compare(
        models, str(tmp_path / "one.txt"), settings=ComparisonSettings(calibration_tokens=5)
    )
    assert (
        found.models[0].evaluation.zero_probability_tokens and not np.isfinite(found.bits_KS).any()
    )
    page = report.render(found)
    assert "a token has probability zero" in page and "is not normalised" not in page
    assert "Differences" not in titles(page) and "Lines: model 1 and model 2" not in titles(page)
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL).lower()


def test_it_is_written_whole_or_not_at_all(compared, tmp_path):
    path = tmp_path / "report.html"
    report.check(path)
    report.write(path, compared)
    assert path.read_text(encoding="utf-8").endswith("</html>\n") and [
        each.name for each in tmp_path.iterdir()
    ] == ["report.html"]
    with pytest.raises(OutputError, match="already exists"):
        report.check(path)
    report.check(path, overwrite=True)
    with pytest.raises(OutputError, match="no folder"):
        report.check(tmp_path / "nowhere" / "report.html")

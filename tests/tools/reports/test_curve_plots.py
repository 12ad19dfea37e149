"""Pictures of learning curves."""

from xml.etree import ElementTree

import pytest

from rnnlm.errors import UsageError
from rnnlm.evaluation.learning_curves import learning_curve
from rnnlm.tools.reports.curve_plots import curves_figure, plot_curves
from support.pictures import faults_of
from support.run_logs import STARTED, logged, loss, validated

NGRAM = [{"event": "started", "model": "ngram", "train_tokens": 1000}, {"event": "counted"},
         {"event": "validated", "step": 1, "epoch": 1.0, "ppl_token": 90.5,
          "seconds": 0.5}]  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """Return a function that makes the folder of a run with these events."""
    return lambda name, *events: logged(tmp_path / name, *events)


@pytest.mark.parametrize("by, places", [
    ("steps", [10, 20]), ("tokens", [1000, 2000]), ("epochs", [1, 2]), ("seconds", [5, 10]),
])  # fmt: skip
def test_counted_models_are_level_lines_on_each_axis(run, by, places):
    folders = [run("b", STARTED, validated(10, 80.0), validated(20, 60.0)), run("n", *NGRAM)]
    curves = [learning_curve(folder) for folder in folders]
    (axes,) = curves_figure(curves, by).axes
    curve, level = axes.lines
    assert (list(curve.get_xdata()), list(curve.get_ydata())) == (places, [80.0, 60.0])
    assert set(level.get_ydata()) == {90.5} and axes.get_yscale() == "log"
    assert faults_of(axes.figure) == []
    (legend,) = axes.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["b", "n (counted)"]


@pytest.mark.parametrize("events, kept", [
    ([(10, 80.0, True), (20, 60.0, True), (30, 70.0, False)], 20),
    ([(10, 80.0, True), {"event": "rolledback", "to_step": 5}], None),
    ([(10, 80.0, True), (20, 60.0, True), {"event": "rolledback", "to_step": 15}], 10),
])  # fmt: skip
def test_the_step_that_is_kept_is_marked_and_the_run_named(run, events, kept):
    logged = []
    for event in events:
        if isinstance(event, tuple):
            step, ppl, improved = event
            event = validated(step, ppl) | {"improved": improved}
        logged.append(event)
    curve = learning_curve(run("$run", STARTED, *logged, validated(40, 90.0)))
    assert curve.kept_step == kept
    (axes,) = curves_figure([curve]).axes
    assert axes.get_title(loc="left").startswith("$run") or axes.get_title().startswith("$run")
    rings = [ring.get_offsets().tolist() for ring in axes.collections]
    assert rings == ([] if kept is None else [[[kept, {10: 80.0, 20: 60.0}[kept]]]])
    assert faults_of(axes.figure) == []


def test_a_grid_is_named_and_one_run_has_its_training_text(run):
    folder = run("lone", STARTED, loss(1, 3.0, is_exact=True), loss(2, 2.0, is_exact=True),
                 validated(5, 9.0))  # fmt: skip
    assert len(plot_curves([folder]).axes[0].lines) == 2
    assert len(plot_curves([folder], training=False).axes[0].lines) == 1
    folders = [run(f"cells/rate={rate}", STARTED, validated(5, 9.0)) for rate in (1, 2)]
    folders[0].parent.joinpath("grid.tsv").write_text("run\tfolder\n1\trate=1\n2\trate=2\n")
    (axes,) = plot_curves([folders[0].parent]).axes
    assert axes.get_title() == "cells. The lower, the better" and len(axes.lines) == 2
    (axes,) = plot_curves([folder, *folders]).axes
    assert axes.get_title() == "The lower, the better"


def test_the_same_runs_give_the_same_svg(run, tmp_path):
    validations = [validated(step, 100 / step) for step in range(1, 30)]
    folder = run("$a<b>", STARTED, *validations, loss(1, 3.0, is_exact=True))
    for name in ("one.svg", "two.svg"):
        plot_curves([folder], tmp_path / name, by="epochs", training=True)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert "$a<b>" in "".join(ElementTree.parse(tmp_path / "one.svg").getroot().itertext())


def test_what_cannot_be_drawn_is_named(run, tmp_path):
    empty = run("empty", STARTED)
    with pytest.raises(UsageError, match="nothing to draw"):
        plot_curves([empty], tmp_path / "x.svg")
    with pytest.raises(UsageError, match="plot suffix"):
        plot_curves([empty], tmp_path / "x.jpg")
    with pytest.raises(UsageError, match="did you mean 'steps'"):
        curves_figure([learning_curve(empty)], "step")


def test_label_model_curve_shows_its_selection_metric(run):
    figures = [
        {"event": "validated", "step": step, "epoch": 1.0, "seconds": 1.0, "f1": f1, "best_f1": f1}
        for step, f1 in ((5, 0.5), (9, 0.75))
    ]
    curve = learning_curve(run("tagger", STARTED, loss(1, 1.0, is_exact=True), *figures))
    [axes] = curves_figure([curve]).axes
    assert axes.get_ylabel() == "validation f1" and axes.get_yscale() == "linear"
    shares = [figure | {"is_share": True} for figure in figures]
    [axes] = curves_figure([learning_curve(run("shares", STARTED, *shares))]).axes
    assert axes.get_ylabel() == "validation f1 (%)"
    assert list(axes.lines[0].get_ydata()) == [50, 75]
    with pytest.raises(UsageError, match="no common axis"):
        curves_figure([curve, learning_curve(run("b", STARTED, validated(10, 80.0)))])

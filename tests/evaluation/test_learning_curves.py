"""Learning curves, read from what runs have left."""

import pytest

from rnnlm.errors import ModelError
from rnnlm.evaluation.learning_curves import learning_curve
from support.run_logs import STARTED, logged, loss, validated


@pytest.fixture
def run(tmp_path):
    """Return a function that makes the folder of a run with these events."""
    return lambda name, *events: logged(tmp_path / name, *events)


def test_curve_pairs_validations_with_tokens_read_but_for_rolled_back_steps(run):
    validations = [validated(5, 80.0), validated(7, None), validated(10, 70.0)]
    curve = learning_curve(run("a", STARTED, *validations))
    expected = [(5, 500, 0.5, 2.5, 80.0), (10, 1000, 1.0, 5.0, 70.0)]
    assert [tuple(point.to_dict().values()) for point in curve.points] == expected
    back = {"event": "rolledback", "step": 30, "to_step": 10}
    before = [STARTED, validated(10, 80.0), validated(20, 9e9)]
    curve = learning_curve(run("b", *before, back, STARTED, validated(20, 60.0)))
    assert [(point.steps, point.ppl_token) for point in curve.points] == [(10, 80.0), (20, 60.0)]


def test_training_perplexity_is_given_for_exact_losses_only(run):
    losses = [(0.0, True), (1.0, False), (800.0, True), (None, True)]
    events = [loss(step, nats, is_exact=exact) for step, (nats, exact) in enumerate(losses, 1)]
    (point,) = learning_curve(run("a", STARTED, *events)).training
    assert (point.steps, point.tokens, point.ppl_token) == (1, 95, 1.0)


def test_what_is_no_log_of_a_run_is_named(run, tmp_path):
    with pytest.raises(ModelError, match="elsewhere"):
        learning_curve(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="has no learning curve"):
        learning_curve(run("other", {"event": "mixed"}))
    for number, event in enumerate([{"event": "rolledback"}, validated(1, 9.0) | {"epoch": 1e400}]):
        with pytest.raises(ModelError, match=r"the metrics.jsonl in .* is damaged"):
            learning_curve(run(f"damaged{number}", STARTED, validated(1, 9.0), event))


def test_label_model_curve_has_its_selection_metric(run):
    figures = [
        {"event": "validated", "step": step, "epoch": 1.0, "seconds": 1.0, "f1": f1, "best_f1": f1}
        for step, f1 in ((5, 0.5), (9, 0.75))
    ]
    curve = learning_curve(run("tagger", STARTED, loss(1, 1.0, is_exact=True), *figures))
    assert [(point.value, point.ppl_token) for point in curve.points] == [(0.5, None), (0.75, None)]
    assert curve.training == ()
    assert curve.to_dict()["criterion"] == "f1" and curve.to_dict()["points"][1]["f1"] == 0.75

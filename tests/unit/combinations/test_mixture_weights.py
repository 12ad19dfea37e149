"""Tuned weights against grids, by hand, and by what must hold at the best ones."""

import numpy as np
import pytest

from rnnlm.combinations import mixing
from rnnlm.combinations.mixing import Predictions, linear_weights, log_linear_weights
from rnnlm.combinations.mixture import Mixture
from rnnlm.inference import span_scoring
from support.tiny_models import HELD_OUT, Lines, fit

TEXT = [*HELD_OUT, "the dog sat on a mat", "speech is hard"]


@pytest.fixture(scope="module")
def models():
    return [fit("lstm"), fit("ngram", order=3), fit("unigram")]


def read(models, lines=TEXT):
    ids = Lines(lines).encode(models[0].tokenizer).ids
    return ids, np.stack(
        [span_scoring.score_spans(model, ids, span_scoring.whole_text(ids)) for model in models]
    )


def loss(weights, scores_KN) -> float:
    with np.errstate(divide="ignore"):
        return -np.log(np.asarray(weights) @ np.exp(scores_KN)).mean()


def test_em_by_hand():
    # two tokens: p_1 = 1/2, 1/2; p_2 = 1, 1/4. d/dw of log(1 - w/2) + log(1/4 + w/4) = 0 at 2 - w =
    # 1 + w
    scores_KN = np.log([[0.5, 0.5], [1.0, 0.25]])
    assert linear_weights(scores_KN).weights_K == pytest.approx([0.5, 0.5], abs=1e-3)
    scores_KN = np.log([[0.5, 0.5, 0.5], [1.0, 0.25, 0.25]])  # 2 (2 - w) = 1 + w: all on the first
    assert linear_weights(scores_KN).weights_K == pytest.approx([1.0, 0.0], abs=1e-3)


def test_em_ends_within_its_tolerance_of_the_best(models):
    _, scores_KN = read(models)
    found = loss(linear_weights(scores_KN).weights_K, scores_KN)
    steps = np.linspace(0, 1, 101)
    grid = [(a, b, 1 - a - b) for a in steps for b in steps if a + b <= 1]
    assert (
        found <= min(loss(np.abs(weights), scores_KN) for weights in grid) + mixing.TOLERANCE_NATS
    )
    assert found <= min(loss(np.eye(3)[k], scores_KN) for k in range(3))


def test_em_never_makes_the_text_less_probable(models, monkeypatch):
    _, scores_KN = read(models)
    losses = []
    for rounds in range(1, 30):
        monkeypatch.setattr(mixing, "MOST_ROUNDS", rounds)
        losses.append(loss(linear_weights(scores_KN).weights_K, scores_KN))
    assert (np.diff(losses) <= 1e-12).all() and losses[-1] < losses[0]


def test_em_of_identical_models_stops_at_once():
    scores_KN = np.log([[0.5, 0.1, 0.2]] * 3)
    tuned = linear_weights(scores_KN)
    assert tuned.weights_K.tolist() == [1 / 3] * 3 and tuned.iterations == 1


def test_em_leaves_out_what_no_part_holds_possible():
    with np.errstate(divide="ignore"):
        scores_KN = np.log([[0.5, 0.5, 0.0, 0.0], [1.0, 0.25, 0.0, 0.0]])
    assert linear_weights(scores_KN).weights_K == pytest.approx([0.5, 0.5], abs=1e-3)
    assert linear_weights(scores_KN[:, 2:]).weights_K.tolist() == [0.5, 0.5]
    # the second alone can explain the last one
    some = np.concatenate([scores_KN, [[-np.inf], [-1.0]]], axis=1)
    assert linear_weights(some).weights_K[1] > 0.5


def log_linear_loss(models, weights) -> float:
    _, (scores_N,) = read([Mixture(models, weights, "log-linear")])
    return -scores_N.mean()


def tuned_log_linear(models, lines=TEXT):
    ids, _ = read(models, lines)
    reader = Mixture(models, [1 / len(models)] * len(models), "log-linear")
    return log_linear_weights(Predictions(reader, ids, span_scoring.whole_text(ids)), len(models))


@pytest.mark.parametrize("chosen", [[0, 1], [1, 2]], ids=["lstm and ngram", "ngram and unigram"])
def test_newton_equals_a_grid_search(models, chosen):
    both = [models[k] for k in chosen]
    tuned = tuned_log_linear(both)
    best = log_linear_loss(both, tuned.weights_K)
    for one in np.linspace(-0.1, 0.1, 5):
        for other in np.linspace(-0.1, 0.1, 5):
            assert log_linear_loss(both, tuned.weights_K + [one, other]) >= best - 1e-6
    assert best < min(log_linear_loss(both, weights) for weights in ([0.5, 0.5], [1, 0], [0, 1]))
    assert tuned.iterations < 20


def test_gradient_and_curvature_are_those_of_the_loss(models):
    ids, _ = read(models[1:])
    predictions = Predictions(
        Mixture(models[1:], [0.5, 0.5], "log-linear"), ids, span_scoring.whole_text(ids)
    )
    at, step = np.array([0.6, -0.3]), 1e-3
    value, gradient, hessian = mixing._moments(predictions, at)
    assert value == pytest.approx(log_linear_loss(models[1:], at))
    for k, each in enumerate(np.eye(2) * step):
        sides = [mixing._moments(predictions, at + sign * each) for sign in (1, -1)]
        assert gradient[k] == pytest.approx((sides[0][0] - sides[1][0]) / (2 * step), abs=1e-5)
        assert hessian[k] == pytest.approx((sides[0][1] - sides[1][1]) / (2 * step), abs=1e-4)


def test_newton_with_a_model_twice_shares_its_weight(models):
    once, twice = (
        tuned_log_linear([models[1], models[2]]),
        tuned_log_linear([models[1], models[1], models[2]]),
    )
    assert twice.weights_K[:2].sum() == pytest.approx(once.weights_K[0], abs=1e-3)
    assert twice.weights_K[0] == pytest.approx(twice.weights_K[1], abs=1e-3)


def test_newton_leaves_out_what_a_part_holds_impossible(models):
    bare = fit("ngram", order=2, smoothing="mle")
    tuned = tuned_log_linear([bare, models[2]])
    assert np.isfinite(tuned.weights_K).all()
    assert np.isneginf(read([Mixture([bare, models[2]], tuned.weights_K, "log-linear")])[1]).any()


def test_kept_predictions_are_those_read_anew(models, monkeypatch):
    ids, _ = read(models)
    predictions = Predictions(
        Mixture(models, [1 / 3] * 3, "log-linear"),
        ids,
        span_scoring.spans_between(np.array([0, 4, len(ids)])),
    )
    kept = predictions.kept()
    assert isinstance(kept, list)
    assert (
        log_linear_weights(kept, 3).weights_K.tolist()
        == log_linear_weights(predictions, 3).weights_K.tolist()
    )
    monkeypatch.setattr(mixing, "KEPT_BYTES", 100)
    assert predictions.kept() is predictions


@pytest.mark.parametrize("seed", range(10))
def test_tuned_weights_are_never_worse_than_equal_ones(seed):
    """With ties, constants and tokens that only one part holds possible."""
    draw = np.random.default_rng(seed)
    scores_KN = draw.integers(-3, 0, (3, 7)).astype(float)
    scores_KN[0] = -1.0
    scores_KN[1:, 0] = -np.inf
    if seed % 2:
        scores_KN[2] = scores_KN[1]
    found = linear_weights(scores_KN).weights_K
    assert loss(found, scores_KN) <= loss([1 / 3] * 3, scores_KN) + 1e-15
    assert found.sum() == pytest.approx(1) and (found >= 0).all()


@pytest.mark.parametrize("lines", [["the"], ["dog dog"], TEXT[:1] * 3], ids=str)
def test_newton_is_never_worse_than_equal_weights(models, lines):
    ids, _ = read(models[1:], lines)
    spans = span_scoring.whole_text(ids)
    for parts in (models[1:], [models[1], models[1]]):
        tuned = tuned_log_linear(parts, lines)
        losses = []
        for weights in (tuned.weights_K, [0.5, 0.5]):
            mixture = Mixture(parts, weights, "log-linear")
            losses.append(-span_scoring.score_spans(mixture, ids, spans).mean())
        assert losses[0] <= losses[1] + 1e-6

"""Tuned weights against grids, by hand, and by conditions that hold at the best ones."""

import numpy as np
import pytest

from rnnlm.lm.base import span_scoring
from rnnlm.tools.mixtures import mixing
from rnnlm.tools.mixtures.mixing import linear_weights
from support.tiny_models import HELD_OUT, Lines, fit

TEXT = [*HELD_OUT, "the dog sat on a mat", "speech is hard"]


@pytest.fixture(scope="module")
def models():
    return [fit("lstm"), fit("ngram", order=3), fit("unigram")]


def read(models, lines=TEXT):
    ids = Lines(lines).encode(models[0].tokenizer).ids
    whole = span_scoring.whole_text(ids)
    return ids, np.stack([span_scoring.score_spans(model, ids, whole) for model in models])


def loss(weights, scores_KN) -> float:
    with np.errstate(divide="ignore"):
        return -np.log(np.asarray(weights) @ np.exp(scores_KN)).mean()


def test_em_by_hand():
    # two tokens: p_1 = 1/2, 1/2; p_2 = 1, 1/4. d/dw of log(1 - w/2) + log(1/4 + w/4) = 0 at 2 - w =
    # 1 + w
    scores_KN = np.log([[0.5, 0.5], [1.0, 0.25]])
    assert linear_weights(scores_KN)[0] == pytest.approx([0.5, 0.5], abs=1e-3)
    scores_KN = np.log([[0.5, 0.5, 0.5], [1.0, 0.25, 0.25]])  # 2 (2 - w) = 1 + w: all on the first
    assert linear_weights(scores_KN)[0] == pytest.approx([1.0, 0.0], abs=1e-3)


def test_em_ends_within_its_tolerance_of_the_best(models):
    _, scores_KN = read(models)
    found = loss(linear_weights(scores_KN)[0], scores_KN)
    steps = np.linspace(0, 1, 101)
    grid = [(a, b, 1 - a - b) for a in steps for b in steps if a + b <= 1]
    best = min(loss(np.abs(weights), scores_KN) for weights in grid)
    assert found <= best + mixing.TOLERANCE_NATS
    assert found <= min(loss(np.eye(3)[k], scores_KN) for k in range(3))


def test_em_of_identical_models_stops_at_once():
    scores_KN = np.log([[0.5, 0.1, 0.2]] * 3)
    weights_K, iterations = linear_weights(scores_KN)
    assert weights_K.tolist() == [1 / 3] * 3 and iterations == 1


def test_em_leaves_out_what_no_part_holds_possible():
    with np.errstate(divide="ignore"):
        scores_KN = np.log([[0.5, 0.5, 0.0, 0.0], [1.0, 0.25, 0.0, 0.0]])
    assert linear_weights(scores_KN)[0] == pytest.approx([0.5, 0.5], abs=1e-3)
    assert linear_weights(scores_KN[:, 2:])[0].tolist() == [0.5, 0.5]
    # the second alone can explain the last one
    some = np.concatenate([scores_KN, [[-np.inf], [-1.0]]], axis=1)
    assert linear_weights(some)[0][1] > 0.5


@pytest.mark.parametrize("seed", range(10))
def test_tuned_weights_are_never_worse_than_equal_ones(seed):
    """With ties, constants and tokens that only one part holds possible."""
    draw = np.random.default_rng(seed)
    scores_KN = draw.integers(-3, 0, (3, 7)).astype(float)
    scores_KN[0] = -1.0
    scores_KN[1:, 0] = -np.inf
    if seed % 2:
        scores_KN[2] = scores_KN[1]
    found = linear_weights(scores_KN)[0]
    assert loss(found, scores_KN) <= loss([1 / 3] * 3, scores_KN) + 1e-15
    assert found.sum() == pytest.approx(1) and (found >= 0).all()

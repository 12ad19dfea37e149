"""Exact line search against grids, and against every choice of hypotheses."""

import itertools
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import example, given, strategies as st

from rnnlm.tools.rescoring.features import (
    OPEN_UNITS,
    Candidates,
    Steps,
    best_on_line,
    errors_along,
    minimise_errors,
    units,
)


def candidates(
    seed: int, utterances: int = 6, most: int = 5, features: int = 1, whole: bool = False
) -> Candidates:
    """Draw a small random list. `whole`: integers, which make ties and repeated hypotheses."""
    rng = np.random.default_rng(seed)
    shape = (utterances, most)

    def draw(*shape):
        return rng.integers(-2, 3, shape).astype(float) if whole else rng.normal(size=shape)

    usable = rng.random(shape) < 0.8
    usable[np.arange(utterances), rng.integers(0, most, utterances)] = True
    return Candidates(draw(*shape), draw(features, *shape), usable, rng.integers(0, 6, shape))


def steps_of(c: Candidates) -> Steps:
    return errors_along(c.first_SN, c.features_KSN[0], c.usable_SN, c.errors_SN)


@given(st.integers(0, 10_000), st.booleans())
def test_errors_along_a_line_match_a_fine_grid(seed, whole):
    c = candidates(seed, whole=whole)
    steps = steps_of(c)
    assert (np.diff(steps.corners) >= 0).all() and len(steps.errors) == len(steps.corners) + 1
    for gamma in np.linspace(-6.01, 6.01, 400):
        if len(steps.corners) and np.abs(steps.corners - gamma).min() < 1e-9:
            continue
        errors = steps.errors[np.searchsorted(steps.corners, gamma)]
        assert errors == c.errors(np.array([gamma])), gamma


@example(1817, True, 0.0)  # all corners lie at or below the lowest weight, one at it
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([-np.inf, 0.0]))
def test_with_one_feature_no_grid_weight_does_better(seed, whole, lowest):
    c = candidates(seed, whole=whole)
    weights, errors = minimise_errors(c, np.array([lowest]))
    assert errors == c.errors(weights) and weights[0] >= lowest
    corners = np.sort(np.append(steps_of(c).corners, 0.0))
    between = np.concatenate([corners[:1] - 1, (corners[1:] + corners[:-1]) / 2, corners[-1:] + 1])
    grid = np.concatenate([np.linspace(-20.01, 20, 401), between])
    # at a corner two tie: not an interval
    grid = grid[np.abs(grid[:, None] - corners).min(axis=1, initial=1.0) > 1e-9]
    assert errors == min(c.errors(np.array([gamma])) for gamma in grid[grid > lowest])


def test_a_line_worked_out_by_hand():
    # -2 gamma, 1 and gamma - 1: they meet at -0.5 and 2; the errors are 3, 1, 2
    first, slopes = np.array([[0.0, 1.0, -1.0]]), np.array([[-2.0, 0.0, 1.0]])
    steps = errors_along(first, slopes, np.ones((1, 3), bool), np.array([[3, 1, 2]]))
    assert steps.corners.tolist() == [-0.5, 2.0] and steps.errors.tolist() == [3, 1, 2]
    assert best_on_line(steps, -np.inf, 1.0, 9.0) == 0.75
    # the interval is cut at the lowest weight there may be
    assert best_on_line(steps, 0.0, 1.0, 9.0) == 1.0


@pytest.mark.parametrize(("corners", "errors", "lowest", "chosen"), [
    ([0.0, 1.0, 3.0, 4.0], [9, 1, 5, 1, 9], -np.inf, 0.5),
    ([0.0, 1.0, 3.0, 5.0], [9, 1, 5, 1, 9], -np.inf, 4.0),
    ([0.0, 1.0, 3.0], [9, 1, 1, 9], -np.inf, 1.5),
    ([1.0, 1.0, 3.0], [9, 0, 5, 9], -np.inf, 2.0),
    ([1.0, 2.0], [9, 5, 1], -np.inf, 2.0 + OPEN_UNITS * 0.5 / 2),
    ([1.0, 2.0], [1, 5, 9], -np.inf, 1.0 - OPEN_UNITS * 0.5 / 2),
    ([-2.0, -1.0], [1, 5, 9], 0.0, 7.0), ([], [4], -np.inf, 7.0),
])  # fmt: skip
def test_the_rule_within_and_between_intervals(corners, errors, lowest, chosen):
    assert best_on_line(Steps(np.array(corners), np.array(errors)), lowest, 0.5, 7.0) == chosen


@pytest.mark.parametrize("seed", range(5))
def test_units_compare_how_much_scores_vary_within_utterances(seed):
    c = candidates(seed, features=2)
    plain = []
    for values_SN in (c.first_SN, *c.features_KSN):
        values_SN = np.where(c.usable_SN, values_SN, 0.0)
        mean_S1 = values_SN.sum(axis=1, keepdims=True) / c.usable_SN.sum(axis=1, keepdims=True)
        away_SN = np.where(c.usable_SN, values_SN - mean_S1, 0.0)
        plain.append(np.sqrt((away_SN**2).sum()))
    assert units(c).tolist() == [plain[0] / plain[1], plain[0] / plain[2]]  # bit by bit
    # An utterance of one hypothesis has no part in it, whatever its score.
    alone = np.arange(c.first_SN.shape[1]) == 1
    lowest = np.where(alone, -1e308, 0.0)
    larger = Candidates(
        np.vstack([lowest, c.first_SN, lowest]),
        np.pad(c.features_KSN, ((0, 0), (1, 1), (0, 0))),
        np.vstack([alone, c.usable_SN, alone]),
        np.pad(c.errors_SN, ((1, 1), (0, 0))),
    )
    assert units(larger) == pytest.approx(units(c), rel=1e-12)


def test_of_equal_scores_the_earlier_hypothesis_counts():
    usable, errors = np.array([[False, True, True]]), np.array([[0, 2, 1]])
    same = Candidates(np.zeros((1, 3)), np.zeros((1, 1, 3)), usable, errors)
    assert same.best_S(np.array([1.0])).tolist() == [1] and same.errors(np.array([1.0])) == 2
    assert steps_of(same).errors.tolist() == [2]


def fewest_by_grid(c: Candidates) -> int:
    """Return the fewest errors over all weights of two features, from trying weights between all
    lines at which two hypotheses of an utterance swap."""
    lines = []
    for row in range(len(c.first_SN)):
        for a, b in itertools.combinations(np.flatnonzero(c.usable_SN[row]), 2):
            normal = c.features_KSN[:, row, a] - c.features_KSN[:, row, b]
            lines.append((normal, c.first_SN[row, b] - c.first_SN[row, a]))
    best = c.errors(np.zeros(2))
    for (one, at), (other, and_at) in itertools.combinations(lines, 2):
        normals = np.array([one, other])
        if abs(np.linalg.det(normals)) < 1e-9:
            continue
        corner = np.linalg.solve(normals, [at, and_at])
        # the four regions that touch at the corner
        for signs in itertools.product((-1e-6, 1e-6), repeat=2):
            best = min(best, c.errors(corner + np.linalg.solve(normals, signs)))
    return best


@pytest.mark.parametrize("seed", range(3))
def test_two_weights_reach_the_planes_fewest_errors(seed):
    c = candidates(seed, utterances=5, most=3, features=2)
    with patch("rnnlm.tools.rescoring.features.RESTARTS", 100):
        _, errors = minimise_errors(c, np.full(2, -np.inf))
    assert errors == fewest_by_grid(c)


def test_a_seed_fixes_weights_no_worse_than_zero():
    c = candidates(3, utterances=60, most=8, features=3)
    lowest = np.array([0.0, -np.inf, -np.inf])
    weights, errors = minimise_errors(c, lowest, seed=5)
    again, _ = minimise_errors(c, lowest, seed=5)
    assert weights.tolist() == again.tolist() and weights[0] >= 0
    assert errors == c.errors(weights) <= c.errors(np.zeros(3))


def test_errors_are_independent_of_the_first_passs_scale():
    c = candidates(4, utterances=40, most=6, features=2)
    larger = Candidates(c.first_SN * 1024, c.features_KSN, c.usable_SN, c.errors_SN)
    small, errors = minimise_errors(c, np.full(2, -np.inf))
    large, as_many = minimise_errors(larger, np.full(2, -np.inf))
    assert errors == as_many and large == pytest.approx(small * 1024)


def test_a_constant_feature_gets_no_weight():
    c = candidates(5, features=2)
    c.features_KSN[1] = np.arange(6)[:, None] * 0.1
    assert units(c)[1] == 0
    weights, _ = minimise_errors(c, np.full(2, -np.inf))
    assert weights[1] == 0


@given(
    st.integers(0, 10_000),
    st.integers(1, 3),
    st.sampled_from(["ties", "constant scores", "constant features", "all constant"]),
    st.sampled_from([-np.inf, 0.0]),
)
def test_tuned_weights_are_never_worse_than_none(seed, features, kind, lowest):
    c = candidates(seed, features=features, whole=True)
    first_SN, features_KSN = c.first_SN, c.features_KSN
    if kind in ("constant scores", "all constant"):
        first_SN = np.full_like(first_SN, -4.0)
    if kind in ("constant features", "all constant"):
        features_KSN = np.full_like(features_KSN, 2.0)
    c = Candidates(first_SN, features_KSN, c.usable_SN, c.errors_SN)
    with patch("rnnlm.tools.rescoring.features.RESTARTS", 2):
        weights, errors = minimise_errors(c, np.full(features, lowest))
    assert errors == c.errors(weights) <= c.errors(np.zeros(features))

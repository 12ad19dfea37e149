"""Regressions from sums per item against plain ones: a column for each subject, fold by fold."""

import math

import numpy as np
import pytest

from rnnlm.evaluation.resampling import permutation_p
from rnnlm.tools.reading.gains import any_effect_p, held_out_logliks
from rnnlm.tools.reading.regression import ItemSums, independent

# statsmodels 0.15.0: ols("y ~ x + z + w + C(subject)", data).fit().params of unbalanced(0)
GOLDEN = [2.3632508002074246, -0.5440568360041196, 61.80065516623654]


def unbalanced(seed=0, items=12, subjects=5, rows=150, columns=3):
    """Return predictors, response, items and subjects of unequally many rows."""
    random = np.random.default_rng(seed)
    item = np.r_[np.arange(items), random.integers(0, items, rows - items) ** 2 // items]
    subject = np.r_[random.integers(0, subjects, rows) ** 2 // subjects]
    subject[:subjects] = range(subjects)
    x = random.normal(300, [1, 20, 0.01], (rows, columns)) + 5 * subject[:, None]
    y = 400 + 30 * subject + x @ [2.0, -0.5, 100.0] + random.normal(0, 5, rows)
    return np.column_stack([x, y]), item, subject


def with_constants(x, subject, subjects):
    return np.column_stack([x, subject[:, None] == np.arange(subjects)])


def test_coefficients_equal_a_column_for_each_subject():
    for seed in range(5):
        values, item, subject = unbalanced(seed)
        sums = ItemSums.of(values, item, subject)
        whole = sums.weighted(np.ones((1, item.max() + 1)))
        assert independent(whole, range(3)) == [0, 1, 2]
        design = with_constants(values[:, :3], subject, subject.max() + 1)
        for columns in ([0, 1, 2], [2, 0]):
            [coefficients], [left], [freedom] = whole.fit(columns)
            chosen = design[:, [*columns, *range(3, design.shape[1])]]
            expected, [squares], rank, _ = np.linalg.lstsq(chosen, values[:, -1])
            assert sums.in_units(coefficients, columns) == pytest.approx(
                expected[: len(columns)], abs=1e-6
            )
            assert left * sums.scale_P[-1] ** 2 == pytest.approx(squares, rel=1e-9)
            assert freedom == len(values) - rank


def test_coefficients_equal_statsmodels():
    values, item, subject = unbalanced(0)
    sums = ItemSums.of(values, item, subject)
    [coefficients], [left], [freedom] = sums.weighted(np.ones((1, 12))).fit([0, 1, 2])
    assert sums.in_units(coefficients, [0, 1, 2]) == pytest.approx(GOLDEN, abs=1e-6)
    assert left * sums.scale_P[-1] ** 2 == pytest.approx(3330.9746515212523, abs=1e-6)
    assert freedom == 142


def test_held_out_likelihoods_equal_plain_ones():
    values, item, subject = unbalanced(3)
    fold = np.arange(12) % 4
    sums = ItemSums.of(values, item, subject)
    for columns in ([0, 1, 2], [1]):
        found = held_out_logliks(sums, columns, fold)
        expected = np.zeros(12)
        scaled = (values - values.mean(axis=0)) / values.std(axis=0)
        for number in range(4):
            is_training = fold[item] != number
            centred = np.empty_like(scaled)
            for who in range(5):
                training = scaled[is_training & (subject == who)]
                if not len(training):
                    training = scaled[subject == who]
                mean = training.mean(axis=0)
                centred[subject == who] = scaled[subject == who] - mean
            x, y = centred[:, columns], centred[:, -1]
            coefficients = np.linalg.lstsq(x[is_training], y[is_training])[0]
            error = y - x @ coefficients
            present = len(set(subject[is_training]))
            freedom = is_training.sum() - present - len(columns)
            variance = (error[is_training] ** 2).sum() / freedom
            loglik = -0.5 * (np.log(2 * math.pi * variance) + error**2 / variance)
            for place in np.flatnonzero(~is_training):
                expected[item[place]] += loglik[place]
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_predictors_that_others_determine_are_found():
    values, item, subject = unbalanced(4)
    x = values[:, :3]
    table = np.column_stack([x, x @ [1, 2, 3], subject, np.ones(len(x)), values[:, -1]])
    whole = ItemSums.of(table, item, subject).weighted(np.ones((1, 12)))
    assert independent(whole, range(6)) == [0, 1, 2]


def test_a_permuted_predictor_gains_nothing():
    """Of 40 permutations, few have a small p, though most gains are below zero."""
    gains, small = [], 0
    for seed in range(40):
        values, item, subject = unbalanced(6, items=30, rows=900)
        values[:, 0] = np.random.default_rng(seed).permutation(values[:, 0])
        sums, fold = ItemSums.of(values, item, subject), np.arange(30) % 10
        gain = held_out_logliks(sums, [0, 1, 2], fold) - held_out_logliks(sums, [1, 2], fold)
        gains.append(gain.sum())
        small += permutation_p(gain, resamples=999, one_sided=True) < 0.05
    assert np.mean(gains) < 0 and small <= 4


def test_the_p_of_any_effect_flips_the_scores_of_items():
    """One predictor: as paired differences are tested; two: by the definition."""
    values, item, subject = unbalanced(7, items=8)
    values[:, -1] += np.random.default_rng(1).normal(0, 60, len(values))
    sums = ItemSums.of(values, item, subject)
    design = with_constants(values[:, :1], subject, 5)
    left = values[:, 1:] - design @ np.linalg.lstsq(design, values[:, 1:])[0]
    scores = [np.bincount(item, left[:, place] * left[:, -1]) for place in (0, 1)]
    assert any_effect_p(sums, [0], [0, 1], 9999, 1) == permutation_p(scores[0])
    score_IA = np.stack(scores, axis=1)
    inverse = np.linalg.inv(score_IA.T @ score_IA)
    signs = np.array(np.meshgrid(*[[1, -1]] * 8)).reshape(8, -1).T
    found = np.array([total @ inverse @ total for total in signs @ score_IA])
    expected = np.mean(found >= found[0] * (1 - 1e-9))
    assert any_effect_p(sums, [0], [0, 1, 2], 9999, 1) == expected
    assert any_effect_p(sums, [0, 1, 2], [0, 1, 2], 9999, 1) == 1.0


def small_p_of_any_effect(items, slope, tables):
    """Return how often p is at most 0.05: ten words an item, three subjects, items that differ."""
    small = 0
    for seed in range(tables):
        random = np.random.default_rng(seed)
        item, word = np.repeat(np.arange(items), 30), np.repeat(np.arange(10 * items), 3)
        x = random.normal(size=(10 * items, 4))[word]
        y = x[:, 0] + slope * x[:, 1] + random.normal(0, 0.3, items)[item]
        y += random.normal(size=10 * items)[word] + random.standard_t(5, len(item))
        sums = ItemSums.of(np.column_stack([x, y]), item, np.tile(np.arange(3), 10 * items))
        small += any_effect_p(sums, [0], [0, 1, 2, 3], 999, seed) <= 0.05
    return small / tables


def test_weak_effects_are_found():
    assert small_p_of_any_effect(40, 0.25, 40) > 0.7


@pytest.mark.soak
@pytest.mark.parametrize("items", [12, 40])
def test_the_p_of_any_effect_keeps_its_level(items):
    assert 0.03 <= small_p_of_any_effect(items, 0.0, 1000) <= 0.07

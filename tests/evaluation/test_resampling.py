import numpy as np
import pytest

from rnnlm.errors import UsageError
from rnnlm.evaluation import resampling
from rnnlm.evaluation.resampling import by_block, permutation_p, ratio_interval


def test_mean_interval_is_normal_for_many_units():
    values = np.random.default_rng(3).normal(5, 2, 4000)
    interval = ratio_interval(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_ratio_intervals_have_nominal_coverage():
    """Errors over words, as of utterances: 400 test sets of 80 units; 95 % and no fewer than
    binomial chance allows."""
    generator = np.random.default_rng(11)
    covered = 0
    for seed in range(400):
        words = generator.integers(3, 30, 80)
        errors = generator.binomial(words, 0.1 * generator.gamma(4, 1 / 4, 80).clip(0, 9))
        interval = ratio_interval(errors, words, resamples=400, seed=seed)
        covered += interval.low <= 0.1 <= interval.high
    assert 0.90 <= covered / 400 <= 0.98


def test_transform_applies_to_bounds_in_order():
    surprisal, ones = np.arange(1.0, 11.0), np.ones(10)
    plain = ratio_interval(surprisal, ones)
    turned = ratio_interval(surprisal, ones, transform=lambda value: np.exp(-value))
    assert turned.low == pytest.approx(np.exp(-plain.high))
    assert turned.high == pytest.approx(np.exp(-plain.low))


def test_bounds_are_reproducible_and_coincide_for_one_unit():
    values = np.random.default_rng(5).normal(size=30)
    assert (
        ratio_interval(values, seed=4)
        == ratio_interval(values, seed=4)
        != ratio_interval(values, seed=5)
    )
    assert ratio_interval(np.array([2.0])).low == 2.0


@pytest.mark.filterwarnings("error")
def test_units_that_hold_nothing_leave_the_bounds_finite():
    interval = ratio_interval(np.array([1.0, 2.0]), np.array([0.0, 4.0]))
    assert (interval.low, interval.estimate) == (0.5, 0.75) and np.isfinite(interval.high)
    equal = ratio_interval(np.zeros(3), np.ones(3))
    assert (equal.low, equal.high) == (0, 0)


def test_permutation_test_of_few_units_is_exhaustive():
    assert permutation_p(np.array([1.0, 1.0, 1.0, 1.0])) == pytest.approx(2 / 16)
    assert permutation_p(np.array([1.0, 1.0, 0.0, 1.0, 1.0])) == pytest.approx(2 / 16)
    assert permutation_p(np.zeros(7)) == permutation_p(np.array([0.0, 3.0])) == 1.0


def units_with_ties(count):
    return np.random.default_rng(count).normal(0.3, 1, count).round(1)


@pytest.mark.parametrize("units, resamples", [(2, 99), (6, 99), (6, 63), (40, 999), (300, 99)])
def test_permutation_is_scipys(monkeypatch, units, resamples):
    """To the last bit, draw for draw, also where not all draws fit into the memory at once."""
    monkeypatch.setattr(resampling, "BATCH_UNITS", 1000)
    from scipy.stats import permutation_test

    values = units_with_ties(units)
    result = permutation_test(
        (values[values != 0],),
        lambda values, axis: values.sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, 1000 // np.count_nonzero(values)),
        rng=np.random.default_rng(3),
    )
    assert permutation_p(values, resamples=resamples, seed=3) == result.pvalue


@pytest.mark.parametrize("units", [2, 30, 3000])
def test_bootstrap_is_scipys(units):
    from scipy.stats import bootstrap

    values, weights = units_with_ties(units), np.arange(1.0, units + 1)
    result = bootstrap(
        (values, weights),
        lambda values, weights, axis: values.sum(axis=axis) / weights.sum(axis=axis),
        n_resamples=500,
        method="percentile",
        paired=True,
        vectorized=True,
        rng=np.random.default_rng(3),
    )
    interval = ratio_interval(values, weights, resamples=500, seed=3)
    tails = [(1 - resampling.LEVEL) / 2, (1 + resampling.LEVEL) / 2]
    expected = np.quantile(result.bootstrap_distribution, tails)
    assert [interval.low, interval.high] == list(expected)


def test_p_values_of_equal_systems_are_spread_evenly():
    generator = np.random.default_rng(2)
    p = [permutation_p(generator.normal(size=40), resamples=199, seed=seed) for seed in range(200)]
    assert 0.4 < np.mean(p) < 0.6 and 0.01 < np.mean(np.array(p) < 0.05) < 0.11


def test_blocks_hold_the_sums_of_their_units():
    assert by_block(np.arange(7), 3).tolist() == [3, 12, 6]
    with pytest.raises(UsageError):
        by_block(np.arange(7), 0)


@pytest.mark.parametrize(
    "numerator, denominator", [([], []), ([1.0], [0.0]), ([np.nan], [1.0]), ([np.inf], [1.0])]
)
def test_what_cannot_be_resampled_is_an_error(numerator, denominator):
    with pytest.raises(UsageError):
        ratio_interval(np.array(numerator), np.array(denominator))

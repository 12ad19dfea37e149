import random

import numpy as np
import pytest

from rnnlm.errors import UsageError
from rnnlm.evaluation import resampling
from rnnlm.evaluation.resampling import (
    CountedMetric,
    SentenceCounts,
    bootstrap_interval,
    by_block,
    paired_difference,
    permutation_p,
    ratio_interval,
)
from rnnlm.tasks.labelling.evaluation.label_metrics import Predictions, f1, measures

pytestmark = pytest.mark.needs("tasks/labelling")


def test_mean_interval_is_normal_for_many_units():
    values = np.random.default_rng(3).normal(5, 2, 4000)
    interval = ratio_interval(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_intervals_have_nominal_coverage():
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
    # 100 test sets of 80 sentences with 0 to 4 spans, 80 % of them found, and 0 to 2 that are none.
    generator = np.random.default_rng(6)
    truth, covered = 2 * 0.8 * 2 / (2 + 0.8 * 2 + 1), 0
    for seed in range(100):
        gold = generator.integers(0, 5, 80)
        right = generator.binomial(gold, 0.8)
        counts = SentenceCounts.of_numbers(right, right + generator.integers(0, 3, 80), gold)
        interval = bootstrap_interval(CountedMetric(counts, f1), resamples=200, seed=seed)
        covered += interval.low <= truth <= interval.high
    assert 0.90 <= covered / 100 <= 0.99


def test_bounds_are_reproducible_and_transformed_in_order():
    surprisal, ones = np.arange(1.0, 11.0), np.ones(10)
    plain = ratio_interval(surprisal, ones)
    turned = ratio_interval(surprisal, ones, transform=lambda value: np.exp(-value))
    assert turned.low == pytest.approx(np.exp(-plain.high))
    assert turned.high == pytest.approx(np.exp(-plain.low))
    values = np.random.default_rng(5).normal(size=30)
    first, again, other = (ratio_interval(values, seed=seed) for seed in (4, 4, 5))
    assert first == again != other
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
        (values[values != 0],), np.sum, permutation_type="samples", vectorized=True,
        n_resamples=resamples, batch=max(1, 1000 // np.count_nonzero(values)),
        rng=np.random.default_rng(3),
    )  # fmt: skip
    assert permutation_p(values, resamples=resamples, seed=3) == result.pvalue
    for sign in (1, -1):
        result = permutation_test(
            (sign * values[values != 0],), np.sum, permutation_type="samples", vectorized=True,
            n_resamples=resamples, alternative="greater", rng=np.random.default_rng(3),
            batch=max(1, 1000 // np.count_nonzero(values)),
        )  # fmt: skip
        found = permutation_p(sign * values, resamples=resamples, seed=3, one_sided=True)
        assert found == result.pvalue


@pytest.mark.parametrize("units", [2, 30, 3000])
def test_bootstrap_is_scipys(units):
    from scipy.stats import bootstrap

    values, weights = units_with_ties(units), np.arange(1.0, units + 1)
    result = bootstrap(
        (values, weights),
        lambda values, weights, axis: values.sum(axis=axis) / weights.sum(axis=axis),
        n_resamples=500, method="percentile", paired=True, vectorized=True,
        rng=np.random.default_rng(3),
    )  # fmt: skip
    interval = ratio_interval(values, weights, resamples=500, seed=3)
    tails = [(1 - resampling.LEVEL) / 2, (1 + resampling.LEVEL) / 2]
    expected = np.quantile(result.bootstrap_distribution, tails)
    assert [interval.low, interval.high] == list(expected)


def test_p_values_of_equal_systems_are_spread_evenly():
    generator = np.random.default_rng(2)
    p = [permutation_p(generator.normal(size=40), resamples=199, seed=seed) for seed in range(200)]
    assert 0.4 < np.mean(p) < 0.6 and 0.01 < np.mean(np.array(p) < 0.05) < 0.11
    p = []
    for seed in range(50):
        gold = gold_labels(seed, 20)
        pair = [measures(system(gold, 1000 * k + seed, 0.3))["f1"] for k in (1, 2)]
        p.append(paired_difference(*pair, resamples=1, permutations=99, seed=seed).p)
    assert 0.4 < np.mean(p) < 0.6 and np.mean(np.array(p) <= 0.05) < 0.12


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


LABELS = "O B-X I-X B-Y I-Y".split()


def system(
    gold: list[list[str]], seed: int, wrong: float, labels: list[str] = LABELS
) -> Predictions:
    rng = random.Random(seed)
    predicted = [
        [rng.choice(labels) if rng.random() < wrong else label for label in row] for row in gold
    ]
    probabilities = [[rng.random() for _ in row] for row in gold]
    known = [[rng.random() < 0.8 for _ in row] for row in gold]
    return Predictions(
        "word", gold, predicted, scheme="bio", known=known, probabilities=probabilities,
        references=[[row, row[:1]] for row in gold], symbols=predicted,
    )  # fmt: skip


def gold_labels(seed: int, sentences: int) -> list[list[str]]:
    rng = random.Random(seed)
    return [rng.choices(LABELS, k=rng.randint(1, 12)) for _ in range(sentences)]


def repeated(predictions: Predictions, times: list[int]) -> Predictions:
    columns = ("gold", "predicted", "known", "probabilities", "references", "symbols")
    drawn = np.repeat(np.arange(len(times)), times)
    rows = {name: [getattr(predictions, name)[row] for row in drawn] for name in columns}
    return Predictions("word", scheme="bio", **rows)


def test_resampled_metric_equals_that_of_repeated_sentences():
    predictions = system(gold_labels(1, 30), 2, 0.3)
    times = np.random.default_rng(3).integers(0, 4, (2, 30))
    for name, measure in measures(predictions).items():
        figures = measure.statistic(measure.counts.sums(times.astype(float)))
        expected = [measures(repeated(predictions, row))[name].value for row in times.tolist()]
        assert figures == pytest.approx(expected, abs=1e-12), name


def test_accuracy_interval_is_a_ratio_interval():
    accuracy = measures(system(gold_labels(4, 100), 5, 0.2))["accuracy"]
    right_N, words_N = (table.toarray()[:, 0] for table in accuracy.counts.by_kind)
    ours, theirs = bootstrap_interval(accuracy), ratio_interval(right_N, words_N)
    assert ours.estimate == theirs.estimate
    expected = pytest.approx((theirs.low, theirs.high), abs=0.1 * (theirs.high - theirs.low))
    assert (ours.low, ours.high) == expected


def test_p_is_exact_for_few_differing_sentences():
    right = np.array([[3, 4, 2, 5, 1, 3, 5], [4, 5, 4, 4, 2, 4, 5]])
    first, second = (
        CountedMetric(SentenceCounts.of_numbers(row, [5] * 7, [5] * 7), f1) for row in right
    )
    difference = paired_difference(first, second)
    assert difference.p == permutation_p(right[1] - right[0])
    assert difference.interval.estimate == pytest.approx(5 / 35)
    assert paired_difference(second, first).interval.estimate == pytest.approx(-5 / 35)


def test_better_system_differs_and_equal_one_does_not():
    gold = gold_labels(7, 120)
    one, same, better = (
        measures(system(gold, seed, wrong)) for seed, wrong in ((1, 0.4), (2, 0.4), (3, 0.2))
    )
    for name in ("f1", "macro_f1", "accuracy", "ece", "symbol_error_rate"):
        itself = paired_difference(one[name], one[name], resamples=200, permutations=200)
        assert itself.interval.low == itself.interval.high == 0
        assert itself.p == itself.p_bootstrap == 1
    for name in ("f1", "macro_f1", "accuracy"):
        assert paired_difference(one[name], same[name], resamples=200, permutations=199).p > 0.05
        differs = paired_difference(one[name], better[name], resamples=400, permutations=199)
        assert differs.interval.low > 0 and differs.p == 1 / 200 and differs.p_bootstrap < 0.01


def test_types_predicted_by_one_system_only_count():
    gold = gold_labels(8, 50)
    first, second = measures(system(gold, 1, 0.3)), measures(system(gold, 1, 0.3, ["B-Z"]))
    expected = second["macro_f1"].value - first["macro_f1"].value
    assert second["macro_f1"].counts.classes == ("X", "Y", "Z")
    both = (first["macro_f1"], second["macro_f1"])
    found = paired_difference(*both, resamples=50, permutations=50)
    assert found.interval.estimate == expected < 0


def test_undefined_metrics_and_mismatched_sentences_are_not_compared():
    empty = CountedMetric(SentenceCounts.of_numbers([], [], []), f1)
    assert bootstrap_interval(empty) is None and paired_difference(empty, empty) is None
    found = [measures(system(gold_labels(9, size), 1, 0.1))["f1"] for size in (5, 6)]
    with pytest.raises(UsageError, match="cannot be compared"):
        paired_difference(*found)

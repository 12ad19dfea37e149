import random

import numpy as np
import pytest
from scipy import special

from rnnlm.errors import UsageError
from rnnlm.evaluation import resampling
from rnnlm.evaluation.resampling import by_block, permutation_p, ratio_interval
from rnnlm.tasks.common.counted_metrics import CountedMetric, SentenceCounts, paired_difference
from rnnlm.tasks.labelling.evaluation.label_metrics import Predictions, f1, measures
from rnnlm.tools.pairs.accuracy import share_interval
from support import intervals as populations

pytestmark = pytest.mark.needs(
    "tasks/common", "tasks/labelling", "tools/inspection", "tools/pairs", "tools/reading"
)


def test_mean_interval_is_students():
    from scipy.stats import t

    values = np.random.default_rng(3).normal(5, 2, 12)
    interval = ratio_interval(values)
    expected = t.interval(0.95, 11, values.mean(), values.std(ddof=1) / np.sqrt(12))
    assert (interval.low, interval.high) == pytest.approx(expected)


@pytest.mark.parametrize("least, most, to, back", [
    (0.0, 1.0, special.logit, special.expit),
    (0.0, np.inf, np.log, np.exp),
    (-1.0, 1.0, lambda r: 2 * np.arctanh(r), lambda z: np.tanh(z / 2)),
    (0.0, 100.0, lambda x: special.logit(x / 100), lambda z: 100 * special.expit(z)),
])  # fmt: skip
def test_bounds_stay_in_range(least, most, to, back):
    """Symmetric on the scale without ends, where the plain ones are to first order."""
    errors, words = np.array([0, 1, 2, 0, 1, 9, 3, 2]), np.full(8, 10.0)
    if most == 100:
        errors = 100 * errors
    plain, found = (
        ratio_interval(errors, words, **ends) for ends in ({}, {"least": least, "most": most})
    )
    middle, step = to(found.estimate), 1e-6
    slope = (to(found.estimate + step) - middle) / step
    half = slope * (plain.high - plain.estimate)
    assert (found.low, found.high) == pytest.approx(
        (back(middle - half), back(middle + half)), rel=1e-4
    )
    assert least < found.low < found.estimate < found.high < most


def test_falling_transforms_swap_the_bounds():
    plain = ratio_interval(np.arange(1.0, 11.0))
    turned = plain.map(lambda value: np.exp(-value))
    assert (turned.low, turned.high) == pytest.approx((np.exp(-plain.high), np.exp(-plain.low)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("numerator, denominator, why", [
    ([1.0, 2, 3, 4], [1.0] * 4, "fewer than 5 units"),
    ([1.0, 2, 3, 4, 0, 0], [1.0] * 4 + [0, 0], "fewer than 5 units"),
    ([1.0, 2, 3, 4, 5], [1.0, 0, 0, 0, 0], "one unit holds everything"),
    ([2.0] * 6, [4.0] * 6, "all units agree"),
    ([0.0] * 6, [1.0] * 6, "all units agree"),
    ([1.0, 1, 0, 0, 0, 0, 0], [2.0] * 7, "errors or hits in fewer than 3 units"),
    ([1.0, 1, 2, 2, 2, 2, 2], [2.0] * 7, "errors or hits in fewer than 3 units"),
])  # fmt: skip
def test_an_interval_says_why_it_has_no_bounds(numerator, denominator, why):
    interval = ratio_interval(np.array(numerator), np.array(denominator), least=0.0, most=9.0)
    if why.startswith("errors"):
        interval = ratio_interval(np.array(numerator), np.array(denominator), least=0.0, most=1.0)
    assert (interval.low, interval.high, interval.why) == (None, None, why)
    assert interval.written(str) == f"none: {why}" and not interval.excludes_zero


def test_shares_have_wilsons_interval():
    from scipy.stats import binomtest

    for hits, units in ((0, 7), (9, 10), (50, 50), (3, 5)):
        found = share_interval(hits / units, units)
        expected = binomtest(hits, units).proportion_ci(method="wilson")
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert share_interval(1.0, 4).low is None


@pytest.mark.parametrize("name", ["F1 of 80", "WER of 20 %", "90 % of pairs", "coefficient: items"])
def test_intervals_of_small_samples_hold_the_truth(name):
    share, given = populations.coverage(populations.POPULATIONS[name](), units=8, trials=300)
    assert 0.90 <= share <= 1 and given > 0.7


@pytest.mark.soak
def test_intervals_and_verdicts_hold_for_all_populations():
    for name, population in populations.POPULATIONS.items():
        for units in populations.UNITS:
            share, given = populations.coverage(population(), units, trials=1000)
            is_rate = name.startswith(("WER", "accuracy", "90", "60", "Spearman", "rate"))
            least = 0.9 if is_rate and units >= 8 else 0.8 if is_rate else 0.92
            assert given < 0.3 or share >= least - 0.015, (name, units, share)
    for compared in populations.COMPARED:
        for units in populations.UNITS:
            wrong = populations.false_verdicts(*compared, units, trials=1000)
            assert wrong <= 0.06 + 0.015, (*compared, units, wrong)


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


def test_p_values_of_equal_systems_are_spread_evenly():
    generator = np.random.default_rng(2)
    p = [permutation_p(generator.normal(size=40), resamples=199, seed=seed) for seed in range(200)]
    assert 0.4 < np.mean(p) < 0.6 and 0.01 < np.mean(np.array(p) < 0.05) < 0.11
    p = []
    for seed in range(50):
        gold = gold_labels(seed, 20)
        pair = [measures(system(gold, 1000 * k + seed, 0.3))["f1"] for k in (1, 2)]
        p.append(paired_difference(*pair, permutations=99, seed=seed).p)
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


def without(predictions: Predictions, left: int) -> Predictions:
    columns = ("gold", "predicted", "known", "probabilities", "references", "symbols")
    rows = {name: list(getattr(predictions, name)) for name in columns}
    for cells in rows.values():
        del cells[left]
    return Predictions("word", scheme="bio", **rows)


def test_metrics_without_each_sentence_are_those_of_the_others():
    predictions = system(gold_labels(1, 30), 2, 0.3)
    others = [measures(without(predictions, left)) for left in range(30)]
    for name, measure in measures(predictions).items():
        expected = pytest.approx([found[name].value for found in others], abs=1e-12)
        assert measure.without_each(measure.counts) == expected, name


def test_accuracy_interval_is_a_ratio_interval():
    accuracy = measures(system(gold_labels(4, 100), 5, 0.2))["accuracy"]
    right_N, words_N = (table.toarray()[:, 0] for table in accuracy.counts.by_kind)
    ours, theirs = accuracy.interval(), ratio_interval(right_N, words_N, least=0.0, most=1.0)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


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
        itself = paired_difference(one[name], one[name], permutations=200)
        assert itself.interval.why == "all units agree"
        assert (itself.p, itself.differing, itself.is_significant) == (1, 0, None)
    for name in ("f1", "macro_f1", "accuracy"):
        alike = paired_difference(one[name], same[name], permutations=199)
        assert alike.p > 0.05 and not alike.is_significant
        differs = paired_difference(one[name], better[name], permutations=199)
        assert differs.interval.low > 0 and differs.p == 1 / 200 and differs.is_significant


def test_types_predicted_by_one_system_only_count():
    gold = gold_labels(8, 50)
    first, second = measures(system(gold, 1, 0.3)), measures(system(gold, 1, 0.3, ["B-Z"]))
    expected = second["macro_f1"].value - first["macro_f1"].value
    assert second["macro_f1"].counts.classes == ("X", "Y", "Z")
    both = (first["macro_f1"], second["macro_f1"])
    found = paired_difference(*both, permutations=50)
    assert found.interval.estimate == expected < 0


def test_undefined_metrics_and_mismatched_sentences_are_not_compared():
    empty = CountedMetric(SentenceCounts.of_numbers([], [], []), f1)
    assert empty.interval() is None and paired_difference(empty, empty) is None
    found = [measures(system(gold_labels(9, size), 1, 0.1))["f1"] for size in (5, 6)]
    with pytest.raises(UsageError, match="cannot be compared"):
        paired_difference(*found)

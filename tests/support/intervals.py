"""How often 95 % intervals hold the truth, and how often `rnnlm compare` calls one of two equal
models better, for populations like those that people have: docs/evaluate.md shows what

    python tests/support/intervals.py [TRIALS]

prints. Units are drawn with replacement from a population whose truth is known. Coverage is of the
samples that have an interval; beside it is their share, where it is below 99 %.
"""

import functools
import itertools
import sys
import tempfile
import warnings
from collections.abc import Callable

import numpy as np

import rnnlm
from rnnlm import corpora
from rnnlm.evaluation.perplexity import LineSums, evaluate
from rnnlm.evaluation.resampling import Interval, PairedDifference, permutation_p, ratio_interval
from rnnlm.tasks.common.counted_metrics import CountedMetric, SentenceCounts
from rnnlm.tasks.labelling.evaluation.label_metrics import f1
from rnnlm.tools.inspection.gradients.curves import curve
from rnnlm.tools.inspection.similarity import rank_correlation
from rnnlm.tools.inspection.units import correlation_interval
from rnnlm.tools.pairs.accuracy import share_interval
from rnnlm.tools.reading.gains import coefficient_intervals
from rnnlm.tools.reading.regression import ItemSums

UNITS = (5, 8, 12, 20, 50)
Drawn = tuple[Interval, float]  # an interval, and the truth
Draw = Callable[[np.random.Generator, int], Drawn]  # of so many units


# ---- Populations: the bundled test text, lines or documents of 5 to 40 of them, as the shipped
# model, a 2-gram and a 5-gram model read it; counts of tagged sentences and utterances, made up.


@functools.cache
def bundled(by: str, first: str = "demo") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the nats of units of the text by `first` and the 5-gram model, and their tokens."""
    sums = sums_of(first), sums_of("5-gram")
    columns = np.stack([-sums[0].logprob_S, -sums[1].logprob_S, sums[0].tokens_S])
    if by == "documents":
        lengths = np.random.default_rng(1).integers(5, 41, columns.shape[1])
        starts = np.cumsum([0, *lengths])
        columns = np.add.reduceat(columns, starts[starts < columns.shape[1]], axis=1)
    return tuple(columns)


@functools.cache
def sums_of(name: str) -> LineSums:
    with tempfile.TemporaryDirectory() as folder:
        if name != "demo":
            made = {"model": "ngram", "order": int(name[0]), "tokenizer_from": "demo"}
            name = f"{folder}/ngram"
            rnnlm.train("english", output=name, **made).wait()
        return evaluate(name, corpora.part("english", "test"), context="reset").lines


def perplexity(by: str) -> Draw:
    nats, _, tokens = bundled(by)

    def draw(generator: np.random.Generator, units: int) -> Drawn:
        chosen = generator.integers(0, len(nats), units)
        return ratio_interval(nats[chosen], tokens[chosen]), nats.sum() / tokens.sum()

    return draw


def difference(by: str) -> Draw:
    first, second, tokens = bundled(by)
    truth = (first - second).sum() / tokens.sum()

    def draw(generator: np.random.Generator, units: int) -> Drawn:
        chosen = generator.integers(0, len(first), units)
        return ratio_interval((first - second)[chosen], tokens[chosen]), truth

    return draw


def f1_of_spans(generator: np.random.Generator, units: int, quality: float = 0.8) -> Drawn:
    """Two spans a sentence, found with a probability that differs by sentence."""
    found = generator.beta(5 * quality, 5 * (1 - quality), units)
    gold = generator.poisson(2.0, units)
    right = generator.binomial(gold, found)
    counts = SentenceCounts.of_numbers(right, right + generator.poisson(2 * (1 - found)), gold)
    interval = CountedMetric(counts, f1).interval()
    return interval or Interval(0.0, None, None), quality


def error_rate(rate: float, most: float = np.inf) -> Draw:
    """Utterances of 3 words or more, whose rates of errors differ."""

    def draw(generator: np.random.Generator, units: int) -> Drawn:
        words = 3 + generator.poisson(12, units)
        errors = generator.binomial(words, generator.beta(5 * rate, 5 * (1 - rate), units))
        return ratio_interval(errors, words, least=0.0, most=most), rate

    return draw


def share_of_pairs(share: float) -> Draw:
    def draw(generator: np.random.Generator, units: int) -> Drawn:
        return share_interval(generator.binomial(units, share) / units, units), share

    return draw


def unit_of_network(generator: np.random.Generator, units: int) -> Drawn:
    """Correlate two values of the tokens of lines, which share half of their variance."""
    lengths = 5 + generator.poisson(10, units)
    lines = np.repeat(np.arange(units), lengths)
    shared = generator.normal(size=(2, units))[:, lines]
    x, other = shared + generator.normal(size=(2, len(lines)))
    starts = np.cumsum([0, *lengths[:-1]])
    return correlation_interval(x, 0.6 * x + 0.8 * other, starts), 0.6


def similarity(generator: np.random.Generator, units: int) -> Drawn:
    x, other = generator.normal(size=(2, units))
    truth = 6 / np.pi * np.arcsin(0.6 / 2)
    return rank_correlation(np.stack([x, 0.6 * x + 0.8 * other], axis=1)), truth


def coefficient(generator: np.random.Generator, units: int) -> Drawn:
    """Ten words an item, four subjects, items that differ."""
    group = np.repeat(np.arange(units), 40)
    surprisal = np.repeat(generator.gamma(2.0, 3.0, units * 10), 4)
    noise = generator.normal(0, 60, len(group)) + generator.normal(0, 20, units)[group]
    values = np.stack([surprisal, 4 * surprisal + noise], axis=1)
    sums = ItemSums.of(values, group, np.tile(np.arange(4), units * 10))
    return coefficient_intervals(sums, [0])[0], 4.0


@functools.cache
def sizes_by_lag() -> tuple[np.ndarray, float]:
    """Return squared sizes at 20 lags and 6,000 positions, which walk at random from lag to lag,
    and their rate."""
    steps = np.random.default_rng(0).normal(-0.2, 0.1, (20, 6000))
    squares = np.exp(2 * steps.cumsum(axis=0))
    return squares, curve(squares, 1).trend.slope


def rate_of_gradients(generator: np.random.Generator, units: int) -> Drawn:
    squares, rate = sizes_by_lag()
    trend = curve(squares[:, generator.integers(0, 6000, units)], 1).trend
    return Interval(trend.slope, trend.low, trend.high), rate


POPULATIONS: dict[str, Callable[[], Draw]] = {
    "perplexity: lines": lambda: perplexity("lines"),
    "perplexity: documents": lambda: perplexity("documents"),
    "difference in bits: lines": lambda: difference("lines"),
    "difference in bits: documents": lambda: difference("documents"),
    "F1 of 80": lambda: f1_of_spans,
    "WER of 20 %": lambda: error_rate(0.2),
    "WER of 5 %": lambda: error_rate(0.05),
    "accuracy of 90 %": lambda: error_rate(0.9, 1.0),
    "60 % of pairs": lambda: share_of_pairs(0.6),
    "90 % of pairs": lambda: share_of_pairs(0.9),
    "unit of a network: lines": lambda: unit_of_network,
    "Spearman: pairs": lambda: similarity,
    "coefficient: items": lambda: coefficient,
    "rate of gradients: positions": lambda: rate_of_gradients,
}


def coverage(draw: Draw, units: int, trials: int, seed: int = 1) -> tuple[float, float]:
    """Return how often intervals hold the truth, and how often there is one."""
    generator = np.random.default_rng(seed)
    held = []
    for _ in range(trials):
        interval, truth = draw(generator, units)
        if interval.low is not None and interval.high is not None:
            held.append(interval.low <= truth <= interval.high)
    return float(np.mean(held)) if held else np.nan, len(held) / trials


# ---- Verdicts on models without any difference.


HOW = ("recentred", "drawn signs")
COMPARED = tuple(itertools.product(("demo", "2-gram"), ("lines", "documents"), HOW))


def false_verdicts(model: str, by: str, how: str, units: int, trials: int, seed: int = 1) -> float:
    """Return how often `model` or the 5-gram model is called better. how: differences are
    "recentred", or have "drawn signs"."""
    first, second, tokens = bundled(by, model)
    bits = first - second
    generator = np.random.default_rng(seed)
    wrong = 0
    for trial in range(trials):
        chosen = generator.integers(0, len(bits), units)
        drawn = bits[chosen] * generator.choice([-1, 1], units)
        if how == "recentred":
            drawn = (bits - tokens * bits.sum() / tokens.sum())[chosen]
        p = permutation_p(drawn, resamples=1999, seed=trial)
        paired = PairedDifference(ratio_interval(drawn, tokens[chosen]), p, units)
        wrong += bool(paired.is_significant)
    return wrong / trials


def main(trials: int) -> None:
    print("| 95 % interval of |", " | ".join(f"{units} units" for units in UNITS), "|")
    print("|---" * (len(UNITS) + 1) + "|")
    for name, population in POPULATIONS.items():
        cells = []
        for units in UNITS:
            share, given = coverage(population(), units, trials)
            cells.append(f"{100 * share:.0f}" + (f" ({given:.0%})" if given < 0.99 else ""))
        print(f"| {name} |", " | ".join(cells), "|", flush=True)
    for compared in COMPARED:
        shares = (false_verdicts(*compared, units, trials) for units in UNITS)
        cells = [f"{100 * share:.1f}" for share in shares]
        print(f"| false verdicts: {', '.join(compared)} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(int(sys.argv[1]) if sys.argv[1:] else 2000)

"""Pruning against dictionaries, and distributions summed over all words."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from reference.backoff_dictionary import BackoffDictionary
from rnnlm.lm.ngram import pruning
from rnnlm.lm.ngram.model import NgramModel
from rnnlm.lm.ngram.smoothing import ESTIMATORS
from rnnlm.lm.ngram.tables import BackoffLevel
from support.tiny_models import english_lines, fit, make_tokenizer
from support.tiny_ngrams import level_of

TEXT = english_lines(40)
# Normalised ones that need no held-out text
PLAIN = {name: each for name, each in ESTIMATORS.items() if not each.tuned}
NORMALISED = [name for name, each in PLAIN.items() if each.normalised_if_pruned]


class Table(BackoffDictionary):
    """A model as a dictionary, which can lose an n-gram."""

    def distribution(self, context: tuple) -> np.ndarray:
        return np.exp([self.logprob(context, word) for word in range(self.size)])

    def history(self, context: tuple) -> float:
        """Return P(h) by the chain rule, with `<s>` as likely as `</s>`."""
        first = self.boundary_id if context[0] == self.size else context[0]
        others = [self.logprob(context[:at], context[at]) for at in range(1, len(context))]
        return math.exp(self.logprob((), first) + sum(others))

    def increase(self, gram: tuple) -> float:
        """Return exp(D(p||p')) - 1. D is summed over all words; p' lacks the n-gram, and its
        backoff weight makes the sum one."""
        context, before = gram[:-1], self.distribution(gram[:-1])
        entry, weight = self.values.pop(gram), self.values[context][1]
        seen = [word for word in range(self.size) if (*context, word) in self.values]
        below = np.exp([self.logprob(context[1:], word) for word in range(self.size)])
        left = 1 - sum(before[word] for word in seen)
        self.values[context][1] = math.log(left / (1 - sum(below[word] for word in seen)))
        ratio = before / self.distribution(context)
        divergence = self.history(context) * float(np.sum(before * np.log(ratio)))
        self.values[gram], self.values[context][1] = entry, weight
        return math.expm1(divergence)


def worths(model: NgramModel) -> dict[tuple, float]:
    """Return the worth of each n-gram of order 2 and more: its own increase, or one's beyond it."""
    table = Table(model)
    found = {}
    for gram in sorted((gram for gram in table.values if len(gram) > 1), key=len, reverse=True):
        found[gram] = max(found.get(gram, 0.0), table.increase(gram))
        found[gram[:-1]] = max(found.get(gram[:-1], 0.0), found[gram])
    return {gram: worth for gram, worth in found.items() if len(gram) > 1}


def farthest_from_one(model: NgramModel) -> float:
    """Return how far the sum of probabilities is from one at most, over all contexts."""
    worst = 0.0
    for length in range(1, max(2, model.order)):
        grams = [gram for gram in Table(model).values if len(gram) == length]
        contexts = np.array(grams).reshape(-1, length)
        ids_BT = np.where(contexts == model.size, model.tokenizer.boundary_id, contexts)
        logprob_BTV, _ = model.predict(ids_BT, model.initial_state(len(ids_BT)))
        sums = np.exp(logprob_BTV[:, -1].astype(np.float64)).sum(axis=1)
        worst = max(worst, float(np.abs(sums - 1).max()))
    return worst


def order_of(contexts, words, prob, backoff=None) -> BackoffLevel:
    """Make one order over the four words </s> 0, <unk> 1, a 2, b 3; <s> is 4."""
    logarithms = np.log([prob, np.ones(len(words)) if backoff is None else backoff])
    return level_of(4, np.array(contexts), np.array(words), *logarithms)


def unigrams(*backoff: float) -> BackoffLevel:
    return order_of([0] * 5, range(5), [0.2, 0.1, 0.4, 0.3, 1], backoff)


def model_of(*orders: BackoffLevel, normalised: bool = True) -> NgramModel:
    return NgramModel.from_levels(orders, make_tokenizer(["a a a b b"]), normalised)


def test_a_model_worked_by_hand():
    # after a: a .2, b .5, what is left weighs .3 / (1 - .4 - .3) = 1; after <s>: a .7, what is left
    # .3 / .6
    # without a b: a weighs (.3 + .5) / (.3 + .3) = 4/3, D = .4 (.5 log(.5 / .4) - .3 log(4/3))
    #     = .010107
    # without a a: a weighs (.3 + .2) / (.3 + .4) = 5/7, D = .4 (.2 log(.2 / (2/7)) - .3 log(5/7))
    #     = .011843
    # without <s> a: <s> weighs 1,                       D = .2 (.7 log(.7 / .4) - .3 log(1 / .5))
    #     = .036757
    divergences = {(2, 3): 0.010107, (2, 2): 0.011843, (4, 2): 0.036757}
    increases = {gram: math.expm1(divergence) for gram, divergence in divergences.items()}
    model = model_of(unigrams(1, 1, 1, 1, 0.5), order_of([2, 2, 4], [2, 3, 2], [0.2, 0.5, 0.7]))
    assert worths(model) == pytest.approx(increases, rel=1e-4)
    pruned = pruning.by_entropy(model, 0.011)
    assert Table(pruned).values.keys() == Table(model).values.keys() - {(2, 3)}
    assert np.exp(Table(pruned).values[2,][1]) == pytest.approx((1 - 0.2) / (1 - 0.4))
    assert np.exp(Table(pruned).logprob((2,), 3)) == pytest.approx(0.3 * 4 / 3)
    smaller, threshold = pruning.to_size(model, 6)
    assert Table(smaller).values.keys() == Table(model).values.keys() - {(2, 3), (2, 2)}
    assert threshold == pytest.approx(increases[2, 2], rel=1e-4)


@pytest.mark.parametrize("smoothing", NORMALISED)
def test_what_goes_is_what_the_distributions_say(smoothing):
    model = fit("ngram", TEXT[:8], order=4, smoothing=smoothing)
    expected = worths(model)
    words = {gram for gram in Table(model).values if len(gram) == 1}
    ordered = sorted(expected.values())
    for at in np.linspace(1, len(ordered) - 1, 9, dtype=int):
        while at < len(ordered) - 1 and ordered[at] < ordered[at - 1] * 1.01 + 1e-9:
            at += 1  # into a gap, where rounding decides nothing
        threshold = (ordered[at - 1] + ordered[at]) / 2
        kept = {gram for gram, worth in expected.items() if worth >= threshold}
        pruned = pruning.by_entropy(model, threshold)
        assert Table(pruned).values.keys() == kept | words


@pytest.mark.parametrize("order, tokenizer", [(1, "word"), (3, "char"), (5, "word")])
def test_a_normalised_model_sums_to_one_everywhere(order, tokenizer):
    for smoothing in NORMALISED:
        model = fit("ngram", TEXT, order=order, smoothing=smoothing, tokenizer=tokenizer)
        half = sum(map(len, model.values)) // 2
        once = pruning.by_entropy(model, 1e-4)
        ways = [once, pruning.to_size(model, half)[0], pruning.by_entropy(once, 1e-3)]
        assert max(map(farthest_from_one, ways)) < 1e-6


def test_what_stays_keeps_its_probability_prefixes_and_lower_orders():
    model = fit("ngram", TEXT, order=5)
    before, after = Table(model).values, Table(pruning.by_entropy(model, 1e-4)).values
    assert len(before) > 1.2 * len(after)
    assert all(row[0] == before[gram][0] for gram, row in after.items())
    assert all(gram[:-1] in after for gram in after if len(gram) > 1)
    model = fit("ngram", TEXT, order=4)
    lower = pruning.by_order(model, 2)
    assert [len(values) for values in lower.values] == [len(values) for values in model.values[:2]]
    assert farthest_from_one(lower) < 1e-6


def test_higher_thresholds_leave_subsets_and_zero_leaves_all():
    model = fit("ngram", TEXT, order=4)
    thresholds = (0, 1e-5, 1e-4, 1e-3, 1e-2, 1)
    left = [Table(pruning.by_entropy(model, threshold)).values for threshold in thresholds]
    assert left[0] == Table(model).values
    assert all(more.keys() > fewer.keys() for more, fewer in itertools.pairwise(left[:-1]))
    assert all(len(gram) == 1 for gram in left[-1])


def probabilities(model: NgramModel, symbols: list[str]) -> dict[tuple, float]:
    """Map n-grams in words to their log-probabilities."""
    names = [*symbols, "<s>"]
    return {tuple(names[id] for id in gram): row[0] for gram, row in Table(model).values.items()}


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 1.5])
def test_a_target_is_hit_and_its_threshold_agrees(share):
    model = fit("ngram", TEXT, order=4)
    total = sum(map(len, model.values))
    wanted = max(int(share * total), len(model.values[0]))
    pruned, threshold = pruning.to_size(model, wanted)
    assert 0.97 * min(wanted, total) <= sum(map(len, pruned.values)) <= wanted
    assert Table(pruned).values == Table(pruning.by_entropy(model, threshold)).values


@pytest.mark.parametrize("smoothing", NORMALISED)
def test_a_reduced_vocabulary_still_sums_to_one(smoothing):
    model = fit("ngram", TEXT, order=4, smoothing=smoothing)
    kept_V = np.arange(model.size) % 3 != 2
    kept_V[:2] = True
    words = np.array(model.tokenizer.symbols())
    kept, gone = words[kept_V].tolist(), set(words[~kept_V].tolist())
    pruned = pruning.by_vocabulary(model, kept_V, make_tokenizer([" ".join(kept[2:])]))
    before, after = probabilities(model, words.tolist()), probabilities(pruned, kept)
    assert after.keys() == {gram for gram in before if not gone & set(gram)}
    unknown = sum(math.exp(before[word,]) for word in {"<unk>", *gone})
    assert math.exp(after["<unk>",]) == pytest.approx(unknown, rel=1e-5)
    assert farthest_from_one(pruned) < 1e-6


def test_seen_words_inherit_mass_when_no_unseen_remain():
    model = model_of(unigrams(1, 1, 0.5, 1, 1), order_of([2] * 4, range(4), [0.1, 0.2, 0.3, 0.4]))
    kept_V = np.array([True, True, True, False])
    pruned = pruning.by_vocabulary(model, kept_V, make_tokenizer(["a"]))
    assert Table(pruned).distribution((2,)) == pytest.approx(np.array([1, 2, 3]) / 6)
    assert np.exp(pruned.values[0][1, 0]) == pytest.approx(0.1 + 0.3)


def test_missing_suffixes_are_backed_off_from():
    """As in other programs' models: `a a b` without `a b`. What contexts sum to stays."""
    model = model_of(
        unigrams(1, 1, 0.9, 1, 1),
        order_of([2], [2], [0.46], [0.8]),  # a a
        order_of([0, 0], [2, 3], [0.3, 0.3], [1, 0.7]),  # a a a, a a b
        order_of([1, 1], [2, 3], [0.5, 0.2]),  # a a b a, a a b b
        normalised=False,
    )
    before = Table(model)
    for ngrams in (9, 8, 7):
        pruned, _ = pruning.to_size(model, ngrams)
        after = Table(pruned)
        assert len(after.values) <= ngrams
        for context in (gram for gram in after.values if len(gram) < pruned.order):
            total = after.distribution(context).sum()
            assert total == pytest.approx(before.distribution(context).sum(), abs=1e-6)


def test_maximum_likelihood_sums_to_one_after_seen_contexts():
    model = fit("ngram", TEXT, order=3, smoothing="mle")
    pruned = Table(pruning.by_entropy(model, 1e-3))
    assert len(pruned.values) < sum(map(len, model.values))
    seen = {gram[:-1] for gram in pruned.values if len(gram) > 1}
    for context in sorted(seen)[::7]:
        assert pruned.distribution(context).sum() == pytest.approx(1, abs=1e-6)


line = st.lists(st.sampled_from("abcde"), min_size=1, max_size=9).map(" ".join)
lines = st.lists(line, min_size=1, max_size=8)


@given(lines, st.integers(1, 5), st.sampled_from(NORMALISED), st.floats(1e-6, 0.3))
def test_any_small_text_leaves_a_normalised_model(lines, order, smoothing, threshold):
    model = fit("ngram", lines, order=order, smoothing=smoothing)
    pruned = pruning.by_entropy(model, threshold)
    assert farthest_from_one(pruned) < 1e-6
    assert sum(map(len, pruned.values)) <= sum(map(len, model.values))

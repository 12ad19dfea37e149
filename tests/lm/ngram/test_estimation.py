"""Estimators against their formulas in fractions, on small random texts; held-out counts, too."""

import pytest
from hypothesis import example, given, strategies as st

from reference import ngram_formulas as formulas
from rnnlm.lm.ngram.fitting import heldout_counts
from support.random_texts import random_text
from support.tiny_ngrams import BEGIN, END, Table, counts_of, fit, ids_of

ESTIMATORS = {
    "mle": ("mle", {}, formulas.MaximumLikelihood),
    "additive": ("additive", {"additive_k": 0.5}, formulas.UniformAdditive),
    "additive, lower order": ("additive", {"additive_k": 0.5, "additive_prior": "lower-order"},
        formulas.Additive),
    "witten-bell": ("witten-bell", {}, formulas.WittenBell),
    "absolute": ("absolute", {}, formulas.Absolute),
    "absolute, backing off": ("absolute", {"interpolate": False}, formulas.AbsoluteBackingOff),
    "jelinek-mercer": ("jelinek-mercer", {}, formulas.JelinekMercer),
    "interpolated": ("interpolated", {"weights": "given"}, formulas.OneWeightAnOrder),
    "interpolated, zero": ("interpolated", {"weights": "given", "unseen": "zero"},
        formulas.OneWeightAnOrderOrZero),
    "katz": ("katz", {}, formulas.Katz), "kn": ("kn", {}, formulas.KneserNey),
    "kn, backing off": ("kn", {"interpolate": False}, formulas.KneserNeyBackingOff),
    "mkn": ("mkn", {}, formulas.ModifiedKneserNey),
    "mkn, backing off": ("mkn", {"interpolate": False}, formulas.ModifiedKneserNeyBackingOff),
    "stupid": ("stupid", {}, formulas.StupidBackoff),
}  # fmt: skip
MOST_CONTEXTS = 12  # asked of one model


@st.composite
def cases(draw):
    """Draw sentences, V, order, thresholds by order, and held-out sentences."""
    different = draw(st.integers(1, 5))
    size = different + 1 + draw(st.integers(0, 2))
    word = st.integers(1, different)
    long = st.lists(word, min_size=30, max_size=60)
    sentences = draw(st.lists(st.lists(word, max_size=6) | long, min_size=1, max_size=6))
    sentences *= draw(st.sampled_from([1, 1, 1, 2, 3]))
    order = draw(st.integers(1, 7))
    thresholds = st.lists(st.integers(0, 2), min_size=order - 1, max_size=order - 1)
    prune = [0, *sorted(draw(thresholds))] if draw(st.booleans()) else []
    heldout = draw(st.lists(st.lists(st.integers(1, size - 1), max_size=6), min_size=1, max_size=4))
    return sentences, size, order, prune, heldout


def model_of(name: str, case: tuple) -> tuple[Table, dict]:
    """Return the estimated model, and what its formula is given, too."""
    sentences, size, order, prune, heldout = case
    estimator, options, _ = ESTIMATORS[name]
    extra = {"heldout": heldout} if name == "jelinek-mercer" else {}
    weights = [n / sum(range(order + 1)) for n in range(1, order + 1)]
    own = {"weights": weights} if estimator == "interpolated" else {}
    return fit(estimator, sentences, size, order, prune, **options | extra | own), extra


def some(contexts: list) -> list:
    return contexts[:: 1 + len(contexts) // MOST_CONTEXTS]


EXAMPLES = [
    ([[1]], 2, 3, [], [[1]]), ([[1, 2, 3, 2]], 4, 5, [], [[1]]),
    ([[1, 2, 3]] * 7, 5, 4, [], [[1, 2, 4]]), ([[]], 1, 2, [], [[]]),
    ([[1 + i * i % 5 for i in range(120)]], 6, 7, [0, 0, 0, 1, 1, 1, 1], [[1, 2]]),
    # t_4 = 0, so D_3 = 3: a count of three is given up whole
    ([[1, 2], [1, 2], [1, 2], [1, 3], [1, 3], [4]], 6, 2, [], [[1]]),
    # the line falls as 1 / r, where smoothed Good-Turing counts are the counts but for rounding
    ([[1, 1, 1], [1, 1, 1]], 2, 2, [], [[]]),
]  # fmt: skip


def with_examples(test):
    for case in EXAMPLES:
        test = example(case=case)(test)
    return test


@pytest.mark.parametrize("name", ESTIMATORS)
@given(case=cases())
@with_examples
def test_probabilities_are_those_of_the_formulas(name, case):
    sentences, size, order, prune, _ = case
    model, extra = model_of(name, case)
    formula = ESTIMATORS[name][2](sentences, size, order, prune, **extra)
    words = range(size)
    longest = model.order - 1  # less than asked for where no line is that long
    for context in [*some(model.contexts()), (1, 1, 1, 1)[:longest], (BEGIN, *words)[:longest]]:
        found = [model.p(word, context) for word in words]
        expected = [float(formula.p(word, context)) for word in words]
        where = f"order {order}, prune {prune}, after {context}"
        assert found == pytest.approx(expected, rel=2e-5, abs=0), where


# Without the long texts of the first ten.
FIVE, OTHERS = (1, 2, 4, 5, 6), pytest.param((0, 3, *range(7, 100)), marks=pytest.mark.soak)


@pytest.mark.parametrize("seeds", [FIVE, OTHERS])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_lines_in_any_order_make_the_same_model(name, seeds):
    for seed in seeds:
        text = random_text(seed)
        heldout = text.sentences[-5:]
        moved = [sentence for shard in text.shards(17) for sentence in shard]
        prune = [0, 0, 1, 1, 2, 2][: text.order] if seed % 2 else []
        one, _ = model_of(name, (text.sentences, text.size, text.order, prune, heldout))
        other, _ = model_of(name, (moved, text.size, text.order, prune, heldout))
        assert one.grams == other.grams, seed
        assert one.logprob == pytest.approx(other.logprob, rel=0, abs=1e-6), seed
        assert one.logbackoff == pytest.approx(other.logbackoff, rel=0, abs=1e-6), seed


@pytest.mark.parametrize("name", ESTIMATORS)
def test_pruned_ngrams_go_and_kept_ones_keep_beginnings(name):
    sentences = [[1, 2, 3], [1, 2, 3], [1, 2, 4], [2, 3, 1], [2, 3, 4]]
    model, _ = model_of(name, (sentences, 5, 3, [0, 1, 1], [[1, 2]]))
    frequent = {gram for gram, count in formulas.raw_counts(sentences, 3).items() if count > 1}
    for n in (2, 3):
        assert set(model.grams[n - 1]) == {gram for gram in frequent if len(gram) == n}
    assert {gram[:-1] for gram in model.grams[2]} <= set(model.grams[1])
    # A sentence's beginning is never predicted.
    assert model.logprob[BEGIN,] == 0.0
    assert not [gram for grams in model.grams[1:] for gram in grams if gram[-1] == BEGIN]


SIZE = 6
texts = st.lists(st.lists(st.integers(1, SIZE - 1), max_size=10), min_size=1, max_size=8)


@given(train=texts, heldout=texts, order=st.integers(1, 6))
@example(train=[[1]], heldout=[[]], order=6)
@example(train=[[1, 2, 3, 4, 5] * 4], heldout=[[2, 3, 4, 5], [1, 2]], order=5)
def test_each_held_out_ngram_gets_its_training_counts(train, heldout, order):
    counts = counts_of(train, SIZE, order)
    found = heldout_counts(counts, ids_of(heldout), END)
    raw = formulas.raw_counts(train, order)
    followers = formulas.Counter()
    for gram, count in raw.items():
        followers[gram[:-1]] += count if gram != (BEGIN,) else 0
    at = 0
    for sentence in heldout:
        padded = (BEGIN, *sentence, END)
        for end in range(2, len(padded) + 1):
            for n in range(1, counts.order + 1):
                # None: it would reach back beyond the start
                gram = padded[end - n : end] if n <= end else None
                assert found.ngrams_NT[n - 1, at] == (raw[gram] if gram else 0)
                assert found.contexts_NT[n - 1, at] == (followers[gram[:-1]] if gram else 0)
            at += 1
    assert found.size == SIZE
    assert found.ngrams_NT.shape == found.contexts_NT.shape == (counts.order, at)


def test_many_words_are_looked_up_as_few_are():
    train = [[1 + (i * i + i // 7) % 5 for i in range(3000)]]
    counts = counts_of(train, SIZE, 6)
    many = heldout_counts(counts, ids_of(train * 3), END)
    assert (many.ngrams_NT[:, 3001:6002] == many.ngrams_NT[:, :3001]).all()
    few = heldout_counts(counts, ids_of(train)[:40], END)
    assert (many.ngrams_NT[:, :40] == few.ngrams_NT).all()
    assert (many.contexts_NT[:, :40] == few.contexts_NT).all()
    assert (many.ngrams_NT[:, 6:3000] > 0).all()  # the text itself, all of whose n-grams were seen

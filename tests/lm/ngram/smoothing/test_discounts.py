"""Additive smoothing, Good-Turing counts, Katz, and discounts that cannot be estimated."""

import warnings

import numpy as np
import pytest
from hypothesis import given, strategies as st

import rnnlm
from reference import ngram_formulas as formulas
from rnnlm.errors import NoticeCollector, RnnlmWarning
from rnnlm.lm.ngram.arpa.writing import export_arpa
from rnnlm.lm.ngram.fitting import heldout_counts
from rnnlm.lm.ngram.settings import NgramSettings
from rnnlm.lm.ngram.smoothing.estimator import CountsOfCounts, HeldoutCounts, OrderCounts
from rnnlm.lm.ngram.smoothing.kneser_ney import discount_of, discounts_of
from rnnlm.lm.ngram.smoothing.other_methods import Katz, best_k, logprob, simple_good_turing
from support.tiny_ngrams import BEGIN, counts_of, fit, ids_of


@pytest.mark.parametrize(
    "counts, missing", [([1, 1, 1, 5], "twice"), ([2, 2, 7], "once"), ([9], "once")]
)
def test_an_inestimable_discount_becomes_a_half_with_notice(counts, missing):
    tally = CountsOfCounts(*np.unique(counts, return_counts=True))
    notices = NoticeCollector()
    assert discount_of(tally, 3, notices) == 0.5
    with pytest.warns(RnnlmWarning, match=f"order 3: no n-gram occurs {missing}"):
        notices.send()


def test_modified_discounts_by_hand():
    # Y = 10 / 20; D_1 = 1 - 2/2 * 5/10, D_2 = 2 - 3/2 * 3/5, D_3 = 3 - 4/2 * 2/3
    discounts = discounts_of(np.array([0, 10, 5, 3, 2]), 2, NoticeCollector())
    assert discounts == pytest.approx([0, 0.5, 1.1, 5 / 3])
    without_fours = discounts_of(np.array([0, 10, 5, 3, 0]), 2, NoticeCollector())
    assert without_fours == pytest.approx([0, 0.5, 1.1, 3])


@pytest.mark.parametrize("tally", [
    (0, 0, 5, 3, 2), (0, 10, 0, 3, 2), (0, 10, 5, 0, 2), (0, 1, 1, 9, 9), (0, 3, 3, 6, 1),
])  # fmt: skip
def test_impossible_discounts_become_fixed_ones_with_a_notice(tally):
    notices = NoticeCollector()
    for order in (4, 5):
        assert discounts_of(np.array(tally), order, notices).tolist() == [0, 0.5, 1, 1.5]
    with pytest.warns(RnnlmWarning, match="^order 4, order 5: too few.*0.5, 1.0, 1.5 are used"):
        notices.send()


A, B, END = 1, 2, 0
# c(a) = 2, c(b) = 1, c(</s>) = 2, N = 5; c(ab) = c(a</s>) = c(b</s>) = 1, c(<s>a) = 2; V = 4: c is
# never seen
TEXT = [[A, B], [A]]
PRIORS = ("uniform", "lower-order")


@pytest.mark.parametrize("order", [2, 3])
def test_the_first_exercise_of_every_course(tmp_path, order):
    (tmp_path / "text").write_text("the dog ran\nthe cat jumped\n")
    request = {"model": "ngram", "order": order, "smoothing": "additive", "additive_k": 1}
    list(rnnlm.train(tmp_path / "text", output=tmp_path / "model", holdout=0, **request))
    model = rnnlm.load(tmp_path / "model")
    [score] = model.score_sentences(["the dog jumped"], words=True)
    end = (1 + 1) / (1 + 7) if order == 2 else 1 / 7  # c(jumped </s>) = 1; "dog jumped" is new
    # </s> and <unk> are events, too: V = 7. c(the dog) = c(dog) = 1, c(<s>) = c(the) = 2
    expected = pytest.approx([(2 + 1) / (2 + 7), (1 + 1) / (2 + 7), (0 + 1) / (1 + 7), end])
    assert [2**-word.surprisal_bits for word in score.word_scores] == expected
    export_arpa(model, tmp_path / "model.arpa")
    rnnlm.import_arpa(tmp_path / "model.arpa", tmp_path / "again")
    [again] = rnnlm.load(tmp_path / "again").score_sentences(["the dog jumped"])
    assert again.logprob_nats == pytest.approx(score.logprob_nats)


@pytest.mark.parametrize("k", [1e-200, 1e300])
@pytest.mark.parametrize("prior", PRIORS)
def test_any_k_gives_finite_normalised_probabilities(k, prior):
    model = fit("additive", TEXT, 4, order=3, additive_k=k, additive_prior=prior)
    for context in model.contexts():
        assert sum(model.p(word, context) for word in range(4)) == pytest.approx(1)
    assert np.isfinite(list(model.logprob.values())).all()
    assert np.isfinite(list(model.logbackoff.values())).all()


@pytest.mark.parametrize("prior", PRIORS)
def test_tuned_k_maximises_the_held_out_probability(prior):
    rng = np.random.default_rng(1)
    lines = [(1 + rng.geometric(0.3, size=12).cumsum() % 8).tolist() for _ in range(60)]
    train, heldout = lines[:30], lines[30:]
    seen = heldout_counts(counts_of(train, 9, 3), ids_of(heldout), END)
    is_uniform = prior == "uniform"
    best = best_k(seen, is_uniform)
    at_best = logprob(seen, best, is_uniform)
    for k in best * 1.01 ** np.arange(-300, 300):
        assert logprob(seen, k, is_uniform) <= at_best + 1e-3
    model = fit("additive", train, 9, order=3, heldout=heldout, additive_prior=prior)
    assert model.smoothing.report() == {"k": best}
    total = 0.0
    for sentence in heldout:
        words = (BEGIN, *sentence, END)
        total += sum(np.log(model.p(words[at], words[:at])) for at in range(1, len(words)))
    assert total == pytest.approx(at_best, rel=1e-5)


@pytest.mark.parametrize("of", [formulas.UniformAdditive, formulas.Additive])
def test_held_out_probability_follows_the_formula(of):
    train, heldout = [[1, 2, 2], [1, 1]], [[2, 1, 3]]
    seen = heldout_counts(counts_of(train, 4, 3), ids_of(heldout), END)
    formula = of(train, 4, 3)
    asked = ((2, (BEGIN,)), (1, (BEGIN, 2)), (3, (2, 1)), (0, (1, 3)))
    expected = sum(np.log(float(formula.p(word, context))) for word, context in asked)
    assert logprob(seen, 0.5, of is formulas.UniformAdditive) == pytest.approx(expected)


def test_familiar_held_out_text_needs_less_smoothing():
    for ngrams, is_right in (([[9, 9]], lambda k: k < 1e-7), ([[0, 0]], lambda k: k > 1e3)):
        seen = HeldoutCounts(np.array(ngrams), np.array([[9, 9]]), 3, np.array([1, 1]))
        assert is_right(best_k(seen, True)) and is_right(best_k(seen, False))


# Gale & Sampson 1995, the prosody data: r and how many patterns occur r times
PROSODY = """1:120 2:40 3:24 4:13 5:15 6:5 7:11 8:2 9:2 10:1 12:3 14:2 15:1 16:1 17:3 19:1 20:3 21:2
23:3 24:3 25:3 26:2 27:2 28:1 31:2 32:2 33:1 34:2 36:2 41:3 43:1 45:3 46:1 47:1 50:1 71:1 84:1 101:1
105:1 121:1 124:1 146:1 162:1 193:1 199:1 224:1 226:1 254:1 257:1 339:1 421:1 456:1 481:1 483:1
1140:1 1256:1 1322:1 1530:1 2131:1 2395:1 6925:1 7846:1"""


def arrays(tally: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    counts = sorted(tally)
    return np.array(counts), np.array([tally[count] for count in counts])


def test_the_paper_s_example_comes_out():
    pairs = [pair.split(":") for pair in PROSODY.split()]
    counts_R, tally_R = arrays({int(r): int(t) for r, t in pairs})
    both, smoothed_R = simple_good_turing(counts_R, tally_R)
    assert (counts_R * tally_R).sum() == 30902
    assert smoothed_R[0] == pytest.approx(2 ** (1 - 1.389), abs=2e-4)  # the slope is -1.389
    # the paper scales them to leave t_1 / N to the unseen
    scaled = both * (30902 - 120) / (both * tally_R).sum()
    assert scaled[:3] == pytest.approx([0.7628, 1.706, 2.680], abs=5e-4)


def test_by_hand_with_two_counts_or_far_from_the_line():
    # Z_1 = 2 * 6 / 2 = 6 and Z_2 = 2 * 2 / (3 - 1) = 2: the slope is -log 3 / log 2, y(1) = 2 * 2 /
    # 6; x(1) = 2 * 2 / 6, too
    both, smoothed_R = simple_good_turing(np.array([1, 2]), np.array([6, 2]))
    assert both == pytest.approx(smoothed_R)
    assert both == pytest.approx([2 / 3, 3 * (2 / 3) ** np.log2(3)])
    tally = {1: 100_000, 2: 10_000, 3: 6_000, 4: 4_000, 5: 3_000, 6: 1, 7: 1}
    both, smoothed_R = simple_good_turing(*arrays(tally))
    assert both[0] == pytest.approx(2 * 10_000 / 100_000) != pytest.approx(smoothed_R[0])
    assert both[-1] == smoothed_R[-1]  # nothing occurs 8 times


@given(st.dictionaries(st.integers(1, 30), st.integers(1, 1000), min_size=2, max_size=12))
def test_it_is_what_the_formulas_say(tally):
    both, smoothed_R = simple_good_turing(*arrays(tally))
    tallied = formulas.Counter(tally)
    assert both == pytest.approx(list(formulas.good_turing(tallied, 1.65).values()))
    assert smoothed_R == pytest.approx(list(formulas.good_turing(tallied, float("inf")).values()))


def shares_of(tally: dict[int, int]):
    """Return the shares after a context with so many words of each count, the rest, the notice."""
    counts_M = np.repeat(list(tally), list(tally.values()))
    katz = Katz(NgramSettings(), None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        katz.begin_order(2, CountsOfCounts(np.array(list(tally)), np.array(list(tally.values()))))
        katz.notices.send()
        shares = katz.shares(OrderCounts(2, counts_M, np.zeros(len(counts_M), dtype=int), 1))
    return shares, katz, " ".join(str(each.message) for each in caught)


def test_only_turing_counts_above_raw_are_replaced_with_a_notice():
    shares, katz, said = shares_of({1: 120, 2: 40, 3: 24, 4: 13, 5: 15, 6: 5, 7: 11})
    assert not said and katz.report()["counts of order 2"]["1"] < 1
    assert shares.seen_M.sum() + shares.left_H[0] == pytest.approx(1) and shares.left_H[0] > 0
    # 3* = 4 * 5000 / 2000 > 3 by Turing, far from the line
    _, katz, said = shares_of({1: 100_000, 2: 10_000, 3: 2_000, 4: 5_000, 5: 100, 6: 50, 7: 20})
    assert "order 2: Turing's estimates are not below" in said
    assert katz.report()["counts of order 2"]["3"] < 3


@pytest.mark.parametrize(("tally", "said", "once"), [
    ({1: 2, 2: 9}, "order 2: Good-Turing counts are not below", 1 - 2 / 20),
    ({1: 9, 3: 4}, "order 2: Good-Turing counts are not below", 0.5),
    ({1: 7}, "order 2: all counts are equal", 0.5),
    ({1: 9, 3: 9, 5: 9}, "no n-gram occurs twice", 0.5),
])  # fmt: skip
def test_absolute_discounting_replaces_senseless_smoothed_counts(tally, said, once):
    shares, katz, notices = shares_of(tally)
    assert said in notices
    assert katz.report()["counts of order 2"]["1"] == pytest.approx(once)
    assert (shares.seen_M > 0).all() and shares.left_H[0] > 0

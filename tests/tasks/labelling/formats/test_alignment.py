"""Letters are aligned with symbols as EM would; edit scripts lead from words to lemmas."""

import itertools
import math
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, strategies

from rnnlm.errors import SettingsError, TextError
from rnnlm.tasks.labelling.formats.alignment import (
    align,
    align_more,
    best_units,
    expected_counts,
    join,
    units_of,
)
from rnnlm.tasks.labelling.formats.edit_scripts import apply, script

SHOES = [
    ("schuh", "SU"), ("hut", "HUT"), ("schaf", "SAF"), ("haus", "HAUS"), ("busch", "BUS"),
    ("tusche", "TUSE"), ("uhu", "UU"), ("huf", "HUF"), ("cap", "CAP"), ("ufo", "UFO"),
]  # fmt: skip
TINY = strategies.lists(
    strategies.tuples(strategies.text("ab", max_size=3), strategies.text("XY", max_size=4)),
    max_size=3,
)


def enumerated(pair, most):
    """Yield all alignments of a pair, as labels."""
    letters, symbols = pair
    for counts in itertools.product(range(most + 1), repeat=len(letters)):
        if sum(counts) == len(symbols):
            ends = list(itertools.accumulate(counts, initial=0))
            yield ["+".join(symbols[start:end]) or "_" for start, end in itertools.pairwise(ends)]


def enumerated_counts(pairs, logprob, most):
    """Return expected counts of units, the log-likelihood, and scores of best alignments."""
    expected, log_likelihood, best = Counter(), 0.0, {}
    for number, pair in enumerate(pairs):
        paths = [[*zip(pair[0], labels, strict=True)] for labels in enumerated(pair, most)]
        scores = [sum(logprob[unit] for unit in path) for path in paths]
        if scores:
            total = math.fsum(map(math.exp, scores))
            log_likelihood += math.log(total)
            best[number] = max(scores)
            for score, path in zip(scores, paths, strict=True):
                for unit in path:
                    expected[unit] += math.exp(score) / total
    return expected, log_likelihood, best


@given(TINY, strategies.integers(1, 3), strategies.integers(0, 1000))
def test_alignment_statistics_equal_those_by_enumeration(pairs, most, seed):
    units = units_of(pairs, most)
    logprob_U = np.log(np.random.default_rng(seed).random(len(units.names)) + 1e-3)
    logprob = dict(zip(units.names, logprob_U.tolist(), strict=True))
    expected, log_likelihood, best = enumerated_counts(pairs, logprob, most)
    found_U, found_likelihood = expected_counts(units.lattices, logprob_U)
    assert found_likelihood == pytest.approx(log_likelihood, abs=1e-9)
    assert found_U == pytest.approx([expected[name] for name in units.names], abs=1e-9)
    assert {*range(len(pairs))} - {*best} == {*units.skipped}
    scores = {}
    for lattice in units.lattices:
        best_of = zip(lattice.pairs_B.tolist(), best_units(lattice, logprob_U).T, strict=True)
        for number, its_units in best_of:
            assert join(units.names[unit][1] for unit in its_units) == [*pairs[number][1]]
            scores[number] = logprob_U[its_units].sum()
    assert scores == pytest.approx(best, abs=1e-9)


def test_likelihoods_equal_plain_em_and_only_rise():
    found = align(SHOES, iterations=12)
    units = units_of(SHOES, 2)
    weights = {unit: 0.1 if "+" in unit[1] else 1.0 for unit in units.names}
    likelihoods = []
    for _ in range(12):
        total = sum(weights.values())
        logprob = {unit: math.log(max(p, 1e-300) / total) for unit, p in weights.items()}
        weights, log_likelihood, _ = enumerated_counts(SHOES, logprob, 2)
        likelihoods.append(log_likelihood)
    assert found.log_likelihoods == pytest.approx(likelihoods, abs=1e-9)
    assert all(np.diff(found.log_likelihoods) > 0)
    assert sum(map(math.exp, found.log_probabilities.values())) == pytest.approx(1.0)


def test_letters_with_zero_to_two_symbols_are_found_ties_at_the_earliest():
    others = [("box", "BOKS"), ("sex", "SEKS"), ("ox", "OKS"), ("bob", "BOB"), ("see", "SE")]
    labels = [" ".join(each) for each in align([*SHOES, *others]).labels]
    assert labels[0] == "S _ _ U _"
    assert labels[2] == "S _ _ A F" and labels[4] == "B U S _ _" and labels[6] == "U _ U"
    assert labels[10:] == ["B O K+S", "S E K+S", "O K+S", "B O B", "S E _"]
    found = align([("ll", "L"), ("aaa", "X"), ("eeee", "EE")])
    assert [" ".join(labels) for labels in found.labels] == ["L _", "X _ _", "E E _ _"]


def test_overlong_pairs_are_skipped_without_effect():
    others = [("a", "XYZ"), ("", "X"), ("a" * 1001, "X"), ("ab", "XYXYX")]
    found, alone = align([*others[:2], *SHOES, *others[2:]]), align(SHOES)
    assert found.skipped == (0, 1, 12, 13)
    assert [found.labels[number] for number in found.skipped] == [None] * 4
    assert found.labels[2:12] == alone.labels
    assert found.log_likelihoods == pytest.approx(alone.log_likelihoods)
    assert align([("a", "XYZ"), ("", "")], max_symbols=3).labels == (("X+Y+Z",), ())
    assert align([("ab", "X")], max_symbols=1).skipped == align([]).labels == ()


def test_long_words_do_not_underflow():
    pairs = [
        ("a", "A"), ("b", "B"), ("c", "C"), ("cd", "C"), ("ab", "AB"), ("x", "XY"), ("dc", "C"),
    ]  # fmt: skip
    learned = align(pairs * 3)
    letters, symbols = "abcdx" * 60, "ABCXY" * 60
    assert align_more(learned, [(letters, symbols)]).labels[0] == ("A", "B", "C", "_", "X+Y") * 60
    found = align([(letters, symbols)], iterations=2)
    assert join(found.labels[0]) == [*symbols]
    assert -1e5 < found.log_likelihoods[0] < found.log_likelihoods[1] < 0


def test_learned_alignments_extend_to_new_pairs_and_join_into_symbols():
    learned = align(SHOES)
    assert align_more(learned, SHOES).labels == learned.labels
    more = align_more(learned, [("schusch", "SUS"), ("ähä", "QHQ"), ("h", "ABC")])
    assert more.labels[:2] == (("S", "_", "_", "U", "S", "_", "_"), ("Q", "H", "Q"))
    assert more.skipped == (2,) and more.log_likelihoods == ()
    pairs = [(["c", "h", "e", "x"], ["CH", "EH", "K", "S"]), (["ch", "x"], ["CH", "K", "S"])]
    assert [join(labels) for labels in align(pairs).labels] == [symbols for _, symbols in pairs]
    assert join(["S", "_", "K+S"]) == ["S", "K", "S"]


@pytest.mark.parametrize("symbol", ["_", "A+B", ""])
def test_an_impossible_symbol_is_reported_with_its_pair(symbol):
    with pytest.raises(TextError, match="pair 2 holds the symbol"):
        align([("a", ["A"]), ("ab", ["A", symbol])])


@pytest.mark.parametrize("limits", [{"iterations": 0}, {"max_symbols": 0}])
def test_limits_that_make_no_sense_are_told(limits):
    with pytest.raises(SettingsError, match="at least one iteration"):
        align(SHOES, **limits)


ANY = strategies.text(strategies.characters(), max_size=12)  # surrogates, too
# words that share letters, and the characters of scripts
ALIKE = strategies.text("abAB ;|=+-$^\\ßİ", max_size=8)


@given(ANY | ALIKE, ANY | ALIKE)
@example("", "")
@example("a", "")
@example("", "a|b;\t c")
@example("\\x41", "\\x41b")
@example("x" * 5000 + "s", "X" * 5000)
def test_a_script_turns_a_word_into_its_lemma(form, lemma):
    found = script(form, lemma)
    assert apply(found, form) == lemma
    assert found and found.isascii() and not re.search(r"[\s|]", found)


@pytest.mark.parametrize(("pairs", "same"), [
    ("the the  The the  , ,  1990 1990", "lower"), ("Rome Rome  iPhone iPhone  NATO NATO", "keep"),
    ("ROME Rome  PAris Paris", "title"), ("forces force  Forces force  CARS car", "lower;$-1"),
    ("Americans American", "keep;$-1"), ("tries try  Flies fly", "lower;$-3+y"),
    ("drank drink  sprang spring", "lower;$2-1+i"),
    ("gemacht machen  gelegt legen", "lower;^-2;$-1+en"), ("is be  was be  Are be", "=be"),
    ("5s 5  As a", "lower;$-1"), ("wo will", "=will"), ("Häuser Haus", "keep;^1-1+a;$-2"),
    ("Bäume Baum  Räume Raum", "keep;^1-1+a;$-1"), ("дома домы", "lower;$-1+\\u044b"),
])  # fmt: skip
def test_words_that_inflect_alike_have_one_script(pairs, same):
    assert {script(*pair.split()) for pair in pairs.split("  ")} == {same}


@pytest.mark.parametrize(("form", "edits", "becomes"), [
    ("Is", "lower;$-3+y", "is"), ("Is", "keep;$-2", "Is"), ("Abc", "keep;^-2;$-2", "Abc"),
    ("abc", "upper;^9+x", "ABC"),
])  # fmt: skip
def test_a_word_too_short_is_only_cased(form, edits, becomes):
    assert apply(edits, form) == becomes


@pytest.mark.parametrize(
    "label", "|NOUN|lower;|lower;-3|lower;$-x|=\\x4|=é|lower;$-3+\\".split("|")
)
def test_a_label_that_is_no_script_is_told(label):
    with pytest.raises(TextError, match="is not an edit script"):
        apply(label, "word")

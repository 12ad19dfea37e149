"""Schemes of spans are told apart and converted; what breaks them is read as conlleval does."""

import itertools

import pytest
from hypothesis import given, strategies as st

from rnnlm.errors import RnnlmWarning
from rnnlm.tasks.labelling.formats import schemes

BY_HAND = {  # two names side by side, one of three words, one of another type behind it
    "iob1": "I-P B-P O I-L I-L I-L I-P O",
    "bio": "B-P B-P O B-L I-L I-L B-P O",
    "bioes": "S-P S-P O B-L I-L E-L S-P O",
    "bilou": "U-P U-P O B-L I-L L-L U-P O",
    "bmes": "S-P S-P O B-L M-L E-L S-P O",
}
SPANS = [(0, 1, "P"), (1, 2, "P"), (3, 6, "L"), (6, 7, "P")]


@st.composite
def some_spans(draw):
    length, found, place = draw(st.integers(1, 8)), [], 0
    while place < length:
        end = draw(st.integers(place, length))
        if end > place:
            found.append((place, end, draw(st.sampled_from(["", "X", "Y-Z"]))))
        place = max(end, place + draw(st.integers(0, 1)), place)
        if end == place and not draw(st.booleans()):
            place += 1
    return found, length


@pytest.mark.parametrize("scheme", schemes.LETTERS)
def test_a_sentence_by_hand(scheme):
    labels = BY_HAND[scheme].split()
    assert schemes.spans(labels, scheme) == SPANS
    assert schemes.detect_scheme([labels]) == scheme
    for other in schemes.LETTERS:
        assert schemes.convert(labels, scheme, other) == BY_HAND[other].split()
    assert schemes.convert(labels, scheme, "none") == labels


@given(some_spans(), st.sampled_from(list(schemes.LETTERS)), st.sampled_from(list(schemes.LETTERS)))
def test_converting_keeps_the_spans_and_comes_back(drawn, one, other):
    found, length = drawn
    labels = schemes.written(found, length, one)
    assert schemes.spans(labels, one) == found
    converted = schemes.convert(labels, one, other)
    assert schemes.spans(converted, other) == found
    assert schemes.convert(converted, other, one) == labels


@given(some_spans(), st.sampled_from(["iob1", "bio", "bioes", "bilou", "bmes"]))
def test_what_a_scheme_allows_is_what_it_writes(drawn, scheme):
    """Labels may follow each other exactly if a conversion leaves them as they are."""
    found, length = drawn
    others = schemes.written([(0, 3, "X"), (3, 4, "X"), (4, 6, "X")], 6, scheme)
    symbols = sorted({"O", *schemes.written(found, length, scheme), *others})
    start, end, transitions = schemes.allowed(symbols, scheme)
    for ids in itertools.islice(itertools.product(range(len(symbols)), repeat=3), 400):
        labels = [symbols[id] for id in ids]
        follows = all(transitions[pair] for pair in itertools.pairwise(ids))
        is_allowed = start[ids[0]] and end[ids[-1]] and follows
        assert is_allowed == (schemes.convert(labels, scheme, scheme) == labels), labels


@pytest.mark.parametrize(
    "labels", ["NN VB", "O O", "B I N", "S M L", "B AW T", "B-", "O B-X -", "I"]
)
def test_other_labels_are_no_spans(labels):
    assert schemes.detect_scheme([labels.split()]) == "none"
    assert schemes.spans(labels.split(), "none") == []
    assert all(mask.all() for mask in schemes.allowed(labels.split(), "none"))


def test_the_majority_decides_the_scheme_and_one_kind_needs_no_type():
    assert schemes.detect_scheme(["B I O".split()]) == "bio"
    assert schemes.convert("B I O B".split(), "bio", "bioes") == "B E O S".split()
    rows = [label.split() for label in ("B-X I-X O", "B-X O B-X", "O I-X O")]
    with pytest.warns(RnnlmWarning, match="1 of 4 spans do not begin as in BIO"):
        assert schemes.detect_scheme(rows) == "bio"
    assert schemes.spans(rows[2], "bio") == [(1, 2, "X")]
    assert schemes.convert(rows[2], "bio", "bio") == ["O", "B-X", "O"]
    assert schemes.detect_scheme(["I-X I-X B-X O I-Y".split()]) == "iob1"
    found = schemes.spans("B-X I-Y E-Y I-Y O E-Z S-Z".split(), "bioes")
    assert found == [(0, 1, "X"), (1, 3, "Y"), (3, 4, "Y"), (5, 6, "Z"), (6, 7, "Z")]


def test_symbols_foreign_to_the_scheme_mean_outside():
    start, end, transitions = schemes.allowed(["<unk>", "I-X", "B-X"], "bio")
    assert start.tolist() == [True, False, True] and end.all()
    assert transitions.tolist() == [[True, False, True], [True, True, True], [True, True, True]]


def by_the_rules_of_conlleval(labels):
    """Find spans by conlleval's two tables of label pairs (Tjong Kim Sang & Buchholz 2000)."""
    ends = "BB BS BO IB IS IO EE EI EO EB ES SE SI SO SB SS".split()
    starts = "BB IB SB OB EB BS IS SS OS ES EE EI SE SI OE OI".split()
    found, start, before = [], None, ("O", "")
    for place, label in enumerate([*labels, "O"]):
        here = (label[0], label[2:])
        changes = here[1] != before[1]
        if before[0] != "O" and (before[0] + here[0] in ends or changes):
            found.append((start, place, before[1]))
        if here[0] != "O" and (before[0] + here[0] in starts or changes):
            start = place
        before = here
    return found


@given(st.sampled_from([("iob1", "BI"), ("bio", "BI"), ("bioes", "BIES")]), st.data())
def test_labels_breaking_their_scheme_follow_conlleval(drawn, data):
    scheme, letters = drawn
    symbols = ["O", *(f"{letter}-{kind}" for letter in letters for kind in "XY")]
    labels = data.draw(st.lists(st.sampled_from(symbols), max_size=12))
    assert schemes.spans(labels, scheme) == by_the_rules_of_conlleval(labels)

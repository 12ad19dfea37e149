"""The trie of counts against plain counting of slices."""

import numpy as np
import pytest
from hypothesis import example, given, strategies as st

from reference.ngram_formulas import BEGIN, adjusted_counts, raw_counts
from rnnlm.lm.ngram.counting.count_trie import NgramCounts
from rnnlm.lm.ngram.counting.workspace import Workspace
from rnnlm.lm.ngram.tables import NOWHERE
from support.tiny_ngrams import counts_of, grams_of

word = st.integers(1, 6)
lines = st.lists(word, max_size=8) | st.lists(word, min_size=20, max_size=60)
texts = st.lists(lines, min_size=1, max_size=12)
SIZE = 8  # word 7 never occurs


def small_workspace(positions: int) -> Workspace:
    """Make a workspace that handles so few positions at a time, and keeps arrays in files."""
    workspace = Workspace(memory=10**9)
    workspace.positions = positions
    return workspace


def as_dictionary(counts: NgramCounts, values: list[np.ndarray]) -> dict:
    """Map n-grams to values, leaving out words that never occur and `<s>`."""
    found = {}
    all_grams = grams_of(counts.levels, counts.size)
    for grams, level, values_M in zip(all_grams, counts.levels, values, strict=True):
        for gram, value, raw in zip(grams, values_M, level.counts_M, strict=True):
            if raw:
                found[gram] = int(value)
    return without_begin(found)


def without_begin(counts: dict) -> dict:
    return {gram: count for gram, count in counts.items() if gram != (BEGIN,)}


POSITIONS = st.sampled_from([1, 2, 7, 1 << 24])


@given(sentences=texts, order=st.integers(1, 16), part_positions=POSITIONS)
@example(sentences=[[]], order=5, part_positions=1 << 24)
@example(sentences=[[1]], order=16, part_positions=1)
@example(sentences=[[1] * 200], order=16, part_positions=7)
def test_raw_counts_are_those_of_slices(sentences, order, part_positions):
    counts = counts_of(sentences, SIZE, order, workspace=small_workspace(part_positions))
    expected = raw_counts(sentences, order)
    raw = [counts.raw(n) for n in range(1, counts.order + 1)]
    assert as_dictionary(counts, raw) == without_begin(expected)
    assert counts.order == max(len(gram) for gram in expected)
    assert counts.levels[0].counts_M[SIZE] == expected[BEGIN,]


@given(sentences=texts, order=st.integers(1, 7))
def test_adjusted_counts_are_numbers_of_left_words(sentences, order):
    counts = counts_of(sentences, SIZE, order)
    expected = without_begin(adjusted_counts(raw_counts(sentences, order), order))
    adjusted = [counts.adjusted(n) for n in range(1, counts.order + 1)]
    assert as_dictionary(counts, adjusted) == expected


@given(sentences=texts, part_positions=st.sampled_from([1, 5, 1 << 24]))
def test_ngrams_are_sorted_and_know_beginnings_and_ends(sentences, part_positions):
    counts = counts_of(sentences, SIZE, 5, workspace=small_workspace(part_positions))
    all_grams = grams_of(counts.levels, SIZE)
    for shorter, grams, level in zip(all_grams, all_grams[1:], counts.levels[1:], strict=False):
        pairs = list(zip(level.contexts_M.tolist(), level.words_M.tolist(), strict=True))
        assert pairs == sorted(set(pairs))
        assert [shorter[suffix] for suffix in level.suffixes_M] == [gram[1:] for gram in grams]
        after_start = [number >= level.after_start for number in range(len(level))]
        assert [gram[0] == BEGIN for gram in grams] == after_start


def test_begin_and_adjusted_counts_differ_at_the_edges():
    counts = counts_of([[1, 1], [2, 1]], 3, 2)
    assert counts.raw(1).tolist() == [2, 3, 1, 0] and counts.levels[0].counts_M[3] == 2
    # before </s>: 1; before 1: <s>, 1, 2; before 2: <s>
    assert counts.adjusted(1).tolist() == [1, 3, 1, 0]
    assert counts.adjusted(2).tolist() == counts.raw(2).tolist() == [2, 1, 1, 1, 1]


@pytest.mark.parametrize("watch", range(6))
def test_a_watched_position_reports_its_n_grams(watch):
    first, second = (BEGIN, 1, 2, 3, 0), (BEGIN, 2, 0)
    longest = [first[:2], first[:3], first[:4], first, second[:2], second][watch]
    counts = counts_of([[1, 2, 3], [2]], 4, 4, watch=watch)
    levels = zip(grams_of(counts.levels, 4), counts.levels, strict=True)
    for n, (grams, level) in enumerate(levels, start=1):
        if n <= len(longest):
            assert grams[level.watched] == longest[-n:]
        else:
            assert level.watched == NOWHERE

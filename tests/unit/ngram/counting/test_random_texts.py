"""Properties that counting keeps on random texts, against counting in plain Python."""

from collections import Counter

import pytest

from reference.ngram_formulas import BEGIN
from reference.ngram_levels import levels_of
from support.random_texts import SEEDS, SHARDS, assert_levels, random_text
from support.tiny_ngrams import counts_of


def test_levels_of_a_text_worked_out_by_hand():
    # "1 2 </s>" and "1 </s>"; <s> is 3, and a word takes two bits.
    unigrams, bigrams, trigrams = levels_of([[1, 2], [1]], size=3, order=3)
    assert unigrams.grams == [(0,), (1,), (2,), (BEGIN,)]
    assert unigrams.keys == [0, 1, 2, 3]
    assert unigrams.counts == [2, 2, 1, 2]
    assert unigrams.adjusted == [2, 1, 1, 0]
    assert bigrams.grams == [(1, 0), (1, 2), (2, 0), (BEGIN, 1)]
    assert bigrams.keys == [4, 6, 8, 13]
    assert bigrams.suffixes == [0, 2, 0, 1]
    assert bigrams.adjusted == [1, 1, 1, 2]
    assert trigrams.grams == [(1, 2, 0), (BEGIN, 1, 0), (BEGIN, 1, 2)]
    assert trigrams.keys == [1 << 2, 3 << 2, 3 << 2 | 2]
    assert trigrams.suffixes == [2, 0, 1]
    assert [level.after_start for level in (unigrams, bigrams, trigrams)] == [3, 3, 1]


@pytest.mark.parametrize("seeds", SEEDS)
def test_levels_are_those_of_plain_python(seeds):
    for seed in seeds:
        text = random_text(seed)
        counts = counts_of(text.sentences, text.size, text.order)
        expected = levels_of(text.sentences, text.size, text.order)
        assert_levels(counts.levels, expected, text.size)


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("number", SHARDS)
def test_lines_in_any_order_have_the_same_levels(seeds, number):
    for seed in seeds:
        text = random_text(seed)
        expected = levels_of(text.sentences, text.size, text.order)
        moved = [sentence for shard in text.shards(number) for sentence in shard]
        assert_levels(counts_of(moved, text.size, text.order).levels, expected, text.size)


@pytest.mark.parametrize("number", SHARDS)
def test_counts_of_shards_add_up(number):
    """Check that the plain levels themselves have this property, which merging relies on."""
    for seed in range(10):
        text = random_text(seed)
        added: Counter = Counter()
        for shard in text.shards(number):
            for level in levels_of(shard, text.size, text.order):
                added.update(dict(zip(level.grams, level.counts, strict=True)))
        whole = Counter()
        for level in levels_of(text.sentences, text.size, text.order):
            whole.update(dict(zip(level.grams, level.counts, strict=True)))
        assert added == whole

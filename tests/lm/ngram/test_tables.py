"""Keys of n-grams, made, split and found, against Python's integers and a dictionary."""

import numpy as np
import pytest
from hypothesis import example, given, strategies as st

from rnnlm.lm.ngram import tables as tables_module
from rnnlm.lm.ngram.tables import NOWHERE, BackoffLevel, find, find_many, make_keys, split_keys
from support.tiny_ngrams import level_of

LARGEST = (1 << 64) - 1
bits = st.integers(1, 64)


@st.composite
def tables(draw):
    """Draw sorted keys of some width, and wanted ones: some of those or near those, some twice."""
    largest = (1 << draw(bits)) - 1
    key = st.integers(0, largest)
    keys = sorted(draw(st.sets(key, max_size=30)))
    near = [other for each in keys for other in (each - 1, each, each + 1) if 0 <= other <= largest]
    wanted = draw(st.lists(st.sampled_from(near) | key if near else key, max_size=60))
    return keys, wanted + wanted[: draw(st.integers(0, 5))]


SORTED, BLOCKS = st.sampled_from([1, 2, 4, 16]), st.sampled_from([1, 2, 7, 8192])


@given(table=tables(), worth_sorting=SORTED, block=BLOCKS)
@example(table=([], []), worth_sorting=1, block=1)
@example(table=([], [0, LARGEST]), worth_sorting=1, block=1)
@example(table=([0, LARGEST], [LARGEST, 0, LARGEST - 1, LARGEST]), worth_sorting=1, block=2)
# 2 bits to spare for 32 positions
@example(table=([3, 1 << 61], [1 << 61, 3, 2, 3] * 8), worth_sorting=4, block=2)
@example(table=([3, 1 << 63], [1 << 63, 3, 2, 3] * 8), worth_sorting=4, block=2)  # none
@example(table=([0], [0] * 33), worth_sorting=1, block=8)
def test_keys_are_found_as_in_a_dictionary(table, worth_sorting, block):
    keys, wanted = table
    numbers = {key: number for number, key in enumerate(keys)}
    keys_M, wanted_Q = np.array(keys, dtype=np.uint64), np.array(wanted, dtype=np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables_module, "WORTH_SORTING", worth_sorting)
        patch.setattr(tables_module, "SEARCH_BLOCK", block)
        for look_up in (find, find_many):
            found_Q = look_up(keys_M, wanted_Q)
            assert found_Q.tolist() == [numbers.get(key, NOWHERE) for key in wanted]
            assert found_Q.dtype == np.int64
    assert (keys_M.tolist(), wanted_Q.tolist()) == (keys, wanted)


@pytest.mark.parametrize("spare", [0, 11, 12, 13, 30])
def test_many_keys_are_found_with_few_spare_bits(spare):
    """20,000 of them need 15 bits for their positions."""
    chance = np.random.default_rng(spare)
    keys = chance.integers(LARGEST >> spare, size=50_000, dtype=np.uint64, endpoint=True)
    keys_M = np.unique(keys)
    places_Q = chance.integers(len(keys_M), size=20_000)
    assert (find_many(keys_M, keys_M[places_Q]) == places_Q).all()
    assert (find_many(np.delete(keys_M, places_Q), keys_M[places_Q]) == NOWHERE).all()


@given(size=st.integers(1, 1 << 31), data=st.data())
@example(size=1, data=None)
def test_keys_are_split_as_they_were_made(size, data):
    width = size.bit_length()
    contexts = [0, (1 << (64 - width)) - 1, 1]
    words = [size, size, 0]  # <s> is word V
    if data:
        contexts += data.draw(st.lists(st.integers(0, (1 << (64 - width)) - 1), max_size=9))
        words += [data.draw(st.integers(0, size)) for _ in contexts[3:]]
    contexts_M, words_M = np.array(contexts, dtype=np.int64), np.array(words, dtype=np.int64)
    keys_M = make_keys(contexts_M, words_M, size)
    assert tables_module.word_bits(size) == width and keys_M.dtype == np.uint64
    pairs = zip(contexts, words, strict=True)
    assert keys_M.tolist() == [(context << width) | word for context, word in pairs]
    for found, expected in zip(split_keys(keys_M, size), (contexts, words), strict=True):
        assert found.tolist() == expected and found.dtype == np.int64
    assert contexts_M.tolist() == contexts and words_M.tolist() == words


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.int64, np.uint64])
def test_ids_of_any_width_make_keys(kind):
    context = 40_000 % np.iinfo(kind).max
    keys_M = make_keys(np.array([context, 3], dtype=kind), np.array([5, 6], dtype=kind), 50_000)
    assert keys_M.tolist() == [(context << 16) | 5, (3 << 16) | 6]
    none = np.zeros(0, dtype=kind)
    assert [len(part) for part in split_keys(make_keys(none, none, 9), 9)] == [0, 0]


def level_of_grams(grams, numbers, n) -> tuple[BackoffLevel, dict]:
    """Make the level of order `n` above those with these numbers. Return its numbers, too."""
    own = [(numbers[gram[:-1]], gram[-1], gram) for gram in grams if len(gram) == n]
    contexts, words, ordered = zip(*sorted(own), strict=True)
    values = -np.arange(len(ordered)) - 1.0, np.full(len(ordered), n)
    return level_of(5, contexts, words, *values), {gram: at for at, gram in enumerate(ordered)}


def grams_of(levels: list[BackoffLevel]) -> dict[tuple[int, ...], list[float]]:
    """Map words to values, and check that keys are sorted."""
    grams, values = [()], {}
    for level in levels:
        assert (np.diff(level.keys_M.astype(object)) > 0).all()
        pairs = zip(level.contexts_M.tolist(), level.words_M.tolist(), strict=True)
        grams = [(*grams[context], word) for context, word in pairs]
        values.update(zip(grams, level.values_MK.tolist(), strict=True))
    return values


grams = st.sets(st.lists(st.integers(0, 5), min_size=1, max_size=4).map(tuple), min_size=1)


@given(grams=grams, data=st.data())
def test_renumbering_words_renumbers_the_ngrams(grams, data):
    # word 5 is <s>
    grams |= {gram[:n] for gram in grams for n in range(1, len(gram))}
    grams |= {(word,) for word in range(6)}
    used = {word for gram in grams if len(gram) > 1 for word in gram} - {5} or {0}
    kept = sorted(used | data.draw(st.sets(st.integers(0, 4))))
    size = len(kept) + data.draw(st.integers(0, 3))
    numbers = data.draw(st.permutations(range(size)))[: len(kept)]
    new = dict(zip(kept, numbers, strict=True)) | {5: size}
    levels, numbers = [], {(): 0}
    for n in range(1, max(map(len, grams)) + 1):
        level, own = level_of_grams(grams, numbers, n)
        levels.append(level)
        numbers |= own
    moved = {gram: value for gram, value in grams_of(levels).items() if set(gram) <= new.keys()}
    expected = {tuple(new[word] for word in gram): value for gram, value in moved.items()}
    numbers_V = np.array([new.get(word, NOWHERE) for word in range(5)])
    found = tables_module.renumber(levels, numbers_V, size)
    assert grams_of(found) == expected and all(level.size == size for level in found)

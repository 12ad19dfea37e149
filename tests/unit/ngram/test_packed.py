"""Packed keys against the keys themselves: read in every way, found as in a dictionary."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnnlm.ngram.packed import BLOCK, PackedKeys, SingleKeys
from rnnlm.ngram.tables import NOWHERE, find_many

LARGEST = (1 << 64) - 1


def keys_of(width: int, size: int, seed: int, base: int = 0) -> np.ndarray:
    """Draw about so many ascending keys, from `base` on, whose distances take so many bits."""
    distances = np.random.default_rng(seed).integers(
        0, (1 << width) - 1, size, dtype=np.uint64, endpoint=True
    )
    most = np.uint64(LARGEST - base)
    return np.unique(np.minimum(distances, most)) + np.uint64(base)


drawn = {
    "width": st.integers(0, 64),
    "size": st.integers(1, 4 * BLOCK),
    "seed": st.integers(0, 1 << 32),
    "base": st.integers(0, LARGEST),
}


def test_a_block_is_packed_as_by_hand():
    # Distances 0, 1, 4, 4, ... from 5 on need 3 bits, and take 4: 16 of them in a word.
    packed = PackedKeys.of(np.array([5, 6, 9], dtype=np.uint64))
    assert packed.bases_G.tolist() == [5]
    assert packed.starts_H.tolist() == [0, 2]
    assert [hex(word) for word in packed.words_W] == ["0x4444444444444410", "0x4444444444444444"]


@given(**drawn)
@example(width=57, size=100, seed=0, base=0)
@example(width=58, size=100, seed=0, base=3)
@example(width=59, size=100, seed=0, base=3)
@example(width=64, size=1, seed=0, base=LARGEST)
def test_keys_come_back_as_they_were(width, size, seed, base):
    keys_M = keys_of(width, size, seed, base)
    packed = PackedKeys.of(keys_M)
    assert np.array_equal(np.asarray(packed), keys_M) and len(packed) == len(keys_M)
    chance = np.random.default_rng(seed)
    places = chance.integers(0, len(keys_M), 20)
    assert np.array_equal(packed[places], keys_M[places])
    single = SingleKeys(packed)
    assert [single[place] for place in places.tolist()] == keys_M[places].tolist()
    start, stop = chance.integers(0, len(keys_M) + 5, 2).tolist()
    for part in (slice(start, stop), slice(start, None, 3)):
        assert np.array_equal(packed[part], keys_M[part])


@given(**drawn)
def test_every_key_is_found_and_none_invented(width, size, seed, base):
    keys_M = keys_of(width, size, seed, base)
    packed = PackedKeys.of(keys_M)
    # Ask for each key, what lies beside it, and anything, in any order.
    near = [keys_M, keys_M + np.uint64(1), keys_M - np.uint64(1)]
    anything = np.random.default_rng(seed).integers(0, LARGEST, 20, dtype=np.uint64, endpoint=True)
    wanted_Q = np.random.default_rng(seed).permutation(np.concatenate([*near, anything]))
    numbers = {key: number for number, key in enumerate(keys_M.tolist())}
    expected = [numbers.get(key, NOWHERE) for key in wanted_Q.tolist()]
    assert find_many(packed, wanted_Q).tolist() == expected
    assert np.array_equal(packed.searchsorted(wanted_Q), np.searchsorted(keys_M, wanted_Q))


def test_no_keys_are_packed_and_searched():
    packed = PackedKeys.of(np.zeros(0, dtype=np.uint64))
    assert np.asarray(packed).tolist() == []
    assert find_many(packed, np.array([0, 7], dtype=np.uint64)).tolist() == [NOWHERE] * 2


@pytest.mark.parametrize("seed", range(20))
def test_damaged_arrays_give_index_errors_or_keys(seed):
    chance = np.random.default_rng(seed)
    packed = PackedKeys.of(keys_of(20, 200, seed))
    starts_H = chance.permutation(packed.starts_H)
    starts_H[chance.integers(len(starts_H))] = 0xFFFFFFFF
    damaged = PackedKeys(len(packed), packed.bases_G, starts_H, packed.words_W)
    with pytest.raises(IndexError):
        np.asarray(damaged)
    with pytest.raises(IndexError):
        damaged[np.arange(len(damaged))]
    with pytest.raises(IndexError):
        damaged.searchsorted(np.asarray(packed))


def test_a_third_of_the_bits_suffices():
    """Of an order as large texts have it: each context has a few words."""
    chance = np.random.default_rng(3)
    contexts, words = np.repeat(np.arange(20_000), 2), chance.integers(0, 1 << 17, 40_000)
    keys_M = np.unique((contexts.astype(np.uint64) << np.uint64(17)) | words.astype(np.uint64))
    packed = PackedKeys.of(keys_M)
    arrays = (packed.bases_G, packed.starts_H, packed.words_W)
    assert sum(array.nbytes for array in arrays) < 0.42 * keys_M.nbytes

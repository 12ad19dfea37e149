"""Keys of n-grams in few bits: sorted, in blocks, each key as its distance from the first one of
its block.

Neighbours among sorted keys share most of their bits, so distances take a third of the bits of a
key, and those of a block all take the same number ("frame of reference": Goldstein, Ramakrishnan &
Shaft 1998). A key is found without unpacking more than its block, and only blocks that are asked
for are read from a mapped file.
"""

import numpy as np

BLOCK = 32  # keys of a block
BLOCK_BITS = 5
EVEN = 2  # bits of a distance are a multiple of this, so that a block takes whole words
WORD = 64  # bits
WIDEST = 58  # bits; wider distances take a whole word, as one load might not reach their end
SEARCHED_TOGETHER = 1 << 15  # wanted keys whose blocks are unpacked together
PACKED_TOGETHER = 1 << 16  # blocks
ONE = np.uint64(1)


class PackedKeys:
    """M ascending keys, uint64, of which the arrays may be mapped from a file. It looks like an
    array of one dimension: a slice of it, or an array of places, gives keys; np.asarray unpacks
    all.

    bases_G: the first key of each of the G blocks. starts_H: the words at which the distances of
    each block begin, and of the last one end, (G + 1,). words_W: the distances, uint64; the last
    block is filled up with its last key. An IndexError says that the arrays are damaged.
    """

    def __init__(
        self, size: int, bases_G: np.ndarray, starts_H: np.ndarray, words_W: np.ndarray
    ) -> None:
        self.size = size
        self.bases_G = bases_G
        self.starts_H = starts_H
        self.words_W = words_W

    @classmethod
    def of(cls, keys_M: np.ndarray) -> "PackedKeys":
        """Pack ascending keys; `keys_M` may be mapped, and is read twice."""
        # First the bits of each block, from its first and last key.
        firsts = np.arange(0, len(keys_M), BLOCK)
        lasts = np.minimum(firsts + BLOCK, len(keys_M)) - 1
        bases_G = keys_M[firsts]
        widths_G = _widths(keys_M[lasts] - bases_G)
        starts_H = np.append(0, np.cumsum(widths_G * BLOCK // WORD))
        narrow = np.uint32 if starts_H[-1] < 1 << 32 else np.uint64

        # Then the distances, of many blocks at a time.
        words_W = np.zeros(starts_H[-1], dtype=np.uint64)
        for first in range(0, len(firsts), PACKED_TOGETHER):
            here = slice(first, first + PACKED_TOGETHER)
            keys = keys_M[first * BLOCK : (first + PACKED_TOGETHER) * BLOCK]
            missing = -len(keys) % BLOCK
            keys_GB = np.append(keys, np.repeat(keys[-1:], missing)).reshape(-1, BLOCK)
            distances_GB = keys_GB - bases_G[here, None]
            _pack(distances_GB, widths_G[here], starts_H[:-1][here], words_W)
        return cls(len(keys_M), bases_G, starts_H.astype(narrow), words_W)

    def __len__(self) -> int:
        return self.size

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("packed keys can only be unpacked into a copy")
        return self[:].astype(dtype or np.uint64, copy=False)

    def __getitem__(self, at: slice | np.ndarray) -> np.ndarray:
        if isinstance(at, slice):
            return self._slice(*at.indices(len(self)))
        return self._single(at)

    def _slice(self, start: int, stop: int, step: int) -> np.ndarray:
        first, after = start >> BLOCK_BITS, -(-stop // BLOCK)
        if after <= first:
            return np.zeros(0, dtype=np.uint64)
        # A long slice is unpacked in parts, as each part needs memory of its own.
        parts = []
        for block in range(first, after, PACKED_TOGETHER):
            blocks = np.arange(block, min(block + PACKED_TOGETHER, after))
            parts.append(self._unpack(blocks).reshape(-1))
        keys = parts[0] if len(parts) == 1 else np.concatenate(parts)
        begin = first * BLOCK
        return keys[start - begin : stop - begin : step]

    def _single(self, places_Q: np.ndarray) -> np.ndarray:
        """Return the keys at these places, in any order."""
        places_Q = places_Q.astype(np.int64, copy=False)
        blocks_Q = places_Q >> BLOCK_BITS
        starts_Q, widths_Q = self._extents(blocks_Q)
        keys_Q = np.take(self.bases_G, blocks_Q)
        at = np.flatnonzero(widths_Q)
        if not len(at):
            return keys_Q

        # A distance lies in one word, or in two.
        bits = (places_Q[at] & (BLOCK - 1)) * widths_Q[at]
        words = starts_Q[at] + (bits >> 6)
        shifts = (bits & (WORD - 1)).astype(np.uint64)
        ends_later = shifts.astype(np.int64) + widths_Q[at] > WORD
        low = np.take(self.words_W, words) >> shifts
        # numpy shifts by all 64 bits to 0, which is right where a distance begins a word
        high = np.take(self.words_W, words + ends_later) << (np.uint64(WORD) - shifts)
        distances = (low | high) & _masks(widths_Q[at])
        keys_Q[at] += distances
        return keys_Q

    def searchsorted(self, wanted_Q: np.ndarray) -> np.ndarray:
        """Return the place of the first key that is not below each wanted one, as numpy's function
        of that name does; in any order."""
        by_size = np.argsort(wanted_Q, kind="stable")
        places_Q = np.empty(len(wanted_Q), dtype=np.int64)
        places_Q[by_size], _ = self.places(wanted_Q[by_size])
        return places_Q

    def places(self, wanted_Q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the place of the first key that is not below each of the ascending wanted ones,
        and whether it is the wanted one."""
        places_Q = np.zeros(len(wanted_Q), dtype=np.int64)
        is_there_Q = np.zeros(len(wanted_Q), dtype=bool)
        if not len(self):
            return places_Q, is_there_Q
        for start in range(0, len(wanted_Q), SEARCHED_TOGETHER):
            here = slice(start, start + SEARCHED_TOGETHER)
            wanted = wanted_Q[here]
            # Unpack each block that can hold a wanted key, once; they ascend as the wanted do.
            blocks = np.searchsorted(self.bases_G, wanted, side="right") - 1
            np.maximum(blocks, 0, out=blocks)
            is_first = np.append(True, blocks[1:] != blocks[:-1])
            different_D = blocks[is_first]
            keys = self._unpack(different_D).reshape(-1)

            # What is above all keys of its block comes before the block after it.
            found = np.searchsorted(keys, wanted)
            is_there_Q[here] = np.take(keys, found, mode="clip") == wanted
            rank = np.cumsum(is_first) - 1  # of each one's block among the different ones
            places_Q[here] = found + (blocks - rank) * BLOCK
        return np.minimum(places_Q, len(self)), is_there_Q

    def _unpack(self, blocks_D: np.ndarray) -> np.ndarray:
        """Return the keys of blocks, (D, BLOCK). Those of the same width are unpacked together."""
        starts_D, widths_D = self._extents(blocks_D)
        keys_DB = np.empty((len(blocks_D), BLOCK), dtype=np.uint64)
        bases_D = np.take(self.bases_G, blocks_D)
        for width in np.flatnonzero(np.bincount(widths_D)).tolist():
            rows = np.flatnonzero(widths_D == width)
            if not width:
                keys_DB[rows] = bases_D[rows, None]
                continue
            words = np.take(self.words_W, starts_D[rows, None] + np.arange(width // EVEN))
            keys_RB = _distances(words, width)
            keys_RB += bases_D[rows, None]
            keys_DB[rows] = keys_RB
        return keys_DB

    def _extents(self, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the words of blocks begin, and the width of their distances in bits."""
        starts = np.take(self.starts_H, blocks).astype(np.int64)
        widths = (np.take(self.starts_H, blocks + 1).astype(np.int64) - starts) * EVEN
        if len(widths) and not 0 <= widths.min() <= widths.max() <= WORD:
            raise IndexError("the blocks of keys are not one after the other")
        return starts, widths


class SingleKeys:
    """Packed keys one at a time, without arrays."""

    def __init__(self, keys: PackedKeys) -> None:
        self._size = len(keys)
        self._bases = keys.bases_G.data
        self._starts = keys.starts_H.data
        self._bytes = keys.words_W.view(np.uint8).data

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, place: int) -> int:
        block = place >> BLOCK_BITS
        start = self._starts[block]
        width = (self._starts[block + 1] - start) * EVEN
        bit = (place & (BLOCK - 1)) * width
        at = start * 8 + (bit >> 3)
        loaded = int.from_bytes(self._bytes[at : at + 8], "little")
        distance: int = loaded >> (bit & 7) & ((1 << width) - 1)
        return self._bases[block] + distance


def _widths(distances_G: np.ndarray) -> np.ndarray:
    """Return the bits that distances up to these are stored in: an even number, or 64."""
    widths_G = np.zeros(len(distances_G), dtype=np.int64)
    left_G = distances_G.copy()
    # The bits of a number by halves: exact, where a logarithm of floating point is not.
    for step in (32, 16, 8, 4, 2, 1):
        shift = np.uint64(step)
        is_longer_G = left_G >> shift != 0
        widths_G += is_longer_G * step
        left_G[is_longer_G] >>= shift
    widths_G += left_G != 0
    widths_G += widths_G % EVEN
    return np.where(widths_G > WIDEST, WORD, widths_G)


def _masks(widths: np.ndarray) -> np.ndarray:
    """Return as many ones as widths in bits, each above zero."""
    return ~np.uint64(0) >> (np.uint64(WORD) - widths.astype(np.uint64))


def _pack(
    distances_GB: np.ndarray, widths_G: np.ndarray, starts_G: np.ndarray, words_W: np.ndarray
) -> None:
    """Write the distances of each block in so many bits, from its word on. The words are zero."""
    for width in np.unique(widths_G[widths_G > 0]).tolist():
        rows = np.flatnonzero(widths_G == width)
        words_RW = np.zeros((len(rows), width // EVEN), dtype=np.uint64)
        for at in range(BLOCK):
            word, shift = divmod(at * width, WORD)
            distances = distances_GB[rows, at]
            words_RW[:, word] |= distances << np.uint64(shift)
            if shift + width > WORD:
                words_RW[:, word + 1] |= distances >> np.uint64(WORD - shift)
        words_W[starts_G[rows, None] + np.arange(width // EVEN)] = words_RW


def _distances(words_RW: np.ndarray, width: int) -> np.ndarray:
    """Return the distances of the blocks that these words are, (R, BLOCK)."""
    # After so many distances one begins with a byte again: those at the same place among them are
    # read by one operation, each by a load of eight bytes from where it begins.
    together = int(8 // np.gcd(8, width))
    loads = words_RW.size * 8 // (together * width // 8)
    data = np.append(words_RW, np.uint64(0))  # the last load ends beyond the last word
    distances_LT = np.empty((loads, together), dtype=np.uint64)
    for at in range(together):
        byte, shift = divmod(at * width, 8)
        loaded_L = np.ndarray((loads,), np.uint64, data, byte, (together * width // 8,))
        np.right_shift(loaded_L, np.uint64(shift), out=distances_LT[:, at])
    if width < WORD:
        distances_LT &= (ONE << np.uint64(width)) - ONE
    return distances_LT.reshape(len(words_RW), BLOCK)

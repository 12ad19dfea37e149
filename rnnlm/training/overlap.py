"""How much of a validation or test text is in the training text, too: figures of such text are better than those of new text.

Lines are compared as the model reads them: by hashes of their token ids, which are there when training begins, so that no text is read
for it. A line of fewer than LEAST_CHARACTERS characters ("Yes, sir.") is in any two texts, and does not count. One with an unknown word
passes for new, as unknown words are not told from each other: where the vocabulary was cut, the share is a lower bound. Of the training
text no more is kept than the hashes of some thousand lines.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from rnnlm.errors import notice
from rnnlm.files.chunked_array import ChunkedArray
from rnnlm.models.card import MUCH
from rnnlm.text.encoding import EncodedText

LEAST_CHARACTERS = 20
MOST_MAPPED_TOKENS = 100_000_000  # a prepared text of more is not read for that
LINES_AT_ONCE, TOKENS_AT_ONCE = 1 << 16, 1 << 20
_PLACES = 1 << 12  # in a line, each with a factor of its own
_FACTORS = np.random.default_rng(1).integers(1, 1 << 64, size=_PLACES, dtype=np.uint64)
_SLOTS = np.uint64((1 << 22) - 1)


@dataclass(frozen=True)
class Overlap:
    """Of `lines` that count, so many are in the training text. is_same: the texts are line by line the same."""

    lines: int
    repeated: int
    is_same: bool = False

    @property
    def share(self) -> float:
        """The share of its lines that is repeated, 0 to 1."""
        return self.repeated / self.lines if self.lines else 0.0


def overlaps(train: EncodedText, others: Mapping[str, EncodedText]) -> dict[str, Overlap]:
    """The :class:`Overlap` of each other text, by its name, with the training text, encoded by the same tokenizer.

    A training text on disk of more than MOST_MAPPED_TOKENS is compared as a whole alone: others than it are left out.
    """
    found = {name: Overlap(text.sentences, text.sentences, True) for name, text in others.items() if text.lines_hash == train.lines_hash}
    if isinstance(train.ids, ChunkedArray) and train.tokens > MOST_MAPPED_TOKENS:
        return found
    counts = {name: np.asarray(text.characters_L) >= LEAST_CHARACTERS for name, text in others.items() if name not in found}
    wanted = {
        name: np.concatenate(list(_hashes(others[name])))[counts_L & (np.asarray(others[name].oov_words_L) == 0)]
        for name, counts_L in counts.items()
    }
    in_train = _occurring(np.unique(np.concatenate([np.empty(0, dtype=np.uint64), *wanted.values()])), train)
    return found | {name: Overlap(int(counts[name].sum()), int(np.isin(hash_L, in_train).sum())) for name, hash_L in wanted.items()}


def warn_of(overlap: Overlap, text: str, is_own_end: bool = False) -> None:
    """Send a notice where much of that `text` ("validation", "test") is in the training text. is_own_end: it is the end of that one."""
    if overlap.is_same:
        notice(f"the {text} text is the training text itself: its figures are not held out")
    elif overlap.share > MUCH:
        share, counts = f"{overlap.share:.0%}", f"({overlap.repeated:,} of {overlap.lines:,}, short ones left out)"
        if is_own_end:
            where = "are in the part that is trained on, too: a text that repeats less will have worse figures"
            notice(f"{share} of the lines held out for {text} {counts} {where}")
        else:
            notice(f"{share} of the lines of the {text} text {counts} are in the training text, too: its figures are not held out")


def _occurring(wanted_K: np.ndarray, train: EncodedText) -> np.ndarray:
    """Those of the hashes `wanted_K`, in ascending order, that are of lines of the training text."""
    if not len(wanted_K):
        return wanted_K
    is_slot_wanted = np.zeros(int(_SLOTS) + 1, dtype=bool)  # spares most lines the search
    is_slot_wanted[wanted_K & _SLOTS] = True
    occurs_K = np.zeros(len(wanted_K), dtype=bool)
    for hash_L in _hashes(train):
        hash_L = hash_L[is_slot_wanted[hash_L & _SLOTS]]
        place_L = np.minimum(np.searchsorted(wanted_K, hash_L), len(wanted_K) - 1)
        occurs_K[place_L[wanted_K[place_L] == hash_L]] = True
    return wanted_K[occurs_K]


def _hashes(text: EncodedText) -> Iterator[np.ndarray]:
    """The hash of each line, some thousands at a time: the sum of its ids, each times the factor of its place, modulo 2^64."""
    start = 0
    while start < text.sentences:
        offsets = np.asarray(text.line_offsets[start : start + LINES_AT_ONCE + 1])
        offsets = offsets[: max(2, int(np.searchsorted(offsets, offsets[0] + TOKENS_AT_ONCE, side="right")))]
        ids_N = np.asarray(text.ids[int(offsets[0]) : int(offsets[-1])])
        begins_L = offsets[:-1] - offsets[0]
        place_N = np.arange(len(ids_N)) - begins_L.repeat(np.diff(offsets))
        yield np.add.reduceat(_FACTORS[place_N & (_PLACES - 1)] * (ids_N.astype(np.uint64) + np.uint64(1)), begins_L)
        start += len(begins_L)

"""How much of a validation or test text is in the training text, too. Metrics of such
text are better than metrics of new text.

Lines are compared as the model reads them: by hashes of their token ids, which are there when
training begins, so that no text is read again. A line of fewer than LEAST_CHARACTERS characters
("Yes, sir.") is in any two texts, and does not count. One with an unknown word counts as new, as
unknown words all have the same id: where the vocabulary was cut, the share is a lower bound. Of
the training text no more is kept than the hashes of some thousand lines.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from rnnlm.errors import notice
from rnnlm.storage.files.tensors import ChunkedArray
from rnnlm.text.encoding import EncodedText
from rnnlm.training.card import MUCH_OVERLAP
from rnnlm.training.request import Overlap

LEAST_CHARACTERS = 20
MOST_MAPPED_TOKENS = 100_000_000  # a larger prepared text is not read for this
LINES_AT_ONCE, TOKENS_AT_ONCE = 1 << 16, 1 << 20
_PLACES = 1 << 12  # in a line, each with another factor
_FACTORS = np.random.default_rng(1).integers(1, 1 << 64, size=_PLACES, dtype=np.uint64)
_SLOTS = np.uint64((1 << 22) - 1)


def overlaps(train: EncodedText, others: Mapping[str, EncodedText]) -> dict[str, Overlap]:
    """Return the :class:`Overlap` of each other text, by its name, with the training text, encoded
    by the same tokenizer.

    With a training text on disk of more than MOST_MAPPED_TOKENS, only texts that are the same as a
    whole are found.
    """
    overlap_of = {
        name: Overlap(text.sentences, text.sentences, True)
        for name, text in others.items()
        if text.lines_hash == train.lines_hash
    }
    if isinstance(train.ids, ChunkedArray) and train.tokens > MOST_MAPPED_TOKENS:
        return overlap_of

    # The hashes of the lines of each other text that count and have no unknown word.
    lines, wanted = {}, {}
    for name, text in others.items():
        if name not in overlap_of:
            counts_L = np.asarray(text.characters_L) >= LEAST_CHARACTERS
            is_known_L = np.asarray(text.oov_words_L) == 0
            lines[name] = int(counts_L.sum())
            wanted[name] = np.concatenate(list(_hashes(text)))[counts_L & is_known_L]

    # The training text is read once for all of them.
    all_wanted = np.concatenate([np.empty(0, dtype=np.uint64), *wanted.values()])
    in_train = _occurring(np.unique(all_wanted), train)
    return overlap_of | {
        name: Overlap(lines[name], int(np.isin(hash_L, in_train).sum()))
        for name, hash_L in wanted.items()
    }


Lines = tuple[str, Sequence[str]]  # the hash of examples, and the text that models read of each


def examples_in_train(
    train: Lines, others: Mapping[str, Lines], keeps_case: bool, holds_out: bool
) -> dict[str, Overlap]:
    """Compute overlaps for examples in memory and warn about them. With `keeps_case`, models read
    the lines as they are."""

    def read(lines: Sequence[str]) -> Iterable[str]:
        return lines if keeps_case else map(str.lower, lines)

    train_hash, train_lines = train
    in_train = set(read(train_lines))
    overlap_of, hashes = {}, {}
    for name, (hashes[name], lines) in others.items():
        # The end of a line counts as one of its characters.
        counted = [line for line in read(lines) if len(line) + 1 >= LEAST_CHARACTERS]
        overlap_of[name] = Overlap(len(counted), sum(line in in_train for line in counted))
        if hashes[name] == train_hash:
            overlap_of[name] = Overlap(len(lines), len(lines), True)
    warn_of(overlap_of, hashes, holds_out)
    return overlap_of


def called(name: str) -> str:
    """Return what messages call a text."""
    return "the validation text" if name == "valid" else f"the {name} text"


def warn_of(overlap_of: Mapping[str, Overlap], hashes: Mapping[str, str], holds_out: bool) -> None:
    """Send a notice if much of the validation ("valid") or the test text is in the training text,
    from which the validation text may have been held out. `hashes` are the texts', by name."""
    same, repeated = [], []
    for name, overlap in overlap_of.items():
        text = called(name)
        share = f"{overlap.share:.0%}"
        counts = f"({overlap.repeated:,} of {overlap.lines:,}, short ones left out)"
        if overlap.is_same:
            same.append(text)
        elif overlap.share > MUCH_OVERLAP and holds_out and name == "valid":
            notice(
                f"{share} of the lines held out for validation {counts} are also in the rest of "
                "the training text: expect worse metrics on less repetitive text"
            )
        elif overlap.share > MUCH_OVERLAP:
            repeated.append(f"{share} of the lines of {text} {counts}")

    # One notice for both texts.
    if same:
        are, their = ("is", "its") if len(same) == 1 else ("are", "their")
        notice(
            f"{' and '.join(same)} {are} the training text itself: {their} metrics say nothing "
            "about new text"
        )
    if repeated:
        their = "its" if len(repeated) == 1 else "their"
        notice(
            f"{' and '.join(repeated)} are also in the training text: {their} metrics say less "
            "about new text"
        )
    if "test" in hashes and hashes["test"] == hashes.get("valid"):
        notice("the test text is the validation text itself: its metrics add nothing")


def _occurring(wanted_K: np.ndarray, train: EncodedText) -> np.ndarray:
    """Return the hashes of `wanted_K`, in ascending order, that lines of the training text have."""
    if not len(wanted_K):
        return wanted_K
    # A table of their low bits spares most lines the search.
    is_slot_wanted = np.zeros(int(_SLOTS) + 1, dtype=bool)
    is_slot_wanted[wanted_K & _SLOTS] = True
    occurs_K = np.zeros(len(wanted_K), dtype=bool)
    for hash_L in _hashes(train):
        hash_L = hash_L[is_slot_wanted[hash_L & _SLOTS]]
        place_L = np.minimum(np.searchsorted(wanted_K, hash_L), len(wanted_K) - 1)
        occurs_K[place_L[wanted_K[place_L] == hash_L]] = True
    return wanted_K[occurs_K]


def _hashes(text: EncodedText) -> Iterator[np.ndarray]:
    """Yield the hash of each line, some thousands at a time: the sum of its ids, each times the
    factor of its place, modulo 2^64."""
    start = 0
    while start < text.sentences:
        # Take whole lines up to TOKENS_AT_ONCE tokens, but at least one.
        offsets = np.asarray(text.line_offsets[start : start + LINES_AT_ONCE + 1])
        end = int(np.searchsorted(offsets, offsets[0] + TOKENS_AT_ONCE, side="right"))
        offsets = offsets[: max(2, end)]

        ids_N = np.asarray(text.ids[int(offsets[0]) : int(offsets[-1])])
        begins_L = offsets[:-1] - offsets[0]
        place_N = np.arange(len(ids_N)) - begins_L.repeat(np.diff(offsets))
        term_N = _FACTORS[place_N & (_PLACES - 1)] * (ids_N.astype(np.uint64) + np.uint64(1))
        yield np.add.reduceat(term_N, begins_L)
        start += len(begins_L)

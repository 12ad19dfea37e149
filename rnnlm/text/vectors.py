"""Word vectors: learned from a text by counting, and read from files.

They are counted as positive pointwise mutual information of words and their neighbours, which is
factored by a truncated singular value decomposition (Levy, Goldberg & Dagan 2015, sections 2.1, 2.2
and 3).

    PMI(w, c) = log P(w, c) / (P(w) P_a(c)),  P_a(c) = #(c)^a / sum over c' of #(c')^a,  a = 0.75
        (their equation 3)

The smoothed P_a corrects PMI's bias towards rare contexts. With M = PPMI = max(PMI, 0) = U S V^T, a
word's vector is its row of U S^0.5 (equation 6 with p = 0.5): S itself, as in the best
approximation of M, does worse in their comparison.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rnnlm import arrays, system
from rnnlm.amounts import plural
from rnnlm.errors import SettingsError, TextError, keyword, notice
from rnnlm.storage.files.reading import opened
from rnnlm.text.lines import Progress, numbered_lines, silent

COUNTED = "svd"  # in place of a file of word vectors: vectors from counts of the training text
WINDOW = 5
SMOOTHING = 0.75
EIGENVALUE_POWER = 0.5
BLOCK_WORDS = 1 << 20

Matrix = Any  # a scipy.sparse.csr_array


def svd_vectors(
    ids_N: np.ndarray,
    line_offsets: np.ndarray,
    size: int,
    width: int,
    window: int = WINDOW,
    seed: int = 1,
    progress: Progress = silent,
) -> np.ndarray:
    """Return vectors (V, width) float32 of the V = `size` words of a text. They are the same for
    the same text and seed, which draws the solver's start.

    ids_N: of all lines. line_offsets: (lines + 1,) where each line begins, and the end. window:
    words on each side that count as context.
    """
    from scipy.sparse.linalg import svds

    if width >= size:
        raise SettingsError(
            f"width = {width} is more than {size:,} words allow",
            "the matrix has a row and a column for each",
            "lower it",
        )
    counts_VV = cooccurrences(ids_N, line_offsets, size, window, progress)
    if not counts_VV.nnz:
        raise TextError(
            "there is nothing to count",
            "no line holds two words that occur often enough",
            "lower " + keyword("min_count") + ", or take more text",
        )
    matrix_VV = ppmi(counts_VV).astype(np.float32)
    progress(f"singular values of {plural(matrix_VV.nnz, 'number')}")
    start_V = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    with system.one_blas_thread():
        u_VE, s_E, _ = svds(matrix_VV, k=width, v0=start_V)

    # The largest values come first; rounding may leave small ones below zero.
    u_VE = u_VE[:, ::-1]
    s_E = np.maximum(s_E[::-1], 0)
    # The sign of a singular vector is arbitrary: its largest entry is made positive.
    largest_E = u_VE[np.abs(u_VE).argmax(axis=0), np.arange(width)]
    return np.ascontiguousarray(u_VE * np.sign(largest_E) * s_E**EIGENVALUE_POWER, dtype=np.float32)


def cooccurrences(
    ids_N: np.ndarray,
    line_offsets: np.ndarray,
    size: int,
    window: int,
    progress: Progress = silent,
    *,
    by_distance: bool = False,
) -> Matrix:
    """Count how often word c occurs within `window` words of word w in the same line, (V, V),
    symmetric. A pair counts 1, or with by_distance 1 / d where the words are d apart."""
    from scipy.sparse import coo_array, csr_array

    total = csr_array((size, size), dtype=np.float64 if by_distance else np.int64)
    line_N = np.repeat(np.arange(len(line_offsets) - 1), np.diff(line_offsets))
    for distance in range(1, window + 1):
        progress(f"words at distance {distance} of {window}")
        weight = 1 / distance if by_distance else 1
        # A block at a time, so that memory does not grow with the text.
        for here in arrays.blocks(len(ids_N) - distance, BLOCK_WORDS):
            following = slice(here.start + distance, here.stop + distance)
            is_pair = line_N[here] == line_N[following]
            pairs = ids_N[here][is_pair], ids_N[following][is_pair]
            weights = np.full(len(pairs[0]), weight, dtype=total.dtype)
            total += coo_array((weights, pairs), shape=(size, size)).tocsr()
    return (total + total.T).tocsr()


def ppmi(counts_VV: Matrix) -> Matrix:
    """Return the positive PMI of counts (words in rows, contexts in columns), natural logarithms,
    float64. Zeros are not stored."""
    from scipy.sparse import csr_array

    counts = counts_VV.tocoo()
    words_V = np.asarray(counts_VV.sum(axis=1), dtype=np.float64)
    contexts_V = np.asarray(counts_VV.sum(axis=0), dtype=np.float64) ** SMOOTHING
    contexts_V /= contexts_V.sum()
    row, column = counts.coords
    # P(w, c) / P(w) is #(w, c) / #(w)
    pmi = np.log(counts.data / (words_V[row] * contexts_V[column]))
    kept = pmi > 0
    return csr_array((pmi[kept], (row[kept], column[kept])), shape=counts.shape)


# ---- Word vectors in the text files of word2vec (a first line `COUNT WIDTH`) and GloVe (none).
#
# Each line is a word and its numbers, separated by spaces; the last `width` fields are the numbers,
# so a word may have spaces inside: it is left out, with a notice. Where only the words of a
# vocabulary are asked for, the vectors of others are neither parsed nor kept. Words are compared as
# they are: no other case is tried.

FEW = 0.2  # share of the vocabulary below which vectors change little
_HEADER = re.compile(r"(\d{1,18}) (\d{1,9})")
_FIRST_BYTES = 1 << 16
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class FoundVectors:
    """Vectors of words of a vocabulary. ids_K: int64, the words that have one. values_KE: float32,
    the vectors."""

    ids_K: np.ndarray
    values_KE: np.ndarray


def read_vectors(
    path: str | Path,
    symbols: Sequence[str],
    width: int,
    encoding_errors: Literal["strict", "replace"] = "strict",
) -> FoundVectors:
    """Return the vectors of `symbols` (a tokenizer's) in the file at `path`, which may be
    compressed (.gz, .xz, .bz2, .zst).

    Notices say how many symbols have one, and how many words occur several times (the first
    counts). Raise SettingsError where the file's vectors are not `width` wide.
    """
    return _read(_Reader(str(path), symbols, width), encoding_errors).result()


def check_is_text_file(path: str) -> None:
    """Refuse a binary file of vectors. Read only its beginning, so that a large one is refused at
    once."""
    with opened(path) as stream:
        if b"\0" in stream.read(_FIRST_BYTES):
            raise TextError(
                f"{path} is a binary file",
                "vectors are read from text files, as written by word2vec and GloVe",
                "write it as text (gensim: save_word2vec_format(..., binary=False))",
            )


def read_all_vectors(path: str | Path) -> tuple[list[str], np.ndarray]:
    """Return all words of the file at `path` but those with spaces inside, in its order, and their
    vectors, (V, E) float32. Notices say how many words have spaces, and how many occur several
    times (the first counts)."""
    reader = _read(_Reader(str(path), None, None), None)
    if not reader.values:
        raise TextError(f"no vectors in {path}", "each of its words has spaces inside")
    return list(reader.ids), np.stack(list(reader.values.values()))


class _Reader:
    """Takes the lines of a file one by one. symbols: the words that are kept; None: all words.
    width: width of the vectors; None: the width in the file."""

    def __init__(self, path: str, symbols: Sequence[str] | None, width: int | None) -> None:
        self.path = path
        self.width = width
        self.takes_all = symbols is None
        self.ids = {symbol: id for id, symbol in enumerate(symbols or ())}
        self.values: dict[int, np.ndarray] = {}
        self.promised: int | None = None  # how many vectors the first line announces
        self.vectors = 0
        self.repeated = 0
        self.spaced = 0  # words with spaces inside
        self.first_spaced = 0  # the line of the first one

    def add(self, number: int, line: str) -> None:
        """Take line `number`, without spaces at its end."""
        header = _HEADER.fullmatch(line) if number == 1 else None
        if header:
            self.promised = int(header[1])
            self._check_width(number, int(header[2]))
        elif line:
            self._add_vector(number, line)

    def _add_vector(self, number: int, line: str) -> None:
        # Fields are only split where something is unusual, or where the word is kept.
        spaces = line.count(" ")
        if self.width is None:
            self.width = spaces
        if spaces != self.width or not self.vectors:
            self._check_fields(number, line.split(" "))
        self.vectors += 1
        if spaces > self.width:
            self.spaced += 1
            self.first_spaced = self.first_spaced or number
            return  # no symbol has a space inside

        word, _, numbers = line.partition(" ")
        id = self.ids.setdefault(word, len(self.ids)) if self.takes_all else self.ids.get(word)
        if id is None:
            return
        if id in self.values:
            self.repeated += 1
            return
        self.values[id] = self._numbers(number, numbers.split(" "))

    def _check_fields(self, number: int, fields: list[str]) -> None:
        """Check a first vector, or one with more or fewer fields than a word and `width` numbers:
        is it a vector of another width, damaged, or of a word with spaces inside?"""
        assert self.width is not None
        width = len(fields) - 1
        are_numbers = list(map(_is_number, fields[1:]))

        # Words with spaces inside have other fields before the numbers.
        has_longer_word = width > self.width and not all(are_numbers[: -self.width])
        if has_longer_word and all(are_numbers[-self.width :]):
            return
        if not all(are_numbers):
            raise self._not_finite(number, fields[1:])
        if not self.vectors and self.promised is None and width:
            self._check_width(number, width)
        if width != self.width:
            raise self._error(
                number,
                f"{plural(width, 'number')} instead of {self.width}",
                "the line is damaged or truncated",
            )

    def _check_width(self, number: int, width: int) -> None:
        if self.width is None:
            self.width = width
        if width != self.width:
            raise SettingsError(
                f"{self.path}, line {number}: vectors of width {width}",
                f"embedding_size is {self.width}",
                f"set embedding_size={width}",
            )

    def _numbers(self, number: int, fields: list[str]) -> np.ndarray:
        try:
            values_E = np.array(list(map(float, fields)))
        except ValueError:
            raise self._not_finite(number, fields) from None
        if not (np.abs(values_E) <= _LARGEST).all():
            raise self._not_finite(number, fields)
        return values_E.astype(np.float32)

    def check_whole(self) -> None:
        if not self.vectors:
            raise TextError(f"no vectors in {self.path}", "no line holds one")
        if self.promised not in (None, self.vectors):
            raise TextError(
                f"{self.path} is cut off or damaged",
                f"it has {plural(self.vectors, 'vector')}, but its first line says "
                f"{self.promised:,}",
            )
        if self.repeated:
            notice(
                f"{self.path}: {plural(self.repeated, 'line')} with a word that occurred before; "
                "the first vector of each word is used"
            )
        if self.spaced:
            notice(
                f"{self.path}: {plural(self.spaced, 'word')} with spaces inside left out "
                f"(first: line {self.first_spaced}); no tokenizer has them"
            )

    def result(self) -> FoundVectors:
        """Return the vectors, and send a notice of how many words have one."""
        filled = len(self.values)
        size = len(self.ids)
        if not filled:
            raise TextError(
                f"{self.path} has no vector for any of the {size:,} words",
                "its words are different, or written in another case",
                "see " + keyword("lowercase"),
            )
        message = (
            f"{self.path}: vectors for {filled:,} of {size:,} words ({filled / size:.1%}); "
            "the others start at random"
        )
        if filled < FEW * size:
            message += (
                ", so that the file has little effect; its words may be written in another "
                "case (see " + keyword("lowercase") + ")"
            )
        notice(message)
        ids_K = np.fromiter(self.values, dtype=np.int64, count=filled)
        return FoundVectors(ids_K, np.stack(list(self.values.values())))

    def _not_finite(self, number: int, fields: list[str]) -> TextError:
        odd = next(field for field in fields if not _is_number(field))
        return self._error(
            number,
            f"{odd[:40]!r} is not a finite number",
            "the line is damaged, or is not a word vector",
        )

    def _error(self, number: int, what: str, why: str) -> TextError:
        return TextError(f"{self.path}, line {number}: {what}", why)


def _read(reader: _Reader, encoding_errors: str | None) -> _Reader:
    """Have the reader read its file, and return it."""
    check_is_text_file(reader.path)
    for first, lines in numbered_lines(reader.path, encoding_errors):
        for number, line in enumerate(lines, start=first):
            reader.add(number, line.rstrip(" "))
    reader.check_whole()
    return reader


def _is_number(field: str) -> bool:
    """Return whether a field is a number that single precision holds."""
    try:
        return abs(float(field)) <= _LARGEST
    except ValueError:
        return False

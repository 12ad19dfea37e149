"""Word vectors in the text files of word2vec (a first line `COUNT WIDTH`) and GloVe (none).

Each line is a word and its numbers, between spaces; the last `width` fields are the numbers, so a word may have spaces inside.
The file is read line by line; where only the words of a vocabulary are asked for, the vectors of others are neither parsed nor kept.
Words are compared as they are: no other case is tried.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from rnnlm.errors import SettingsError, TextError, notice
from rnnlm.files.compression import naming_errors, open_decompressed
from rnnlm.text.lines import numbered_lines

FEW = 0.2  # share of the vocabulary below which vectors change little
_HEADER = re.compile(r"(\d{1,18}) (\d{1,9})")
_FIRST_BYTES = 1 << 16
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class FoundVectors:
    """ids_K: int64, the words of the vocabulary that have a vector. values_KE: float32, the vectors."""

    ids_K: np.ndarray
    values_KE: np.ndarray


def read_vectors(
    path: str | Path, symbols: Sequence[str], width: int, encoding_errors: Literal["strict", "replace"] = "strict"
) -> FoundVectors:
    """The vectors of `symbols` (a tokenizer's) in the file at `path`, which may be compressed (.gz, .xz, .bz2, .zst).

    Notices say how many symbols have one, and how many words occur several times (the first counts).

    Raises:
        SettingsError: the file's vectors are not `width` wide. TextError: it cannot be read, is binary, not UTF-8 (and
            encoding_errors is not "replace"), cut off, or a vector is not made of numbers.
    """
    return _read(_Reader(str(path), symbols, width), encoding_errors).result()


def check_text(path: str) -> None:
    """Look at the beginning of a file of vectors, which costs nothing.

    Raises:
        TextError: it cannot be read, or is binary.
    """
    with naming_errors(path, TextError), open_decompressed(path) as stream:
        if b"\0" in stream.read(_FIRST_BYTES):
            hint = "write it as text (gensim: save_word2vec_format(..., binary=False))"
            raise TextError(f"{path} is a binary file", "vectors are read from text files, as written by word2vec and GloVe", hint)


def read_all_vectors(path: str | Path) -> tuple[list[str], np.ndarray]:
    """All words of the file at `path` but those with spaces inside, in its order, and their vectors, (V, E) float32. A notice says how many
    words occur several times (the first counts).

    Raises:
        TextError: as :func:`read_vectors`. SettingsError: the first line says another width than the vectors have.
    """
    reader = _read(_Reader(str(path), None, None), None)
    if not reader.values:
        raise TextError(f"no vectors in {path}", "each of its words has spaces inside")
    return list(reader.ids), np.stack(list(reader.values.values()))


class _Reader:
    """Takes line after line of a file. symbols: the words that are kept; None: all, as they come. width: None: that of the file."""

    def __init__(self, path: str, symbols: Sequence[str] | None, width: int | None) -> None:
        self.path = path
        self.width = width
        self.takes_all = symbols is None
        self.ids = {symbol: id for id, symbol in enumerate(symbols or ())}
        self.values: dict[int, np.ndarray] = {}
        self.promised: int | None = None  # vectors, by the first line
        self.vectors = self.repeated = 0

    def add(self, number: int, line: str) -> None:
        """Line `number`, without spaces at its end."""
        if number == 1 and (header := _HEADER.fullmatch(line)):
            self.promised = int(header[1])
            self._check_width(number, int(header[2]))
        elif line:
            self._add_vector(number, line)

    def _add_vector(self, number: int, line: str) -> None:
        spaces = line.count(" ")
        if self.width is None:
            self.width = spaces
        if spaces != self.width or not self.vectors:
            self._check_fields(number, line.split(" "))
        self.vectors += 1
        if spaces > self.width:
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
        """Of a first vector, or one with more or fewer fields than a word and `width` numbers: whether it is a vector of another
        width, damaged, or of a word with spaces inside."""
        assert self.width is not None
        found = len(fields) - 1
        are_numbers = list(map(_is_number, fields[1:]))
        if found > self.width and not all(are_numbers[: -self.width]) and all(are_numbers[-self.width :]):
            return
        if not all(are_numbers):
            raise self._not_finite(number, fields[1:])
        if not self.vectors and self.promised is None and found:
            self._check_width(number, found)
        if found != self.width:
            raise self._error(number, f"{found} numbers instead of {self.width}", "the line is damaged, or was cut off")

    def _check_width(self, number: int, found: int) -> None:
        if self.width is None:
            self.width = found
        if found != self.width:
            what = f"{self.path}, line {number}: vectors of width {found}"
            raise SettingsError(what, f"embedding_size is {self.width}", f"set embedding_size={found}")

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
        if self.promised is not None and self.vectors < self.promised:
            raise TextError(f"{self.path} is cut off", f"it has {self.vectors:,} vectors, its first line says {self.promised:,}")
        if self.repeated:
            notice(f"{self.path}: {self.repeated:,} lines repeat a word; the first vector of each word is used")

    def result(self) -> FoundVectors:
        found, size = len(self.values), len(self.ids)
        if not found:
            why = "its words are different ones, or written in another case"
            raise TextError(f"{self.path} has a vector for none of the {size:,} words", why, "see --lowercase")
        message = f"{self.path}: vectors for {found:,} of {size:,} words ({found / size:.1%}); the others start at random"
        if found < FEW * size:
            message += ", so that the file has little effect; its words may be written in another case (see --lowercase)"
        notice(message)
        return FoundVectors(np.fromiter(self.values, dtype=np.int64, count=found), np.stack(list(self.values.values())))

    def _not_finite(self, number: int, fields: list[str]) -> TextError:
        odd = next(field for field in fields if not _is_number(field))
        return self._error(number, f"{odd[:40]!r} is not a finite number", "the line is damaged, or is not a word vector")

    def _error(self, number: int, what: str, why: str) -> TextError:
        return TextError(f"{self.path}, line {number}: {what}", why)


def _read(reader: _Reader, encoding_errors: str | None) -> _Reader:
    """The reader, which has read its file."""
    check_text(reader.path)
    for first, lines in numbered_lines(reader.path, encoding_errors):
        for number, line in enumerate(lines, start=first):
            reader.add(number, line.rstrip(" "))
    reader.check_whole()
    return reader


def _is_number(field: str) -> bool:
    """Whether it is a number that single precision holds."""
    try:
        return abs(float(field)) <= _LARGEST
    except ValueError:
        return False

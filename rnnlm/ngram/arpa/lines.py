"""The lines of an ARPA file: numbered, read a block at a time, and what each of them says, checked.

No more than a block is held, however long a line claims to be.
"""

import contextlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rnnlm.errors import ModelError
from rnnlm.files.compression import naming_errors, open_decompressed
from rnnlm.ngram.arpa.format import nats
from rnnlm.text.corpus import Progress, silent

BLOCK_BYTES = 1 << 24
LONGEST_LINE = 1 << 20
_NEWLINE = ord("\n")
_BLANK = b"\0\t\r "
_BLANK_LINES = re.compile(rb"(?:[\0\t\r ]*\n)+")
_IS_SEPARATOR = np.isin(np.arange(256), [*_BLANK, _NEWLINE])  # as KenLM splits; U+00A0 is part of a word


class ArpaLines:
    """The lines of an open ARPA file. `number`: how many were read so far; report: called with that."""

    def __init__(self, stream: IO[bytes], name: str, report: Progress = silent) -> None:
        self.name = name
        self.report = report
        self.number = 0
        self._stream = stream
        self._data = b""
        self._at = 0

    def next(self) -> bytes | None:
        """The next line, without white space around it; None at the end."""
        if not self._fill():
            return None
        end = self._data.index(b"\n", self._at)
        line, self._at = self._data[self._at : end], end + 1
        self.number += 1
        if len(line) > LONGEST_LINE:
            raise self._too_long(self.number)
        return line.strip(_BLANK)

    def marker(self) -> bytes | None:
        """The next line that is not blank if it begins with a backslash, b"" at the end; it is not taken. None: it is neither."""
        while self._fill() and (blank := _BLANK_LINES.match(self._data, self._at)):
            self.number += self._data.count(b"\n", self._at, blank.end())
            self._at = blank.end()
        if not self._fill():
            return b""
        end = self._data.index(b"\n", self._at)
        return self._data[self._at : end].strip(_BLANK) if self._data.startswith(b"\\", self._at) else None

    def entries(self) -> "Fields | None":
        """The fields of the lines up to the next that begins with a backslash, or of as many as a block holds; None: no more."""
        if self.marker() is not None:
            return None
        marker = self._data.find(b"\n\\", self._at)
        end = (marker if marker >= 0 else self._data.rindex(b"\n")) + 1
        block, self._at = self._data[self._at : end], end
        first_line = self.number + 1
        self._check_utf8(block, first_line)
        newlines = np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE)
        self.number += len(newlines)
        self.report(f"{self.number:,} lines read")
        lengths = np.diff(newlines, prepend=-1)
        if lengths.max() > LONGEST_LINE:
            raise self._too_long(first_line + int(lengths.argmax()))
        return Fields(block, newlines, first_line)

    def error(self, line: int, what: str, why: str = "", hint: str = "") -> ModelError:
        return ModelError(f"{self.name}, line {line}: {what}", why, hint)

    def _fill(self) -> bool:
        """Makes sure that a whole line is at hand; whether there is one."""
        while self._data.find(b"\n", self._at) < 0:
            rest = self._data[self._at :]
            if len(rest) > LONGEST_LINE:
                raise self._too_long(self.number + 1)
            more = self._stream.read(BLOCK_BYTES)
            self._data, self._at = rest + (more or b"\n" if rest else more), 0
            if not self._data:
                return False
        return True

    def _check_utf8(self, block: bytes, first_line: int) -> None:
        try:
            block.isascii() or block.decode("utf-8")
        except UnicodeDecodeError as error:
            line = first_line + block.count(b"\n", 0, error.start)
            why = f"byte 0x{block[error.start]:02x}: {error.reason}"
            raise self.error(line, "not UTF-8", why, "convert it to UTF-8") from None

    def _too_long(self, line: int) -> ModelError:
        return self.error(line, f"longer than {LONGEST_LINE:,} bytes", "lines of ARPA files are shorter")


class Fields:
    """What stands between white space: text of each field, and for L lines that are not blank their numbers, the first field
    of each, and how many there are."""

    def __init__(self, block: bytes, newlines: np.ndarray, first_line: int) -> None:
        data = np.frombuffer(block, np.uint8)
        is_text = ~_IS_SEPARATOR[data]
        edges = np.flatnonzero(np.diff(is_text, prepend=False))  # a block ends in a newline
        starts, ends = edges[::2], edges[1::2]
        offsets = np.concatenate(([0], np.cumsum(ends - starts))).astype(np.int32)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data[is_text])]
        self.text = pa.Array.from_buffers(pa.string(), len(starts), buffers)
        after_line = np.searchsorted(starts, newlines)
        counts = np.diff(after_line, prepend=0)
        is_filled = counts > 0
        self.lines_L = first_line + np.flatnonzero(is_filled)
        self.counts_L = counts[is_filled]
        self.first_L = (after_line - counts)[is_filled]

    def take(self, fields: np.ndarray) -> pa.Array:
        """The text of the fields of these numbers."""
        return self.text.take(pa.array(fields))


@contextlib.contextmanager
def opened(path: str, report: Progress = silent) -> Iterator[ArpaLines]:
    """The lines of the file at `path`, or of standard input: `-`.

    Raises:
        ModelError: it cannot be read, or its compression is damaged.
    """
    with naming_errors(path, ModelError):
        if path == "-":
            if sys.stdin is None:
                raise ModelError("cannot read standard input", "it is closed")
            yield ArpaLines(sys.stdin.buffer, "standard input", report)
            return
        with open_decompressed(path) as stream:
            yield ArpaLines(stream, path, report)


@dataclass(frozen=True)
class Entries:
    """L n-grams as they stand in the file: their lines, L * n words; log p(w|h) and log backoff in nats, float32."""

    lines_L: np.ndarray
    words: pa.Array
    values_L2: np.ndarray


def read_entries(lines: ArpaLines, n: int, promised: int, is_highest: bool) -> Iterator[Entries]:
    """The section of n-grams of order n, a block at a time; a section that is to be empty need not be there.

    Raises:
        ModelError: a line is not understood, or the section does not hold as many n-grams as promised.
    """
    marker, wanted = lines.marker(), b"\\%d-grams:" % n
    if marker == wanted:
        lines.next()
    elif promised or not marker:
        raise lines.error(lines.number + 1, f"no {wanted.decode()} here", shown(marker) if marker else "the file is cut off")
    count = 0
    while fields := lines.entries():
        count += len(fields.lines_L)
        if count > promised:
            raise lines.error(int(fields.lines_L[promised - count]), f"more {n}-grams than the {promised} that \\data\\ promises")
        yield _read_fields(lines, fields, n, is_highest)
    if not lines.marker():
        raise lines.error(lines.number, f"the file is cut off within the {n}-grams", "\\end\\ is missing")
    if count != promised:
        raise lines.error(lines.number, f"the {n}-grams end here", f"there are {count}, \\data\\ promises {promised}")


def _read_fields(lines: ArpaLines, fields: Fields, n: int, is_highest: bool) -> Entries:
    lines_L, has_backoff_L = fields.lines_L, fields.counts_L == n + 2
    is_odd_L = (fields.counts_L != n + 1) & ~has_backoff_L
    refuse(lines, lines_L, is_odd_L, f"not a {n}-gram", f"there should be a log-probability, {n} words, and maybe a backoff weight")
    logprob_L = _numbers(lines, lines_L, fields.take(fields.first_L), "log-probability")
    refuse(lines, lines_L, logprob_L > 0, "a positive log-probability", "no probability is above 1")
    at = np.flatnonzero(has_backoff_L)
    logbackoff_L = np.zeros(len(lines_L))
    logbackoff_L[at] = _numbers(lines, lines_L[at], fields.take(fields.first_L[at] + n + 1), "backoff weight")
    values_L2 = nats(np.stack([logprob_L, logbackoff_L], axis=1))
    refuse(lines, lines_L, np.isposinf(values_L2[:, 1]), "an infinite backoff weight")
    if is_highest:
        refuse(lines, lines_L, logbackoff_L != 0, f"a backoff weight after a {n}-gram", f"{n} is the highest order")
    words = fields.take((fields.first_L[:, None] + np.arange(1, n + 1)).ravel())
    return Entries(lines_L, words, values_L2)


def _numbers(lines: ArpaLines, lines_L: np.ndarray, text: pa.Array, what: str) -> np.ndarray:
    """The numbers in `text`, float64."""
    try:
        numbers_L = pc.cast(text, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        if len(text) == 1:
            raise lines.error(int(lines_L[0]), f"not a {what}", f"{text[0].as_py()!r:.80} is not a number") from None
        half = len(text) // 2
        parts = [_numbers(lines, lines_L[part], text[part], what) for part in (slice(half), slice(half, None))]
        return np.concatenate(parts)
    refuse(lines, lines_L, np.isnan(numbers_L), f"not a {what}", "it is NaN")
    return numbers_L


def refuse(lines: ArpaLines, lines_L: np.ndarray, is_wrong_L: np.ndarray, what: str, why: str = "") -> None:
    """Raises the error of the first line in which something is wrong, if there is one."""
    if is_wrong_L.any():
        raise lines.error(int(lines_L[is_wrong_L].min()), what, why)


def shown(line: bytes) -> str:
    """The beginning of a line, to be shown."""
    return repr(line[:60].decode("utf-8", "backslashreplace"))

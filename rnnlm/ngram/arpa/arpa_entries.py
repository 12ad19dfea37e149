"""The sections of an ARPA file: what each line says, checked, a block of lines at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rnnlm.ngram.arpa.format import nats
from rnnlm.ngram.arpa.lines import ArpaLines, Fields


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
    refuse(lines, lines_L, is_odd_L, f"no {n}-gram", f"there should be a log-probability, {n} words, and maybe a backoff weight")
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
            raise lines.error(int(lines_L[0]), f"no {what}", f"{text[0].as_py()!r:.80} is not a number") from None
        half = len(text) // 2
        parts = [_numbers(lines, lines_L[part], text[part], what) for part in (slice(half), slice(half, None))]
        return np.concatenate(parts)
    refuse(lines, lines_L, np.isnan(numbers_L), f"no {what}", "it is NaN")
    return numbers_L


def refuse(lines: ArpaLines, lines_L: np.ndarray, is_wrong_L: np.ndarray, what: str, why: str = "") -> None:
    """Raises the error of the first line in which something is wrong, if there is one."""
    if is_wrong_L.any():
        raise lines.error(int(lines_L[is_wrong_L].min()), what, why)


def shown(line: bytes) -> str:
    """The beginning of a line, for people."""
    return repr(line[:60].decode("utf-8", "backslashreplace"))

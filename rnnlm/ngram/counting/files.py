"""Files of n-gram counts, written safely and added up: one row `n-gram TAB count` (:mod:`rnnlm.files.tsv`), n-grams in byte order,
none twice.

Reading is strict: a line that is damaged, cut off or out of order is an error with its file and number.
"""

import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path

from rnnlm.errors import TextError
from rnnlm.files import tsv
from rnnlm.files.writing import save_file
from rnnlm.ngram.counting.strings import NgramCount
from rnnlm.text import sources
from rnnlm.text.lines import Progress, silent
from rnnlm.text.repeats import warn_of_repeats
from rnnlm.text.sources import SourceSettings

LINES_AT_ONCE = 1 << 16
LONGEST_LINE = 1 << 20  # in bytes
LONGEST_COUNT = 1000  # digits; Python writes sums of up to 4300
HINT = "make it with rnnlm count"


def merge_counts(files: Sequence[str], min_count: int = 1) -> Iterator[NgramCount]:
    """The sums over files of counts, in byte order; a few megabytes of memory a file. A notice names files that are the same.

    Raises:
        TextError: a file cannot be read, or a line is damaged or out of order.
    """
    warn_of_repeats(files)
    merged = heapq.merge(*map(_read_counts, sources.expand(tuple(files))))
    for ngram, same in itertools.groupby(merged, itemgetter(0)):
        total = sum(count for _, count in same)
        if total >= min_count:
            yield ngram, total


def count_lines(counts: Iterable[NgramCount], report: Progress = silent) -> Iterator[str]:
    """`counts` as lines, many at a time."""
    counts, written = iter(counts), 0
    while lines := [f"{tsv.quoted(ngram)}\t{count}\n" for ngram, count in itertools.islice(counts, LINES_AT_ONCE)]:
        yield "".join(lines)
        written += len(lines)
        report(f"{written:,} n-grams written")


def save(path: Path, texts: Iterable[str]) -> None:
    """Write `texts` to a file, compressed as its suffix says, whole or not at all.

    Raises:
        OutputError: it cannot be written; what was there is there still.
    """
    save_file(path, (text.encode("utf-8") for text in texts))


def _read_counts(file: str) -> Iterator[NgramCount]:
    """The lines of a file of counts."""
    before = ""
    for number, line in _numbered_lines(file):
        ngram, tab, digits = line.rpartition(b"\t")
        try:
            key = tsv.unquoted(ngram.decode("utf-8"))
        except ValueError:
            key = ""
        if not (tab and key and digits.isdigit() and len(digits) <= LONGEST_COUNT):
            raise TextError(f"{file}, line {number}: not an n-gram, a tab and a count", hint=HINT)
        if key <= before:
            raise TextError(f"{file}, line {number}: out of order", "n-grams are in byte order, each once", HINT)
        yield key, int(digits)
        before = key


def _numbered_lines(file: str) -> Iterator[tuple[int, bytes]]:
    number, rest = 0, b""
    for chunk in sources.read(file, SourceSettings()):
        if not isinstance(chunk, bytes):
            raise TextError(f"{file} is not a file of counts", hint=HINT)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            number += 1
            yield number, line
        if len(rest) > LONGEST_LINE:
            raise TextError(f"{file}, line {number + 1}: longer than {LONGEST_LINE} bytes", hint=HINT)
    if rest:
        raise TextError(f"{file}, line {number + 1}: cut off", "the last line does not end in a newline", "copy the file again")

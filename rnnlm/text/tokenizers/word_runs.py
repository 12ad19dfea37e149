"""Keep words with their counts on disk: runs in ascending order, which are merged in bounded
memory."""

import contextlib
import itertools
import tempfile
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from rnnlm.storage.files.writing import writing

# Different words in ascending order, and how often each occurs (int64)
Counted = tuple[list[bytes], np.ndarray]

MOST_RUNS = 32  # of one length, which are merged into a longer one
CHUNK_BYTES = 1 << 15  # of words, which are read from a run at a time


class Runs:
    """Runs in `folder`. Each level holds fewer than MOST_RUNS, about so many times as long as the
    runs of the level before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.levels: list[list[_Run]] = []

    def add(self, counted: Counted) -> None:
        """Write a run. OutputError where that is not possible."""
        self._add(iter([counted]), 0)

    def _add(self, parts: Iterator[Counted], level: int) -> None:
        if level == len(self.levels):
            self.levels.append([])
        runs = self.levels[level]
        with writing(self.folder):
            runs.append(_Run(self.folder, parts))
        if len(runs) == MOST_RUNS:
            self._add(merged_runs(runs), level + 1)
            _close(runs)

    def merged(self) -> Iterator[Counted]:
        """Yield the words of all runs in ascending order."""
        return merged_runs(itertools.chain.from_iterable(self.levels))

    def __del__(self) -> None:
        for runs in self.levels:
            _close(runs)


def _close(runs: list["_Run"]) -> None:
    for run in runs:
        run.file.close()
    runs.clear()


class _Run:
    """Words in ascending order with their counts, in a file without a name, in chunks: two int64
    (how many words, and their bytes), the words, each with a newline, and their counts. No word
    holds a newline."""

    def __init__(self, folder: Path, parts: Iterable[Counted]) -> None:
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        try:
            for words, counts_W in parts:
                self._write(words, counts_W)
            self.file.flush()
        except BaseException:
            # Python would flush it once more, onto a disk that is full.
            with contextlib.suppress(OSError):
                self.file.close()
            raise

    def _write(self, words: list[bytes], counts_W: np.ndarray) -> None:
        lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words)) + 1
        chunk_W = np.cumsum(lengths) // CHUNK_BYTES
        starts = np.flatnonzero(np.diff(chunk_W, prepend=-1)).tolist()
        for start, stop in itertools.pairwise([*starts, len(words)]):
            data = b"\n".join([*words[start:stop], b""])
            self.file.write(np.array([stop - start, len(data)], dtype=np.int64).tobytes())
            self.file.write(data)
            self.file.write(np.ascontiguousarray(counts_W[start:stop]).tobytes())

    def chunks(self) -> Iterator[Counted]:
        """Yield the words and counts again."""
        self.file.seek(0)
        while True:
            header = np.frombuffer(self.file.read(16), dtype=np.int64)
            if not len(header):
                return
            words, length = header.tolist()
            data = self.file.read(length)
            yield data.split(b"\n")[:-1], np.frombuffer(self.file.read(8 * words), dtype=np.int64)


class _Reader:
    """The words of a run from the present place on, with some of the next ones in memory."""

    def __init__(self, run: _Run) -> None:
        self._chunks = run.chunks()
        self.words: list[bytes] = []
        self.at = 0

    def is_at_end(self) -> bool:
        """Return whether no words are left; read some where there are."""
        while self.at == len(self.words):
            chunk = next(self._chunks, None)
            if chunk is None:
                return True
            self.words = chunk[0]
            self._counts = chunk[1].tolist()
            self.at = 0
        return False

    def up_to(self, last: bytes) -> Iterator[tuple[bytes, int]]:
        """Return the words in memory up to `last`, with their counts, and pass them."""
        start = self.at
        self.at = bisect_right(self.words, last, lo=start)
        return zip(self.words[start : self.at], self._counts[start : self.at], strict=True)


def merged_runs(runs: Iterable[_Run]) -> Iterator[Counted]:
    readers = list(map(_Reader, runs))
    while True:
        readers = [reader for reader in readers if not reader.is_at_end()]
        if not readers:
            return
        # Words up to the first last one that is in memory: the next words of that run may be
        # smaller than the words of others.
        last = min(reader.words[-1] for reader in readers)
        counts: defaultdict[bytes, int] = defaultdict(int)
        for reader in readers:
            for word, count in reader.up_to(last):
                counts[word] += count
        words = sorted(counts)
        yield words, np.array(list(map(counts.__getitem__, words)), dtype=np.int64)

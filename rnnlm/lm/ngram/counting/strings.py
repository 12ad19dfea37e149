"""Yield the n-grams of a text with their counts, as strings in byte order, in bounded memory beyond
the counting itself.

Sentences are padded with one `<s>` and one `</s>`. Words are numbered in the order of their bytes,
so the trie of counts, read depth first, comes out sorted, a block at a time. In symbols, backslash,
white space and control characters are written as in Python's strings (`\\\\`, `\\x20`, `\\t`):
single spaces part them, and they hold nothing that sorts before one.
"""

import itertools
import re
from bisect import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnlm.amounts import plural
from rnnlm.errors import TextError
from rnnlm.interface import SENTENCE_START, Tokenizer
from rnnlm.lm.ngram.counting.count_trie import Level
from rnnlm.lm.ngram.counting.in_memory import count
from rnnlm.lm.ngram.counting.vocabularies import Renumbering
from rnnlm.lm.ngram.counting.workspace import IN_MEMORY
from rnnlm.storage.files import tables
from rnnlm.storage.files.outputs import save_file
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Text
from rnnlm.text.encoding import known_ids
from rnnlm.text.lines import Progress, silent, watched
from rnnlm.text.tokenizer_settings import NewTokenizerSettings, TokenizerSettings

BLOCK_NGRAMS = 1 << 16
_TO_ESCAPE = re.compile("[\0-\x20\x7f-\x9f\\\\]")

NgramCount = tuple[str, int]  # n-gram, its words parted by spaces; how often it occurs


def count_text(
    text: Text,
    tokenizer: Tokenizer | TokenizerSettings = NewTokenizerSettings(),
    order: int = 3,
    *,
    highest_only: bool = False,
    min_count: int = 1,
    report: Progress = silent,
) -> Iterator[NgramCount]:
    """Yield the n-grams of orders 1 to `order` of a text, or of that order alone, that occur
    `min_count` times, in byte order.

    tokenizer: an existing one, or settings to make one from the text.
    """
    # Number the words in byte order, so that n-grams come out sorted.
    if isinstance(tokenizer, TokenizerSettings):
        tokenizer = tokenizers.train(tokenizer, watched(text.blocks(), report))
    ids_T = known_ids(text.encode(tokenizer, report).ids, tokenizer)
    names, number_V = _in_byte_order(tokenizer)
    boundary = int(number_V[tokenizer.boundary_id])
    levels = count(number_V[ids_T], boundary, tokenizer.size, order)
    yield from _rows(levels, names, order, highest_only, min_count, report)


def rows_of(
    levels: Iterable[Level],
    tokenizer: Tokenizer,
    order: int,
    *,
    highest_only: bool = False,
    min_count: int = 1,
    report: Progress = silent,
) -> Iterator[NgramCount]:
    """Yield the results of :func:`count_text` from the levels of a text up to `order`."""
    names, number_V = _in_byte_order(tokenizer)
    reordered = _reordered(levels, number_V)
    yield from _rows(reordered, names, order, highest_only, min_count, report)


def _reordered(levels: Iterable[Level], number_V: np.ndarray) -> Iterator[Level]:
    """Yield the levels where word w is number_V[w]."""
    renumbering = Renumbering(number_V, len(number_V), IN_MEMORY)
    for n, level in enumerate(levels, start=1):
        yield renumbering.unigrams(level) if n == 1 else renumbering.longer(level)


def _rows(
    levels: Iterable[Level],
    names: list[str],
    order: int,
    highest_only: bool,
    min_count: int,
    report: Progress,
) -> Iterator[NgramCount]:
    """Yield the n-grams of a text whose words are numbered as they are sorted in `names`."""
    start_rank = bisect(names, SENTENCE_START)
    names = [*names, SENTENCE_START]
    kept_levels: list[_Kept] = []
    renumbered_M = np.zeros(1, dtype=np.int64)
    for level in levels:
        report(f"order {len(kept_levels) + 1}: {plural(len(level), 'n-gram')}")
        kept, renumbered_M = _kept(level, renumbered_M, min_count)
        kept_levels.append(kept)
    shown = [n == order or not highest_only for n in range(1, len(kept_levels) + 1)]
    trie = _Trie(names, kept_levels, shown)
    for start, stop in trie.blocks(start_rank):
        yield from trie.read(start, stop)


def visible_symbol(symbol: str) -> str:
    """Return `symbol` with its white space and control characters escaped."""
    return _TO_ESCAPE.sub(_escape, symbol)


def _escape(match: re.Match[str]) -> str:
    if match[0] == " ":
        return "\\x20"
    return match[0].encode("unicode_escape").decode("ascii")


def _in_byte_order(tokenizer: Tokenizer) -> tuple[list[str], np.ndarray]:
    """Return the symbols, sorted (code points sort as their UTF-8 does), and the place of each id
    among them."""
    spelled = [visible_symbol(symbol) for symbol in tokenizer.symbols()]
    if SENTENCE_START in spelled:
        raise TextError(
            f"a token is {SENTENCE_START}",
            "the counts use this symbol for the start of a line",
            "replace it in the text",
        )
    ids = sorted(range(len(spelled)), key=spelled.__getitem__)
    number_V = np.empty(len(ids), dtype=np.int32)
    number_V[ids] = np.arange(len(ids), dtype=np.int32)
    return [spelled[id] for id in ids], number_V


@dataclass(frozen=True)
class _Kept:
    """The n-grams of one order that are wanted, sorted by context, then by word."""

    words_M: np.ndarray
    contexts_M: np.ndarray
    counts_M: np.ndarray


def _kept(level: Level, renumbered_M: np.ndarray, min_count: int) -> tuple[_Kept, np.ndarray]:
    """Return the n-grams that occur often enough, and the new number of each; no n-gram occurs more
    often than its context."""
    counts_M = np.asarray(level.counts_M)
    kept_M = counts_M >= max(1, min_count)
    index = level.contexts_M.dtype
    kept = _Kept(
        level.words_M[kept_M],
        renumbered_M[level.contexts_M[kept_M]].astype(index, copy=False),
        counts_M[kept_M],
    )
    return kept, np.cumsum(kept_M, dtype=index) - index.type(1)


class _Trie:
    """Counts of all orders, to be read depth first. `shown`: the orders that are read."""

    def __init__(self, names: list[str], levels: list[_Kept], shown: list[bool]) -> None:
        self.names, self.levels, self.shown = names, levels, shown
        sizes = [len(level.words_M) for level in levels]
        self.total = sum(itertools.compress(sizes, shown))
        self.places = self._places()

    def _places(self) -> list[np.ndarray]:
        """Return for each order the number of n-grams read before each of its n-grams: those of its
        own order before it, the contexts that it begins with and all before them, and the longer
        n-grams that begin with one before it."""
        # Count the longer n-grams, from the highest order down.
        deeper_M = np.zeros(len(self.levels[-1].words_M) + 1, dtype=np.int64)
        places = [deeper_M[:-1]]
        for n in range(len(self.levels) - 2, -1, -1):
            level, child = self.levels[n], self.levels[n + 1]
            numbers_M = np.arange(len(level.words_M) + 1, dtype=child.contexts_M.dtype)
            first_M = np.searchsorted(child.contexts_M, numbers_M)
            deeper_M = deeper_M[first_M] + first_M * self.shown[n + 1]
            places.insert(0, deeper_M[:-1])

        # Add the contexts and the n-grams of the same order, from the unigrams up.
        above_M = np.zeros(1, dtype=np.int64)
        for n, level in enumerate(self.levels):
            above_M = above_M[level.contexts_M]
            if n and self.shown[n - 1]:
                above_M += level.contexts_M
                above_M += 1
            places[n] += above_M
            if self.shown[n]:
                places[n] += np.arange(len(places[n]))
        return places

    def blocks(self, start_rank: int) -> Iterator[tuple[int, int]]:
        """Yield the places to read, in byte order: `<s>`, which has the last number, is put where
        it belongs."""
        roots = self.levels[0].words_M
        before = [*self.places[0].tolist(), self.total]
        cut = before[int(np.searchsorted(roots, start_rank))]
        last = before[int(np.searchsorted(roots, len(self.names) - 1))]
        for start, stop in ((0, cut), (last, self.total), (cut, last)):
            for first in range(start, stop, BLOCK_NGRAMS):
                yield first, min(first + BLOCK_NGRAMS, stop)

    def read(self, start: int, stop: int) -> Iterator[NgramCount]:
        """Return the n-grams from place `start` on, before place `stop`."""
        texts: list[str] = []
        base = 0
        ngrams = np.empty(stop - start, dtype=object)
        counts = np.empty(stop - start, dtype=np.int64)
        for n, (first, end, placed, placed_end) in enumerate(self._needed_ranges(start, stop)):
            # Spell the n-grams of this order from the spellings of the order below.
            level = self.levels[n]
            words = map(self.names.__getitem__, level.words_M[first:end].tolist())
            if n:
                before = map(texts.__getitem__, (level.contexts_M[first:end] - base).tolist())
                texts = [f"{text} {word}" for text, word in zip(before, words, strict=True)]
            else:
                texts = list(words)

            # Put those that are read into their places.
            places = self.places[n][placed:placed_end] - start
            ngrams[places] = texts[placed - first : placed_end - first]
            counts[places] = level.counts_M[placed:placed_end]
            base = first
        return zip(ngrams.tolist(), counts.tolist(), strict=True)

    def _needed_ranges(self, start: int, stop: int) -> list[tuple[int, int, int, int]]:
        """Return for each order the range of numbers whose words are needed, and the range of those
        to be read themselves."""
        needed: list[tuple[int, int, int, int]] = []
        contexts: list[int] = []
        for level, places_M, wanted in zip(
            self.levels[::-1], self.places[::-1], self.shown[::-1], strict=True
        ):
            # The words of an n-gram are needed if it is read, or is the context of one that is.
            placed, placed_end, numbers = 0, 0, contexts
            if wanted:
                placed, placed_end = np.searchsorted(places_M, (start, stop)).tolist()
            if placed < placed_end:
                numbers = [*contexts, placed, placed_end]
            first = end = 0
            contexts = []
            if numbers:
                first, end = min(numbers), max(numbers)
                contexts = [int(level.contexts_M[first]), int(level.contexts_M[end - 1]) + 1]
            needed.append((first, end, placed, placed_end))
        return needed[::-1]


# ---- Tables of n-gram counts: one row `n-gram TAB count` (:mod:`rnnlm.storage.files.tables`),
# n-grams in byte order, none twice.

LINES_AT_ONCE = 1 << 16


def count_lines(counts: Iterable[NgramCount], report: Progress = silent) -> Iterator[str]:
    """Yield `counts` as lines, many at a time."""
    written = 0
    for batch in _batches(counts):
        lines = [f"{tables.quoted(ngram)}\t{count}\n" for ngram, count in batch]
        yield "".join(lines)
        written += len(lines)
        report(f"{plural(written, 'n-gram')} written")


def _batches(counts: Iterable[NgramCount]) -> Iterator[list[NgramCount]]:
    remaining = iter(counts)
    yield from iter(lambda: list(itertools.islice(remaining, LINES_AT_ONCE)), [])


def save(path: Path, texts: Iterable[str]) -> None:
    """Write `texts` to a file, compressed as its suffix says, whole or not at all."""
    save_file(path, (text.encode("utf-8") for text in texts))

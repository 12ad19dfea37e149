"""Yield the n-grams of a text with their counts, as strings in byte order, in bounded memory beyond
the counting itself.

Sentences are padded with one `<s>` and one `</s>`. Words are numbered in the order of their bytes,
so the trie of counts, read depth first, comes out sorted. In symbols, backslash,
white space and control characters are written as in Python's strings (`\\\\`, `\\x20`, `\\t`):
single spaces part them, and they hold nothing that sorts before one.
"""

import itertools
import re
from bisect import bisect
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from rnnlm.amounts import plural
from rnnlm.errors import TextError
from rnnlm.interface import SENTENCE_START, Tokenizer
from rnnlm.lm.ngram.counting.count_trie import Level, count
from rnnlm.lm.ngram.counting.workspace import IN_MEMORY
from rnnlm.storage.files import tables
from rnnlm.storage.files.outputs import save_file
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Text, look_at
from rnnlm.text.encoding import known_ids
from rnnlm.text.lines import Progress, silent, watched
from rnnlm.text.tokenizer_settings import NewTokenizerSettings, TokenizerSettings
from rnnlm.tools.counting.beyond_memory import Packing, as_run, merge, whole_ngrams

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
    tokenizer = look_at(text, tokenizer)
    if isinstance(tokenizer, TokenizerSettings):
        tokenizer = tokenizers.train(tokenizer, watched(text.blocks(), report))
    ids_T = known_ids(text.encode(tokenizer, report).ids, tokenizer)
    names, number_V = _in_byte_order(tokenizer)
    levels = count(number_V[ids_T], int(number_V[tokenizer.boundary_id]), tokenizer.size, order)
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
    levels = _reordered(levels, number_V, tokenizer.boundary_id)
    yield from _rows(levels, names, order, highest_only, min_count, report)


def _reordered(levels: Iterable[Level], number_V: np.ndarray, boundary_id: int) -> Iterator[Level]:
    """Yield the levels where word w is number_V[w]."""
    trie = list(levels)
    packing = Packing(len(number_V), len(trie))
    rows = whole_ngrams(trie, number_V, int(number_V[boundary_id]), packing, IN_MEMORY)
    for step in merge([as_run(*part) for part in rows], packing, IN_MEMORY):
        if isinstance(step, Level):
            yield step


def _rows(
    levels: Iterable[Level],
    names: list[str],
    order: int,
    highest_only: bool,
    min_count: int,
    report: Progress,
) -> Iterator[NgramCount]:
    """Yield the n-grams of a text whose words are numbered as they are sorted in `names`."""
    trie: list[Level] = []
    for level in levels:
        trie.append(level)
        report(f"order {len(trie)}: {plural(len(level), 'n-gram')}")

    # Of each order words and counts, and where the longer n-grams after each n-gram begin: single
    # numbers are quickest to ask for in memory's own views.
    words = [level.words_M.data for level in trie]
    counts = [np.asarray(level.counts_M).data for level in trie]
    starts = [np.zeros(0, dtype=np.int64).data] * len(trie)
    for n, (level, longer) in enumerate(itertools.pairwise(trie)):
        starts[n] = np.searchsorted(longer.contexts_M, np.arange(len(level) + 1)).data
    least = max(1, min_count)

    def read(n: int, numbers: Iterable[int], before: str) -> Iterator[NgramCount]:
        """Yield the n-grams of order n of these numbers, each with those that begin with it. No
        n-gram occurs more often than its context."""
        is_shown = n == order or not highest_only
        words_of_order, counts_of_order = words[n - 1], counts[n - 1]
        starts_of_order = starts[n - 1]
        for number in numbers:
            count = counts_of_order[number]
            if count < least:
                continue
            ngram = before + names[words_of_order[number]]
            if is_shown:
                yield ngram, count
            if n < len(trie):
                longer = range(starts_of_order[number], starts_of_order[number + 1])
                yield from read(n + 1, longer, f"{ngram} ")

    # <s>, which has the last number, is put where it belongs.
    place = bisect(names, SENTENCE_START)
    unigrams = [*range(place), len(names), *range(place, len(names))]
    names = [*names, SENTENCE_START]
    yield from read(1, unigrams, "")


def _escape(match: re.Match[str]) -> str:
    """Return white space or a control character as it is shown."""
    return "\\x20" if match[0] == " " else match[0].encode("unicode_escape").decode("ascii")


def _in_byte_order(tokenizer: Tokenizer) -> tuple[list[str], np.ndarray]:
    """Return the symbols, sorted (code points sort as their UTF-8 does), and the place of each id
    among them."""
    spelled = [_TO_ESCAPE.sub(_escape, symbol) for symbol in tokenizer.symbols()]
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


# ---- Tables of n-gram counts: one row `n-gram TAB count` (:mod:`rnnlm.storage.files.tables`),
# n-grams in byte order, none twice.

LINES_AT_ONCE = 1 << 16


def count_lines(counts: Iterable[NgramCount], report: Progress = silent) -> Iterator[str]:
    """Yield `counts` as lines, many at a time."""
    written, remaining = 0, iter(counts)
    while batch := list(itertools.islice(remaining, LINES_AT_ONCE)):
        lines = [f"{tables.quoted(ngram)}\t{count}\n" for ngram, count in batch]
        yield "".join(lines)
        written += len(lines)
        report(f"{plural(written, 'n-gram')} written")


def save(path: Path, texts: Iterable[str]) -> None:
    """Write `texts` to a file, compressed as its suffix says, whole or not at all."""
    save_file(path, (text.encode("utf-8") for text in texts))

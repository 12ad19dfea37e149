"""Join counts of several vocabularies: the vocabulary of all, and n-grams renumbered for it in
bounded memory.

Vocabularies are read one at a time, and of their words only one table is held. N-grams are
renumbered order by order: of the order below, the new number of each n-gram is kept, in a file
where memory is limited.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rnnlm.interface import BOUNDARY, UNKNOWN, Tokenizer
from rnnlm.lm.ngram.counting.count_trie import Level
from rnnlm.lm.ngram.counting.counts_folder import CountsFolder
from rnnlm.lm.ngram.counting.suffix_values import SuffixExchange
from rnnlm.lm.ngram.counting.workspace import Workspace
from rnnlm.lm.ngram.tables import make_keys, split_keys
from rnnlm.storage.files.tensors import ChunkedArray
from rnnlm.text import tokenizers
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import VOCABULARY_FILE, Vocabulary
from rnnlm.text.tokenizers.word import WordCounts

SPECIALS = (BOUNDARY, UNKNOWN)  # the first symbols of words and of characters


def joint_tokenizer(several: Sequence[CountsFolder]) -> Tokenizer:
    """Return the tokenizer with the symbols of all, by descending count, as if all texts had been
    counted at once. One that is the same for all, and was made from another text, stays as it is.

    The counts are alike (:func:`rnnlm.lm.ngram.counting.counts_folder.check_alike`).
    """
    if len({counts.index.tokenizer_fingerprint for counts in several}) == 1:
        return _with_sums(several)

    # Add up how often each symbol occurs; a vocabulary may hold some that its text lacks.
    occurrences = WordCounts()
    for counts in several:
        symbols = counts.read_tokenizer().symbols()
        counts_V = _unigram_counts(counts)
        for id, special in enumerate(SPECIALS):
            occurrences.specials[special] += int(counts_V[id])
        names = [symbol.encode("utf-8", "surrogatepass") for symbol in symbols[len(SPECIALS) :]]
        occurrences.add(names, counts_V[len(SPECIALS) :])
    vocabulary = occurrences.vocabulary(min_count=0)

    # Settings that limit a vocabulary have had their effect on the parts.
    unlimited = {name: getattr(TokenizerSettings, name) for name in ("min_count", "max_vocab")}
    stored = {**several[0].index.tokenizer, **unlimited}
    return tokenizers.load(stored, {VOCABULARY_FILE: vocabulary.to_bytes()})


def _with_sums(several: Sequence[CountsFolder]) -> Tokenizer:
    """Return the tokenizer that all share. If each has counts of its own text, they are added
    up."""
    first = several[0].read_tokenizer()
    total_V = np.zeros(first.size, dtype=np.int64)
    for counts in several:
        text_V, known_V = _unigram_counts(counts), counts.read_tokenizer().counts_V
        if known_V is None or not np.array_equal(text_V, known_V):
            return first
        total_V += text_V
    vocabulary = Vocabulary(tuple(first.symbols()), total_V)
    files = {**first.to_files(), VOCABULARY_FILE: vocabulary.to_bytes()}
    return tokenizers.load(first.to_settings(), files)


def _unigram_counts(counts: CountsFolder) -> np.ndarray:
    """Return how often each symbol occurs in the text, (V,)."""
    unigrams = counts.level(1)
    assert unigrams is not None  # counts that were checked have them
    return np.asarray(unigrams.counts_M)[:-1].astype(np.int64)


def ids_in(tokenizer: Tokenizer, id_of: Mapping[str, int]) -> np.ndarray:
    """Return the id that each symbol of `tokenizer` has in `id_of`, (V,)."""
    return np.fromiter(map(id_of.__getitem__, tokenizer.symbols()), np.int64, tokenizer.size)


class Renumbering:
    """Renumbers the n-grams of a text, order by order from the unigrams up.

    Word w becomes number_V[w] of `size` words; those without a number of `number_V` do not occur.
    The arrays of an order belong to `workspace`.
    """

    def __init__(self, number_V: np.ndarray, size: int, workspace: Workspace) -> None:
        self.size = size
        self.workspace = workspace
        self.number_of = workspace.empty(len(number_V) + 1, np.int64)
        self.number_of[:-1] = number_V
        self.number_of[-1] = size  # <s> stays the last
        # Of the order below: the new number of each n-gram, and how many numbers there are.
        self._below_M = self.number_of
        self._contexts = 0
        workspace.release(self.number_of)

    def unigrams(self, level: Level) -> Level:
        """Return the unigrams, all `size` and `<s>`."""
        size = self.size
        counts_M = np.zeros(size + 1, level.counts_M.dtype)
        counts_M[self.number_of] = np.asarray(level.counts_M)
        keys_M = np.arange(size + 1, dtype=np.uint64)
        suffixes_M = np.zeros(size + 1, level.suffixes_M.dtype)
        self._below_M, self._contexts = self.number_of, size + 1
        self.workspace.release(self.number_of)
        return Level(size, keys_M, suffixes_M, counts_M, size)

    def longer(self, level: Level) -> Level:
        """Return the next order. As `<s>` stays the last word, as many n-grams as before come
        before those that begin with it."""
        workspace, below_M = self.workspace, self._below_M
        blocks = level.blocks(workspace.ngrams, len(below_M))
        ranges = [(block.start, block.end) for block in blocks if block.start < block.end]
        exchange = SuffixExchange(level.suffixes_M, ranges, len(below_M), workspace)
        suffixes_of_block = exchange.values(below_M)

        # Each n-gram goes to its new place: by its new context, then by its new word.
        suffix_type = np.int32 if self._contexts < 2**31 - 1 else np.int64
        keys_M = workspace.empty(len(level), np.uint64)
        suffixes_M = workspace.empty(len(level), suffix_type)
        counts_M = workspace.empty(len(level), level.counts_M.dtype)
        numbers_M = workspace.empty(len(level), np.int64)
        moved = new_places(level.keys_M, ranges, self.number_of, below_M, self._contexts, workspace)
        for number, part in enumerate(moved):
            here = slice(*ranges[number])
            keys_M[part.places_R] = part.keys_R
            suffixes_M[part.places_R] = suffixes_of_block(number)[part.by_word_R]
            counts_M[part.places_R] = level.counts_M[here][part.by_word_R]
            numbers_M[here.start + part.by_word_R] = part.places_R
            workspace.release(keys_M, suffixes_M, counts_M, numbers_M, self.number_of)
        self._below_M, self._contexts = numbers_M, len(level)
        return dataclasses.replace(
            level, size=self.size, keys_M=keys_M, suffixes_M=suffixes_M, counts_M=counts_M
        )


class NewPlaces(NamedTuple):
    """The new positions of neighbouring n-grams of an order.

    by_word_R: puts them in their new order within each context. keys_R, places_R: their new keys
    and numbers, in that order.
    """

    by_word_R: np.ndarray
    keys_R: np.ndarray
    places_R: np.ndarray


def new_places(
    keys_M: np.ndarray | ChunkedArray,
    ranges: Sequence[tuple[int, int]],
    number_of: np.ndarray,
    number_H: np.ndarray,
    contexts: int,
    workspace: Workspace,
) -> Iterator[NewPlaces]:
    """Yield for each range of n-grams where they go when word w becomes number_of[w], and context c
    number_H[c].

    ranges: all n-grams from the first to the last, each range ends where a context does. number_of:
    `<s>`, which is the last word, becomes the last one again. contexts: how many contexts there are
    then.
    """
    size, new_size = len(number_of) - 1, int(number_of[-1])
    # Where the n-grams of each context will begin.
    starts_H = workspace.empty(contexts + 1, np.int64)
    starts_H[:] = 0
    for start, end in ranges:
        contexts_R, _ = split_keys(keys_M[start:end], size)
        first = int(contexts_R[0])
        lengths = np.bincount(contexts_R - first)
        starts_H[number_H[first : first + len(lengths)] + 1] += lengths
        workspace.release(starts_H, number_H)
    np.cumsum(starts_H, out=starts_H)

    # Within a context, they go by their new last words.
    for start, end in ranges:
        contexts_R, words_R = split_keys(keys_M[start:end], size)
        new_contexts_R, new_words_R = number_H[contexts_R], number_of[words_R]
        by_word_R = np.argsort(make_keys(contexts_R, new_words_R, new_size))
        is_first_R = np.diff(contexts_R, prepend=-1) > 0
        ranks_R = np.arange(end - start)
        ranks_R -= np.maximum.accumulate(np.where(is_first_R, ranks_R, 0))
        keys_R = make_keys(new_contexts_R, new_words_R[by_word_R], new_size)
        yield NewPlaces(by_word_R, keys_R, starts_H[new_contexts_R] + ranks_R)
        workspace.release(starts_H, number_H)

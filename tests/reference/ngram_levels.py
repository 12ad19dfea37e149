"""The trie of counts in plain Python: n-grams are tuples in dictionaries, and are numbered by
sorting them.

Words are 0 to V - 1 and 0 is `</s>`; `<s>` is BEGIN in tuples, and the number V.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from reference.ngram_formulas import BEGIN, Gram, adjusted_counts, raw_counts


@dataclass(frozen=True)
class PlainLevel:
    """The n-grams of one order, by the number of their first n-1 words, then by their last word.

    suffixes: numbers of the last n-1 words. adjusted: counts as in Heafield et al. 2013, section 2,
    where this many orders are all that there are; 0 for `<s>` alone. From after_start on, n-grams
    begin with `<s>`.
    """

    grams: list[Gram]
    keys: list[int]
    suffixes: list[int]
    counts: list[int]
    adjusted: list[int]
    after_start: int


def levels_of(sentences: Sequence[Sequence[int]], size: int, order: int) -> list[PlainLevel]:
    """Return the orders 1 to `order`, or up to the longest n-gram that there is."""
    counts = raw_counts(sentences, order)
    adjusted = adjusted_counts(counts, order)
    adjusted[BEGIN,] = 0
    bits = len(f"{size:b}")
    # All words are unigrams, whether they occur or not. Each has the empty context and suffix.
    levels = []
    number_of: dict[Gram, int] = {(): 0}
    grams: list[Gram] = [(word,) for word in (*range(size), BEGIN)]
    while grams:
        keys = []
        for gram in grams:
            last_word = size if gram[-1] == BEGIN else gram[-1]
            keys.append(number_of[gram[:-1]] << bits | last_word)
        grams = [grams[at] for at in sorted(range(len(grams)), key=keys.__getitem__)]
        levels.append(
            PlainLevel(
                grams,
                sorted(keys),
                [number_of[gram[1:]] for gram in grams],
                [counts[gram] for gram in grams],
                [adjusted.get(gram, 0) for gram in grams],
                sum(gram[0] != BEGIN for gram in grams),
            )
        )
        number_of = {gram: number for number, gram in enumerate(grams)}
        grams = [gram for gram in counts if len(gram) == len(levels) + 1]
    return levels

"""Samples beside a text that people wrote: length of sentences, variety of words, what is new and
what is copied.

A tenth of the text's lines, spread over it, are held out and stand beside the samples; the others
are what both are compared with. So a figure of samples may be read against the figure of real
sentences, which are new to that text, too. A word is what is one to the model where its tokens are
words (all that it doesn't know are one), and else what stands between white space.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm.errors import TextError
from rnnlm.interface import Tokenizer
from rnnlm.text.corpus import Text
from rnnlm.text.lines import Progress, is_blank, no_text, silent, split_words, watched

HELD_OUT = 10  # one line of so many
LONGEST_NGRAM = 4
QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class TextStatistics:
    """Figures of one set of sentences. Shares are from 0 to 1; None where there is nothing to
    count.

    length_*: words in a sentence. types_per_token: different words over words, among the first
    `compared_words` of both sets. new_ngrams: the share of its n-grams, n from 1 to 4, that the
    rest of the text does not have. repeated: the share of sentences that occurred in the set
    before; copied: that occur in the rest of the text, word for word.
    """

    sentences: int
    words: int
    length_mean: float
    length_sd: float
    length_quantiles: tuple[float, ...]
    compared_words: int
    types_per_token: float | None
    new_ngrams: tuple[float | None, ...]
    repeated: float
    copied: float


def compare(
    samples: Sequence[str], text: Text, tokenizer: Tokenizer, progress: Progress = silent
) -> tuple[TextStatistics, TextStatistics]:
    """Statistics of `samples` (each line of one is a sentence) and of the held-out lines of `text`.

    Raises:
        TextError: the text cannot be read, or has fewer than two lines; the samples have no words.
    """
    lines = [
        line
        for block in watched(text.blocks(), progress)
        for line in block.lines
        if not is_blank(line)
    ]
    if not lines:
        raise no_text(text.sources)
    if len(lines) < 2:
        raise TextError(
            f"too little text in {', '.join(text.sources)}",
            "it has a single line",
            "name a longer one",
        )
    drawn = [line for sample in samples for line in sample.split("\n")]
    held_out, rest = (
        lines[::HELD_OUT],
        [line for number, line in enumerate(lines) if number % HELD_OUT],
    )
    sets_of_words = [list(each) for each in _numbered([drawn, held_out, rest], tokenizer)]
    if not sum(map(len, sets_of_words[0])):
        raise TextError("the samples have no words", "each is an empty line", "draw more of them")
    compared = min(sum(map(len, words)) for words in sets_of_words[:2])
    new = zip(*(_new_shares(sets_of_words, n) for n in range(1, LONGEST_NGRAM + 1)), strict=True)
    known = {tuple(sentence) for sentence in sets_of_words[2]}
    ours, theirs = (
        _statistics(words, compared, known, tuple(shares))
        for words, shares in zip(sets_of_words[:2], new, strict=True)
    )
    return ours, theirs


def _statistics(
    sentences: list[list[int]],
    compared: int,
    known: set[tuple[int, ...]],
    new: tuple[float | None, ...],
) -> TextStatistics:
    lengths = np.array([len(sentence) for sentence in sentences])
    words = [word for sentence in sentences for word in sentence]
    as_tuples = [tuple(sentence) for sentence in sentences]
    return TextStatistics(
        sentences=len(sentences),
        words=len(words),
        length_mean=float(lengths.mean()),
        length_sd=float(lengths.std()),
        length_quantiles=tuple(np.quantile(lengths, QUANTILES).tolist()),
        compared_words=compared,
        types_per_token=len(set(words[:compared])) / compared if compared else None,
        new_ngrams=new,
        repeated=1 - len(set(as_tuples)) / len(as_tuples),
        copied=sum(sentence in known for sentence in as_tuples) / len(as_tuples),
    )


def _numbered(
    sets_of_lines: Sequence[Sequence[str]], tokenizer: Tokenizer
) -> Iterator[Iterator[list[int]]]:
    """The words of each line, as numbers that are the same in all sets."""
    if np.all(tokenizer.starts_word_V):
        for lines in sets_of_lines:
            encoded = tokenizer.encode(["" if is_blank(line) else line for line in lines])
            bounds = encoded.offsets.tolist()
            yield (
                encoded.ids[start : end - 1].tolist() for start, end in itertools.pairwise(bounds)
            )
        return
    numbers: dict[str, int] = {}
    for lines in sets_of_lines:
        yield (
            [numbers.setdefault(word, len(numbers)) for word in split_words(line)] for line in lines
        )


def _new_shares(sets_of_words: Sequence[Sequence[Sequence[int]]], n: int) -> list[float | None]:
    """Of the first two sets, the share of n-grams (within a sentence) that the last does not
    have."""
    ours, theirs, rest = (_ngrams(sentences, n) for sentences in sets_of_words)
    known = set(rest)
    are_new = [[ngram not in known for ngram in ngrams] for ngrams in (ours, theirs)]
    return [sum(found) / len(found) if found else None for found in are_new]


def _ngrams(sentences: Sequence[Sequence[int]], n: int) -> Iterator[tuple[int, ...]]:
    for sentence in sentences:
        yield from zip(*(sentence[start:] for start in range(n)), strict=False)

"""Samples beside a text that people wrote: length of sentences, variety of words, what is new and
what is copied.

A tenth of the text's lines, spread over it, are held out and compared with the samples; the others
are what both are checked against. So a number for samples can be read against the number for real
sentences, which are new to that text, too. Words are the model's tokens where these are words (all
unknown ones are one word), and otherwise what white space separates.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm.errors import TextError
from rnnlm.interface import Tokenizer
from rnnlm.text.corpus import Text
from rnnlm.text.lines import Progress, is_blank, no_text, silent, split_words, watched

HELD_OUT = 10  # hold out one line in ten
LONGEST_NGRAM = 4
QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class TextStatistics:
    """Statistics of one set of sentences. Shares are from 0 to 1; None where there is nothing to
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
    """Return statistics of `samples` (each line of one is a sentence) and of the held-out lines of
    `text`. TextError: the text cannot be read, or has fewer than two lines; the samples have no
    words."""
    lines: list[str] = []
    for block in watched(text.blocks(), progress):
        lines.extend(line for line in block.lines if not is_blank(line))
    if not lines:
        raise no_text(text.sources)
    if len(lines) < 2:
        raise TextError(
            f"too little text in {', '.join(text.sources)}",
            "it has a single line",
            "name a longer one",
        )

    # The samples, the lines held out, and the rest, which both are checked against.
    drawn = "\n".join(samples).split("\n") if samples else []
    held_out = lines[::HELD_OUT]
    rest = [line for number, line in enumerate(lines) if number % HELD_OUT]
    ours, theirs, others = _number_words([drawn, held_out, rest], tokenizer)
    if not sum(map(len, ours)):
        raise TextError("the samples have no words", "each is an empty line", "draw more of them")

    compared = min(sum(map(len, ours)), sum(map(len, theirs)))
    known = set(map(tuple, others))
    new_of_ours, new_of_theirs = [], []
    for n in range(1, LONGEST_NGRAM + 1):
        known_ngrams = set(_ngrams(others, n))
        new_of_ours.append(_share_outside(known_ngrams, _ngrams(ours, n)))
        new_of_theirs.append(_share_outside(known_ngrams, _ngrams(theirs, n)))
    return (
        _statistics(ours, compared, known, tuple(new_of_ours)),
        _statistics(theirs, compared, known, tuple(new_of_theirs)),
    )


def _statistics(
    sentences: list[list[int]],
    compared: int,
    known: set[tuple[int, ...]],
    new: tuple[float | None, ...],
) -> TextStatistics:
    lengths = np.array(list(map(len, sentences)))
    words = list(itertools.chain.from_iterable(sentences))
    as_tuples = list(map(tuple, sentences))
    mean, sd = float(lengths.mean()), float(lengths.std())
    quantiles = tuple(np.quantile(lengths, QUANTILES).tolist())
    types_per_token = len(set(words[:compared])) / compared if compared else None
    repeated = 1 - len(set(as_tuples)) / len(as_tuples)
    copied = sum(sentence in known for sentence in as_tuples) / len(as_tuples)
    return TextStatistics(
        sentences=len(sentences),
        words=len(words),
        length_mean=mean,
        length_sd=sd,
        length_quantiles=quantiles,
        compared_words=compared,
        types_per_token=types_per_token,
        new_ngrams=new,
        repeated=repeated,
        copied=copied,
    )


def _number_words(
    sets_of_lines: Sequence[Sequence[str]], tokenizer: Tokenizer
) -> list[list[list[int]]]:
    """Return the words of each line of each set, as numbers that are the same in all sets."""
    sets_of_words = []
    numbers: dict[str, int] = {}
    for lines in sets_of_lines:
        sentences = []
        if np.all(tokenizer.starts_word_V):
            encoded = tokenizer.encode(["" if is_blank(line) else line for line in lines])
            for start, end in itertools.pairwise(encoded.offsets.tolist()):
                sentences.append(encoded.ids[start : end - 1].tolist())
        else:
            for line in lines:
                words = split_words(line)
                sentences.append([numbers.setdefault(word, len(numbers)) for word in words])
        sets_of_words.append(sentences)
    return sets_of_words


def _share_outside(known: set[tuple[int, ...]], ngrams: Iterator[tuple[int, ...]]) -> float | None:
    """Return the share of n-grams that are not known."""
    are_new = [ngram not in known for ngram in ngrams]
    return sum(are_new) / len(are_new) if are_new else None


def _ngrams(sentences: Sequence[Sequence[int]], n: int) -> Iterator[tuple[int, ...]]:
    """Yield the n-grams within sentences."""
    for sentence in sentences:
        yield from zip(*(sentence[start:] for start in range(n)), strict=False)

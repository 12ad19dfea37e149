"""Compute the surprisal of each word of sentences that were read together, and other measures."""

import itertools
import math
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm.errors import TextError
from rnnlm.interface import BOUNDARY, Encoded
from rnnlm.lm.base.words import ShownWords
from rnnlm.scoring.settings import TOKEN_MEASURES
from rnnlm.text.lines import WORD_SPACE, is_blank, split_words


@dataclass(frozen=True, slots=True)
class WordScore:
    """One word of a sentence, or `</s>`.

    Attributes:
        word: The word.
        surprisal_bits: -log2 p(word | earlier words), in bits; None if infinite.
        is_oov: Whether a part of it is unknown.
        index: Number of the word in the line, from 1, with given words counted.
        start: Where it begins in the sentence: `text[start:end]` is the word.
        end: Where it ends in the sentence; `</s>` is the empty span at its end.
        tokens: Number of the model's tokens that make the word.
        entropy_bits: Entropy of the model's prediction of the word's first token, before that is
            read, in bits; None if not requested.
        log10_frequency: Log of the word's share of the training text, or of another text
            (:mod:`rnnlm.scoring.frequencies`); None if not requested, or not known.
        rank: Rank of its token, as in :class:`rnnlm.scoring.sentence_scores.TokenScore`; None if
            not requested, or if it is made of several tokens, or of a piece.
        order: Order of the n-gram, as there.
    """

    word: str
    surprisal_bits: float | None
    is_oov: bool
    index: int
    start: int
    end: int
    tokens: int
    entropy_bits: float | None = None
    log10_frequency: float | None = None
    rank: int | None = None
    order: int | None = None

    @property
    def probability(self) -> float:
        """p(word | earlier words)."""
        return probability_of(self.surprisal_bits)

    @property
    def word_length(self) -> int | None:
        """Number of its characters without punctuation and other symbols; None for `</s>`."""
        if self.start == self.end:
            return None
        composed = unicodedata.normalize("NFC", self.word)
        return sum(unicodedata.category(character)[0] not in "PS" for character in composed)


def probability_of(surprisal_bits: float | None) -> float:
    """Return the probability for a surprisal; None is an infinite one."""
    return 0.0 if surprisal_bits is None else 2.0**-surprisal_bits


@dataclass(frozen=True)
class DistributionColumns:
    """Statistics of the predictions at the shown words, empty where not asked for."""

    log_boundary: np.ndarray  # log B (nats) where it is needed
    entropy_bits: np.ndarray  # (W,)
    likeliest: np.ndarray  # (W, K, 2) ids and log-probabilities (nats) of tokens

    @classmethod
    def of(
        cls, columns: np.ndarray, names: Sequence[str], is_boundary: np.ndarray
    ) -> "DistributionColumns":
        """Sort predictions side by side, under these names in their order, the likeliest tokens
        last. B is needed where `is_boundary`."""
        nothing: np.ndarray = np.zeros(0)
        # The names of one column each; "likeliest" has all that are left.
        named = dict(zip(names, columns.T, strict=False)) if columns.ndim > 1 else {}
        log_boundary = named.get("log_boundary", np.zeros(len(is_boundary)))[is_boundary]
        likeliest = nothing
        if "likeliest" in names:
            likeliest = columns[:, len(names) - 1 :].reshape(len(columns), -1, 2)
        return cls(log_boundary, named.get("entropy_bits", nothing), likeliest)


class WordColumns:
    """The scores of all shown words of a chunk, `</s>` among them, in lists."""

    def __init__(
        self,
        shown: ShownWords,
        encoded: Encoded,
        bits_W: np.ndarray,
        seen: DistributionColumns,
        frequency_W: np.ndarray,
        measured_N: Mapping[str, np.ndarray],
    ) -> None:
        items = shown.items
        self.shown = shown
        self.bits = nullable(bits_W)
        self.is_oov = any_between(items.starts, items.ends, encoded.oov).tolist()
        self.tokens = (items.ends - items.starts).tolist()
        # Columns that were not asked for are empty.
        nothing: list[float | None] = [None] * len(self.bits)
        self.entropy = nullable(seen.entropy_bits) or nothing
        self.frequency = nullable(frequency_W) or nothing
        # Measures of tokens are those of words that are one token.
        self.measured = dict.fromkeys(TOKEN_MEASURES, nothing)
        for name, values_N in measured_N.items():
            values = zip(values_N[items.starts].tolist(), self.tokens, strict=True)
            self.measured[name] = [value if tokens == 1 else None for value, tokens in values]

    def of(self, index: int, text: str, eos: bool) -> tuple[WordScore, ...]:
        """Return the words of one line, which scores `text`; with its `</s>`, if asked for."""
        places, before = self.shown.places[index], self.shown.before[index]
        first, last = self.shown.items.line_bounds[index : index + 2].tolist()
        words = [text[start:end] for start, end in places]
        if eos:
            words, places = [*words, BOUNDARY], [*places, (len(text), len(text))]
        if not places:
            return ()
        # Words are numbered one by one, but for those that are shown as one.
        numbers = self.shown.numbers.get(index)
        indices: Iterable[int] = itertools.count(before + 1)
        if numbers:
            indices = [before + 1 + number for number in numbers]
        starts, ends = zip(*places, strict=True)
        return tuple(
            map(
                WordScore,
                words,
                self.bits[first:last],
                self.is_oov[first:last],
                indices,
                starts,
                ends,
                self.tokens[first:last],
                self.entropy[first:last],
                self.frequency[first:last],
                *(values[first:last] for values in self.measured.values()),
            )
        )


def any_between(starts_W: np.ndarray, ends_W: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return whether any of the ascending `places` lies between each start and end."""
    return np.searchsorted(places, ends_W) > np.searchsorted(places, starts_W)


def nullable(values: np.ndarray) -> list[float | None]:
    """Return the values in a list, None in place of those that are not finite."""
    listed: list[float | None] = values.tolist()
    for at in np.flatnonzero(~np.isfinite(values)).tolist():
        listed[at] = None
    return listed


# ---- Regions of sentences: the parts for which a reading experiment has measurements, each of one
# or more white-space words.
#
# They are marked in the text ("The dog | barked ."), or are columns of a table. The scored
# sentence has no marks: it is the regions joined by a space. A region without words adds nothing to
# it and has no row, but counts in the numbers of the others.


@dataclass(frozen=True, slots=True)
class Region:
    """A region of a sentence.

    Attributes:
        text: Its text.
        index: Number of the region, from 1.
        name: Name of the column it comes from.
    """

    text: str
    index: int
    name: str | None = None


@dataclass(frozen=True, slots=True)
class RegionScore:
    """A region of a sentence with its surprisal.

    Attributes:
        text: Its text.
        index: Number of the region, from 1.
        name: Name of the column it comes from.
        start: Where it begins in the sentence: `text[start:end]` is the region.
        end: Where it ends in the sentence.
        words: Number of its words.
        tokens: Number of its tokens.
        is_oov: Whether a part of it is unknown.
        surprisal_bits: Surprisal in bits, the sum over its words; None if infinite.
        next_surprisal_bits: Surprisal of the next region, in bits; None at the last region, or if
            infinite.
    """

    text: str
    index: int
    name: str | None
    start: int
    end: int
    words: int
    tokens: int
    is_oov: bool
    surprisal_bits: float | None
    next_surprisal_bits: float | None


def split_regions(text: str, mark: str, where: str) -> tuple[Region, ...]:
    """Return the regions of `text`, which `mark` separates.

    Raises:
        TextError: the mark is inside a word of the text, whose place is `where`.
    """
    parts = text.split(mark)
    last = ""
    for index, part in enumerate(parts):
        if last and part and last[-1] not in WORD_SPACE and part[0] not in WORD_SPACE:
            inside = f"{split_words(last)[-1]}{mark}{split_words(part)[0]}"
            raise TextError(
                f"{where}: region mark {index} is inside a word: {inside}",
                hint="put white space around the mark",
            )
        last = part or last

    # The white space beside a mark is dropped.
    regions = []
    for index, part in enumerate(parts, start=1):
        if index > 1:
            part = part.lstrip(WORD_SPACE)
        if index < len(parts):
            part = part.rstrip(WORD_SPACE)
        regions.append(Region(part, index))
    return tuple(regions)


def joined(regions: Sequence[Region]) -> str:
    """Return the sentence that is made of these regions."""
    return " ".join(region.text for region in regions if not is_blank(region.text))


def region_scores(regions: Sequence[Region], words: Sequence[WordScore]) -> tuple[RegionScore, ...]:
    """Return the scores of the regions of a sentence, made from its words' scores (`</s>` belongs
    to no region)."""
    # Where the regions are in the text, and which words each of them has.
    starts = [word.start for word in words]
    located, start = [], 0
    for region in regions:
        if not is_blank(region.text):
            end = start + len(region.text)
            text_start = end - len(region.text.lstrip(WORD_SPACE))
            region_words = words[bisect_left(starts, start) : bisect_left(starts, end)]
            located.append((region, text_start, region_words))
            start = end + 1

    # Each has its own surprisal beside the surprisal of the next one, into which effects spill
    # over.
    bits = [_sum([word.surprisal_bits for word in region_words]) for _, _, region_words in located]
    scores = []
    for (region, begin, region_words), here, after in zip(
        located, bits, [*bits[1:], None], strict=True
    ):
        text = region.text.strip(WORD_SPACE)
        scores.append(
            RegionScore(
                text=text,
                index=region.index,
                name=region.name,
                start=begin,
                end=begin + len(text),
                words=max(
                    len(region_words), len(split_words(text))
                ),  # a mark that is removed is a word
                tokens=sum(word.tokens for word in region_words),
                is_oov=any(word.is_oov for word in region_words),
                surprisal_bits=here,
                next_surprisal_bits=after,
            )
        )
    return tuple(scores)


def _sum(bits: Sequence[float | None]) -> float | None:
    known = [value for value in bits if value is not None]
    return math.fsum(known) if len(known) == len(bits) else None

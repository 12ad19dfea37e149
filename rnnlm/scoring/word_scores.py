"""The words of sentences that were read together, each with its surprisal and what else is asked
for."""

import itertools
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm.errors import TextError
from rnnlm.inference.words import ShownWords, WordSpans
from rnnlm.interface import BOUNDARY, Encoded, Tokenizer
from rnnlm.text.encoding import known_ids
from rnnlm.text.lines import WORD_SPACE, is_blank, split_words


@dataclass(frozen=True, slots=True)
class WordScore:
    """One word of a sentence, or `</s>`. surprisal_bits = -log2 p(word | what came before); None
    where that is infinite.

    is_oov: it has a part that is unknown. index: its number in the line from 1, what is given
    counted. `text[start:end]` of the sentence is the word; `</s>` is the empty span at its end.
    tokens: how many of the model's make the word. entropy_bits: of the model's prediction of the
    word's first token, before that is read. log10_frequency: of the share of the word among those
    of the training text (:mod:`rnnlm.scoring.word_scores`). None where that is not asked for, or
    not known.
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


@dataclass(frozen=True)
class Seen:
    """What was seen of the predictions at the shown words. log_boundary: log B (nats) where it is
    needed.

    entropy_bits: (W,), likeliest: (W, K, 2) ids and log-probabilities (nats) of tokens; empty where
    not asked for.
    """

    log_boundary: np.ndarray
    entropy_bits: np.ndarray
    likeliest: np.ndarray

    @classmethod
    def of(cls, columns: np.ndarray, names: Sequence[str], is_boundary: np.ndarray) -> "Seen":
        """What was seen side by side, under these names in their order, the likeliest tokens last;
        is_boundary: where B is needed."""
        of_name = (
            {name: columns[:, column] for column, name in enumerate(names)}
            if columns.ndim > 1
            else {}
        )
        log_boundary = of_name.get("log_boundary", np.zeros(len(is_boundary)))[is_boundary]
        likeliest = (
            columns[:, len(names) - 1 :].reshape(len(columns), -1, 2)
            if "likeliest" in names
            else np.zeros(0)
        )
        return cls(log_boundary, of_name.get("entropy_bits", np.zeros(0)), likeliest)


class WordColumns:
    """The figures of all shown words of a chunk, `</s>` among them, in lists."""

    def __init__(
        self,
        shown: ShownWords,
        encoded: Encoded,
        bits_W: np.ndarray,
        seen: Seen,
        frequency_W: np.ndarray,
    ) -> None:
        items = shown.items
        self.shown = shown
        self.bits = _nullable(bits_W)
        self.is_oov = _any_between(items.starts, items.ends, encoded.oov).tolist()
        self.tokens = (items.ends - items.starts).tolist()
        self.entropy, self.frequency = (
            _nullable(its_W) if len(its_W) else [None] * len(self.bits)
            for its_W in (seen.entropy_bits, frequency_W)
        )

    def of(self, index: int, text: str, eos: bool) -> tuple[WordScore, ...]:
        """The words of one line, which scores `text`; with its `</s>`, if asked for."""
        places, before = self.shown.places[index], self.shown.before[index]
        first, last = self.shown.items.line_bounds[index : index + 2].tolist()
        words = [text[start:end] for start, end in places]
        if eos:
            words, places = [*words, BOUNDARY], [*places, (len(text), len(text))]
        if not places:
            return ()
        bits, is_oov, *others = (
            each[first:last]
            for each in (self.bits, self.is_oov, self.tokens, self.entropy, self.frequency)
        )
        numbers = self.shown.numbers.get(index)
        indices = (
            [before + 1 + number for number in numbers] if numbers else itertools.count(before + 1)
        )
        return tuple(
            map(WordScore, words, bits, is_oov, indices, *zip(*places, strict=True), *others)
        )


def _any_between(starts_W: np.ndarray, ends_W: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Whether any of the ascending `places` lies between each start and end."""
    return np.searchsorted(places, ends_W) > np.searchsorted(places, starts_W)


def _nullable(values: np.ndarray) -> list[float | None]:
    return [
        value if finite else None
        for value, finite in zip(values.tolist(), np.isfinite(values).tolist(), strict=True)
    ]


# ---- How often words occurred in the training text, as a covariate of reading times.
#
# log10_frequency = log10(count of the word / all words of the training text): 0.001 is -3. Add 6
# for occurrences per million words, 9 for the Zipf scale (van Heuven et al. 2014).


class WordFrequencies:
    """The frequencies of the words of a tokenizer. are_known: false where tokens are pieces of
    words, or were not counted."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        counts_V = tokenizer.counts_V
        self.are_known = tokenizer.name == "word" and counts_V is not None
        if counts_V is None or not self.are_known:
            return
        counts_V = np.where(np.arange(len(counts_V)) == tokenizer.boundary_id, 0.0, counts_V)
        with np.errstate(divide="ignore", invalid="ignore"):
            log10_V = np.log10(counts_V / counts_V.sum())
        log10_V[
            [tokenizer.boundary_id, *([] if tokenizer.unk_id is None else [tokenizer.unk_id])]
        ] = np.nan
        self._log10_V = np.where(np.isfinite(log10_V), log10_V, np.nan)
        self._is_mark_V = np.array(
            [not any(map(str.isalnum, symbol)) for symbol in tokenizer.symbols()]
        )

    def of(self, words: WordSpans, ids_N: np.ndarray) -> np.ndarray:
        """log10_frequency of each of the words, (W,), NaN where it has none.

        A written word has that of the one token in it that holds a letter or digit: "dog." counts
        as "dog" where the mark is a token of its own. Unknown words have none, nor have words of
        several such tokens, nor `</s>`.
        """
        if not self.are_known:
            return np.full(len(words.starts), np.nan)
        ids_N = known_ids(ids_N, self._tokenizer)
        parts_N = np.flatnonzero(~self._is_mark_V[ids_N])
        first_W, last_W = (
            np.searchsorted(parts_N, words.starts),
            np.searchsorted(parts_N, words.ends),
        )
        is_mark_W = (first_W == last_W) & (words.ends == words.starts + 1)
        at_W = np.where(is_mark_W, words.starts, np.append(parts_N, 0)[first_W])
        return np.where(is_mark_W | (last_W == first_W + 1), self._log10_V[ids_N[at_W]], np.nan)


# ---- Regions of sentences: the parts for which a reading experiment has figures, each of one or
# more white-space words.
#
# They stand in the text, separated by a mark ("The dog | barked ."), or in columns of a table. The
# sentence that is scored is that without marks: the regions joined by a space. A region without
# words adds nothing to it and has no row, but counts in the numbers of the others.


@dataclass(frozen=True, slots=True)
class Region:
    """A region of a sentence. index: its number from 1. name: of the column it comes from."""

    text: str
    index: int
    name: str | None = None


@dataclass(frozen=True, slots=True)
class RegionScore:
    """A region with its surprisal (bits), the sum over its words, and that of the region behind it,
    None at the last one; None, too, where it is infinite. `text[start:end]` of the sentence is the
    region; words, tokens: how many it has."""

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
    """The regions of `text`, which `mark` separates.

    Raises:
        TextError: it stands inside a word. where: what holds the text, for the message.
    """
    parts = text.split(mark)
    last = ""
    for index, part in enumerate(parts):
        if last and part and last[-1] not in WORD_SPACE and part[0] not in WORD_SPACE:
            inside = f"{split_words(last)[-1]}{mark}{split_words(part)[0]}"
            raise TextError(
                f"{where}: region mark {index} stands inside a word: {inside}",
                hint="put white space beside the mark",
            )
        last = part or last
    trimmed = [part.lstrip(WORD_SPACE) if index else part for index, part in enumerate(parts)]
    trimmed[:-1] = [part.rstrip(WORD_SPACE) for part in trimmed[:-1]]
    return tuple(Region(part, index) for index, part in enumerate(trimmed, start=1))


def joined(regions: Sequence[Region]) -> str:
    """The sentence that is made of them."""
    return " ".join(region.text for region in regions if not is_blank(region.text))


def region_scores(regions: Sequence[Region], words: Sequence[WordScore]) -> tuple[RegionScore, ...]:
    """The scores of the regions of a sentence, out of those of its words (`</s>` belongs to no
    region)."""
    starts = [word.start for word in words]
    found, start = [], 0
    for region in regions:
        if not is_blank(region.text):
            end = start + len(region.text)
            found.append(
                (
                    region,
                    end - len(region.text.lstrip(WORD_SPACE)),
                    words[bisect_left(starts, start) : bisect_left(starts, end)],
                )
            )
            start = end + 1
    bits = [_sum([word.surprisal_bits for word in its]) for _, _, its in found]
    scores = []
    for (region, begin, its), bits_here, bits_next in zip(
        found, bits, [*bits[1:], None], strict=True
    ):
        text, tokens, is_oov = (
            region.text.strip(WORD_SPACE),
            sum(word.tokens for word in its),
            any(word.is_oov for word in its),
        )
        # a mark that is removed is a word, too
        place, count = (begin, begin + len(text)), max(len(its), len(split_words(text)))
        scores.append(
            RegionScore(
                text, region.index, region.name, *place, count, tokens, is_oov, bits_here, bits_next
            )
        )
    return tuple(scores)


def _sum(bits: Sequence[float | None]) -> float | None:
    return None if None in bits else math.fsum(each for each in bits if each is not None)

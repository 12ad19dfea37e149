"""Regions of sentences: the parts for which a reading experiment has figures, each of one or more white-space words.

They stand in the text, separated by a mark ("The dog | barked ."), or in columns of a table. The sentence that is scored is that without
marks: the regions joined by a space. A region without words adds nothing to it and has no row, but counts in the numbers of the others.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from rnnlm.errors import TextError, UsageError
from rnnlm.scoring.word_scores import WordScore
from rnnlm.text.lines import WORD_SPACE, is_blank, split_words


@dataclass(frozen=True, slots=True)
class Region:
    """A region of a sentence. index: its number from 1. name: of the column it comes from."""

    text: str
    index: int
    name: str | None = None


@dataclass(frozen=True, slots=True)
class RegionScore:
    """A region with its surprisal (bits), the sum over its words, and that of the region behind it, None at the last one; None, too, where
    it is infinite. `text[start:end]` of the sentence is the region; words, tokens: how many it has."""

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


def check_mark(mark: str) -> None:
    """Make sure that `mark` can separate regions; a UsageError says why not."""
    if is_blank(mark) or "\n" in mark:
        raise UsageError(f"{mark!r} cannot separate regions", "it is white space", 'choose a mark such as "|"')


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
            raise TextError(f"{where}: region mark {index} stands inside a word: {inside}", hint="put white space beside the mark")
        last = part or last
    trimmed = [part.lstrip(WORD_SPACE) if index else part for index, part in enumerate(parts)]
    trimmed[:-1] = [part.rstrip(WORD_SPACE) for part in trimmed[:-1]]
    return tuple(Region(part, index) for index, part in enumerate(trimmed, start=1))


def joined(regions: Sequence[Region]) -> str:
    """The sentence that is made of them."""
    return " ".join(region.text for region in regions if not is_blank(region.text))


def region_scores(regions: Sequence[Region], words: Sequence[WordScore]) -> tuple[RegionScore, ...]:
    """The scores of the regions of a sentence, out of those of its words (`</s>` belongs to no region)."""
    starts = [word.start for word in words]
    found, start = [], 0
    for region in regions:
        if not is_blank(region.text):
            end = start + len(region.text)
            found.append((region, end - len(region.text.lstrip(WORD_SPACE)), words[bisect_left(starts, start) : bisect_left(starts, end)]))
            start = end + 1
    bits = [_sum([word.surprisal_bits for word in its]) for _, _, its in found]
    scores = []
    for (region, begin, its), bits_here, bits_next in zip(found, bits, [*bits[1:], None], strict=True):
        text, tokens, is_oov = region.text.strip(WORD_SPACE), sum(word.tokens for word in its), any(word.is_oov for word in its)
        place, count = (begin, begin + len(text)), max(len(its), len(split_words(text)))  # a mark that is removed is a word, too
        scores.append(RegionScore(text, region.index, region.name, *place, count, tokens, is_oov, bits_here, bits_next))
    return tuple(scores)


def _sum(bits: Sequence[float | None]) -> float | None:
    return None if None in bits else math.fsum(each for each in bits if each is not None)

"""Pairs scored: which of two sentences a model finds likelier, as wholes or by the part that tells."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm.errors import UsageError, nearest, notice
from rnnlm.interface import LanguageModel
from rnnlm.scoring.pairs.lines import ReadLines, Unscorable, checked_line, read_lines
from rnnlm.scoring.pairs.pair import FULL, PARTIAL, SCORINGS, WORD, Pair

TIE_NATS = 1e-4  # a sentence's score may vary by that much with the batch it is in
PAIRS_PER_CHUNK = 2048


@dataclass(frozen=True)
class TextScore:
    """The score of one sentence, or of the part of it that is compared. logprob_nats is None where a token has probability zero.

    tokens: how many are scored. oov: the unknown ones among those read.
    """

    logprob_nats: float | None
    tokens: int
    oov: tuple[str, ...]


@dataclass(frozen=True)
class PairScore:
    """A pair scored. point: 1 right, 0.5 tie (within TIE_NATS), 0 wrong; None, with the reason, where it cannot be scored."""

    pair: Pair
    scoring: str
    good: TextScore | None
    bad: TextScore | None
    point: float | None
    reason: str | None = None

    @property
    def labels(self) -> Pair:
        """What the pair is grouped by."""
        return self.pair

    @property
    def where(self) -> str:
        """The pair's place, for messages."""
        return self.pair.where

    @property
    def has_oov(self) -> bool:
        return any(side.oov for side in (self.good, self.bad) if side)

    @property
    def is_tie(self) -> bool:
        return self.point == 0.5

    @property
    def is_identical(self) -> bool:
        """Whether good and bad are the same sentence, which no model can tell apart."""
        return self.point is not None and self.pair.good == self.pair.bad


def score_pairs(model: LanguageModel, pairs: Sequence[Pair], special_symbols: str = "error", scoring: str | None = None) -> list[PairScore]:
    """Score both sentences of each pair; a pair that cannot be scored has the reason in its place.

    scoring: "full", the whole sentences with their ends. "partial", what follows the part in which they differ, each given its
    own beginning (Trinh & Le 2018, arXiv 1806.02847, section 3.1). "word", the part in which they differ, given the beginning
    they share (Linzen, Dupoux & Goldberg 2016, arXiv 1611.01368, section 6). None: as each pair says.

    Raises:
        UsageError: there is no such scoring. ModelError: the model's scores are not numbers.
    """
    if scoring not in (None, *SCORINGS):
        raise UsageError(f"there is no scoring {scoring!r}", hint=nearest(str(scoring), SCORINGS))
    chunks = (pairs[first : first + PAIRS_PER_CHUNK] for first in range(0, len(pairs), PAIRS_PER_CHUNK))
    scores = [score for chunk in chunks for score in _score_chunk(model, chunk, special_symbols, scoring)]
    partial = [score for score in scores if score.scoring == PARTIAL and score.good and not score.is_identical]
    ends = sum(score.good.tokens == 1 for score in partial)
    if ends:
        notice(f"in {ends} of {len(partial)} pairs nothing follows the part that differs: of these the ends alone are compared")
    return scores


def _score_chunk(model: LanguageModel, pairs: Sequence[Pair], special_symbols: str, scoring: str | None) -> Iterator[PairScore]:
    lines: list[str] = []
    reasons: list[str | None] = []
    for pair in pairs:
        try:
            if pair.problem:
                raise Unscorable(pair.problem)
            lines += [checked_line(pair.good, special_symbols), checked_line(pair.bad, special_symbols)]
            reasons.append(None)
        except Unscorable as problem:
            reasons.append(str(problem))
    read = read_lines(model, lines, as_words=WORD in {scoring or pair.scoring for pair in pairs})
    at = 0
    for pair, reason in zip(pairs, reasons, strict=True):
        chosen = scoring or pair.scoring
        if reason:
            yield PairScore(pair, chosen, None, None, None, reason)
            continue
        yield _pair_score(pair, chosen, read, at)
        at += 2


def _pair_score(pair: Pair, scoring: str, read: ReadLines, at: int) -> PairScore:
    """The score of the pair whose sentences are the lines `at` and `at` + 1."""
    try:
        spans = _compared(read, at, at + 1, scoring)
    except Unscorable as problem:
        return PairScore(pair, scoring, None, None, None, str(problem))
    logprob = read.word_logprob_nats if scoring == WORD else read.logprob_nats
    nats = [logprob(line, *span) for line, span in zip((at, at + 1), spans, strict=True)]
    good, bad = (
        TextScore(value if math.isfinite(value) else None, stop - start, read.oov(line, stop))
        for line, value, (start, stop) in zip((at, at + 1), nats, spans, strict=True)
    )
    tie = nats[0] == nats[1] or abs(nats[0] - nats[1]) <= TIE_NATS
    return PairScore(pair, scoring, good, bad, 0.5 if tie else float(nats[0] > nats[1]))


def _compared(read: ReadLines, good: int, bad: int, scoring: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """From which token to which the lines `good` and `bad` are compared.

    Raises:
        Unscorable: one is the other with words put in, and it is the words that are compared.
    """
    lengths = read.length(good), read.length(bad)
    if scoring == FULL:
        return (0, lengths[0]), (0, lengths[1])
    surfaces = read.surface(good), read.surface(bad)
    if surfaces[0] == surfaces[1]:  # a tie, whatever is compared: all but the end
        return (0, lengths[0] - 1), (0, lengths[1] - 1)
    head, tail = differing_part(surfaces, (read.starts_word(good), read.starts_word(bad)))
    if scoring == PARTIAL:
        return (lengths[0] - tail, lengths[0]), (lengths[1] - tail, lengths[1])
    if head + tail in lengths:
        raise Unscorable("one sentence is the other with words put in: there are no words to compare")
    return (head, lengths[0] - tail), (head, lengths[1] - tail)


def differing_part(surfaces: tuple[list[str], list[str]], starts: tuple[np.ndarray, np.ndarray]) -> tuple[int, int]:
    """How many tokens two different lines share at their beginnings and, beyond those, at their ends, in whole words."""
    first, second = surfaces
    head = 0
    while first[head] == second[head]:
        head += 1
    while head and not (starts[0][head] and starts[1][head]):
        head -= 1
    most, tail = min(len(first), len(second)) - head, 0
    while tail < most and first[-1 - tail] == second[-1 - tail]:
        tail += 1
    while tail and not (starts[0][-tail] and starts[1][-tail]):
        tail -= 1
    return head, tail

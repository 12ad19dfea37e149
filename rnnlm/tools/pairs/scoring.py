"""Score pairs: find which of two sentences a model considers likelier, as wholes or by the part in
which they differ."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnlm.checks import several
from rnnlm.errors import TextError, UsageError, nearest, notice
from rnnlm.interface import Encoded, LanguageModel, Tokenizer
from rnnlm.lm.base import span_scoring
from rnnlm.lm.base.loading import language_model_of
from rnnlm.lm.base.words import WordFinder
from rnnlm.scoring.scorer import checked_text
from rnnlm.text.lines import is_blank
from rnnlm.text.marks import count_marks, count_odd_spaces, tell_odd_spaces, tell_unseen
from rnnlm.text.unknown_words import tell_glued
from rnnlm.tools.pairs.pair import FULL, PARTIAL, SCORINGS, WORD, Pair

TIE_NATS = 1e-4  # a sentence's score may vary by that much with the batch it is in
PAIRS_PER_CHUNK = 2048


class Unscorable(Exception):
    """The reason why a text, or something made of it, has no score."""


@dataclass(frozen=True)
class ReadLines:
    """Lines as tokens, each with its log-probability (nats) given the line so far.

    `word_start_N` is the log-probability (nats) that a word starts at the place of each token; 0
    where each token starts one, and at the start of a line.
    """

    lines: Sequence[str]
    tokenizer: Tokenizer
    encoded: Encoded
    logprob_N: np.ndarray
    word_start_N: np.ndarray

    def length(self, line: int) -> int:
        """Return how many tokens a line has, `</s>` included."""
        return int(self.encoded.offsets[line + 1] - self.encoded.offsets[line])

    def logprob_nats(self, line: int, start: int, stop: int) -> float:
        """Return the log-probability of the tokens from `start` to `stop` of a line; -inf where one
        has probability zero."""
        first = self.encoded.offsets[line]
        return float(self.logprob_N[first + start : first + stop].sum())

    def word_logprob_nats(self, line: int, start: int, stop: int) -> float:
        """Return the log-probability of whole words, which those tokens are: that the next word
        starts after them included (Pimentel & Meister 2024, and Oh & Schuler 2024: p(pieces)
        B(after) / B(before), B the probability that a word starts)."""
        pieces = self.logprob_nats(line, start, stop)
        if not np.isfinite(pieces):
            return pieces
        first = self.encoded.offsets[line]
        return pieces + float(self.word_start_N[first + stop] - self.word_start_N[first + start])

    def surface(self, line: int) -> list[str]:
        """Return the form of each token of a line in the line itself."""
        return self.tokenizer.surface(self.lines[line])

    def starts_word(self, line: int) -> np.ndarray:
        """Return for each token of a line whether a word starts with it."""
        ids = self.encoded.ids[self.encoded.offsets[line] : self.encoded.offsets[line + 1]]
        known = ids < self.tokenizer.size  # ids from there on are unseen words
        return ~known | self.tokenizer.starts_word_V[np.where(known, ids, 0)]

    def oov(self, line: int, stop: int) -> tuple[str, ...]:
        """Return the unknown ones of the tokens before `stop`."""
        first = self.encoded.offsets[line]
        low, high = np.searchsorted(self.encoded.oov, [first, first + stop])
        if low == high:
            return ()
        surface = self.surface(line)
        return tuple(surface[at - first] for at in self.encoded.oov[low:high])


def checked_line(text: str, special_symbols: str) -> str:
    """Return `text` as it is read; see :func:`rnnlm.scoring.scorer.checked_text`. Unscorable: it is
    no line, not UTF-8, or holds a reserved symbol that is to be an error."""
    try:
        text = checked_text(text, "a sentence", special_symbols)
    except TextError as error:
        raise Unscorable(error.what) from None
    return "" if is_blank(text) else text


def read_lines(model: LanguageModel, lines: Sequence[str], *, as_words: bool) -> ReadLines:
    """Read `lines` (of :func:`checked_line`); with `as_words`, where words start, too."""
    encoded = model.tokenizer.encode(lines)
    spans = span_scoring.spans_between(encoded.offsets)
    word_start_N = np.zeros(len(encoded.ids))
    if as_words and not model.tokenizer.starts_word_V.all():
        is_place_N = np.ones(len(encoded.ids), dtype=bool)
        is_place_N[encoded.offsets[:-1]] = False
        # B is 1 at the start of a line, and log B 0.
        log_boundary = WordFinder(model.tokenizer).log_boundary
        logprob_N, word_start_N[is_place_N], _ = span_scoring.score_and_apply(
            model, encoded.ids, spans, is_place_N, lambda logprob_MV, _: log_boundary(logprob_MV)
        )
    else:
        logprob_N = span_scoring.score_spans(model, encoded.ids, spans)
    span_scoring.check_scores(logprob_N)
    return ReadLines(lines, model.tokenizer, encoded, logprob_N, word_start_N)


@dataclass(frozen=True)
class TextScore:
    """The score of one sentence, or of the part of it that is compared.

    Attributes:
        logprob_nats: Log-probability in nats; None if a token has probability zero.
        tokens: Number of scored tokens.
        oov: The unknown tokens among those read.
    """

    logprob_nats: float | None
    tokens: int
    oov: tuple[str, ...]


@dataclass(frozen=True)
class PairScore:
    """A scored pair.

    Attributes:
        pair: The pair.
        scoring: How it was scored: "full", "partial" or "word".
        good: Score of the good sentence; None if it cannot be scored.
        bad: Score of the bad sentence; None if it cannot be scored.
        point: 1 if the good sentence is likelier, 0.5 for a tie (within TIE_NATS), else 0; None if
            the pair cannot be scored.
        reason: Reason why it cannot be scored.
    """

    pair: Pair
    scoring: str
    good: TextScore | None
    bad: TextScore | None
    point: float | None
    reason: str | None = None

    @property
    def labels(self) -> Pair:
        """The labels by which the pair is grouped."""
        return self.pair

    @property
    def where(self) -> str:
        """The pair's place, for messages."""
        return self.pair.where

    @property
    def has_oov(self) -> bool:
        """Whether a word that was read is unknown to the model."""
        return any(side.oov for side in (self.good, self.bad) if side)

    @property
    def is_tie(self) -> bool:
        """Whether both sides are equally likely."""
        return self.point == 0.5

    @property
    def margin_bits(self) -> float | None:
        """By how many bits the good side is likelier; None where one has probability zero."""
        good_nats = self.good.logprob_nats if self.good else None
        bad_nats = self.bad.logprob_nats if self.bad else None
        if good_nats is None or bad_nats is None:
            return None
        return (good_nats - bad_nats) / math.log(2)

    @property
    def is_identical(self) -> bool:
        """Whether good and bad are the same sentence, which no model can tell apart."""
        return self.point is not None and self.pair.good == self.pair.bad


def score_pairs(
    model: LanguageModel | str | Path,
    pairs: Sequence[Pair],
    special_symbols: str = "error",
    scoring: str | None = None,
    eos: bool = True,
) -> list[PairScore]:
    """Score both sentences of each pair; a pair that cannot be scored has the reason instead.

    `model` may be the name of a model, which is then loaded by each call. With `eos`, the ends of
    sentences, `</s>`, are compared too, given the words before them. `scoring` is one of these, or
    None, as each pair says:

    - "full": the whole sentences with their ends.
    - "partial": the text after the differing part, each given its own beginning (Trinh & Le 2018,
      arXiv 1806.02847, section 3.1).
    - "word": the differing part, given the beginning that they share (Linzen, Dupoux & Goldberg
      2016, arXiv 1611.01368, section 6).

    Raises:
        UsageError: the scoring is unknown.
        ModelError: there is no such model, or its scores are not numbers.
    """
    pairs, model = several(pairs, "pairs"), language_model_of(model)
    if scoring not in (None, *SCORINGS):
        raise UsageError(f"unknown scoring {scoring!r}", hint=nearest(str(scoring), SCORINGS))
    scores: list[PairScore] = []
    for first in range(0, len(pairs), PAIRS_PER_CHUNK):
        chunk = pairs[first : first + PAIRS_PER_CHUNK]
        scores.extend(_score_chunk(model, chunk, special_symbols, scoring, eos))

    # Tell of texts and words that the model may know in another form.
    readable = [pair for pair in pairs if not pair.problem]
    texts = [text for pair in readable for text in (pair.good, pair.bad)]
    tokenizer = model.tokenizer
    tell_unseen(count_marks(texts), {"the model": tokenizer})
    tell_odd_spaces(count_odd_spaces(texts), {"the model": tokenizer})
    sides = [side for score in scores for side in (score.good, score.bad) if side]
    tell_glued([word for side in sides for word in side.oov], tokenizer, "the model")

    # A pair of which only the ends are compared means little.
    partial, ends = 0, 0
    for score in scores:
        if eos and score.scoring == PARTIAL and score.good and not score.is_identical:
            partial += 1
            ends += score.good.tokens == 1
    if ends:
        notice(
            f"in {ends} of {partial} pairs nothing follows the part that differs: for these, only "
            "the ends are compared"
        )
    return scores


def _score_chunk(
    model: LanguageModel,
    pairs: Sequence[Pair],
    special_symbols: str,
    scoring: str | None,
    eos: bool,
) -> Iterator[PairScore]:
    # Sentences that can be read are read together, two lines a pair.
    lines: list[str] = []
    reasons: list[str | None] = []
    for pair in pairs:
        try:
            if pair.problem:
                raise Unscorable(pair.problem)
            good = checked_line(pair.good, special_symbols)
            lines += [good, checked_line(pair.bad, special_symbols)]
            reasons.append(None)
        except Unscorable as problem:
            reasons.append(str(problem))
    as_words = any((scoring or pair.scoring) == WORD for pair in pairs)
    read = read_lines(model, lines, as_words=as_words)

    at = 0
    for pair, reason in zip(pairs, reasons, strict=True):
        chosen = scoring or pair.scoring
        if reason:
            yield PairScore(pair, chosen, None, None, None, reason)
            continue
        yield _pair_score(pair, chosen, read, at, eos)
        at += 2


def _pair_score(pair: Pair, scoring: str, read: ReadLines, at: int, eos: bool) -> PairScore:
    """Score the pair whose sentences are the lines `at` and `at` + 1."""
    try:
        spans = _compared(read, at, at + 1, scoring, eos)
    except Unscorable as problem:
        return PairScore(pair, scoring, None, None, None, str(problem))
    # Words that are compared by themselves are whole words: they end where the next one starts.
    logprob = read.word_logprob_nats if scoring == WORD else read.logprob_nats
    nats, sides = [], []
    for line, (start, stop) in zip((at, at + 1), spans, strict=True):
        value = logprob(line, start, stop)
        nats.append(value)
        known = value if math.isfinite(value) else None
        sides.append(TextScore(known, stop - start, read.oov(line, stop)))
    # Scores vary a little with the batch: within that the sides are equal, and so are two of -inf.
    point = float(nats[0] > nats[1])
    if nats[0] == nats[1] or abs(nats[0] - nats[1]) <= TIE_NATS:
        point = 0.5
    return PairScore(pair, scoring, sides[0], sides[1], point)


def _compared(
    read: ReadLines, good: int, bad: int, scoring: str, eos: bool
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return from which token to which the lines `good` and `bad` are compared, their ends included
    if `eos` is set. Unscorable: there is nothing to compare."""
    lengths = read.length(good), read.length(bad)
    stops = lengths if eos else (lengths[0] - 1, lengths[1] - 1)
    if scoring == FULL:
        return (0, stops[0]), (0, stops[1])
    surfaces = read.surface(good), read.surface(bad)
    if surfaces[0] == surfaces[1]:  # a tie in any comparison: all but the end
        return (0, lengths[0] - 1), (0, lengths[1] - 1)
    # The shared text at both ends is not compared, or is all that is.
    head, tail = differing_part(surfaces, (read.starts_word(good), read.starts_word(bad)))
    if scoring == PARTIAL:
        if tail == 1 and not eos:
            raise Unscorable(
                "nothing follows the part that differs, but the end, which is left out"
            )
        return (lengths[0] - tail, stops[0]), (lengths[1] - tail, stops[1])
    if head + tail in lengths:
        raise Unscorable(
            "one sentence is the other with words put in: there are no words to compare"
        )
    return (head, lengths[0] - tail), (head, lengths[1] - tail)


def differing_part(
    surfaces: tuple[list[str], list[str]], starts: tuple[np.ndarray, np.ndarray]
) -> tuple[int, int]:
    """Return how many tokens two different lines share at their beginnings and, beyond those, at
    their ends, in whole words."""
    first, second = surfaces
    # From the start as far as they agree, and back to where a word starts in both.
    head = 0
    while first[head] == second[head]:
        head += 1
    while head and not (starts[0][head] and starts[1][head]):
        head -= 1

    # The same from the end.
    most, tail = min(len(first), len(second)) - head, 0
    while tail < most and first[-1 - tail] == second[-1 - tail]:
        tail += 1
    while tail and not (starts[0][-tail] and starts[1][-tail]):
        tail -= 1
    return head, tail

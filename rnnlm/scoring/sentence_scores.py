"""Make the record of a scored sentence from the scores of its tokens."""

import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rnnlm.interface import Encoded, Tokenizer
from rnnlm.lm.base.span_scoring import Initial, perplexity
from rnnlm.lm.base.words import ShownWords, WordSpans, surprisals
from rnnlm.scoring.next_word import NextWord, WordSearch, tokens_as_words
from rnnlm.scoring.sentences import Sentence
from rnnlm.scoring.settings import TOKEN_MEASURES, ScoringSettings
from rnnlm.scoring.word_scores import (
    DistributionColumns,
    RegionScore,
    WordColumns,
    WordScore,
    nullable,
    probability_of,
    region_scores,
)


@dataclass(frozen=True)
class TokenScore:
    """One token of a sentence.

    Attributes:
        token: The token.
        surprisal_bits: -log2 p(token | earlier tokens), in bits; None if infinite.
        is_oov: Whether it is unknown.
        rank: One more than the number of tokens that are likelier there; None if not requested.
        order: Length of the n-gram that gave its probability, the start of the line counted as a
            word; None if not requested.
    """

    token: str
    surprisal_bits: float | None
    is_oov: bool
    rank: int | None = None
    order: int | None = None

    @property
    def probability(self) -> float:
        """p(token | earlier tokens)."""
        return probability_of(self.surprisal_bits)


@dataclass(slots=True)
class SentenceScore:
    """The score of one sentence.

    Attributes:
        text: The sentence.
        logprob_nats: Log-probability in nats. None if there is no score.
        tokens: Number of tokens, including `</s>` if it is scored.
        words: Number of words of the tokenizer, including punctuation marks that it splits off,
            without `</s>`.
        oov: The unknown words.
        ppl_word: exp(-logprob_nats / (words + 1)), or exp(-logprob_nats / words) without `</s>`.
        token_scores: Scores of the tokens.
        word_scores: Scores of the words, if requested.
        next_words: The likeliest words at the place of each word of `word_scores`, if requested.
        id: Id of the record.
        reason: Reason why there is no score: a token has probability zero, or the sentence cannot
            be read.
        region_scores: Scores of the regions, if requested.
        columns: Columns of its table, by name.
        source: Condition of the score, as in :class:`rnnlm.Sentence`.
        by_word: Whether its table has a row for each word, so that each of its columns is a tuple
            with a value for each word.
        kept: Of each word, whether the result has its row. Empty: all of them.
    """

    text: str
    logprob_nats: float | None
    tokens: int
    words: int
    oov: tuple[str, ...]
    ppl_word: float | None
    token_scores: tuple[TokenScore, ...]
    word_scores: tuple[WordScore, ...] = ()
    next_words: tuple[tuple[NextWord, ...], ...] = ()
    id: int | str | None = None
    reason: str | None = None
    region_scores: tuple[RegionScore, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)
    source: Any = None
    by_word: bool = False
    kept: tuple[bool, ...] = ()

    @property
    def shared_columns(self) -> Mapping[str, Any]:
        """The columns of its table; of a row for each word, those that are equal in all rows of the
        result, the others None."""
        if not self.by_word:
            return self.columns
        shared = {}
        for name, values in self.columns.items():
            kept = list(itertools.compress(values, self.kept or values))
            shared[name] = kept[0] if kept.count(kept[0]) == len(kept) else None
        return shared

    @property
    def is_read(self) -> bool:
        """Whether the sentence could be read. If not, its counts are meaningless."""
        return self.reason is None or self.tokens > 0

    @property
    def probability(self) -> float | None:
        """exp(logprob_nats); 0 if a token has probability zero, None if the sentence cannot be
        read."""
        if self.logprob_nats is None:
            return 0.0 if self.is_read else None
        return math.exp(self.logprob_nats)


@dataclass(frozen=True)
class ReadSentences:
    """Sentences that were read together."""

    tokenizer: Tokenizer
    settings: ScoringSettings
    sentences: list[Sentence]
    lines: list[str]
    encoded: Encoded
    begins: np.ndarray  # (lines,) the first token of each that is scored
    logprob_N: np.ndarray  # nats, of all tokens
    words: WordSpans  # of the tokenizer
    shown: ShownWords | None
    seen: DistributionColumns  # predictions at the shown words
    frequency_W: np.ndarray  # of shown words
    search: WordSearch | None
    measured_N: Mapping[str, np.ndarray]  # of all tokens, by name
    initial: Initial | None = None  # beginnings of lines that have conditions

    @functools.cached_property
    def totals(self) -> dict[str, list[Any]]:
        """The TOTALS of each sentence."""
        total_S = np.add.reduceat(self._scored_N(), self.encoded.offsets[:-1]).tolist()
        words_S = (np.diff(self.words.line_bounds) - 1).tolist()
        eos = self.settings.eos
        logprobs: list[float | None] = total_S
        reasons: list[str | None] = [None] * len(total_S)
        if -math.inf in total_S:
            logprobs = [total if total > -math.inf else None for total in total_S]
            for index in np.flatnonzero(np.isneginf(total_S)).tolist():
                reasons[index] = self._why_impossible(index)
        counted = zip(total_S, words_S, strict=True)
        return {
            "logprob_nats": logprobs,
            "tokens": (self._ends - self.begins).tolist(),
            "words": words_S,
            "oov": self._unknown_words(),
            "ppl_word": [perplexity(total, words + eos) for total, words in counted],
            "reason": reasons,
        }

    def _unknown_words(self) -> list[tuple[str, ...]]:
        """Return the unknown words of each sentence."""
        bounds_S2 = np.stack([self.begins, self._ends], axis=1)
        bounds = np.searchsorted(self.encoded.oov, bounds_S2).tolist()
        if self.encoded.unknown_words:
            words = self.encoded.unknown_words()
            return [tuple(words[first:last]) for first, last in bounds]
        unknown = []
        for index, (first, last) in enumerate(bounds):
            places = (self.encoded.oov[first:last] - self.begins[index]).tolist()
            unknown.append(tuple(self._surfaces[index][place] for place in places))
        return unknown

    def records(self) -> Iterator[SentenceScore]:
        """Yield one record for each sentence, in their order."""
        settings = self.settings
        columns = None
        if self.shown:
            has_places = self.shown.items.is_place_N.any()
            log_boundary = self.seen.log_boundary if has_places else 0.0
            bits_W = surprisals(self.shown.items, self.logprob_N, log_boundary)
            columns = WordColumns(
                shown=self.shown,
                encoded=self.encoded,
                bits_W=bits_W,
                seen=self.seen,
                frequency_W=self.frequency_W,
                measured_N=self.measured_N if self.tokenizer.starts_word_V.all() else {},
            )

        totals = zip(*self.totals.values(), strict=True)
        for index, (sentence, total) in enumerate(zip(self.sentences, totals, strict=True)):
            # Parts that were not requested are empty.
            word_scores = columns.of(index, sentence.text, settings.eos) if columns else ()
            next_words: tuple[tuple[NextWord, ...], ...] = ()
            if self.shown and self.search:
                next_words = self._next_words(index, self.shown.items, self.search)
            regions = region_scores(sentence.regions, word_scores) if sentence.regions else ()
            yield SentenceScore(
                text=sentence.text,
                **dict(zip(self.totals, total, strict=True)),
                token_scores=self._token_scores(index) if settings.tokens else (),
                word_scores=word_scores if settings.words else (),
                next_words=next_words,
                id=sentence.id,
                region_scores=regions,
                columns=sentence.columns,
                source=sentence.source,
                by_word=sentence.by_word,
                kept=sentence.kept,
            )

    @property
    def _ends(self) -> np.ndarray:
        """One past the last token of each line that is scored."""
        return self.encoded.offsets[1:] - (not self.settings.eos)

    def _scored_N(self) -> np.ndarray:
        """Return the scores, 0 for tokens that do not count."""
        scored_N = self.logprob_N
        if not self.settings.eos:
            scored_N = scored_N.copy()
            scored_N[self.encoded.offsets[1:] - 1] = 0.0
        # Given tokens are read, but not scored.
        if (self.begins > self.encoded.offsets[:-1]).any():
            given_N = np.repeat(self.begins, np.diff(self.encoded.offsets))
            scored_N = np.where(np.arange(len(scored_N)) < given_N, 0.0, scored_N)
        return scored_N

    @functools.cached_property
    def _surfaces(self) -> dict[int, list[str]]:
        """How the scored tokens read, of the lines where one is unknown or has probability zero; of
        all lines if tokens are requested."""
        numbers = list(range(len(self.lines)))
        if not self.settings.tokens:
            named_N = np.isneginf(self.logprob_N)
            named_N[self.encoded.oov] = True
            line_of = np.searchsorted(self.encoded.offsets, np.flatnonzero(named_N), "right") - 1
            numbers = np.unique(line_of).tolist()
        given = (self.begins - self.encoded.offsets[:-1]).tolist()
        surfaces = self.tokenizer.surfaces([self.lines[number] for number in numbers])
        read = zip(numbers, surfaces, strict=True)
        return {number: surface[given[number] :] for number, surface in read}

    @functools.cached_property
    def _is_oov_N(self) -> np.ndarray:
        return np.isin(np.arange(len(self.encoded.ids)), self.encoded.oov)

    def _token_scores(self, index: int) -> tuple[TokenScore, ...]:
        start, end = int(self.begins[index]), int(self._ends[index])
        bits_T = np.maximum(0.0, -self.logprob_N[start:end] / math.log(2))
        is_oov_T = self._is_oov_N[start:end]
        measures = [[None] * len(bits_T) for _ in TOKEN_MEASURES]
        for place, name in enumerate(TOKEN_MEASURES):
            if name in self.measured_N:
                measures[place] = self.measured_N[name][start:end].tolist()
        return tuple(
            map(TokenScore, self._surfaces[index], nullable(bits_T), is_oov_T.tolist(), *measures)
        )

    def _next_words(
        self, index: int, words: WordSpans, search: WordSearch
    ) -> tuple[tuple[NextWord, ...], ...]:
        """Return the likeliest words before each of the shown ones of a line."""
        first, last = words.line_bounds[index : index + 2].tolist()
        items = slice(first, last - (not self.settings.eos))
        # Seen while the line was read.
        if search.tokens_are_words:
            likeliest = self.seen.likeliest[items]
            return tuple(tokens_as_words(top_K2, search.symbols) for top_K2 in likeliest)
        # Words made of pieces are searched for, place by place.
        start, end = self.encoded.offsets[index : index + 2].tolist()
        state = self.initial(np.array([index])) if self.initial else None
        places = (words.starts[items] - start).tolist()
        words_by_place = search.at_places(self.encoded.ids[start:end], places, state=state)
        return tuple(
            tuple(itertools.islice(words, self.settings.next_words)) for words in words_by_place
        )

    def _why_impossible(self, index: int) -> str:
        start, end = int(self.begins[index]), int(self._ends[index])
        at = int(np.flatnonzero(np.isneginf(self.logprob_N[start:end]))[0])
        return f"token {at + 1}, {self._surfaces[index][at]}, has probability zero"


# What is known of a sentence as a whole, besides its text.
TOTALS = ("logprob_nats", "tokens", "words", "oov", "ppl_word", "reason")


class ChunkScores:
    """The scores of sentences that were read together: as records, or as columns, which are made
    faster; whichever is asked for.

    reasons: why each of the sentences could not be read, or None. read: the others, if any.
    numbers: of each of these among those that were read, where equal ones were read once.
    """

    def __init__(
        self,
        sentences: list[Sentence],
        reasons: list[str | None],
        read: ReadSentences | None,
        numbers: list[int] | None = None,
    ) -> None:
        self.sentences = sentences
        self.reasons = reasons
        self.read = read
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.sentences)

    def __iter__(self) -> Iterator[SentenceScore]:
        return iter(self.records)

    def __getitem__(self, index: int) -> SentenceScore:
        return self.records[index]

    @functools.cached_property
    def records(self) -> list[SentenceScore]:
        """A record for each sentence, without numbers for those that could not be read."""
        read = self.read.records() if self.read else iter(())
        if self.numbers is not None:
            different = list(read)
            read = (replace(different[number]) for number in self.numbers)
        records = []
        for sentence, reason in zip(self.sentences, self.reasons, strict=True):
            if reason is None:
                score = next(read)
                score.id, score.columns = sentence.id, sentence.columns
                records.append(score)
                continue
            records.append(
                SentenceScore(
                    text=sentence.text,
                    logprob_nats=None,
                    tokens=0,
                    words=0,
                    oov=(),
                    ppl_word=None,
                    token_scores=(),
                    id=sentence.id,
                    reason=reason,
                    columns=sentence.columns,
                    source=sentence.source,
                    by_word=sentence.by_word,
                    kept=sentence.kept,
                )
            )
        return records

    @functools.cached_property
    def totals(self) -> dict[str, list[Any]]:
        """The TOTALS of all sentences; None, but for the reason, of those that could not be
        read."""
        totals: dict[str, list[Any]] = {name: [] for name in TOTALS}
        if self.read:
            totals = self.read.totals
        if self.numbers is not None:
            totals = {
                name: [values[number] for number in self.numbers] for name, values in totals.items()
            }
        if not any(self.reasons):
            return totals
        of_all = {}
        for name, values in totals.items():
            rest = iter(values)
            of_all[name] = [
                next(rest) if reason is None else reason if name == "reason" else None
                for reason in self.reasons
            ]
        return of_all


def by_sentence(scores: Mapping[str, ChunkScores]) -> Iterator[dict[str, SentenceScore]]:
    """Yield the scores of each sentence by model."""
    for of_models in zip(*scores.values(), strict=True):
        yield dict(zip(scores, of_models, strict=True))


# Below this difference (nats), equally likely sentences may differ by the rounding of fp32 alone.
ROUNDING_NATS = 1e-5


def likelihood_ratio(
    better: SentenceScore, worse: SentenceScore, eos: bool = True
) -> tuple[float, float] | None:
    """Return log10 of how many times likelier `better` is: in total, and per word (each by its own
    words, and `</s>` if `eos` was scored); in total 0 for a difference that is rounding."""
    if better.logprob_nats is None or worse.logprob_nats is None:
        return None
    total = better.logprob_nats - worse.logprob_nats
    if abs(total) < ROUNDING_NATS:
        total = 0.0
    better_per_word = better.logprob_nats / max(1, better.words + eos)
    worse_per_word = worse.logprob_nats / max(1, worse.words + eos)
    return total / math.log(10), (better_per_word - worse_per_word) / math.log(10)

"""The record of a scored sentence, made of the scores of its tokens."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from rnnlm.inference.next_word import NextWord, WordSearch, tokens_as_words
from rnnlm.inference.span_scoring import Initial, perplexity
from rnnlm.inference.words import ShownWords, WordSpans, surprisals
from rnnlm.interface import Encoded, Tokenizer
from rnnlm.scoring.sentences import Sentence
from rnnlm.scoring.settings import ScoringSettings
from rnnlm.scoring.word_scores import RegionScore, Seen, WordColumns, WordScore, region_scores

Unit = Literal["logprob", "word", "token"]


@dataclass(frozen=True)
class TokenScore:
    """One token of a sentence. surprisal_bits = -log2 p(token | what came before); None where that
    is infinite."""

    token: str
    surprisal_bits: float | None
    is_oov: bool


@dataclass(frozen=True)
class SentenceScore:
    """The score of one sentence. logprob_nats is None where it has none, and `reason` says why: a
    token has probability zero, or the sentence cannot be read.

    words: those of the tokenizer, marks that it splits off among them. tokens counts `</s>`, where
    that is scored; words does not. ppl_word = exp(-logprob_nats / (words + 1)), without `</s>`
    exp(-logprob_nats / words). next_words: before each of the words of `word_scores`, the likeliest
    there. columns: of the table it comes from, by name. source: what it is the target of.
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
    source: str | None = None

    @property
    def is_read(self) -> bool:
        """Whether the sentence could be read: else its counts mean nothing."""
        return self.reason is None or self.tokens > 0

    def logprob_by(self, unit: Unit, eos: bool = True) -> float | None:
        """The log-probability (nats) as a whole, or divided by the words (and `</s>`, where that is
        scored) or by the tokens."""
        return None if self.logprob_nats is None else self.logprob_nats / self.units(unit, eos)

    def units(self, unit: Unit, eos: bool = True) -> int:
        """What :meth:`logprob_by` divides by."""
        return max(1, {"logprob": 1, "word": self.words + eos, "token": self.tokens}[unit])


@dataclass(frozen=True)
class ReadSentences:
    """Sentences that were read together. begins: (lines,) the first token of each that is scored.
    logprob_N: of all tokens, nats.

    words: where the words of the tokenizer are; shown: the words that are shown; seen: predictions
    there. frequency_W: of shown words. initial: what lines begin with that have sources.
    """

    tokenizer: Tokenizer
    settings: ScoringSettings
    sentences: list[Sentence]
    lines: list[str]
    encoded: Encoded
    begins: np.ndarray
    logprob_N: np.ndarray
    words: WordSpans
    shown: ShownWords | None
    seen: Seen
    frequency_W: np.ndarray
    search: WordSearch | None
    initial: Initial | None = None

    def records(self) -> Iterator[SentenceScore]:
        """One record for each sentence, in their order."""
        offsets, ends = self.encoded.offsets, self._ends
        total_S = np.add.reduceat(self._scored_N(), offsets[:-1]).tolist()
        words_S = (np.diff(self.words.line_bounds) - 1).tolist()
        oov_bounds = np.searchsorted(
            self.encoded.oov, np.stack([self.begins, ends], axis=1)
        ).tolist()
        surface = self._surfaces([
            index for index, (first, last) in enumerate(oov_bounds)
            if self.settings.with_tokens or last > first or total_S[index] == -math.inf
        ])  # fmt: skip
        columns = (
            WordColumns(
                self.shown, self.encoded, self._word_bits(self.shown), self.seen, self.frequency_W
            )
            if self.shown
            else None
        )
        begins, ends = self.begins.tolist(), ends.tolist()
        for index, sentence in enumerate(self.sentences):
            total, words, (first, last) = total_S[index], words_S[index], oov_bounds[index]
            shown = surface.get(index, [])
            oov = (
                tuple(shown[at - begins[index]] for at in self.encoded.oov[first:last].tolist())
                if last > first
                else ()
            )
            impossible = total == -math.inf
            word_scores = columns.of(index, sentence.text, self.settings.eos) if columns else ()
            yield SentenceScore(
                sentence.text, None if impossible else total, ends[index] - begins[index], words,
                oov,
                perplexity(total, words + self.settings.eos),
                self._token_scores(index, shown) if self.settings.with_tokens else (),
                word_scores if self.settings.with_words else (),
                self._next_words(index, self.shown.items,
                                 self.search) if self.shown and self.search else (),
                sentence.id, self._why_impossible(index, shown) if impossible else None,
                region_scores(sentence.regions, word_scores) if sentence.regions else (),
                sentence.columns, sentence.source,
            )  # fmt: skip

    @property
    def _ends(self) -> np.ndarray:
        """Behind the last token of each line that is scored."""
        return self.encoded.offsets[1:] - (not self.settings.eos)

    def _scored_N(self) -> np.ndarray:
        """The scores, 0 for tokens that do not count."""
        scored_N = self.logprob_N
        if not self.settings.eos:
            scored_N = scored_N.copy()
            scored_N[self.encoded.offsets[1:] - 1] = 0.0
        if (self.begins > self.encoded.offsets[:-1]).any():
            is_given_N = np.arange(len(scored_N)) < np.repeat(
                self.begins, np.diff(self.encoded.offsets)
            )
            scored_N = np.where(is_given_N, 0.0, scored_N)
        return scored_N

    def _surfaces(self, indices: list[int]) -> dict[int, list[str]]:
        """How the scored tokens of these lines read."""
        given = (self.begins - self.encoded.offsets[:-1]).tolist()
        surfaces = self.tokenizer.surfaces([self.lines[index] for index in indices])
        return {
            index: surface[given[index] :] for index, surface in zip(indices, surfaces, strict=True)
        }

    def _is_oov(self, start: int, end: int) -> np.ndarray:
        first, last = np.searchsorted(self.encoded.oov, [start, end])
        is_oov_T = np.zeros(end - start, dtype=bool)
        is_oov_T[self.encoded.oov[first:last] - start] = True
        return is_oov_T

    def _token_scores(self, index: int, shown: list[str]) -> tuple[TokenScore, ...]:
        start, end = int(self.begins[index]), int(self._ends[index])
        bits_T = np.maximum(0.0, -self.logprob_N[start:end] / math.log(2))
        return tuple(
            TokenScore(token, bits if math.isfinite(bits) else None, oov)
            for token, bits, oov in zip(
                shown, bits_T.tolist(), self._is_oov(start, end).tolist(), strict=False
            )
        )

    def _word_bits(self, shown: ShownWords) -> np.ndarray:
        is_exact = self.settings.word_surprisal == "exact" and shown.items.is_place_N.any()
        return surprisals(shown.items, self.logprob_N, self.seen.log_boundary if is_exact else 0.0)

    def _next_words(
        self, index: int, words: WordSpans, search: WordSearch
    ) -> tuple[tuple[NextWord, ...], ...]:
        """The likeliest words before each of the shown ones of a line."""
        first, last = words.line_bounds[index : index + 2].tolist()
        items = slice(first, last - (not self.settings.eos))
        if search.tokens_are_words:
            return tuple(
                tokens_as_words(top_K2, search.symbols) for top_K2 in self.seen.likeliest[items]
            )
        start, end = self.encoded.offsets[index : index + 2].tolist()
        state = self.initial(np.array([index])) if self.initial else None
        found = search.at_places(
            self.encoded.ids[start:end], (words.starts[items] - start).tolist(), state=state
        )
        return tuple(tuple(itertools.islice(words, self.settings.next_words)) for words in found)

    def _why_impossible(self, index: int, shown: list[str]) -> str:
        start, end = int(self.begins[index]), int(self._ends[index])
        at = int(np.flatnonzero(np.isneginf(self.logprob_N[start:end]))[0])
        return f"token {at + 1}, {shown[at]}, has probability zero"


def likelihood_ratio(
    better: SentenceScore, worse: SentenceScore, eos: bool = True
) -> tuple[float, float] | None:
    """log10 of how many times likelier `better` is: in total, and per word (each by its own words,
    and `</s>` if `eos` was scored)."""
    if better.logprob_nats is None or worse.logprob_nats is None:
        return None
    total = better.logprob_nats - worse.logprob_nats
    per_word = better.logprob_nats / better.units("word", eos) - worse.logprob_nats / worse.units(
        "word", eos
    )
    return total / math.log(10), per_word / math.log(10)

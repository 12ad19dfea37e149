"""Sentences scored one by one, each from the initial state with its `</s>`: log-probabilities and surprisals."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from rnnlm import reading
from rnnlm.corpus import check_reserved, is_blank, split_words
from rnnlm.errors import UsageError
from rnnlm.interface import LanguageModel
from rnnlm.reading import perplexity

LINES_PER_CHUNK = 4096


@dataclass(frozen=True)
class TokenScore:
    """One token of a sentence. surprisal_bits = -log2 p(token | what came before); None where that is infinite."""

    token: str
    surprisal_bits: float | None
    is_oov: bool


@dataclass(frozen=True)
class SentenceScore:
    """The score of one sentence. logprob_nats is None where a token has probability zero.

    tokens counts `</s>`; words does not. ppl_word = exp(-logprob_nats / (words + 1)).
    """

    text: str
    logprob_nats: float | None
    tokens: int
    words: int
    oov: tuple[str, ...]
    ppl_word: float | None
    token_scores: tuple[TokenScore, ...]


def score_sentences(
    model: LanguageModel, sentences: Iterable[str], *, with_tokens: bool = False, special_symbols: str = "error"
) -> list[SentenceScore]:
    """The scores of `sentences`, in their order, with those of each token if asked for. An empty sentence is scored
    as `</s>` alone.

    Raises:
        TextError: a sentence holds a newline, or `<s>` or `</s>` (see `special_symbols`). UsageError: `sentences` is
            one text instead of several.
    """
    if isinstance(sentences, str):
        raise UsageError("sentences are given as a list", "a single text was given", "write [sentence]")
    return list(score_lines(model, sentences, with_tokens=with_tokens, special_symbols=special_symbols))


def score_lines(
    model: LanguageModel, lines: Iterable[str], *, with_tokens: bool = False, special_symbols: str = "error"
) -> Iterator[SentenceScore]:
    """As :func:`score_sentences`, a few thousand lines at a time, for texts of any length."""
    numbered = enumerate(lines, start=1)
    while chunk := list(islice(numbered, LINES_PER_CHUNK)):
        checked = [check_reserved(line, f"sentence {number}", special_symbols) for number, line in chunk]
        yield from _score_chunk(model, ["" if is_blank(line) else line for line in checked], with_tokens)


def _score_chunk(model: LanguageModel, lines: Sequence[str], with_tokens: bool) -> Iterator[SentenceScore]:
    encoded = model.tokenizer.encode(lines)
    logprob_N = reading.score_spans(model, encoded.ids, reading.spans_between(encoded.offsets))
    reading.check_scores(logprob_N)
    logprob_S = np.add.reduceat(logprob_N, encoded.offsets[:-1])
    oov_bounds = np.searchsorted(encoded.oov, encoded.offsets)
    for index, line in enumerate(lines):
        start, end = encoded.offsets[index], encoded.offsets[index + 1]
        unknown = encoded.oov[oov_bounds[index] : oov_bounds[index + 1]] - start
        surface = model.tokenizer.surface(line) if with_tokens or len(unknown) else []
        total = float(logprob_S[index])
        words = len(split_words(line))
        yield SentenceScore(
            text=line,
            logprob_nats=total if math.isfinite(total) else None,
            tokens=int(end - start),
            words=words,
            oov=tuple(surface[at] for at in unknown),
            ppl_word=perplexity(total, words + 1),
            token_scores=_token_scores(surface, logprob_N[start:end], unknown) if with_tokens else (),
        )


def _token_scores(surface: list[str], logprob_T: np.ndarray, unknown: np.ndarray) -> tuple[TokenScore, ...]:
    is_oov_T = np.zeros(len(surface), dtype=bool)
    is_oov_T[unknown] = True
    bits_T = np.maximum(0.0, -logprob_T / math.log(2))
    return tuple(
        TokenScore(token, bits if math.isfinite(bits) else None, oov)
        for token, bits, oov in zip(surface, bits_T.tolist(), is_oov_T.tolist(), strict=True)
    )


def likelihood_ratio(better: SentenceScore, worse: SentenceScore) -> tuple[float, float] | None:
    """log10 of how many times likelier `better` is: in total, and per word (each by its own words and `</s>`)."""
    if better.logprob_nats is None or worse.logprob_nats is None:
        return None
    total = better.logprob_nats - worse.logprob_nats
    per_word = better.logprob_nats / (better.words + 1) - worse.logprob_nats / (worse.words + 1)
    return total / math.log(10), per_word / math.log(10)

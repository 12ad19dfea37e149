"""How long a service waits for a model here: until it is loaded, for its first answer, for a sentence, for one more word.

What a process pays once is paid before: imports, and files that are not in memory yet.
"""

import itertools
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm.errors import RnnlmWarning
from rnnlm.interface import LanguageModel
from rnnlm.scoring.scorer import score_sentences
from rnnlm.scoring.word_scorer import scorer
from rnnlm.text.corpus import Text
from rnnlm.text.lines import no_text, split_words


@dataclass(frozen=True)
class Latency:
    """What was waited for, how often it was timed, and milliseconds: the median, and what 95 of 100 do not exceed."""

    step: str
    count: int
    median_ms: float
    p95_ms: float


def bench_latency(load: Callable[[], LanguageModel], text: Text, tokens: int, rounds: int) -> Iterator[Latency]:
    """Loading and the first sentence, so many rounds after one to warm up; then the first lines of `text`, of about so many tokens,
    as one sentence a call, and word by word.

    Raises:
        TextError: there is no text.
    """
    lines = (words for block in text.blocks() for line in block.lines if (words := split_words(line)))
    first = next(lines, None)
    if first is None:
        raise no_text(text.sources)
    sentence = " ".join(first)
    score_sentences(load(), [sentence])
    loading, answering = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)  # the same as the first time
        for _ in range(rounds):
            milliseconds, model = _timed_call(load)
            loading.append(milliseconds)
            answering.append(_timed_call(score_sentences, model, [sentence])[0])
    yield _latency("load", loading)
    yield _latency("first call", answering)
    some = list(_some(itertools.chain([first], lines), model, tokens))
    yield _latency("one call", [_timed_call(score_sentences, model, [" ".join(words)])[0] for words in some])
    yield _latency("one more word", list(_words(model, some)))


def _some(lines: Iterator[list[str]], model: LanguageModel, tokens: int) -> Iterator[list[str]]:
    """The first lines, of about so many tokens."""
    while tokens > 0 and (words := next(lines, None)):
        tokens -= len(model.tokenizer.encode([" ".join(words)]).ids)
        yield words


def _words(model: LanguageModel, lines: Sequence[list[str]]) -> Iterator[float]:
    """The milliseconds of each word, after the ones before it."""
    growing = scorer(model)
    for words in lines:
        state = growing.begin()
        for word in words:
            milliseconds, (_, state) = _timed_call(growing.extend, state, word)
            yield milliseconds


def _timed_call(call: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """The milliseconds that a call takes, and what it gives."""
    began = time.perf_counter()
    given = call(*arguments)
    return 1000 * (time.perf_counter() - began), given


def _latency(step: str, milliseconds: Sequence[float]) -> Latency:
    return Latency(step, len(milliseconds), *np.percentile(milliseconds, (50, 95)).tolist())

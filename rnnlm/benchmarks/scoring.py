"""How fast sentences are scored here: from text to records, beside the bare matrix products of the
same run.

Lines of several mixes of lengths are cut out of a text. Ours and the products take turns; ratios
hold where the machine's speed drifts, single figures do not.
"""

import itertools
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from rnnlm.errors import RnnlmWarning
from rnnlm.interface import LanguageModel
from rnnlm.scoring.scorer import score_chunks, score_sentences
from rnnlm.scoring.sentences import Sentence
from rnnlm.scoring.word_scorer import scorer
from rnnlm.text.corpus import Text
from rnnlm.text.lines import no_text, split_words

# tokens of a line
MIXES = {"1 to 20": (1, 20), "1 to 1000": (1, 1000), "1000": (1000, 1000), "mostly short": None}
LONG_SHARE = 0.02  # of the lines of "mostly short": as long as any; the others have 20 at most


@dataclass(frozen=True)
class MixSpeed:
    """Scoring lines of one mix of lengths, medians over the rounds. ratio_products: our time over
    that of the network's matrix products, round by round; None where a model has none."""

    mix: str
    lines: int
    words: int
    tokens: int
    seconds: float
    tokens_per_second: float
    words_per_second: float
    products_seconds: float | None
    ratio_products: float | None


def bench_scoring(model: LanguageModel, text: Text, tokens: int, rounds: int) -> Iterator[MixSpeed]:
    """The speed of each mix over about so many tokens, after a round to warm up; TextError where
    there is no text."""
    words = [word for block in text.blocks() for line in block.lines for word in split_words(line)]
    if not words:
        raise no_text(text.sources)
    some = words[:2000]
    tokens_per_word = (len(model.tokenizer.encode([" ".join(some)]).ids) - 1) / len(some)
    for mix in MIXES:
        lines = list(_lines(mix, words, tokens, tokens_per_word))
        yield _speed(model, mix, lines, rounds)


def _lines(mix: str, words: list[str], tokens: int, tokens_per_word: float) -> Iterator[str]:
    """Lines of so many tokens, or about; the text begins anew where it ends."""
    rng, endless = np.random.default_rng(1), itertools.cycle(words)
    while tokens > 0:
        low, high = MIXES[mix] or ((1, 1000) if rng.random() < LONG_SHARE else (1, 20))
        length = max(1, round(int(rng.integers(low, high + 1)) / tokens_per_word))
        tokens -= round(length * tokens_per_word)
        yield " ".join(itertools.islice(endless, length))


def _speed(model: LanguageModel, mix: str, lines: list[str], rounds: int) -> MixSpeed:
    words, tokens = _score(model, lines)
    multiply = _products(model, lines)
    ours, products = [], []
    for _ in range(rounds):
        ours.append(_timed(lambda: _score(model, lines)))
        if multiply:
            products.append(_timed(multiply))
    seconds = statistics.median(ours)
    return MixSpeed(
        mix, len(lines), words, tokens, seconds, tokens / seconds, words / seconds,
        statistics.median(products) if products else None,
        statistics.median(mine / theirs for mine,
                          theirs in zip(ours, products, strict=True)) if products else None,
    )  # fmt: skip


def _score(model: LanguageModel, lines: list[str]) -> tuple[int, int]:
    """Score the lines; their words and tokens."""
    sentences = [Sentence(line, number) for number, line in enumerate(lines, start=1)]
    words = tokens = 0
    for chunk in score_chunks(model, sentences):
        words += sum(score.words for score in chunk.scores)
        tokens += sum(score.tokens for score in chunk.scores)
    return words, tokens


def _products(model: LanguageModel, lines: list[str]) -> Callable[[], None] | None:
    """The matrix products of scoring the lines, again; None where the model is no network and has
    none."""
    one = np.array([[model.tokenizer.boundary_id]])
    if isinstance(model.score(one, one, model.initial_state(1))[0], np.ndarray):
        return None
    from rnnlm.benchmarks.textbook import BareProducts

    with BareProducts() as recorded:
        _score(model, lines)
    repeat = recorded.repeat()

    def multiply() -> None:
        repeat()
        model.score(one, one, model.initial_state(1))[0].cpu()  # waits for the device

    return multiply


def _timed(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


# ---- How long a service waits for a model here: until it is loaded, for its first answer, for a
# sentence, for one more word.
#
# What a process pays once is paid before: imports, and files that are not in memory yet.


@dataclass(frozen=True)
class Latency:
    """What was waited for, how often it was timed, and milliseconds: the median, and what 95 of 100
    do not exceed."""

    step: str
    count: int
    median_ms: float
    p95_ms: float


def bench_latency(
    load: Callable[[], LanguageModel], text: Text, tokens: int, rounds: int
) -> Iterator[Latency]:
    """Loading and the first sentence, so many rounds after one to warm up; then the first lines of
    `text`, of about so many tokens, as one sentence a call, and word by word.

    Raises:
        TextError: there is no text.
    """
    lines = (
        words for block in text.blocks() for line in block.lines if (words := split_words(line))
    )
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
    yield _latency(
        "one call", [_timed_call(score_sentences, model, [" ".join(words)])[0] for words in some]
    )
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


Given = TypeVar("Given")


def _timed_call(call: Callable[..., Given], *arguments: object) -> tuple[float, Given]:
    """The milliseconds that a call takes, and what it gives."""
    began = time.perf_counter()
    given = call(*arguments)
    return 1000 * (time.perf_counter() - began), given


def _latency(step: str, milliseconds: Sequence[float]) -> Latency:
    return Latency(step, len(milliseconds), *np.percentile(milliseconds, (50, 95)).tolist())

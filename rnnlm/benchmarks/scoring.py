"""How fast sentences are scored on this machine: from text to records, beside the bare matrix
products of the same run.

Lines of several mixes of lengths are cut out of a text. Ours and the products take turns; ratios
hold even if the machine's speed drifts, single numbers do not.
"""

import itertools
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
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

# The fewest and the most tokens of a line.
MIXES = {"1 to 20": (1, 20), "1 to 1000": (1, 1000), "1000": (1000, 1000), "mostly short": None}
LONG_SHARE = 0.02  # of the lines of "mostly short": 1 to 1000 tokens; the others have 1 to 20


@dataclass(frozen=True)
class MixSpeed:
    """The speed of scoring lines of one mix of lengths, medians over the rounds. ratio_products:
    our time over that of the network's matrix products, round by round; None for a model without
    any."""

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
    """Yield the speed of each mix over about `tokens` tokens, after a round to warm up."""
    words: list[str] = []
    for block in text.blocks():
        for line in block.lines:
            words += split_words(line)
    if not words:
        raise no_text(text.sources)

    # Lines are cut by words, so estimate how many tokens a word has; one token is the </s>.
    some = words[:2000]
    tokens_per_word = (len(model.tokenizer.encode([" ".join(some)]).ids) - 1) / len(some)
    for mix in MIXES:
        lines = list(_lines(mix, words, tokens, tokens_per_word))
        yield _speed(model, mix, lines, rounds)


def _lines(mix: str, words: list[str], tokens: int, tokens_per_word: float) -> Iterator[str]:
    """Cut the words into lines, about `tokens` tokens in all; repeat the text where it ends."""
    rng = np.random.default_rng(1)
    endless = itertools.cycle(words)
    while tokens > 0:
        bounds = MIXES[mix]
        if bounds is None:
            bounds = (1, 1000) if rng.random() < LONG_SHARE else (1, 20)
        line_tokens = int(rng.integers(bounds[0], bounds[1] + 1))
        length = max(1, round(line_tokens / tokens_per_word))
        tokens -= round(length * tokens_per_word)
        yield " ".join(itertools.islice(endless, length))


def _speed(model: LanguageModel, mix: str, lines: list[str], rounds: int) -> MixSpeed:
    words, tokens = _score(model, lines)  # warms up, too
    multiply = _products(model, lines)
    ours, products, ratios = [], [], []
    for _ in range(rounds):
        ours.append(_timed(lambda: _score(model, lines)))
        if multiply:
            products.append(_timed(multiply))
            ratios.append(ours[-1] / products[-1])
    seconds = statistics.median(ours)
    return MixSpeed(
        mix,
        len(lines),
        words,
        tokens,
        seconds,
        tokens_per_second=tokens / seconds,
        words_per_second=words / seconds,
        products_seconds=statistics.median(products) if products else None,
        ratio_products=statistics.median(ratios) if ratios else None,
    )


def _score(model: LanguageModel, lines: list[str]) -> tuple[int, int]:
    """Score the lines, and return how many words and tokens they have."""
    sentences = [Sentence(line, number) for number, line in enumerate(lines, start=1)]
    words = tokens = 0
    for chunk in score_chunks(model, sentences):
        for score in chunk.scores:
            words += score.words
            tokens += score.tokens
    return words, tokens


def _products(model: LanguageModel, lines: list[str]) -> Callable[[], None] | None:
    """Return a function that repeats the matrix products of scoring the lines; None if the model is
    not a network."""
    # Only networks answer with tensors.
    one = np.array([[model.tokenizer.boundary_id]])
    answer, *_ = model.score(one, one, model.initial_state(1))
    if isinstance(answer, np.ndarray):
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


# ---- How long a service waits for a model on this machine: until it is loaded, for its first
# answer, for a sentence, for one more word.
#
# Costs that a process pays once are not timed: imports, and reading files into memory.


@dataclass(frozen=True)
class Latency:
    """How long one step takes, timed `count` times: the median and the 95th percentile, in
    milliseconds."""

    step: str
    count: int
    median_ms: float
    p95_ms: float


def bench_latency(
    load: Callable[[], LanguageModel], text: Text, tokens: int, rounds: int
) -> Iterator[Latency]:
    """Time loading and the first sentence, in `rounds` rounds after one to warm up; then the first
    lines of `text`, about `tokens` tokens, one sentence a call, and word by word."""
    lines = _lines_of_words(text)
    first = next(lines, None)
    if first is None:
        raise no_text(text.sources)
    sentence = " ".join(first)

    # Load and answer once beforehand. That shows all warnings, which would come again each time.
    score_sentences(load(), [sentence])
    loading, answering = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        for _ in range(rounds):
            milliseconds, model = _timed_call(load)
            loading.append(milliseconds)
            answering.append(_timed_call(score_sentences, model, [sentence])[0])
    yield _latency("load", loading)
    yield _latency("first call", answering)

    # A warm model: a whole sentence at once, then the same sentences growing word by word.
    some = list(_some(itertools.chain([first], lines), model, tokens))
    calls = []
    for words in some:
        milliseconds, _ = _timed_call(score_sentences, model, [" ".join(words)])
        calls.append(milliseconds)
    yield _latency("one call", calls)
    yield _latency("one more word", list(_words(model, some)))


def _lines_of_words(text: Text) -> Iterator[list[str]]:
    for block in text.blocks():
        for line in block.lines:
            words = split_words(line)
            if words:
                yield words


def _some(lines: Iterable[list[str]], model: LanguageModel, tokens: int) -> Iterator[list[str]]:
    """Yield the first lines, about `tokens` tokens in all."""
    for words in lines:
        tokens -= len(model.tokenizer.encode([" ".join(words)]).ids)
        yield words
        if tokens <= 0:
            return


def _words(model: LanguageModel, lines: Sequence[list[str]]) -> Iterator[float]:
    """Yield the milliseconds of each word, added to the words before it."""
    growing = scorer(model)
    for words in lines:
        state = growing.begin()
        for word in words:
            milliseconds, (_, state) = _timed_call(growing.extend, state, word)
            yield milliseconds


Result = TypeVar("Result")


def _timed_call(call: Callable[..., Result], *arguments: object) -> tuple[float, Result]:
    """Return the milliseconds that a call takes, and its result."""
    began = time.perf_counter()
    result = call(*arguments)
    return 1000 * (time.perf_counter() - began), result


def _latency(step: str, milliseconds: Sequence[float]) -> Latency:
    return Latency(step, len(milliseconds), *np.percentile(milliseconds, (50, 95)).tolist())

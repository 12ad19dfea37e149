"""How fast an encoder-decoder writes on this machine: many lines greedily, and one line at a time
by beam search.

If no model is given, one of the default sizes with random weights reads random lines. It never ends
a line by itself: all are cut off after about a dozen tokens.
"""

import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from rnnlm.benchmarks.training import plan_pairs
from rnnlm.tasks.seq2seq.decoding import BATCH_LINES, Translator
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.tasks.seq2seq.options import DecodingSettings
from rnnlm.text.corpus import Text
from rnnlm.text.lines import is_blank, no_text

# The lines that are written one at a time: their words, about, and how many lines there are.
SENTENCE_WORDS, SENTENCES = 10, 10
# max_length for random weights: a tenth of the source's tokens, and the ten that are always allowed
SHORT = 0.1


@dataclass(frozen=True)
class WritingSpeed:
    """The speed of writing with a beam of one width. at_once: lines in a batch. tokens: written in
    a round, `</s>` counted; per second: the median of the rounds. Milliseconds: to write one line,
    the median and the 95th percentile, if lines are written one at a time."""

    beam: int
    at_once: int
    lines: int
    tokens: int
    tokens_per_second: float
    median_ms: float | None
    p95_ms: float | None


def first_lines(text: Text, count: int) -> list[str]:
    """Return the first lines of a text that have words, `count` at most."""
    found = list(itertools.islice(_lines_with_words(text), count))
    if not found:
        raise no_text(text.sources)
    return found


def _lines_with_words(text: Text) -> Iterator[str]:
    for block in text.blocks():
        for line in block.lines:
            if not is_blank(line):
                yield line


def random_model(assignments: dict[str, str]) -> Seq2SeqModel:
    """Make a model with random weights for random lines, of the default sizes unless `assignments`
    set others. It never writes `</s>`."""
    from rnnlm.tasks.seq2seq.fitting import make_trainer

    with tempfile.TemporaryDirectory() as folder:
        planned = plan_pairs((), None, assignments, Path(folder))
        trainer = make_trainer(planned.resolved, cast(Any, planned.data))
        model: Seq2SeqModel = trainer.objective.model()
    model.network.eval()
    model.network.output.bias.data[model.codec.target.boundary_id] = -math.inf
    return model


def bench_translating(
    model: Seq2SeqModel, lines: Sequence[str], beam: int, rounds: int, max_length: float
) -> Iterator[WritingSpeed]:
    """Time writing all lines greedily, then lines of about ten words one at a time by beam search,
    each in `rounds` rounds after one to warm up. max_length: of :class:`DecodingSettings`."""
    greedily = Translator(model, DecodingSettings(max_length=max_length))
    searching = Translator(model, DecodingSettings(beam=beam, max_length=max_length))
    yield _speed(greedily, [lines], rounds)
    like_sentences = sorted(lines, key=lambda line: abs(len(line.split()) - SENTENCE_WORDS))
    yield _speed(searching, [[line] for line in like_sentences[:SENTENCES]], rounds)


def _speed(translator: Translator, calls: Sequence[Sequence[str]], rounds: int) -> WritingSpeed:
    """Measure the speed of `calls`, each with some lines, over the rounds."""
    for lines in calls:  # warm up
        _timed(translator, lines)
    speeds, milliseconds = [], []
    for _ in range(rounds):
        seconds_of_round, tokens = 0.0, 0
        for lines in calls:
            seconds, written = _timed(translator, lines)
            seconds_of_round += seconds
            tokens += written
            milliseconds.append(1000 * seconds)
        speeds.append(tokens / seconds_of_round)

    # How long a line takes is known only if each call has one.
    median_ms, p95_ms = None, None
    if max(map(len, calls)) == 1:
        median_ms, p95_ms = np.percentile(milliseconds, (50, 95)).tolist()
    return WritingSpeed(
        beam=translator.settings.width,
        at_once=min(BATCH_LINES, len(calls[0])),
        lines=sum(map(len, calls)),
        tokens=tokens,
        tokens_per_second=statistics.median(speeds),
        median_ms=median_ms,
        p95_ms=p95_ms,
    )


def _timed(translator: Translator, lines: Sequence[str]) -> tuple[float, int]:
    """Return the seconds that writing takes, and the tokens written."""
    began = time.perf_counter()
    found = list(translator.translate(lines))
    seconds = time.perf_counter() - began
    tokens = 0
    for line in found:
        tokens += sum(hypothesis.tokens for hypothesis in line.hypotheses)
    return seconds, tokens

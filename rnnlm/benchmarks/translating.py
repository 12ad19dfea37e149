"""How fast an encoder-decoder writes here: many lines greedily, and one line at a time by beam
search.

Without a model one of the default sizes with random weights writes for random lines. It never ends
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
from rnnlm.tasks.seq2seq.settings import DecodingSettings
from rnnlm.text.corpus import Text
from rnnlm.text.lines import is_blank, no_text

# of lines that are written alone: words of each, about, and how many
SENTENCE_WORDS, SENTENCES = 10, 10
# max_length for random weights: a tenth of the source's tokens, and the ten that are always allowed
SHORT = 0.1


@dataclass(frozen=True)
class WritingSpeed:
    """Lines written by a beam of one width. at_once: lines in a batch. tokens: written in a round,
    `</s>` counted; per second: the median of the rounds. Milliseconds: from a line to what is
    written for it, the median and what 95 of 100 do not exceed, where lines come one by one."""

    beam: int
    at_once: int
    lines: int
    tokens: int
    tokens_per_second: float
    median_ms: float | None
    p95_ms: float | None


def first_lines(text: Text, count: int) -> list[str]:
    """The first lines of a text that have words, at most so many."""
    lines = (line for block in text.blocks() for line in block.lines if not is_blank(line))
    if not (found := [*itertools.islice(lines, count)]):
        raise no_text(text.sources)
    return found


def random_model(assignments: dict[str, str]) -> Seq2SeqModel:
    """A model with random weights for random lines, of the default sizes unless `assignments` say
    otherwise; to it `</s>` is impossible."""
    from rnnlm.tasks.seq2seq.fitting import make_trainer

    with tempfile.TemporaryDirectory() as folder:
        planned = plan_pairs((), None, assignments, Path(folder))
        model: Seq2SeqModel = make_trainer(
            planned.resolved, cast(Any, planned.data)
        ).objective.model()
    model.network.eval()
    model.network.output.bias.data[model.codec.target.boundary_id] = -math.inf
    return model


def bench_translating(
    model: Seq2SeqModel, lines: Sequence[str], beam: int, rounds: int, max_length: float
) -> Iterator[WritingSpeed]:
    """All lines, greedily, so many rounds after one to warm up; then those of about ten words one
    by one, by beam search. max_length: of :class:`DecodingSettings`."""
    greedily = Translator(model, DecodingSettings(max_length=max_length))
    searching = Translator(model, DecodingSettings(beam=beam, max_length=max_length))
    yield _speed(greedily, [lines], rounds)
    like_sentences = sorted(lines, key=lambda line: abs(len(line.split()) - SENTENCE_WORDS))
    yield _speed(searching, [[line] for line in like_sentences[:SENTENCES]], rounds)


def _speed(translator: Translator, calls: Sequence[Sequence[str]], rounds: int) -> WritingSpeed:
    """That of so many calls, one after the other, each with some lines."""
    done = [[_timed(translator, lines) for lines in calls] for _ in range(rounds + 1)][1:]
    tokens = sum(tokens for _, tokens in done[0])
    seconds = [sum(seconds for seconds, _ in each) for each in done]
    of_lines = (
        [1000 * seconds for each in done for seconds, _ in each]
        if max(map(len, calls)) == 1
        else []
    )
    median_ms, p95_ms = np.percentile(of_lines, (50, 95)).tolist() if of_lines else (None, None)
    speed = statistics.median(tokens / each for each in seconds)
    return WritingSpeed(
        translator.settings.width,
        min(BATCH_LINES, len(calls[0])),
        sum(map(len, calls)),
        tokens,
        speed,
        median_ms,
        p95_ms,
    )


def _timed(translator: Translator, lines: Sequence[str]) -> tuple[float, int]:
    """Seconds, and the tokens written."""
    began = time.perf_counter()
    found = [*translator.translate(lines)]
    return time.perf_counter() - began, sum(
        hypothesis.tokens for line in found for hypothesis in line.hypotheses
    )

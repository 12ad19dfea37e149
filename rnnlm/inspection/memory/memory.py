"""Perplexity by how much of the past a model sees (after Khandelwal, He, Qi & Jurafsky 2018, sections 3 and 4).

At the same positions, drawn at random from a text: with all that stands before, as an evaluation reads it; with the last k tokens
alone, read from the initial state; and with the tokens further back than k in random order. They truncate and shuffle what a trained
model reads, and so does this: the model is not trained anew, and may do worse with little context than one made for it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.evaluation import perplexity as evaluation
from rnnlm.evaluation.perplexity import Context
from rnnlm.evaluation.resampling import ratio_interval
from rnnlm.inference import span_scoring
from rnnlm.inspection import texts
from rnnlm.inspection.memory.contexts import Places, draw_places, with_last, with_shuffled
from rnnlm.inspection.memory.results import Memory, ModelMemory, Remembered
from rnnlm.inspection.subjects import Models, Subject, subjects
from rnnlm.inspection.texts import Source
from rnnlm.interface import Device
from rnnlm.models.loading import SHIPPED
from rnnlm.text.corpus import Text, TextInMemory
from rnnlm.text.lines import Progress, TextSettings, prefixed, silent

LENGTHS = (1, 2, 5, 10, 20, 50, 100)
SHUFFLED_SHARE = 4  # one of so many positions: a window is longer than most of what is read otherwise


def inspect_memory(
    models: Models = (SHIPPED,),
    text: Source | None = None,
    *,
    positions: int = 2000,
    window: int = 200,
    context: Context = "carry",
    text_settings: TextSettings | None = None,
    seed: int = 0,
    device: str | Device = "auto",
    progress: Progress = silent,
) -> Memory:
    """Perplexity of language models where only the last k tokens are seen, and where those further back than k are shuffled, for k of
    1, 2, 5, 10, 20, 50, 100 and all; differences to all on the same positions, with 95 % intervals.

    The last k tokens alone are read from the initial state, without a boundary before them; where fewer stand before, from the true
    beginning: the line's with context "reset", the document's where the text has documents, else the text's.

    models: a sequence of models or their names, or models by a name for each. text: as for :func:`rnnlm.evaluate`, or the name of a
    bundled corpus of plain text, for its test part; None: that of the bundled English. positions: tokens of the text that are
    predicted, drawn at random; all of them where it has fewer. One of four is predicted from shuffled tokens, too: the last `window`
    of which the last k stay in place. progress: called with how far it is.

    Raises:
        UsageError: there are fewer than two positions, or a window that is not longer than the largest k; there is no such context; a
            model is no language model, or adapts its weights as it reads (dynamic evaluation): it cannot read many contexts side by side.
        TextError: the text cannot be read or is empty. ModelError: there is no such model, or its scores are not numbers.
        DeviceError: `device` is not available.
    """
    _check(positions, window, context)
    looked_at = [_with_rows(subject) for subject in subjects("memory", models, device)]
    read = texts.opened(text, text_settings)
    if len(looked_at) > 1 and read.tokenizer is None:
        read = TextInMemory.read(read, progress)  # standard input is read once
    drawn = positions, window, seed
    found = [_memory(subject, read, context, drawn, prefixed(progress, subject.name)) for subject in looked_at]
    return Memory(tuple(found), context, window, seed)


def _check(positions: int, window: int, context: str) -> None:
    evaluation.check_context(context)
    if positions < 2:
        raise UsageError(f"{positions} positions are not enough", hint="2 or more: intervals need several")
    if window <= LENGTHS[-1]:
        raise UsageError(f"a window of {window} tokens is too short", f"up to {LENGTHS[-1]} of them stay in place", "make it longer")


def _with_rows(subject: Subject) -> Subject:
    """The subject itself, whose model can read many texts side by side."""
    if subject.model.max_rows is not None:
        raise UsageError(
            f"{subject.name} reads one text at a time", "it adapts its weights as it reads, and thousands of contexts are read anew here",
            "inspect the model without dynamic evaluation",
        )  # fmt: skip
    return subject


def _memory(subject: Subject, text: Text, context: Context, drawn: tuple[int, int, int], progress: Progress) -> ModelMemory:
    """The memory of a model at `drawn` positions, window, and seed."""
    model, (positions, window, seed) = subject.model, drawn
    encoded = text.encode(model.tokenizer, progress)
    ids_N, spans_S2 = np.asarray(encoded.ids), evaluation.spans_of(encoded, context)
    places = draw_places(ids_N, spans_S2, model.tokenizer.boundary_id, positions, seed)
    in_full_P = span_scoring.score_spans(model, ids_N, spans_S2, report=progress)[places.at_P]
    fewer = places.every(SHUFFLED_SHARE) if len(places.at_P) >= 2 * SHUFFLED_SHARE else places
    ordered_P = with_last(model, fewer, window)
    seen, shuffled = [], []
    for length in LENGTHS:
        progress(f"the last {length} tokens")
        seen.append(with_last(model, places, length))
        shuffled.append(with_shuffled(model, fewer, length, window, seed))
    tokenizer = model.tokenizer.in_direction(False)
    return ModelMemory(
        subject.name, f"{tokenizer.name}:{tokenizer.fingerprint}", model.normalised,
        len(places.at_P), tuple(_rows(seen, in_full_P, places)),
        len(fewer.at_P), tuple(_rows(shuffled, ordered_P, fewer)),
    )  # fmt: skip


def _rows(by_length: Sequence[np.ndarray], with_all_P: np.ndarray, places: Places) -> Iterator[Remembered]:
    """The figures of each length, and of all."""
    for length, logprob_P in zip((*LENGTHS, None), (*by_length, with_all_P), strict=True):
        span_scoring.check_scores(logprob_P)
        affected = 0 if length is None else int((places.inputs_P > length).sum())
        ppl, low, high = _interval(-logprob_P, np.exp)
        with np.errstate(invalid="ignore"):  # a probability of zero both times
            rise, rise_low, rise_high = _interval(with_all_P - logprob_P, np.expm1)
        bits = None if rise is None else math.log2(1 + rise)
        zeros = int(np.isneginf(logprob_P).sum())
        yield Remembered(length, affected, ppl, low, high, rise, rise_low, rise_high, bits, zeros)


def _interval(nats_P: np.ndarray, transform: Callable[[Any], Any]) -> tuple[float | None, float | None, float | None]:
    """The transform of the mean over positions, with its bounds; None where it is not finite."""
    if not np.isfinite(nats_P).all():
        return None, None, None
    interval = ratio_interval(nats_P, transform=transform)
    return interval.estimate, interval.low, interval.high

"""Fitting an n-gram model: count, estimate, and, with validation text, read that once."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np

from rnnlm import system
from rnnlm.config import Resolved
from rnnlm.errors import SettingsError, UsageError, notice
from rnnlm.events import Counted, Estimated, Event, Fitted, Started, Validated, never
from rnnlm.files.chunked_array import PartedArray
from rnnlm.ngram.counting.counts import Level, NgramCounts, count
from rnnlm.ngram.counting.workspace import Workspace
from rnnlm.ngram.estimation import estimate, heldout_counts
from rnnlm.ngram.model import NgramModel
from rnnlm.ngram.settings import NgramSettings
from rnnlm.ngram.smoothing import Estimator, check_join, estimator
from rnnlm.ngram.smoothing.lmplz_discounts import last_read
from rnnlm.ngram.validation import stream_perplexity
from rnnlm.system import processors
from rnnlm.text.encoding import TrainingData, known_ids

BYTES_PER_TOKEN = 28  # what is held of each position of the text while counting
SMALLEST_BUFFERS, SMALLEST_BUFFER_PER_TOKEN, BUFFERS = 50_000_000, 400, 2


def check(resolved: Resolved, has_valid: bool) -> None:
    """Whether these settings go together.

    Raises:
        SettingsError: the pruning thresholds are not valid. UsageError: the estimator needs held-out text and there is none.
    """
    settings = resolved.make(NgramSettings)
    pruning_thresholds(settings.prune, settings.order)
    check_join(settings)
    if settings.memory is not None:
        system.parse_size(settings.memory)
    needed = estimator(settings.smoothing).heldout
    if not has_valid and (needed == "always" or (needed == "without additive_k" and settings.additive_k is None)):
        hint = "name it with --valid, or hold out a part: --set holdout=0.05" + (
            ", or set the constant: --set additive_k=0.1" if needed != "always" else ""
        )
        raise UsageError(f"smoothing {settings.smoothing} needs held-out text", "its weights are tuned on it", hint)


def pruning_thresholds(given: str | list[int], order: int, name: str = "prune") -> tuple[int, ...]:
    """Of each order, the count up to which n-grams are left out: `0,0,1`, with spaces, or a list; the last one repeats.

    Raises:
        SettingsError: it is not understood, decreases, prunes unigrams, or has more values than the order.
    """
    text = given if isinstance(given, str) else ",".join(map(str, given))
    parts = text.replace(",", " ").split()
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise SettingsError(f"{name} = {text!r} is not understood", hint="write one number an order, such as 0,0,1")
    thresholds = [int(part) for part in parts]
    if len(thresholds) > order:
        raise SettingsError(f"{name} = {text!r} has {len(thresholds)} values", f"the order is {order}")
    if thresholds != sorted(thresholds):
        raise SettingsError(f"{name} = {text!r} decreases", "an n-gram cannot be kept when its beginning is left out")
    if thresholds[0]:
        raise SettingsError(f"{name} = {text!r} is not valid", "unigrams are never pruned", "begin with 0, or use --min-count")
    return tuple(thresholds + thresholds[-1:] * (order - len(thresholds)))


def fit(
    resolved: Resolved,
    data: TrainingData,
    stop: Callable[[], bool] = never,
    initial: dict[str, np.ndarray] | None = None,
    save: Callable[[], bool] = never,
) -> Iterator[Event]:
    """Count and estimate; with validation text, read it once. Asked to stop while it counts, it ends after an order, with nothing.

    Raises:
        SettingsError, UsageError: as :func:`check`.
    """
    began = time.perf_counter()
    settings = resolved.make(NgramSettings)
    check(resolved, data.valid is not None)
    if settings.discounts == "lmplz" and settings.smoothing != "mkn":
        notice(f"discounts = lmplz does not apply to smoothing {settings.smoothing}: it is ignored")
    tokens, valid = data.train.tokens, data.valid
    yield Started("ngram", None, data.tokenizer.size, tokens, valid.tokens if valid else 0, "cpu", "fp32")
    workspace = _workspace(settings, data.train.ids)
    levels: list[Level] = []
    for level in _levels(settings, data, workspace):
        levels.append(level)
        yield Counted(len(levels), len(level), time.perf_counter() - began)
        if stop():
            yield Fitted(0, 0, 0, time.perf_counter() - began, "request", None)
            return
    if len(levels) < settings.order:
        notice(f"the longest line has {len(levels) - 1} tokens with its end: the model is of order {len(levels)}")
    counts = NgramCounts(data.tokenizer.size, tuple(levels))
    smoothing = _estimator(settings, data, counts)
    estimated = estimate(counts, smoothing, pruning_thresholds(settings.prune, settings.order), workspace)
    model = NgramModel.from_levels(list(estimated), data.tokenizer, smoothing.normalised, smoothing.unseen_context_logprob)
    facts = {"ngrams": [len(values) for values in model.values], **smoothing.report()}
    size = sum(array.nbytes for array in model.to_arrays().values())
    yield Estimated(tuple(facts["ngrams"]), smoothing.report(), size, system.peak_bytes(), time.perf_counter() - began)
    ppl = stream_perplexity(model, valid.ids) if valid else None
    if ppl is not None:
        yield Validated(1, 1.0, ppl, ppl, True, time.perf_counter() - began, model)
    yield Fitted(1, 1, tokens, time.perf_counter() - began, "complete", model, ppl, facts)


def _workspace(settings: NgramSettings, ids: np.ndarray | PartedArray) -> Workspace:
    """Room to work in, as far as memory goes.

    Raises:
        SettingsError: it does not go far enough.
    """
    if settings.memory is None:
        return Workspace(threads=settings.threads)
    system.return_freed()
    tokens = len(ids)
    held = system.held_bytes() + (tokens * ids.dtype.itemsize if isinstance(ids, PartedArray) else 0)  # counting looks at all of it
    least = BYTES_PER_TOKEN * tokens + min(SMALLEST_BUFFERS, SMALLEST_BUFFER_PER_TOKEN * tokens)
    buffers = system.parse_size(settings.memory) - held - BYTES_PER_TOKEN * tokens
    if system.parse_size(settings.memory) < held + least:
        why = f"the program and the text hold {held / 1e6:,.0f} MB, to count {tokens:,} tokens takes {least / 1e6:,.0f} MB more at least"
        raise SettingsError(f"memory = {settings.memory} is too little", why, f"give {(held + least) / 1e6 + 1:.0f}M or more")
    _check_temporary_folder()
    threads = settings.threads or processors()
    return Workspace(buffers // BUFFERS // threads, threads)


def _check_temporary_folder() -> None:
    wanted = os.environ.get("TMPDIR")
    if wanted and os.path.realpath(wanted) != os.path.realpath(tempfile.gettempdir()):
        notice(f"cannot write to TMPDIR={wanted}: temporary files go to {tempfile.gettempdir()}")


def _levels(settings: NgramSettings, data: TrainingData, workspace: Workspace) -> Iterator[Level]:
    """The counts, order by order."""
    tokenizer, watch = data.tokenizer, 0
    ids_T = known_ids(data.train.ids, tokenizer)
    if settings.discounts == "lmplz":
        watch = last_read(ids_T, tokenizer.boundary_id, tokenizer.unk_id, tokenizer.size, settings.order)
    return count(ids_T, tokenizer.boundary_id, tokenizer.size, settings.order, watch, workspace)


def _estimator(settings: NgramSettings, data: TrainingData, counts: NgramCounts) -> Estimator:
    kind = estimator(settings.smoothing)
    heldout = None
    if kind.heldout != "never" and data.valid is not None:
        heldout = heldout_counts(counts, known_ids(data.valid.ids, data.tokenizer), data.tokenizer.boundary_id)
    return kind(settings, counts, heldout)

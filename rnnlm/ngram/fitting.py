"""Fitting an n-gram model: count, estimate, and, with validation text, read that once."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm import system
from rnnlm.config import Resolved
from rnnlm.errors import SettingsError, UsageError, notice
from rnnlm.events import PERPLEXITY, Counted, Estimated, Event, Fitted, Started, Validated, never
from rnnlm.files.tensors import ChunkedArray
from rnnlm.ngram.checks import stream_perplexity
from rnnlm.ngram.counting.counts import IN_MEMORY, Level, NgramCounts, Workspace, count
from rnnlm.ngram.model import NgramModel
from rnnlm.ngram.settings import NgramSettings
from rnnlm.ngram.smoothing import (
    CountsOfCounts,
    Estimator,
    HeldoutCounts,
    OrderCounts,
    check_join,
    estimator,
)
from rnnlm.ngram.smoothing.kneser_ney import last_read
from rnnlm.ngram.tables import NOWHERE, BackoffLevel, find_many, make_keys, split_keys, word_bits
from rnnlm.system import in_threads, processors
from rnnlm.text.encoding import TrainingData, known_ids

BYTES_PER_TOKEN = 28  # what is held of each position of the text while counting
SMALLEST_BUFFERS, SMALLEST_BUFFER_PER_TOKEN, BUFFERS = 50_000_000, 400, 2


def check(resolved: Resolved, has_valid: bool) -> None:
    """Make sure that these settings go together, and that there is held-out text if the estimator
    needs it."""
    settings = resolved.make(NgramSettings)
    pruning_thresholds(settings.prune, settings.order)
    check_join(settings)
    if settings.memory is not None:
        system.parse_size(settings.memory)
    needed = estimator(settings.smoothing).heldout
    is_constant_missing = needed == "without additive_k" and settings.additive_k is None
    if not has_valid and (needed == "always" or is_constant_missing):
        hint = "name it with --valid, or hold out a part: --set holdout=0.05"
        if is_constant_missing:
            hint += ", or set the constant: --set additive_k=0.1"
        raise UsageError(
            f"smoothing {settings.smoothing} needs held-out text",
            "its weights are tuned on it",
            hint,
        )


def pruning_thresholds(given: str | list[int], order: int, name: str = "prune") -> tuple[int, ...]:
    """Return for each order the count up to which n-grams are left out. given: `0,0,1`, with
    spaces, or a list; the last one repeats."""
    text = given if isinstance(given, str) else ",".join(map(str, given))
    parts = text.replace(",", " ").split()
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise SettingsError(
            f"{name} = {text!r} is not understood", hint="write one number an order, such as 0,0,1"
        )
    thresholds = [int(part) for part in parts]
    if len(thresholds) > order:
        raise SettingsError(
            f"{name} = {text!r} has {len(thresholds)} values", f"the order is {order}"
        )
    if thresholds != sorted(thresholds):
        raise SettingsError(
            f"{name} = {text!r} decreases",
            "an n-gram cannot be kept when its beginning is left out",
        )
    if thresholds[0]:
        raise SettingsError(
            f"{name} = {text!r} is not valid",
            "unigrams are never pruned",
            "begin with 0, or use --min-count",
        )
    repeated = thresholds[-1:] * (order - len(thresholds))
    return tuple(thresholds + repeated)


def fit(
    resolved: Resolved,
    data: TrainingData,
    stop: Callable[[], bool] = never,
    initial: dict[str, np.ndarray] | None = None,
    save: Callable[[], bool] = never,
) -> Iterator[Event]:
    """Count and estimate; with validation text, read it once. Asked to stop while it counts, it
    ends after an order, without a model."""
    began = time.perf_counter()
    settings = resolved.make(NgramSettings)
    check(resolved, data.valid is not None)
    if settings.discounts == "lmplz" and settings.smoothing != "mkn":
        notice(f"discounts = lmplz does not apply to smoothing {settings.smoothing}: it is ignored")
    tokens, valid = data.train.tokens, data.valid
    valid_tokens = valid.tokens if valid else 0
    yield Started("ngram", None, data.tokenizer.size, tokens, valid_tokens, "cpu", "fp32")

    # Count, order by order.
    workspace = _workspace(settings, data.train.ids)
    levels: list[Level] = []
    for level in _levels(settings, data, workspace):
        levels.append(level)
        yield Counted(len(levels), len(level), time.perf_counter() - began)
        if stop():
            yield Fitted(0, 0, 0, time.perf_counter() - began, "request", None)
            return
    if len(levels) < settings.order:
        notice(
            f"the longest line has {len(levels) - 1} tokens with its end: the model has order "
            f"{len(levels)}"
        )

    # Estimate, and report the discounts or weights that the estimator found on the way.
    counts = NgramCounts(data.tokenizer.size, tuple(levels))
    smoothing = _estimator(settings, data, counts)
    thresholds = pruning_thresholds(settings.prune, settings.order)
    estimated = list(estimate(counts, smoothing, thresholds, workspace))
    model = NgramModel.from_levels(
        estimated, data.tokenizer, smoothing.normalised, smoothing.unseen_context_logprob
    )
    ngrams = [len(values) for values in model.values]
    facts = {"ngrams": ngrams, **smoothing.report()}
    size = sum(array.nbytes for array in model.to_arrays().values())
    seconds = time.perf_counter() - began
    yield Estimated(tuple(ngrams), smoothing.report(), size, system.peak_bytes(), seconds)

    # Validate; there is one model only, so it is the best.
    ppl = stream_perplexity(model, valid.ids) if valid else None
    if ppl is not None:
        yield Validated(1, 1.0, {PERPLEXITY: ppl}, ppl, True, time.perf_counter() - began, model)
    yield Fitted(1, 1, tokens, time.perf_counter() - began, "complete", model, ppl, facts)


def _workspace(settings: NgramSettings, ids: np.ndarray | ChunkedArray) -> Workspace:
    """Return a workspace as large as the memory in the settings allows; refuse too little."""
    if settings.memory is None:
        return Workspace(threads=settings.threads)

    # What is in memory already, and what counting takes for each token.
    system.return_freed()
    allowed = system.parse_size(settings.memory)
    tokens = len(ids)
    used = system.held_bytes()
    if isinstance(ids, ChunkedArray):  # it is still on disk; counting looks at all of it
        used += tokens * ids.dtype.itemsize
    counting = BYTES_PER_TOKEN * tokens
    least = counting + min(SMALLEST_BUFFERS, SMALLEST_BUFFER_PER_TOKEN * tokens)
    if allowed < used + least:
        why = (
            f"the program and the text hold {used / 1e6:,.0f} MB, to count {tokens:,} "
            f"tokens takes {least / 1e6:,.0f} MB more at least"
        )
        raise SettingsError(
            f"memory = {settings.memory} is too little",
            why,
            f"give {(used + least) / 1e6 + 1:.0f}M or more",
        )
    _check_temporary_folder()
    threads = settings.threads or processors()
    buffers = allowed - used - counting
    return Workspace(buffers // BUFFERS // threads, threads)


def _check_temporary_folder() -> None:
    wanted = os.environ.get("TMPDIR")
    if wanted and os.path.realpath(wanted) != os.path.realpath(tempfile.gettempdir()):
        notice(f"cannot write to TMPDIR={wanted}: temporary files go to {tempfile.gettempdir()}")


def _levels(settings: NgramSettings, data: TrainingData, workspace: Workspace) -> Iterator[Level]:
    """Count, order by order."""
    tokenizer, watch = data.tokenizer, 0
    ids_T = known_ids(data.train.ids, tokenizer)
    if settings.discounts == "lmplz":
        watch = last_read(
            ids_T, tokenizer.boundary_id, tokenizer.unk_id, tokenizer.size, settings.order
        )
    return count(ids_T, tokenizer.boundary_id, tokenizer.size, settings.order, watch, workspace)


def _estimator(settings: NgramSettings, data: TrainingData, counts: NgramCounts) -> Estimator:
    kind = estimator(settings.smoothing)
    heldout = None
    if kind.heldout != "never" and data.valid is not None:
        ids_T = known_ids(data.valid.ids, data.tokenizer)
        heldout = heldout_counts(counts, ids_T, data.tokenizer.boundary_id)
    return kind(settings, counts, heldout)


# ---- From counts to probabilities and backoff weights, order by order from the unigrams up, for
# any estimator.
#
# The estimator says what share each n-gram gets and what is left to the lower order (see
# :mod:`rnnlm.ngram.smoothing`); here the orders are joined, pruned n-grams give their share to the
# lower order, and what is left becomes the form every n-gram model is stored in: log p(w|h) for the
# n-grams kept, log backoff for their contexts (Katz 1987; the ARPA format).
#
# What happens after one context concerns no other, so an order is worked through in blocks of
# contexts, side by side.

# A share of the lower order's probability: if unseen words have less, it is a rounding error.
SMALLEST_UNSEEN = 1e-9


def estimate(
    counts: NgramCounts,
    smoothing: Estimator,
    thresholds: Sequence[int] = (),
    workspace: Workspace = IN_MEMORY,
) -> Iterator[BackoffLevel]:
    """Yield the levels of the model, from the unigrams up. n-grams of order n that occur at most
    `thresholds[n - 1]` times are left out.

    A level is yielded when the next one is known: its backoff weights come from there.
    """
    # Below the unigrams lies the uniform distribution, after the empty context.
    uniform_M = np.full(1, 1 / counts.size)
    values_MK = np.zeros((1, 2), dtype=np.float32)
    below = _EstimatedOrder(np.zeros(1, np.uint64), uniform_M, None, values_MK)
    for n in range(1, counts.order + 1):
        threshold = thresholds[n - 1] if 1 < n <= len(thresholds) else 0
        order = _estimate_order(_OrderJob(n, counts, smoothing, threshold, below, workspace))
        if n > 1:
            yield BackoffLevel(counts.size, below.keys_M, below.values_MK)
        below = order
    yield BackoffLevel(counts.size, below.keys_M, below.values_MK)


class _EstimatedOrder:
    """An order worked through: keys and values of the n-grams kept; all probabilities again in full
    precision; which n-grams of those counted were kept (None: all), and their new numbers."""

    def __init__(
        self,
        keys_M: np.ndarray,
        prob_M: np.ndarray,
        kept_M: np.ndarray | None,
        values_MK: np.ndarray,
    ) -> None:
        self.keys_M = keys_M
        self.prob_M = prob_M
        self.values_MK = values_MK
        self.kept_M = kept_M
        self.numbers_M = None if kept_M is None else np.cumsum(kept_M) - 1

    def renumber(self, numbers_M: np.ndarray) -> np.ndarray:
        if self.numbers_M is None:
            return numbers_M
        return self.numbers_M[numbers_M]


@dataclass(frozen=True)
class _ContextBlock:
    """The n-grams numbered `start` to `end` of an order, which follow the contexts `first` to
    `last` (both without the end)."""

    first: int
    last: int
    start: int
    end: int


class _OrderJob:
    """All that is needed to work through order n."""

    def __init__(
        self,
        n: int,
        counts: NgramCounts,
        smoothing: Estimator,
        threshold: int,
        below: _EstimatedOrder,
        workspace: Workspace,
    ) -> None:
        self.n = n
        self.size = counts.size
        self.smoothing = smoothing
        self.below = below
        self.workspace = workspace
        self.level = counts.levels[n - 1]
        self.contexts = len(counts.levels[n - 2]) if n > 1 else 1
        self.counts_M = counts.raw(n) if smoothing.counts == "raw" else counts.adjusted(n)
        self.kept_M = None
        self.kept = len(self.level)
        if threshold:
            self.kept_M = self.level.counts_M > threshold
            self.kept = int(np.count_nonzero(self.kept_M))
        self.is_highest = n == counts.order

    def blocks(self) -> Iterator[_ContextBlock]:
        """Yield all contexts, in blocks of about as many n-grams as are to be handled at a time."""
        bits, keys_M = word_bits(self.size), self.level.keys_M
        first = start = 0
        while first < self.contexts:
            # End the block where a context does, but take one context at least.
            end = min(start + self.workspace.ngrams, len(keys_M))
            last = self.contexts
            if end < len(keys_M):
                last = max(first + 1, int(keys_M[end] >> np.uint64(bits)))
            end = len(keys_M)
            if last < self.contexts:
                end = int(np.searchsorted(keys_M, np.uint64(last << bits)))
            yield _ContextBlock(first, last, start, end)
            first, start = last, end

    def tally(self) -> CountsOfCounts:
        tally_C = np.zeros(int(self.counts_M.max()) + 1, dtype=np.int64)
        for start in range(0, len(self.counts_M), self.workspace.ngrams):
            part = np.bincount(self.counts_M[start : start + self.workspace.ngrams])
            tally_C[: len(part)] += part
        counts_R = np.flatnonzero(tally_C[1:]) + 1
        return CountsOfCounts(counts_R, tally_C[counts_R])


def _estimate_order(job: _OrderJob) -> _EstimatedOrder:
    """Work through one order, block by block, and set the backoff weights of the order below."""
    job.smoothing.begin_order(job.n, job.tally())
    below, workspace = job.below, job.workspace
    # Where nothing is pruned, the keys are those of the counts.
    is_whole = job.kept_M is None and below.kept_M is None
    keys_M = job.level.keys_M if is_whole else workspace.empty(job.kept, np.uint64)
    prob_M = workspace.empty(job.kept, np.float64)
    values_MK = workspace.empty((job.kept, 1 if job.is_highest else 2), np.float32)

    # Blocks come in order: their n-grams and contexts follow those of the block before.
    context = end = 0
    for keys, prob, backoff in in_threads(
        lambda block: _estimate_block(job, block), job.blocks(), workspace.threads
    ):
        start, end = end, end + len(prob)
        prob_M[start:end] = prob
        values_MK[start:end] = 0
        values_MK[start:end, 0] = _log(prob)
        if not is_whole:
            keys_M[start:end] = keys
        below.values_MK[context : context + len(backoff), 1] = _log(backoff)
        context += len(backoff)
        workspace.release(
            job.level.keys_M,
            job.level.suffixes_M,
            job.level.counts_M,
            keys_M,
            prob_M,
            values_MK,
            below.values_MK,
        )
    return _EstimatedOrder(keys_M, prob_M, job.kept_M, values_MK)


def _estimate_block(
    job: _OrderJob, block: _ContextBlock
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Return keys and probabilities of the n-grams kept, and the backoff weights of the contexts
    kept."""
    below, here = job.below, slice(block.start, block.end)
    contexts_M, words_M = split_keys(job.level.keys_M[here], job.size)
    suffixes_M = job.level.suffixes_M[here]
    of_M = contexts_M - block.first
    contexts = block.last - block.first
    seen = OrderCounts(job.n, job.counts_M[here], of_M, contexts, block.first)
    shares = job.smoothing.shares(seen)
    share_M, left_H = shares.seen_M, shares.left_H

    # Pruned n-grams leave their share to the lower order.
    if job.kept_M is not None:
        kept_M = job.kept_M[here]
        if job.smoothing.join != "fixed weight":
            left_H = left_H + np.bincount(of_M[~kept_M], share_M[~kept_M], minlength=contexts)
        share_M, of_M, suffixes_M = share_M[kept_M], of_M[kept_M], suffixes_M[kept_M]
        contexts_M, words_M = contexts_M[kept_M], words_M[kept_M]

    lower_M = below.prob_M[below.renumber(suffixes_M)]
    prob_M, backoff_H = _join(job.smoothing, share_M, left_H, of_M, lower_M)
    if job.n == 1:
        prob_M[job.size] = 1.0  # <s> is given; by custom its log-probability is 0

    # Contexts that were pruned have no weight, and the others new numbers.
    if below.kept_M is not None:
        backoff_H = backoff_H[below.kept_M[block.first : block.last]]
    if job.kept_M is None and below.kept_M is None:
        return None, prob_M, backoff_H
    return make_keys(below.renumber(contexts_M), words_M, job.size), prob_M, backoff_H


def _join(
    smoothing: Estimator,
    share_M: np.ndarray,
    left_H: np.ndarray,
    contexts_M: np.ndarray,
    lower_M: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of n-grams, and the backoff weights of their contexts. lower_M: the
    probabilities that the lower order gives their words."""
    if smoothing.join == "interpolate":
        prob_M, backoff_H = share_M + left_H[contexts_M] * lower_M, left_H
    else:
        prob_M, backoff_H = share_M.copy(), left_H
        # A discount may take a count whole; then backing off takes it for unseen.
        is_unseen_M = share_M == 0
        if smoothing.join == "back off":
            seen_lower_M = np.where(is_unseen_M, 0.0, lower_M)
            prob_M, backoff_H = _backed_off(prob_M, left_H, contexts_M, seen_lower_M)
        prob_M[is_unseen_M] = backoff_H[contexts_M[is_unseen_M]] * lower_M[is_unseen_M]
    is_followed_H = np.bincount(contexts_M, minlength=len(left_H)) > 0
    return prob_M, np.where(is_followed_H, backoff_H, np.exp(smoothing.unseen_context_logprob))


def _backed_off(
    prob_M: np.ndarray, left_H: np.ndarray, contexts_M: np.ndarray, lower_M: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scale probabilities and weights so that all sums to one (Katz 1987, eq. 16); where every word
    was seen, what is left goes to the seen ones."""
    unseen_H = 1 - np.bincount(contexts_M, lower_M, minlength=len(left_H))
    is_full_H = unseen_H < SMALLEST_UNSEEN
    with np.errstate(divide="ignore", invalid="ignore"):
        scale_H = np.where(is_full_H, 1 / (1 - left_H), 1.0)
        backoff_H = np.where(is_full_H, 1.0, left_H / unseen_H)
    return prob_M * scale_H[contexts_M], backoff_H


def _log(prob_M: np.ndarray) -> np.ndarray:
    """Return natural logarithms, float32; -inf of zero."""
    with np.errstate(divide="ignore"):
        return np.log(prob_M).astype(np.float32)


def heldout_counts(counts: NgramCounts, ids_T: np.ndarray, boundary_id: int) -> HeldoutCounts:
    """Look up every n-gram of a held-out text whose lines end in `boundary_id`; contexts begin at
    each line, with `<s>`."""
    # Unigrams: every token follows the empty context.
    is_first_T = np.append(True, ids_T[:-1] == boundary_id)
    ngrams_NT = np.zeros((counts.order, len(ids_T)), dtype=np.int64)
    contexts_NT = np.zeros_like(ngrams_NT)
    numbers_T = ids_T.astype(np.int64)
    counts_M = counts.raw(1)
    ngrams_NT[0], contexts_NT[0] = counts_M[ids_T], counts_M.sum()
    # Each n-gram found is the context of the next token's (n + 1)-gram.
    for n, level in enumerate(counts.levels[1:], start=2):
        before_T = np.append(NOWHERE, numbers_T[:-1])
        before_T[is_first_T] = counts.size if n == 2 else NOWHERE
        known = np.flatnonzero(before_T != NOWHERE)
        numbers_T = np.full(len(ids_T), NOWHERE)
        keys_T = make_keys(before_T[known], ids_T[known], counts.size)
        numbers_T[known] = find_many(level.keys_M, keys_T)
        seen = np.flatnonzero(numbers_T != NOWHERE)
        # A context that does not end a line is followed by a word wherever it occurs.
        contexts_NT[n - 1, known] = counts.levels[n - 2].counts_M[before_T[known]]
        ngrams_NT[n - 1, seen] = level.counts_M[numbers_T[seen]]

    # The tokens of a line before a token, and <s>, are all that its contexts reach back to.
    places_T = np.arange(len(ids_T))
    begins_T = np.maximum.accumulate(np.where(is_first_T, places_T, 0))
    longest_T = np.minimum(places_T - begins_T + 2, counts.order)
    return HeldoutCounts(ngrams_NT, contexts_NT, counts.size, longest_T)

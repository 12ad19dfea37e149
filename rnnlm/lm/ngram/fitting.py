"""Fit an n-gram model, in the steps of KenLM's lmplz (Heafield et al. 2013): count and merge; then,
order by order, discount, estimate, back off, write. With validation text, read that once."""

import functools
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from rnnlm import system
from rnnlm.amounts import plural
from rnnlm.config import ResolvedSettings
from rnnlm.errors import SettingsError, UsageError, keyword, notice
from rnnlm.events import Counted, Counting, Estimated, Event, Fitted, Started, never
from rnnlm.interface import FittingData, Tokenizer
from rnnlm.lm.ngram.counting.count_trie import CountingProgress, Level, NgramCounts, count
from rnnlm.lm.ngram.counting.suffix_values import SuffixExchange
from rnnlm.lm.ngram.counting.workspace import IN_MEMORY, Workspace
from rnnlm.lm.ngram.model import NgramModel
from rnnlm.lm.ngram.pruning import quantised
from rnnlm.lm.ngram.settings import NgramSettings, numbers_in
from rnnlm.lm.ngram.smoothing import ESTIMATORS, check_join
from rnnlm.lm.ngram.smoothing.estimator import CountsOfCounts, Estimator, HeldoutCounts, OrderCounts
from rnnlm.lm.ngram.smoothing.kneser_ney import last_read
from rnnlm.lm.ngram.tables import NOWHERE, BackoffLevel, log32, make_keys, split_keys
from rnnlm.lm.ngram.unigram import last_events
from rnnlm.parallel import in_threads
from rnnlm.storage.files.tensors import ChunkedArray
from rnnlm.text.encoding import EncodedText, TrainingData, known_ids


def check(resolved: ResolvedSettings, has_valid: bool) -> None:
    """Make sure that these settings go together, and that there is held-out text if the estimator
    needs it."""
    settings = resolved.make(NgramSettings)
    pruning_thresholds(settings.prune, settings.order)
    check_join(settings)
    kind = ESTIMATORS[settings.smoothing]
    if kind.needs_heldout(settings) and not has_valid:
        raise UsageError(
            f"smoothing {settings.smoothing} needs held-out text",
            kind.tuned + " tuned on that text",
            "add " + kind.instead_of_valid + ", or name a text with " + keyword("valid"),
        )


def pruning_thresholds(given: str | list[int], order: int) -> tuple[int, ...]:
    """Return for each order the count up to which n-grams are left out. given: `0,0,1`, with
    spaces, or a list; the last one repeats."""
    text = given if isinstance(given, str) else ",".join(map(str, given))
    parts = numbers_in(text)
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise SettingsError(
            f"prune = {text!r} is not understood", hint="write one number per order, such as 0,0,1"
        )
    thresholds = [int(part) for part in parts]
    if len(thresholds) > order:
        raise SettingsError(
            f"prune = {text!r} has {plural(len(thresholds), 'value')}",
            f"the order is {order}",
            f"write {order} numbers or fewer; the last one repeats",
        )
    if thresholds != sorted(thresholds):
        raise SettingsError(
            f"prune = {text!r} is not valid",
            "the thresholds must not decrease: an n-gram needs its beginning",
            "write them in ascending order, such as 0,0,1",
        )
    if thresholds[0]:
        raise SettingsError(
            f"prune = {text!r} is not valid",
            "unigrams are never pruned",
            "begin with 0, or use " + keyword("min_count"),
        )
    return tuple(thresholds + thresholds[-1:] * (order - len(thresholds)))


@dataclass(frozen=True)
class TextCount:
    """The count of a text: steps that yield its levels, order by order, and the place of arrays,
    where the model is estimated, too."""

    steps: Iterator[CountingProgress | Level]
    workspace: Workspace


@runtime_checkable
class CountableData(FittingData, Protocol):
    """Data that are not counted in memory, or that are counted already."""

    @property
    def valid(self) -> EncodedText | None:
        """The text for validation, in memory."""

    def counting(self) -> AbstractContextManager[TextCount]:
        """Provide their count."""


def counting_in_memory(settings: NgramSettings, data: TrainingData) -> TextCount:
    """Return the count of a text in memory, which has not begun."""
    workspace = Workspace(threads=settings.threads)
    return TextCount(_counted(settings, data, workspace), workspace)


def _counted(settings: NgramSettings, data: TrainingData, workspace: Workspace) -> Iterator[Level]:
    tokenizer = data.tokenizer
    ids_T = known_ids(data.train.ids, tokenizer)
    watched = watched_position(settings, tokenizer, ids_T, [(0, len(ids_T))])
    shape = (tokenizer.boundary_id, tokenizer.size, settings.order)
    yield from count(ids_T, *shape, watched, workspace)


def watched_position(
    settings: NgramSettings,
    tokenizer: Tokenizer,
    ids_T: np.ndarray | ChunkedArray,
    shards: Sequence[tuple[int, int]],
) -> int:
    """Return the position that counting has to watch, in a text that is counted by these ranges of
    positions; NOWHERE unless the discounts need one."""
    if settings.discounts != "lmplz":
        return NOWHERE
    return last_read(
        ids_T, shards, tokenizer.boundary_id, tokenizer.unk_id, tokenizer.size, settings.order
    )


def fit(
    resolved: ResolvedSettings,
    data: TrainingData | CountableData,
    stop: Callable[[], bool] = never,
    initial: dict[str, np.ndarray] | None = None,
    save: Callable[[], bool] = never,
) -> Iterator[Event]:
    """Count and estimate; with validation text, read it once. Asked to stop while it counts, it
    ends after an order, without a model."""
    timer = _Timer()
    settings = resolved.make(NgramSettings)
    check(resolved, data.valid is not None)
    tokenizer, tokens, valid = data.tokenizer, data.train.tokens, data.valid
    yield Started(
        model="ngram",
        parameters=None,
        vocabulary_size=tokenizer.size,
        train_tokens=tokens,
        valid_tokens=valid.tokens if valid else 0,
        device="cpu",
        precision="fp32",
    )

    with _provided(settings, data) as counting:
        counts = yield from _count(settings, tokenizer, counting.steps, timer, stop)
        if counts is None:
            yield Fitted(0, 0, 0, timer.seconds(), "request", None)
            return
        smoothing = _estimator(settings, data, counts)
        thresholds = pruning_thresholds(settings.prune, settings.order)
        model = yield from _estimate(
            counts, smoothing, thresholds, tokenizer, counting.workspace, timer
        )
        if settings.quantize:
            model = quantised(model)

        # Report the discounts or weights that the estimator found on the way.
        ngrams, estimated = [len(values) for values in model.values], smoothing.report()
        size = sum(array.nbytes for array in model.to_arrays().values())
        yield Estimated(tuple(ngrams), estimated, size, system.peak_bytes(), timer.seconds())
    facts = {"ngrams": ngrams, "estimated": estimated}
    yield from last_events(model, valid, tokens, timer.seconds, facts)


def _provided(
    settings: NgramSettings, data: TrainingData | CountableData
) -> AbstractContextManager[TextCount]:
    if isinstance(data, CountableData):
        return data.counting()
    return nullcontext(counting_in_memory(settings, data))


def _count(
    settings: NgramSettings,
    tokenizer: Tokenizer,
    steps: Iterator[CountingProgress | Level],
    timer: "_Timer",
    stop: Callable[[], bool],
) -> Generator[Event, None, NgramCounts | None]:
    """Count, and merge the counts of shards, order by order. Return None if `stop` cut it off."""
    levels: list[Level] = []
    for step in steps:
        if isinstance(step, CountingProgress):
            yield timer.event(step)
        else:
            levels.append(step)
            yield Counted(len(levels), len(step), timer.seconds())
        if stop():
            return None

    # Stupid backoff has a cost for each word of a context, so orders without n-grams count, too.
    missing = settings.order - len(levels)
    if missing and settings.smoothing == "stupid":
        nothing = np.zeros(0, dtype=np.int64)
        levels += [Level(levels[0].size, nothing.astype(np.uint64), nothing, nothing, 0)] * missing
    elif missing:
        notice(
            f"the longest line has {plural(len(levels) - 1, 'token')} including its "
            "end, so the model has "
            f"order {len(levels)}"
        )
    return NgramCounts(tokenizer.size, tuple(levels))


def _estimate(
    counts: NgramCounts,
    smoothing: Estimator,
    thresholds: Sequence[int],
    tokenizer: Tokenizer,
    workspace: Workspace,
    timer: "_Timer",
) -> Generator[Event, None, NgramModel]:
    """Return the model of these counts."""
    counted = sum(map(len, counts.levels))
    estimated: list[BackoffLevel] = []
    for level in estimate(counts, smoothing, thresholds, workspace):
        estimated.append(level)
        if workspace.in_files:
            yield timer.event(CountingProgress("estimating", sum(map(len, estimated)) / counted))
    is_pruned = sum(map(len, estimated)) < counted
    normalised = smoothing.normalised_if_pruned if is_pruned else smoothing.normalised
    return NgramModel.from_levels(
        estimated, tokenizer, normalised, smoothing.unseen_context_logprob
    )


class _Timer:
    """Says how long a phase will take from how far it is."""

    def __init__(self) -> None:
        self.began = self.phase_began = time.perf_counter()
        self.phase = ""

    def seconds(self) -> float:
        return time.perf_counter() - self.began

    def event(self, progress: CountingProgress) -> Counting:
        now = time.perf_counter()
        if progress.phase != self.phase:
            self.phase, self.phase_began = progress.phase, now
        share, taken = progress.share, now - self.phase_began
        left = taken * (1 - share) / share if share > 0 else None
        return Counting(progress.phase, share, now - self.began, left)


def _estimator(
    settings: NgramSettings, data: TrainingData | CountableData, counts: NgramCounts
) -> Estimator:
    kind = ESTIMATORS[settings.smoothing]
    heldout = None
    if kind.needs_heldout(settings) and data.valid is not None:
        ids_T = known_ids(data.valid.ids, data.tokenizer)
        heldout = heldout_counts(counts, ids_T, data.tokenizer.boundary_id)
    return kind(settings, counts, heldout)


# ---- From counts to probabilities and backoff weights, order by order from the unigrams up, for
# any estimator.
#
# The estimator gives each n-gram its share and leaves the rest to the lower order (see
# smoothing/estimator.py); here the orders are joined, pruned n-grams give their share to
# the lower order, and the rest becomes the form every n-gram model is stored in: log p(w|h) for the
# n-grams kept, log backoff for their contexts (Katz 1987; the ARPA format).
#
# The words after one context concern no other context, so an order is worked through in blocks of
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
    nothing = np.zeros(counts.size + 1, dtype=np.int32)
    suffixes = SuffixExchange(nothing, [(0, len(nothing))], 1, workspace)
    uniform_M = np.full(1, 1 / counts.size)
    below = _EstimatedOrder(nothing[:1], uniform_M, None, np.zeros((1, 2), dtype=np.float32))
    for n in range(1, counts.order + 1):
        threshold = thresholds[n - 1] if 1 < n <= len(thresholds) else 0
        longer = counts.suffixes(n + 1, workspace) if n < counts.order else None
        job = _OrderJob(
            n=n,
            counts=counts,
            smoothing=smoothing,
            threshold=threshold,
            below=below,
            suffixes=suffixes,
            longer=longer,
            workspace=workspace,
        )
        order = _estimate_order(job)
        if n > 1:
            yield BackoffLevel(counts.size, below.keys_M, below.values_MK)
        below = order
        if longer is not None:
            suffixes = longer
    smoothing.notices.send()
    yield BackoffLevel(counts.size, below.keys_M, below.values_MK)


@dataclass(frozen=True)
class _EstimatedOrder:
    """An order worked through: keys and values of the n-grams kept; probabilities of all that were
    counted, in full precision (of those not kept: of any value); which were kept (None: all)."""

    keys_M: np.ndarray
    prob_M: np.ndarray
    kept_M: np.ndarray | None
    values_MK: np.ndarray


class _OrderJob:
    """The data needed to estimate order n. suffixes, longer: the exchanges with the order below and
    with the one above."""

    def __init__(
        self,
        n: int,
        counts: NgramCounts,
        smoothing: Estimator,
        threshold: int,
        below: _EstimatedOrder,
        suffixes: SuffixExchange,
        longer: SuffixExchange | None,
        workspace: Workspace,
    ) -> None:
        # The common data of all blocks of the order.
        self.n = n
        self.size = counts.size
        self.smoothing = smoothing
        self.below = below
        self.workspace = workspace
        self.level = counts.levels[n - 1]
        self.blocks = counts.blocks(n, workspace)

        # Adjusted counts of an order need the suffixes of the longer one.
        self.raw_M = self.counts_M = counts.raw(n)
        if smoothing.counts == "adjusted":
            self.counts_M = counts.adjusted(n, longer)
        self.lower_of_block = suffixes.values(below.prob_M)

        # N-grams with counts up to the threshold are pruned.
        self.is_highest = n == counts.order
        self.kept_M = None
        if threshold:
            self.kept_M = workspace.empty(len(self.level), np.bool_)
            for block in self.blocks:
                here = slice(block.start, block.end)
                np.greater(self.level.counts_M[here], threshold, out=self.kept_M[here])

    def tally(self) -> CountsOfCounts:
        """Return how often each count occurs."""
        tallies = [np.zeros((2, 0), dtype=np.int64)]
        for block in self.blocks:
            counts, tally = np.unique(self.counts_M[block.start : block.end], return_counts=True)
            tallies.append(np.stack([counts, tally]))

        # The same count may occur in several blocks.
        counts_N, tally_N = np.concatenate(tallies, axis=1)
        counts_R, place_N = np.unique(counts_N, return_inverse=True)
        tally_R = np.bincount(place_N, tally_N, minlength=len(counts_R)).astype(np.int64)
        is_seen_R = counts_R > 0
        return CountsOfCounts(counts_R[is_seen_R], tally_R[is_seen_R], self._watched())

    def _watched(self) -> tuple[int, int] | None:
        """Return the count of the n-gram that was watched, and its raw count."""
        number = self.level.watched
        if number == NOWHERE:
            return None
        here = slice(number, number + 1)
        return int(self.counts_M[here][0]), int(self.raw_M[here][0])


def _kept_between(kept_M: np.ndarray | None, start: int, end: int) -> int:
    return end - start if kept_M is None else int(np.count_nonzero(kept_M[start:end]))


def _estimate_order(job: _OrderJob) -> _EstimatedOrder:
    """Work through one order, and set the backoff weights of the order below: discount, then block
    by block estimate, back off, write."""
    job.smoothing.begin_order(job.n, job.tally())
    tables = _OrderTables(job)
    estimate_block = functools.partial(_estimate_block, job, tables)
    list(in_threads(estimate_block, range(len(job.blocks)), job.workspace.threads))
    return _EstimatedOrder(tables.keys_M, tables.prob_M, job.kept_M, tables.values_MK)


class _OrderTables:
    """The tables of an order, which each block fills in where no other does. starts,
    context_starts: the new numbers of the first n-gram and of the first context of each block, and
    at the end, the numbers of n-grams and contexts that are kept."""

    def __init__(self, job: _OrderJob) -> None:
        ngrams, contexts = [0], [0]
        for block in job.blocks:
            kept_contexts = _kept_between(job.below.kept_M, block.first, block.last)
            contexts.append(contexts[-1] + kept_contexts)
            ngrams.append(ngrams[-1] + _kept_between(job.kept_M, block.start, block.end))
        self.starts, self.context_starts = np.array(ngrams), np.array(contexts)
        kept = ngrams[-1]
        # Without pruning, the keys are the keys of the counts.
        self.is_whole = job.kept_M is None and job.below.kept_M is None
        if self.is_whole and isinstance(job.level.keys_M, np.ndarray):
            self.keys_M = job.level.keys_M
        else:
            self.keys_M = job.workspace.empty(kept, np.uint64)
        # Nothing is looked up in the highest order.
        self.prob_M = job.workspace.empty(0 if job.is_highest else len(job.level), np.float64)
        self.values_MK = job.workspace.empty((kept, 1 if job.is_highest else 2), np.float32)


def _estimate_block(job: _OrderJob, tables: _OrderTables, number: int) -> None:
    """Estimate the n-grams of a block, back off, and write them, and the backoff weights of their
    contexts."""
    block, below = job.blocks[number], job.below
    here = slice(block.start, block.end)
    contexts_M, words_M = split_keys(job.level.keys_M[here], job.size)
    contexts_M -= block.first
    contexts = block.last - block.first
    seen = OrderCounts(job.n, job.counts_M[here], contexts_M, contexts, block.first)
    shares = job.smoothing.shares(seen)
    share_M, left_H = shares.seen_M, shares.left_H
    lower_M = job.lower_of_block(number)

    # Pruned n-grams leave their share to the lower order, so that the sums stay one.
    kept_M = None
    if job.kept_M is not None:
        kept_M = job.kept_M[here]
        if job.smoothing.normalised_if_pruned:
            left_H = left_H + np.bincount(contexts_M[~kept_M], share_M[~kept_M], minlength=contexts)
        share_M, lower_M = share_M[kept_M], lower_M[kept_M]
        contexts_M, words_M = contexts_M[kept_M], words_M[kept_M]

    prob_M, backoff_H = _back_off(job.smoothing, share_M, left_H, contexts_M, lower_M)
    if job.n == 1:
        prob_M[job.size] = 1.0  # <s> is given; by custom its log-probability is 0

    # The places of the block's n-grams and contexts in the finished model.
    new = slice(tables.starts[number], tables.starts[number + 1])
    new_contexts = slice(tables.context_starts[number], tables.context_starts[number + 1])

    # Values: probabilities of all n-grams for the next order, of those kept for the model.
    if not job.is_highest:
        of_kept = slice(None) if kept_M is None else kept_M
        tables.prob_M[here][of_kept] = prob_M
    tables.values_MK[new] = 0
    tables.values_MK[new, 0] = log32(prob_M)

    # Backoff weights, one order below; contexts that were pruned have none.
    kept_H = None
    if below.kept_M is not None:
        kept_H = below.kept_M[block.first : block.last]
        backoff_H = backoff_H[kept_H]
    below.values_MK[new_contexts, 1] = log32(backoff_H)

    # Keys: copied, or renumbered if contexts were pruned.
    if tables.is_whole and tables.keys_M is not job.level.keys_M:
        tables.keys_M[new] = job.level.keys_M[here]
    elif not tables.is_whole:
        number_M = contexts_M + block.first
        if kept_H is not None:
            number_M = (np.cumsum(kept_H) - 1 + new_contexts.start)[contexts_M]
        tables.keys_M[new] = make_keys(number_M, words_M, job.size)
    job.workspace.release(tables.keys_M, tables.prob_M, tables.values_MK, below.values_MK)


def _back_off(
    smoothing: Estimator,
    share_M: np.ndarray,
    left_H: np.ndarray,
    contexts_M: np.ndarray,
    lower_M: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Join the shares of n-grams with the lower order. Return probabilities of n-grams, and the
    backoff weights of their contexts. lower_M: the probabilities that the lower order gives their
    words."""
    if smoothing.join == "interpolate":
        prob_M, backoff_H = share_M + left_H[contexts_M] * lower_M, left_H
    else:
        prob_M, backoff_H = share_M.copy(), left_H
        # A discount may remove a whole count; backing off then treats it as unseen.
        is_unseen_M = share_M == 0
        if smoothing.join == "back off":
            seen_lower_M = np.where(is_unseen_M, 0.0, lower_M)
            prob_M, backoff_H = _katz(prob_M, left_H, contexts_M, seen_lower_M)
        prob_M[is_unseen_M] = backoff_H[contexts_M[is_unseen_M]] * lower_M[is_unseen_M]
    is_followed_H = np.bincount(contexts_M, minlength=len(left_H)) > 0
    return prob_M, np.where(is_followed_H, backoff_H, np.exp(smoothing.unseen_context_logprob))


def _katz(
    prob_M: np.ndarray, left_H: np.ndarray, contexts_M: np.ndarray, lower_M: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scale probabilities and weights so that all sums to one (Katz 1987, eq. 16); if every word
    was seen, the rest goes to the seen ones."""
    unseen_H = 1 - np.bincount(contexts_M, lower_M, minlength=len(left_H))
    is_full_H = unseen_H < SMALLEST_UNSEEN
    with np.errstate(divide="ignore", invalid="ignore"):
        scale_H = np.where(is_full_H, 1 / (1 - left_H), 1.0)
        backoff_H = np.where(is_full_H, 1.0, left_H / unseen_H)
    return prob_M * scale_H[contexts_M], backoff_H


def heldout_counts(counts: NgramCounts, ids_T: np.ndarray, boundary_id: int) -> HeldoutCounts:
    """Look up every n-gram of a held-out text whose lines end in `boundary_id`; contexts begin at
    each line, with `<s>`."""
    # Unigrams: every token follows the empty context.
    is_first_T = np.append(True, ids_T[:-1] == boundary_id)
    ngrams_NT = np.zeros((counts.order, len(ids_T)), dtype=np.int64)
    contexts_NT = np.zeros_like(ngrams_NT)
    numbers_T = ids_T.astype(np.int64)
    counts_M = np.asarray(counts.raw(1))
    ngrams_NT[0], contexts_NT[0] = counts_M[ids_T], counts_M.sum()
    # Each n-gram found is the context of the next token's (n + 1)-gram.
    for n, level in enumerate(counts.levels[1:], start=2):
        before_T = np.append(NOWHERE, numbers_T[:-1])
        before_T[is_first_T] = counts.size if n == 2 else NOWHERE
        known = np.flatnonzero(before_T != NOWHERE)
        numbers_T = np.full(len(ids_T), NOWHERE)
        keys_T = make_keys(before_T[known], ids_T[known], counts.size)
        numbers_T[known] = level.find(keys_T)
        seen = np.flatnonzero(numbers_T != NOWHERE)
        # A context that does not end a line is followed by a word wherever it occurs.
        contexts_NT[n - 1, known] = counts.levels[n - 2].counts_of(before_T[known])
        ngrams_NT[n - 1, seen] = level.counts_of(numbers_T[seen])

    # The tokens of a line before a token, and <s>, are all that its contexts reach back to.
    places_T = np.arange(len(ids_T))
    begins_T = np.maximum.accumulate(np.where(is_first_T, places_T, 0))
    longest_T = np.minimum(places_T - begins_T + 2, counts.order)
    return HeldoutCounts(ngrams_NT, contexts_NT, counts.size, longest_T)

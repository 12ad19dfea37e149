"""Make an n-gram model smaller: remove some n-grams, keep the probabilities of the others, and
compute the backoff weights again.

The probabilities of all words after a context that stays add up to the same sum as before, which is
one in a normalised model. Unigrams stay, and so do the prefixes of all n-grams that stay. n-grams
go by relative entropy (Stolcke 1998, "Entropy-based pruning of backoff language models"), by order,
or with the words that leave the vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rnnlm.amounts import plural
from rnnlm.errors import UsageError
from rnnlm.interface import Tokenizer
from rnnlm.lm.ngram.compact import SUM_ERROR, CompactKeys, coded
from rnnlm.lm.ngram.model import NgramModel
from rnnlm.lm.ngram.tables import (
    QUANTISING,
    BackoffLevel,
    LinkedOrders,
    check_memory,
    check_tables,
    exp64,
    make_keys,
)

ROUNDING = 1e-6  # where no n-gram of a context is left, a backoff weight so near to 1 becomes 1


@dataclass(frozen=True)
class Backing:
    """The values that lower orders give to the H contexts h of an order and to its M n-grams hw. h'
    is h without its first word.

    lower_M: log p(w|h'). seen_H: sum of p(w|h) over the words seen after h. unseen_H: sum of
    p(w|h') over all other words.
    """

    lower_M: np.ndarray
    seen_H: np.ndarray
    unseen_H: np.ndarray


def by_entropy(model: NgramModel, threshold: float) -> NgramModel:
    """Return `model` without the n-grams that matter least: leaving out one of them by itself
    raises perplexity by less than `threshold`, relatively."""
    levels, backings = _survey(model)
    worths = _worths(levels, backings, model.tokenizer.boundary_id)
    return _without(model, levels, backings, [worth_M >= threshold for worth_M in worths])


def to_size(model: NgramModel, ngrams: int) -> tuple[NgramModel, float]:
    """Return `model` pruned by entropy to at most `ngrams` of all orders, and the threshold for
    that. Unigrams stay. UsageError: so few n-grams would leave words without probability."""
    levels, backings = _survey(model)
    worths = _worths(levels, backings, model.tokenizer.boundary_id)
    surplus = sum(map(len, levels)) - max(ngrams, len(levels[0]))
    if surplus <= 0:
        return model, 0.0
    cheapest = np.partition(np.concatenate(worths), surplus - 1)[surplus - 1]
    if np.isinf(cheapest):
        raise UsageError(
            f"the model cannot be pruned to {plural(ngrams, 'n-gram')}",
            "with fewer, words that follow a context would have probability zero",
            "ask for more n-grams",
        )
    threshold = float(np.nextafter(cheapest, np.inf))
    kept = [worth_M >= threshold for worth_M in worths]
    return _without(model, levels, backings, kept), threshold


def by_order(model: NgramModel, order: int) -> NgramModel:
    """Return the lowest orders of `model` up to `order`."""
    return _new_model(model, list(model.levels())[:order], model.tokenizer)


def by_vocabulary(model: NgramModel, kept_V: np.ndarray, tokenizer: Tokenizer) -> NgramModel:
    """Return `model` for the words of `kept_V` alone, which `tokenizer` numbers in the same order.
    The unigram probability of the other words goes to `<unk>`."""
    levels, backings = _survey(model)
    kept = [np.append(kept_V, True)]  # <s> stays
    for level in levels[1:]:
        kept.append(kept[-1][level.contexts_M] & kept[0][level.words_M])
    selected = _select(levels, kept)
    lost = levels[0].logprob_M[:-1][~kept_V].astype(np.float64)
    logprob_M = selected[0].logprob_M
    logprob_M[tokenizer.unk_id] = np.logaddexp.reduce(lost, initial=logprob_M[tokenizer.unk_id])
    return _reweighted_model(model, selected, _backoff_masses(levels, backings, kept), tokenizer)


def _without(
    model: NgramModel,
    levels: Sequence[BackoffLevel],
    backings: Sequence[Backing],
    wanted: Sequence[np.ndarray],
) -> NgramModel:
    """Return `model` with its unigrams and, of the orders above, the n-grams that `wanted` marks.
    Where it marks an n-gram, it marks all its prefixes."""
    kept = [np.ones(len(levels[0]), dtype=bool), *wanted]
    masses = _backoff_masses(levels, backings, kept)
    return _reweighted_model(model, _select(levels, kept), masses, model.tokenizer)


def _reweighted_model(
    model: NgramModel,
    levels: list[BackoffLevel],
    masses: Sequence[np.ndarray],
    tokenizer: Tokenizer,
) -> NgramModel:
    """Make a model of the n-grams that are left of `model`, with the backoff weights for `masses`
    (:func:`_backoff_masses`). Stupid backoff keeps its weights."""
    # Where a model sums to one, no weight below an empty order matters.
    is_empty = [not len(level) for level in levels]
    if any(is_empty):
        levels = levels[: is_empty.index(True) + (not model.normalised)]
    if not model.unseen_context_logprob:
        _reweight(levels, masses, tokenizer.size)
    return _new_model(model, levels, tokenizer)


def _new_model(
    model: NgramModel, levels: Sequence[BackoffLevel], tokenizer: Tokenizer
) -> NgramModel:
    """Make a model of these n-grams, of the same type as `model`."""
    return NgramModel.from_levels(levels, tokenizer, model.normalised, model.unseen_context_logprob)


def _survey(model: NgramModel) -> tuple[list[BackoffLevel], list[Backing]]:
    """Return the orders of a model, and the backing of each from the bigrams on."""
    check_tables(model)
    unigrams, *longer = model.levels()
    stack = _Stack(unigrams, model.size)
    return [unigrams, *longer], [stack.add_order(level) for level in longer]


def largest_sum_error(model: NgramModel) -> float:
    """Return by how much the probabilities after any context of `model` differ from one in sum, at
    most."""
    levels, backings = _survey(model)
    errors = [abs(float(exp64(levels[0].logprob_M[:-1]).sum()) - 1)]
    for contexts, backing in zip(levels, backings, strict=False):
        errors.append(_sum_error(contexts, backing))
    return max(errors)


def _sum_error(contexts: BackoffLevel, backing: Backing) -> float:
    sums_H = backing.seen_H + exp64(contexts.logbackoff_M) * backing.unseen_H
    return float(np.abs(sums_H - 1).max(initial=0.0))


class _Stack(LinkedOrders):
    """The orders of a model, added from below; the weights of an order may still be set when the
    next one is added."""

    def __init__(self, unigrams: BackoffLevel, size: int) -> None:
        super().__init__(size)
        self.add(unigrams)
        self.orders[0].sums_M2[0, 0] = exp64(unigrams.logprob_M[:size]).sum()
        self.top: Backing | None = None

    def add_order(self, level: BackoffLevel) -> Backing:
        """Add the next order; return its backing: the probabilities that the orders below give to
        it."""
        # The weights of the order before last are known now, and so are its sums.
        contexts, contexts_M = self.orders[-1], level.contexts_M
        if self.top is not None:
            last = self.orders[-2]
            last.sums_M2[:, 0] = self.top.seen_H
            last.sums_M2[:, 1] = exp64(last.logbackoff_MJ[:, 0]) * self.top.unseen_H

        seen_H = np.bincount(contexts_M, exp64(level.logprob_M), minlength=len(contexts))
        seen_H = seen_H.astype(np.float64, copy=False)  # of an empty order they are integers
        lower = self.lower(contexts_M, level.words_M)
        unseen_H = self.unseen(level.keys_M, contexts_M, lower, slice(0, len(contexts)))
        self.add(level, lower)
        self.top = Backing(lower.logprob_RJ[:, 0], seen_H, unseen_H)
        return self.top


def _worths(
    levels: Sequence[BackoffLevel], backings: Sequence[Backing], boundary_id: int
) -> list[np.ndarray]:
    """Return by how much, relatively, perplexity rises without each n-gram, or without the most
    valuable of those that it begins."""
    worths = _perplexity_increases(levels, backings, boundary_id)
    for n in range(len(levels) - 1, 1, -1):
        np.maximum.at(worths[n - 2], levels[n].contexts_M, worths[n - 1])
    return worths


def _perplexity_increases(
    levels: Sequence[BackoffLevel], backings: Sequence[Backing], boundary_id: int
) -> list[np.ndarray]:
    """Return exp(D(p||p')) - 1 where p' lacks one n-gram, for the n-grams of each order from 2 on
    (Stolcke 1998, eq. 3 to 6).

    D = -P(h) { p(w|h) [log p(w|h') + log a'(h) - log p(w|h)] + left(h) [log a'(h) - log a(h)] }
    with backoff weights a, and left(h) = a(h) unseen(h), the probability that h leaves to words
    unseen after it. P(h) is by the chain rule, in which `<s>` is as likely as `</s>`.
    """
    loghistory_H = levels[0].logprob_M.astype(np.float64)
    loghistory_H[-1] = loghistory_H[boundary_id]
    increases = []
    for contexts, level, backing in zip(levels, levels[1:], backings, strict=False):
        logprob_M, of_M = level.logprob_M.astype(np.float64), level.contexts_M
        prob_M = np.exp(logprob_M)
        left_H = exp64(contexts.logbackoff_M) * backing.unseen_H
        with np.errstate(divide="ignore", invalid="ignore"):
            # a'(h): the probability left with p(w|h), over the unseen probability with p(w|h').
            left_without_M = left_H[of_M] + prob_M
            unseen_without_M = backing.unseen_H[of_M] + np.exp(backing.lower_M)
            logweight_M = np.log(left_without_M) - np.log(unseen_without_M)
            of_ngram_M = _times(prob_M, backing.lower_M + logweight_M - logprob_M)
            of_others_M = _times(left_H[of_M], logweight_M - contexts.logbackoff_M[of_M])
            divergence_M = -_times(np.exp(loghistory_H[of_M]), of_ngram_M + of_others_M)
        # Nothing below would take the word's place.
        divergence_M[np.isneginf(backing.lower_M)] = np.inf
        increases.append(np.expm1(np.maximum(divergence_M, 0)))
        loghistory_H = loghistory_H[of_M] + logprob_M
    return increases


def _backoff_masses(
    levels: Sequence[BackoffLevel], backings: Sequence[Backing], kept: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Return for each order from the bigrams on the probability that the contexts kept leave to
    words that are not, or no longer, seen after them."""
    masses = []
    for n, backing in enumerate(backings):
        contexts, level, removed_M = levels[n], levels[n + 1], ~kept[n + 1]
        removed_prob = exp64(level.logprob_M[removed_M])
        removed_H = np.bincount(level.contexts_M[removed_M], removed_prob, minlength=len(contexts))
        mass_H = exp64(contexts.logbackoff_M) * backing.unseen_H + removed_H
        masses.append(mass_H[kept[n]])
    return masses


def _select(levels: Sequence[BackoffLevel], kept: Sequence[np.ndarray]) -> list[BackoffLevel]:
    """Return the n-grams kept, renumbered, as copies."""
    words = np.cumsum(kept[0]) - 1
    size = int(words[-1])  # <s> is the last
    selected = []
    numbers = np.zeros(1, dtype=np.int64)  # of the contexts
    for level, kept_M in zip(levels, kept, strict=True):
        keys_M = make_keys(numbers[level.contexts_M[kept_M]], words[level.words_M[kept_M]], size)
        selected.append(BackoffLevel(size, keys_M, level.values_MK[kept_M]))
        numbers = np.cumsum(kept_M) - 1
    return selected


def _reweight(levels: Sequence[BackoffLevel], masses: Sequence[np.ndarray], size: int) -> None:
    """Set the backoff weights so that the unseen words after each context share its mass."""
    stack = _Stack(levels[0], size)
    for contexts, level, mass_H in zip(levels, levels[1:], masses, strict=False):
        backing = stack.add_order(level)
        with np.errstate(divide="ignore", invalid="ignore"):
            # After h, an unseen word has weight(h) p(w|h'), and all of them together the mass.
            weight_H = mass_H / backing.unseen_H

            # In a normalised model the weight is exactly 1 where no word is seen. Sums of float32
            # are rounded, and would put a number next to 1 into the model's file.
            weight_H[(backing.seen_H == 0) & (np.abs(weight_H - 1) < ROUNDING)] = 1.0

            # A context after which every word is seen has no unseen ones to give its mass to: its
            # seen words share it, each in proportion to its probability.
            is_full_H = backing.unseen_H == 0
            is_scaled_H = is_full_H & (backing.seen_H > 0)
            scale_H = np.where(is_scaled_H, 1 + mass_H / backing.seen_H, 1.0)
            contexts.logbackoff_M[~is_full_H] = np.log(weight_H[~is_full_H])
        level.logprob_M[:] += np.log(scale_H)[level.contexts_M]

        # The stack adds up the totals of the next order from these sums.
        backing.seen_H[:] *= scale_H


# ---- Quantise: probabilities first, then the backoff weights that fit these, order by order.

LEAST_LEFT = 0.1  # of a context's mass for unseen words, however much more the seen words take


def quantised(model: NgramModel) -> NgramModel:
    """Return `model` with an 8-bit code for each value of its n-grams above the unigrams
    (:mod:`rnnlm.lm.ngram.compact`). The probabilities after a context add up to the sum of before,
    but for what rounding its backoff weight leaves. Where that is more than `SUM_ERROR`, the model
    is no longer normalised."""
    check_memory("quantising", QUANTISING, sum(map(len, model.values)))
    levels, backings = _survey(model)
    rounded = [replace(level, values_MK=level.values_MK.copy()) for level in levels]
    for level in rounded[1:]:
        level.logprob_M[:] = coded(level.values_MK[:, :1])[:, 0]

    # What seen words have gained or lost is taken from unseen ones, or given to them.
    stack = _Stack(rounded[0], model.size)
    sum_error = 0.0
    for contexts, level, before in zip(rounded, rounded[1:], backings, strict=False):
        backing = stack.add_order(level)
        if not model.unseen_context_logprob:
            contexts.logbackoff_M[:] += _correction(before, backing, contexts.logbackoff_M)
        if contexts is not rounded[0]:
            contexts.logbackoff_M[:] = coded(contexts.values_MK[:, 1:])[:, 0]
        sum_error = max(sum_error, _sum_error(contexts, backing))

    # The rounded values are the values of the codebooks.
    keys = [CompactKeys.of(level.keys_M) for level in rounded[1:]]
    values = [coded(level.values_MK) for level in rounded[1:]]
    return NgramModel(
        keys=keys,
        values=[rounded[0].values_MK, *values],
        tokenizer=model.tokenizer,
        normalised=model.normalised and sum_error <= SUM_ERROR,
        unseen_context_logprob=model.unseen_context_logprob,
    )


def _correction(before: Backing, after: Backing, logbackoff_H: np.ndarray) -> np.ndarray:
    """Return what to add to the log backoff weight of each context so that all sums stay as they
    were; 0 where unseen words had no probability, or have none."""
    mass_H = exp64(logbackoff_H) * before.unseen_H
    with np.errstate(divide="ignore", invalid="ignore"):
        share_H = np.maximum(1 + (before.seen_H - after.seen_H) / mass_H, LEAST_LEFT)
        correction_H = np.log(share_H) + np.log(before.unseen_H) - np.log(after.unseen_H)
    return np.where(np.isfinite(correction_H), correction_H, 0.0)


def _times(probability_M: np.ndarray, logarithms_M: np.ndarray) -> np.ndarray:
    """Return their product, where 0 times anything is 0."""
    return np.where(probability_M == 0, 0.0, probability_M * logarithms_M)

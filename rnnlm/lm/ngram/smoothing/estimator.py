"""The classical estimators: what they have in common.

An estimator looks at one order at a time. Of the probability mass of a context h, it gives a share
to each word seen after h, and leaves the rest to the lower order, whose context h' lacks the first
word of h:

    interpolated:   p(w|h) = share(w|h) + left(h) p(w|h')
    backing off:    p(w|h) = share(w|h) where hw was seen, else bow(h) p(w|h'),
        bow(h) such that all sums to one

Below the unigrams lies the uniform distribution 1/V. What pruning takes away from the shares goes
to left(h), unless the estimator does not sum to one.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from rnnlm.errors import NoticeCollector
from rnnlm.lm.ngram.counting.count_trie import NgramCounts
from rnnlm.lm.ngram.settings import NgramSettings

Join = Literal["interpolate", "back off", "fixed weight"]


@dataclass(frozen=True)
class CountsOfCounts:
    """The counts of counts of one order: `tally_R` n-grams have the count `counts_R`, ascending,
    above 0. watched: the count of the n-gram that was watched in counting, and its raw count; None:
    there is none."""

    counts_R: np.ndarray
    tally_R: np.ndarray
    watched: tuple[int, int] | None = None

    def first(self, largest: int) -> np.ndarray:
        """Return t_0 (always 0) to t_largest."""
        small_R = self.counts_R <= largest
        counts, tally = self.counts_R[small_R], self.tally_R[small_R]
        return np.bincount(counts, tally, minlength=largest + 1).astype(np.int64)


@dataclass(frozen=True)
class OrderCounts:
    """The counts that an estimator sees of order n: M n-grams after H contexts, which may be a part
    of all there are.

    counts_M: raw or adjusted counts, as the estimator asked for; 0 for what is never predicted or
    was never seen. contexts_M: the context of each n-gram, 0 <= context < H; the first
    of them is number `first_context` of all.
    """

    order: int
    counts_M: np.ndarray
    contexts_M: np.ndarray
    contexts: int
    first_context: int = 0

    def per_context(self, values_M: np.ndarray) -> np.ndarray:
        """Return sums over the words after each context, float64, shape (H,)."""
        return np.bincount(self.contexts_M, weights=values_M, minlength=self.contexts)

    def totals(self) -> np.ndarray:
        """Return c(h), the sum of the counts after each context; 1 where nothing follows, so that
        it divides. Shape (H,)."""
        return np.maximum(self.per_context(self.counts_M), 1)


@dataclass(frozen=True)
class Shares:
    """seen_M: share of each n-gram. left_H: what each context leaves to the lower order.
    float64."""

    seen_M: np.ndarray
    left_H: np.ndarray


@dataclass(frozen=True)
class HeldoutCounts:
    """Raw training counts of T held-out tokens: ngrams_NT[n - 1] how often the n-gram that ends at
    the token was seen in training, contexts_NT[n - 1] how often its first n-1 words were, a word
    following (0: never, or reaching back too far). longest_T: the order of the longest n-gram that
    ends at the token and begins in its line, `<s>` included."""

    ngrams_NT: np.ndarray
    contexts_NT: np.ndarray
    size: int
    longest_T: np.ndarray


class Estimator:
    """An estimator, made for the counts of the whole training text. The attributes say what holds
    for most.

    counts: what shares are made of. joins: how it goes with the lower order; the first is the
    default. "fixed weight": the lower order is multiplied by a constant, so the sum over all words
    may differ from one. normalised: probabilities sum to one after every context;
    normalised_if_pruned: also where n-grams were left out by their counts.
    unseen_context_logprob: what giving up a context that was never seen costs (nats). tuned: what
    is tuned on held-out text, with a verb, and instead_of_valid: what to add where there is none,
    both for messages.
    """

    counts: Literal["raw", "adjusted"] = "raw"
    joins: tuple[Join, ...] = ("interpolate",)
    normalised = normalised_if_pruned = True
    unseen_context_logprob = 0.0
    tuned: ClassVar[str] = ""
    instead_of_valid: ClassVar[str] = '`holdout="5%"`'

    def __init__(
        self, settings: NgramSettings, counts: NgramCounts, heldout: HeldoutCounts | None = None
    ) -> None:
        self.settings = settings
        self.join: Join = self.joins[0]
        if settings.interpolate is not None:
            self.join = join_named(settings)
        self.estimated: dict[str, Any] = {}
        self.notices = NoticeCollector()  # of all orders

    @classmethod
    def needs_heldout(cls, settings: NgramSettings) -> bool:
        """Return whether held-out text is needed, to tune something on."""
        return bool(cls.tuned)

    def begin_order(self, order: int, tally: CountsOfCounts) -> None:
        """Estimate what all n-grams of an order have in common, such as discounts; called before
        their shares are asked for. Most estimators look at each context alone."""

    def shares(self, seen: OrderCounts) -> Shares:
        """Return the shares after some of the contexts of the order begun last."""
        raise NotImplementedError

    def report(self) -> dict[str, Any]:
        """Return what was estimated, to be shown: discounts, weights."""
        return self.estimated


def join_named(settings: NgramSettings) -> Join:
    """Return how the settings ask that the lower order is used."""
    return "interpolate" if settings.interpolate else "back off"

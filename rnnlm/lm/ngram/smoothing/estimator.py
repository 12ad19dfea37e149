"""The common parts of the classical estimators.

An estimator looks at one order at a time. Of the probability mass of a context h, it gives a share
to each word seen after h, and leaves the rest to the lower order, whose context h' lacks the first
word of h:

    interpolated:   p(w|h) = share(w|h) + left(h) p(w|h')
    backing off:    p(w|h) = share(w|h) where hw was seen, else bow(h) p(w|h'),
        bow(h) such that all sums to one

Below the unigrams lies the uniform distribution 1/V. The shares that pruning takes away go to
left(h), unless the estimator does not sum to one.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from rnnlm.errors import NoticeCollector, keyword
from rnnlm.lm.ngram.counting.count_trie import NgramCounts
from rnnlm.lm.ngram.settings import NgramSettings

Join = Literal["interpolate", "back off", "fixed weight"]


@dataclass(frozen=True)
class CountsOfCounts:
    """The counts of counts of one order.

    Attributes:
        counts_R: The R different counts, ascending, above 0.
        tally_R: Number of n-grams with each count.
        watched: Count and raw count of the n-gram that was watched in counting; None if there is
            none.
    """

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
    """The counts of order n that an estimator sees: M n-grams after H contexts, which may be a part
    of all there are.

    Attributes:
        order: The order, n.
        counts_M: Raw or adjusted counts, as the estimator requested; 0 for n-grams that are never
            predicted or were never seen.
        contexts_M: Context of each n-gram, 0 <= context < H.
        contexts: Number of contexts, H.
        first_context: Number of the first of these contexts among all.
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
    """How probability is divided after H contexts. All numbers are float64.

    Attributes:
        seen_M: Share of each n-gram, (M,).
        left_H: Share that each context leaves to the lower order, (H,).
    """

    seen_M: np.ndarray
    left_H: np.ndarray


@dataclass(frozen=True)
class HeldoutCounts:
    """Raw training counts of the n-grams that end at T held-out tokens, for N orders.

    Attributes:
        ngrams_NT: `ngrams_NT[n - 1]`: how often the n-gram that ends at the token was seen in
            training.
        contexts_NT: `contexts_NT[n - 1]`: how often its first n - 1 words were seen, followed by a
            word (0: never, or reaching back too far).
        size: V, the number of words.
        longest_T: Order of the longest n-gram that ends at the token and begins in its line, `<s>`
            included.
    """

    ngrams_NT: np.ndarray
    contexts_NT: np.ndarray
    size: int
    longest_T: np.ndarray


class Estimator:
    """An estimator, made for the counts of the whole training text. Subclasses override the
    attributes that differ.

    Args:
        settings: Settings of the model.
        counts: Counts of the training text.
        heldout: Counts of the held-out text, if something is tuned on it.

    Attributes:
        counts: Which counts shares are made of: "raw" or "adjusted".
        joins: How it combines with the lower order; the first is the default. "fixed weight": the
            lower order is multiplied by a constant, so the sum over all words may differ from one.
        normalised: Whether probabilities sum to one after every context.
        normalised_if_pruned: The same for models whose n-grams are pruned by their counts.
        unseen_context_logprob: Log of the factor, in nats, for giving up a context that was never
            seen.
        tuned: For messages, the settings that are tuned on held-out text, with a verb.
        instead_of_valid: For messages, the setting to add if there is no held-out text.
    """

    counts: Literal["raw", "adjusted"] = "raw"
    joins: tuple[Join, ...] = ("interpolate",)
    normalised = normalised_if_pruned = True
    unseen_context_logprob = 0.0
    tuned: ClassVar[str] = ""
    instead_of_valid: ClassVar[str] = keyword("holdout", "5%")

    def __init__(
        self, settings: NgramSettings, counts: NgramCounts, heldout: HeldoutCounts | None = None
    ) -> None:
        self.settings = settings
        is_default = settings.interpolate is None
        self.join: Join = self.joins[0] if is_default else join_named(settings)
        self.estimated: dict[str, Any] = {}
        self.notices = NoticeCollector()  # of all orders

    @classmethod
    def needs_heldout(cls, settings: NgramSettings) -> bool:
        """Return whether held-out text is needed, to tune something on.

        Args:
            settings: Settings of the model.
        """
        return bool(cls.tuned)

    def begin_order(self, order: int, tally: CountsOfCounts) -> None:
        """Estimate the values that all n-grams of an order share, such as discounts, before their
        shares are requested. Most estimators look at each context alone.

        Args:
            order: The order.
            tally: Its counts of counts.
        """

    def shares(self, seen: OrderCounts) -> Shares:
        """Return the shares after some of the contexts of the order begun last.

        Args:
            seen: Counts of these contexts.
        """
        raise NotImplementedError

    def report(self) -> dict[str, Any]:
        """Return the estimates to show, such as discounts and weights, by name."""
        return self.estimated


def join_named(settings: NgramSettings) -> Join:
    """Return how the settings ask that the lower order is used."""
    return "interpolate" if settings.interpolate else "back off"

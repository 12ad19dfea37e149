"""p(w|h) of every n-gram estimator, transcribed from the formulas with dictionaries and exact
fractions: slow and plain.

Sentences are padded with one `<s>` (BEGIN) and one `</s>` (word 0); the words are 0 to V - 1. c(hw)
counts how often hw occurs, c(h) is the sum over w of c(hw). n-grams that occur at most `prune[n -
1]` times are left out: they have no share, what they would have had goes to the lower order.
Papers: see each class.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction
from functools import cache

BEGIN, END = "<s>", 0
Gram = tuple


def raw_counts(sentences: Sequence[Sequence[int]], order: int) -> Counter:
    """Count how often each n-gram occurs, for n up to `order`."""
    counts = Counter()
    for sentence in sentences:
        padded = (BEGIN, *sentence, END)
        for n in range(1, order + 1):
            counts.update(padded[start : start + n] for start in range(len(padded) - n + 1))
    return counts


def adjusted_counts(raw: Counter, order: int) -> dict[Gram, int]:
    """Adjust counts as in Heafield et al. 2013, section 2."""
    lefts = defaultdict(set)
    for gram in raw:
        lefts[gram[1:]].add(gram[0])
    return {
        gram: raw[gram] if len(gram) == order or gram[0] == BEGIN else len(lefts[gram])
        for gram in raw
    }


class Formula:
    """What the estimators share: counts, pruning, and p(w|h) by recursion to shorter h."""

    def __init__(
        self, sentences: Sequence[Sequence[int]], size: int, order: int, prune: Sequence[int] = ()
    ) -> None:
        self.size, self.order = size, order
        self.raw = raw_counts(sentences, order)
        self.counts = {
            gram: count for gram, count in self.counts_used().items() if gram != (BEGIN,)
        }
        limits = [0, *prune[1:], *[prune[-1]] * order] if prune else [0] * order
        self.kept = {gram for gram in self.counts if self.raw[gram] > limits[len(gram) - 1]}
        self.after = defaultdict(dict)
        for gram, count in self.counts.items():
            self.after[gram[:-1]][gram[-1]] = count
        self.p_of = cache(self.recursion)

    def counts_used(self) -> dict[Gram, int]:
        return self.raw

    def p(self, word: int, context: Gram = ()):
        return self.p_of(word, context[max(0, len(context) - self.order + 1) :])

    def lower(self, word: int, context: Gram):
        return self.p_of(word, context[1:]) if context else Fraction(1, self.size)

    def kept_after(self, context: Gram) -> list[int]:
        return [word for word in self.after.get(context, ()) if (*context, word) in self.kept]

    def total(self, context: Gram) -> int:
        return sum(self.after[context].values())

    def tally(self, n: int) -> Counter:
        """Return how many n-grams of order n have each count."""
        return Counter(count for gram, count in self.counts.items() if len(gram) == n)

    def share(self, word: int, context: Gram):
        raise NotImplementedError

    def recursion(self, word: int, context: Gram):
        raise NotImplementedError


class Interpolated(Formula):
    """p(w|h) = share(w|h) + (1 - all shares) p(w|h')."""

    def recursion(self, word: int, context: Gram):
        kept = self.kept_after(context)
        share = self.share(word, context) if word in kept else 0
        return share + (1 - sum(self.share(each, context) for each in kept)) * self.lower(
            word, context
        )


class BackingOff(Formula):
    """p(w|h) = share(w|h), or what the shares leave, split as p(w|h') among the words without a
    share (Katz 1987)."""

    def recursion(self, word: int, context: Gram):
        shares = {each: self.share(each, context) for each in self.kept_after(context)}
        shares = {each: share for each, share in shares.items() if share > 0}
        unseen = [each for each in range(self.size) if each not in shares]
        if not unseen:
            return shares[word] / sum(shares.values())
        if word in shares:
            return shares[word]
        return (
            (1 - sum(shares.values()))
            * self.lower(word, context)
            / sum(self.lower(each, context) for each in unseen)
        )


class MaximumLikelihood(Formula):
    def share(self, word, context):
        return Fraction(self.after[context][word], self.total(context))

    def recursion(self, word, context):
        kept = self.kept_after(context)
        if word in kept:
            return self.share(word, context)
        return 0 if kept else self.lower(word, context)


class StupidBackoff(MaximumLikelihood):
    """Brants et al. 2007, eq. 5."""

    factor = Fraction(2, 5)

    def recursion(self, word, context):
        if word in self.kept_after(context):
            return self.share(word, context)
        return self.factor * self.lower(word, context)


class Additive(Interpolated):
    """Lidstone 1920; MacKay & Peto 1995."""

    k = Fraction(1, 2)

    def share(self, word, context):
        return self.after[context][word] / (self.total(context) + self.k * self.size)


class UniformAdditive(Additive):
    """k for every word after every context, of which the longest that the line allows is taken."""

    def lower(self, word, context):
        return Fraction(1, self.size)

    def recursion(self, word, context):
        is_shortened = len(context) < self.order - 1 and context[:1] != (BEGIN,)
        return self.lower(word, context) if is_shortened else super().recursion(word, context)


class WittenBell(Interpolated):
    """Witten & Bell 1991, method C."""

    def share(self, word, context):
        return Fraction(self.after[context][word], self.total(context) + len(self.after[context]))


class Absolute(Interpolated):
    """Ney, Essen & Kneser 1994."""

    def discount(self, n: int) -> Fraction:
        t = self.tally(n)
        return Fraction(t[1], t[1] + 2 * t[2]) if t[1] and t[2] else Fraction(1, 2)

    def share(self, word, context):
        return (self.after[context][word] - self.discount(len(context) + 1)) / self.total(context)


class AbsoluteBackingOff(BackingOff, Absolute):
    pass


class KneserNey(Absolute):
    """Kneser & Ney 1995."""

    def counts_used(self):
        return adjusted_counts(self.raw, self.order)


class KneserNeyBackingOff(BackingOff, KneserNey):
    pass


class ModifiedKneserNey(KneserNey):
    """Chen & Goodman 1999, section 3; discounts of 1/2, 1, 3/2 where a t_j is 0 or a discount is
    not in (0, j]."""

    def discounts(self, n: int) -> list[Fraction]:
        t = self.tally(n)
        if t[1] and t[2] and t[3]:
            y = Fraction(t[1], t[1] + 2 * t[2])
            discounts = [j - (j + 1) * y * Fraction(t[j + 1], t[j]) for j in (1, 2, 3)]
            if all(0 < discount <= j for j, discount in enumerate(discounts, 1)):
                return [Fraction(0), *discounts]
        return [Fraction(0), Fraction(1, 2), Fraction(1), Fraction(3, 2)]

    def share(self, word, context):
        count = self.after[context][word]
        return (count - self.discounts(len(context) + 1)[min(count, 3)]) / self.total(context)


class ModifiedKneserNeyBackingOff(BackingOff, ModifiedKneserNey):
    pass


class Katz(BackingOff, Absolute):
    """Katz 1987 with Good-Turing counts; smoothed ones alone, then absolute discounting, where r*
    is not in (0, r)."""

    @cache  # noqa: B019 (it lives as long as its test)
    def worth(self, n: int) -> dict[int, float]:
        t = self.tally(n)
        if len(t) > 1:
            for significant in (1.65, math.inf):
                worth = good_turing(t, significant)
                if all(0 < worth[r] < r - 1e-6 for r in t):
                    return worth
        return {r: float(r - self.discount(n)) for r in t}

    def share(self, word, context):
        return self.worth(len(context) + 1)[self.after[context][word]] / self.total(context)


def good_turing(t: Counter, significant: float) -> dict[int, float]:
    """Return r* by Gale & Sampson 1995."""
    counts = sorted(t)
    points = []
    for i, r in enumerate(counts):
        q = counts[i - 1] if i else 0
        s = counts[i + 1] if i + 1 < len(counts) else 2 * r - q
        points.append((math.log(r), math.log(t[r] / (0.5 * (s - q)))))
    x_mean, y_mean = (sum(values) / len(points) for values in zip(*points, strict=True))
    b = sum((x - x_mean) * (y - y_mean) for x, y in points) / sum(
        (x - x_mean) ** 2 for x, _ in points
    )
    worth, switched = {}, False
    for r in counts:
        line = (r + 1) * math.exp(b * (math.log(r + 1) - math.log(r)))
        turing = (r + 1) * t[r + 1] / t[r]
        deviation = math.sqrt((r + 1) ** 2 * t[r + 1] / t[r] ** 2 * (1 + t[r + 1] / t[r]))
        switched = switched or not t[r + 1] or abs(turing - line) <= significant * deviation
        worth[r] = line if switched else turing
    return worth


class JelinekMercer(Interpolated):
    """Jelinek & Mercer 1980; weights[n, bucket] by EM on held-out sentences, a bucket for each
    number of bits of c(h)."""

    def __init__(self, sentences, size, order, prune=(), heldout=(), smallest_change=1e-4):
        super().__init__(sentences, size, order, prune)
        self.weights = defaultdict(lambda: 0.5)
        for _ in range(500):
            came, drawn = self.expected(heldout)
            new = {place: (drawn[place] + 0.5) / (came[place] + 1) for place in came}
            change = max(abs(new[place] - self.weights[place]) for place in new)
            self.weights.update(new)
            if change < smallest_change:
                break

    def expected(self, heldout) -> tuple[dict, dict]:
        """Return how many held-out words came to each (order, bucket), and how many of them were
        drawn there, by a mixture of orders."""
        came, drawn = defaultdict(float), defaultdict(float)
        for sentence in heldout:
            padded = (BEGIN, *sentence, END)
            for at in range(1, len(padded)):
                # How much of the word's probability each order gives, the highest one first.
                places, parts, remaining = [], [], 1.0
                for n in range(min(self.order, at + 1), 0, -1):
                    context = padded[at - n + 1 : at]
                    if context in self.after:
                        place = self.place(context)
                        found = self.after[context].get(padded[at], 0) / self.total(context)
                        places.append(place)
                        parts.append(remaining * self.weights[place] * found)
                        remaining *= 1 - self.weights[place]
                # The word came to an order unless a higher one had drawn it.
                probability = sum(parts) + remaining / self.size
                for i, place in enumerate(places):
                    came[place] += 1 - sum(parts[:i]) / probability
                    drawn[place] += parts[i] / probability
        return came, drawn

    def place(self, context: Gram) -> tuple[int, int]:
        return len(context) + 1, self.total(context).bit_length()

    def weight(self, context: Gram) -> float:
        """Return the weight of the bucket, or interpolate between its neighbours if no held-out
        word fell into it."""
        n, bucket = self.place(context)
        known = sorted(each for order, each in self.weights if order == n)
        if not known:
            return 0.5
        # The nearest buckets on either side, or the nearest one.
        low = max((each for each in known if each <= bucket), default=known[0])
        high = min((each for each in known if each >= bucket), default=known[-1])
        part = 0 if high == low else (bucket - low) / (high - low)
        return self.weights[n, low] * (1 - part) + self.weights[n, high] * part

    def share(self, word, context):
        return self.weight(context) * self.after[context][word] / self.total(context)


class OneWeightAnOrder(Interpolated):
    """Jelinek & Mercer 1980 with the weights n / (1 + ... + N) after every context; at the start of
    a line, those of longer contexts are added. The weights of unseen contexts go to lower
    orders."""

    def weight(self, context: Gram) -> Fraction:
        weights = [Fraction(n, sum(range(self.order + 1))) for n in range(1, self.order + 1)]
        n = len(context)
        return sum(weights[n:]) if context[:1] == (BEGIN,) else weights[n]

    def share(self, word, context):
        below = sum(range(len(context) + 1)) / Fraction(sum(range(self.order + 1)))
        weight = self.weight(context)
        return weight / (weight + below) * Fraction(self.after[context][word], self.total(context))


class OneWeightAnOrderOrZero(OneWeightAnOrder):
    """Unseen contexts add nothing."""

    def share(self, word, context):
        return self.weight(context) * Fraction(self.after[context][word], self.total(context))

    def recursion(self, word, context):
        share = self.share(word, context) if word in self.kept_after(context) else 0
        return share + (self.lower(word, context) if context else 0)

"""Minimal pairs: two sentences of which a good model finds one likelier; accuracy by kind."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rnnlm.interface import LanguageModel
from rnnlm.scoring import SentenceScore, score_lines

TIE_NATS = 1e-4  # a sentence's score may vary by that much with the batch it is in


@dataclass(frozen=True)
class Pair:
    """Two sentences of which `good` should be the likelier."""

    kind: str
    good: str
    bad: str


@dataclass(frozen=True)
class PairScore:
    """A pair scored. point: 1 right, 0.5 tie (within TIE_NATS), 0 wrong."""

    pair: Pair
    good: SentenceScore
    bad: SentenceScore
    point: float

    @property
    def has_oov(self) -> bool:
        return bool(self.good.oov or self.bad.oov)


@dataclass(frozen=True)
class PairAccuracy:
    """Accuracy (0 to 1) over the pairs of one kind; `known`: those in which no word is unknown."""

    kind: str
    pairs: int
    accuracy: float
    known_pairs: int
    known_accuracy: float | None


def score_pairs(model: LanguageModel, pairs: Sequence[Pair], special_symbols: str = "error") -> list[PairScore]:
    """Score both sentences of each pair."""
    scores = score_lines(model, (text for pair in pairs for text in (pair.good, pair.bad)), special_symbols=special_symbols)
    return [_pair_score(pair, next(scores), next(scores)) for pair in pairs]


def _pair_score(pair: Pair, good: SentenceScore, bad: SentenceScore) -> PairScore:
    good_nats = -math.inf if good.logprob_nats is None else good.logprob_nats
    bad_nats = -math.inf if bad.logprob_nats is None else bad.logprob_nats
    tie = good_nats == bad_nats or abs(good_nats - bad_nats) <= TIE_NATS
    point = 0.5 if tie else float(good_nats > bad_nats)
    return PairScore(pair, good, bad, point)


def pair_accuracies(scores: Sequence[PairScore]) -> list[PairAccuracy]:
    """Accuracy by kind, in order of appearance, and over all as kind "all" where there are several."""
    kinds = list(dict.fromkeys(score.pair.kind for score in scores))
    groups = [(kind, [score for score in scores if score.pair.kind == kind]) for kind in kinds]
    if len(kinds) > 1:
        groups.append(("all", list(scores)))
    return [_accuracy(kind, group) for kind, group in groups]


def _accuracy(kind: str, scores: list[PairScore]) -> PairAccuracy:
    known = [score.point for score in scores if not score.has_oov]
    points = [score.point for score in scores]
    return PairAccuracy(
        kind, len(points), sum(points) / len(points), len(known), sum(known) / len(known) if known else None
    )

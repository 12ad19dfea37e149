"""A set of pairs or of suites, as files hold them, and its scoring."""

from collections.abc import Sequence
from dataclasses import dataclass

from rnnlm.errors import TextError, UsageError, notice
from rnnlm.interface import LanguageModel
from rnnlm.scoring.pairs.pair import Pair
from rnnlm.scoring.pairs.scoring import PairScore, score_pairs
from rnnlm.scoring.pairs.suites import PredictionScore, Suite, score_suite


@dataclass(frozen=True)
class TestSet:
    """What files of pairs hold: pairs, or suites of predictions. format: what they are, in words."""

    __test__ = False  # no class of tests, whatever pytest takes its name for

    format: str
    pairs: tuple[Pair, ...] = ()
    suites: tuple[Suite, ...] = ()


def score_set(
    model: LanguageModel, test_set: TestSet, special_symbols: str = "error", scoring: str | None = None
) -> list[PairScore | PredictionScore]:
    """Score all of a set: see :func:`rnnlm.score_pairs`; of suites the predictions say what is compared. What cannot be scored, and
    pairs of one and the same sentence, are told in a notice.

    Raises:
        UsageError: there is no such scoring, or one is asked for where there are suites. TextError: nothing could be scored.
        ModelError: the model's scores are not numbers.
    """
    scores: list[PairScore | PredictionScore] = []
    if test_set.suites and scoring:
        raise UsageError("test suites have no scoring to choose", "their predictions say what is compared")
    for suite in test_set.suites:
        scores += score_suite(model, suite, special_symbols)
    scores += score_pairs(model, test_set.pairs, special_symbols, scoring)
    _tell_oddities(scores)
    return scores


def _tell_oddities(scores: Sequence[PairScore | PredictionScore]) -> None:
    """What a reader of the figures must know: what is left out, and pairs that no model can tell apart.

    Raises:
        TextError: nothing is left.
    """
    skipped = [score for score in scores if score.point is None]
    if skipped:
        first = f"{skipped[0].where}: {skipped[0].reason}"
        if len(skipped) == len(scores):
            raise TextError("no pair can be scored", first)
        notice(f"{len(skipped):,} of {len(scores):,} cannot be scored and are left out; the first: {first}")
    identical = sum(score.is_identical for score in scores)
    if identical:
        notice(f"in {identical:,} of {len(scores):,} pairs both sentences are the same; each counts half, as a tie")

"""One record of each pair or prediction scored, for a file of details."""

from typing import Any

from rnnlm.scoring.pairs.scoring import PairScore, TextScore
from rnnlm.scoring.pairs.suites import PredictionScore


def record_of(score: PairScore | PredictionScore) -> dict[str, Any]:
    """What is known of a score, in JSON's types; what is not known is None."""
    return _pair_record(score) if isinstance(score, PairScore) else _prediction_record(score)


def _pair_record(score: PairScore) -> dict[str, Any]:
    pair = score.pair
    return {
        "id": pair.id, "kind": pair.kind, "phenomenon": pair.phenomenon, "field": pair.field, "number": pair.number,
        "distance": pair.distance, "attractors": pair.attractors, "scoring": score.scoring,
        "good": pair.good or None, "bad": pair.bad or None, **_side("good", score.good), **_side("bad", score.bad),
        "point": score.point, "identical": score.is_identical, "reason": score.reason, "where": score.where,
    }  # fmt: skip


def _side(name: str, side: TextScore | None) -> dict[str, Any]:
    return {
        f"{name}_logprob_nats": side.logprob_nats if side else None,
        f"{name}_tokens": side.tokens if side else None,
        f"{name}_oov": list(side.oov) if side else None,
    }


def _prediction_record(score: PredictionScore) -> dict[str, Any]:
    bits = score.surprisal_bits
    return {
        "suite": score.suite, "item": score.item, "prediction": score.formula.text,
        "surprisal_bits": None if bits is None else {str(reference): value for reference, value in bits.items()},
        "point": score.point, "tie": score.is_tie, "has_oov": score.has_oov, "reason": score.reason, "where": score.where,
    }  # fmt: skip

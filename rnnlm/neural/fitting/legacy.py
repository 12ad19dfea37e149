"""Checkpoints of versions in which the parts of a trainer did not keep their states themselves:
their facts and arrays, under the keys of today."""

import math
from typing import Any

from rnnlm.events import PERPLEXITY, TrainingState

LEFT_OUT = ("random.python", "random.numpy")  # nothing draws from these
VALIDATION = ("step", "without_improvement", "read_at", "cost")  # what is still called the same


def upgrade(stored: TrainingState) -> TrainingState:
    """Return `stored` as it would be stored today.

    A damaged one raises KeyError, TypeError, ValueError or IndexError.
    """
    before = stored.facts
    if "source" in before:
        return stored

    facts: dict[str, Any] = {"step": before["step"]} if "step" in before else {}
    if "metrics_bytes" in before:
        facts["metrics_bytes"] = before["metrics_bytes"]

    # The best metric was a part of the validation.
    validation = before["validation"]
    facts["validation"] = {name: validation[name] for name in VALIDATION}
    facts["best"] = {
        "cost": _number(validation["best_ppl"]),
        "figure": validation["best_ppl"],
        "name": PERPLEXITY,
        "step": validation["best_step"],
    }

    # The costs of validations that averaging and fine-tuning had seen were stored together.
    histories = before["heard"]
    averaging = before["averaging"]
    facts["averaging"] = {
        **averaging,
        "start": _number(averaging["start"]),
        "history": _history(histories["averaging"]),
    }
    facts["fine_tuning"] = {**before["fine_tuning"], "history": _history(histories["fine_tuning"])}

    # Other parts have new names or places.
    facts["schedule"] = _numbers(before["learning_rate"])
    facts["divergence"] = _numbers(before["divergence"])
    facts["clock"] = {"seconds": before["seconds"], **before["clock"]}
    facts["rollbacks"] = before["rollbacks"]
    facts["source"] = {
        "rows": before.get("rows"),
        "multiple": None,
        "tokens": before["tokens"],
        "epochs": before["epochs"],
    }
    facts["random"] = {"ranks": before.get("ranks", 1)}

    arrays = {}
    for name, array in stored.arrays.items():
        if not name.startswith(LEFT_OUT):
            arrays[_name(name, before)] = array
    return TrainingState(facts, arrays)


def _name(name: str, facts: dict[str, Any]) -> str:
    """Return what an array is called today."""
    part, _, rest = name.partition(".")
    if part == "average":
        return f"averaging.{facts['averaged'][int(rest)]}"
    return f"carry.{rest}" if part == "hidden" else name


def _history(stored: list[float | None] | None) -> list[float] | None:
    return None if stored is None else [_number(value) for value in stored]


def _numbers(stored: dict[str, Any]) -> dict[str, Any]:
    return {name: _number(value) for name, value in stored.items()}


def _number(stored: float | None) -> float:
    """Return a stored number; infinity was stored as null."""
    return math.inf if stored is None else stored

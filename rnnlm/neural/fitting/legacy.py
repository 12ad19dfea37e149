"""Checkpoints of before the parts of a trainer kept their states themselves: their facts and
arrays, under the keys of today."""

import math
from typing import Any

from rnnlm.events import PERPLEXITY, TrainingState

LEFT_OUT = ("random.python", "random.numpy")  # nothing draws from these


def upgraded(stored: TrainingState) -> TrainingState:
    """`stored` as it would be stored today; itself where it is of today.

    Raises:
        KeyError, TypeError, ValueError, IndexError: it is damaged.
    """
    before = stored.facts
    if "source" in before:
        return stored
    validation, histories = before["validation"], before["heard"]
    facts: dict[str, Any] = {
        **{name: before[name] for name in ("step", "metrics_bytes") if name in before},
        "schedule": {name: _number(value) for name, value in before["learning_rate"].items()},
        "validation": {
            name: validation[name] for name in ("step", "without_improvement", "read_at", "cost")
        },
        "best": {
            "cost": _number(validation["best_ppl"]),
            "figure": validation["best_ppl"],
            "name": PERPLEXITY,
            "step": validation["best_step"],
        },
        "divergence": {name: _number(value) for name, value in before["divergence"].items()},
        "averaging": {
            **before["averaging"],
            "start": _number(before["averaging"]["start"]),
            "history": _history(histories["averaging"]),
        },
        "fine_tuning": {**before["fine_tuning"], "history": _history(histories["fine_tuning"])},
        "clock": {"seconds": before["seconds"], **before["clock"]},
        "rollbacks": before["rollbacks"],
        "source": {
            "rows": before.get("rows"),
            "multiple": None,
            "tokens": before["tokens"],
            "epochs": before["epochs"],
        },
        "random": {"ranks": before.get("ranks", 1)},
    }
    arrays = {
        _name(name, before): array
        for name, array in stored.arrays.items()
        if not name.startswith(LEFT_OUT)
    }
    return TrainingState(facts, arrays)


def _name(name: str, facts: dict[str, Any]) -> str:
    """What an array is called today."""
    part, _, rest = name.partition(".")
    if part == "average":
        return f"averaging.{facts['averaged'][int(rest)]}"
    return f"carry.{rest}" if part == "hidden" else name


def _history(stored: list[float | None] | None) -> list[float] | None:
    return None if stored is None else [_number(figure) for figure in stored]


def _number(stored: float | None) -> float:
    """Infinity was stored as null."""
    return math.inf if stored is None else stored

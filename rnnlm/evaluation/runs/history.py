"""What a run's metrics.jsonl tells, in order: steps, validations, layers, rollbacks, and how it ended."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rnnlm.models.card import number

_ENDS = {
    "budget": "It ended with its budget",
    "complete": "It is complete",
    "early": "It ended early, as its validations found nothing better",
    "request": "It was stopped on request, and can go on with --resume",
    "diverged": "It diverged",
}
Points = list[tuple[int, float]]  # (step, value)


@dataclass(frozen=True)
class RunHistory:
    """The events of a run, all its pieces, oldest first, as :func:`rnnlm.models.metrics_log.read_events` reads them."""

    events: tuple[dict[str, Any], ...]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind."""
        return [event for event in self.events if event.get("event") == kind]

    @property
    def started(self) -> dict[str, Any]:
        """How the first piece began; {} where nothing tells it."""
        return next(iter(self.of("started")), {})

    @property
    def end(self) -> dict[str, Any] | None:
        """The last word of the last piece; None where it has not ended, or was cut off."""
        ends: list[dict[str, Any] | None] = [None]
        for event in self.events:
            if event.get("event") == "started":
                ends.append(None)
            elif event.get("event") in ("fitted", "finished"):
                ends.append(event)
        return ends[-1]

    @property
    def last_step(self) -> int:
        """The last step that is told of."""
        return max((int(value) for event in self.events for _, value in points([event], "step", "step")), default=0)

    def ending(self) -> str:
        """How it ended, as one sentence."""
        if self.end is None:
            return f"It has not ended: it goes on, or was cut off. The last step that is told of is {self.last_step:,}."
        stopped = str(self.end.get("stopped"))
        facts = next((event.get("facts") for event in reversed(self.of("fitted"))), None)
        why = facts.get("divergence") if isinstance(facts, dict) and stopped == "diverged" else None
        steps = self.end.get("steps")
        after = f" after {steps:,} steps" if isinstance(steps, int) and steps > 1 else ""
        return f"{_ENDS.get(stopped, f'It ended ({stopped})')}{after}{f': {why}' if why else ''}."

    def best(self, criterion: str) -> str:
        """The last best figure by which weights were chosen, as one sentence; "" where there is none."""
        chosen = [event for event in self.of("validated") if event.get("improved") and is_number(event.get(criterion))]
        if not chosen:
            return ""
        return f"The best validation, at step {chosen[-1].get('step')}, found {criterion} {shown(chosen[-1][criterion])}."

    @property
    def layers(self) -> list[str]:
        """The names of the layers that validations tell of, in their order."""
        return list(dict.fromkeys(name for event in self.of("validated") for name in layers_of(event)))

    def of_layer(self, name: str, figure: str) -> dict[str, Points]:
        """A figure of a layer at each validation, by block ("" where there is one number)."""
        found: dict[str, Points] = {}
        for event in self.of("validated"):
            value = layers_of(event).get(name, {}).get(figure)
            for block, each in value.items() if isinstance(value, dict) else [("", value)]:
                found.setdefault(str(block), []).extend(points([{"step": event.get("step"), "value": each}], "value"))
        return {block: series for block, series in found.items() if series}


def layers_of(event: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The figures of each layer that a validation tells of; those of before tell of none."""
    layers = event.get("layers")
    return {name: figures for name, figures in layers.items() if isinstance(figures, dict)} if isinstance(layers, dict) else {}


def points(events: Iterable[dict[str, Any]], figure: str, by: str = "step") -> Points:
    """(step, value) of each event that has both as finite numbers."""
    return [(event[by], event[figure]) for event in events if is_number(event.get(by)) and is_number(event.get(figure))]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def shown(value: Any) -> str:
    """A value of a log as a page shows it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value) if 0.1 <= abs(value) < 1e6 else f"{value:.4g}"
    return "\u2013" if value is None else str(value)


def thinned(rows: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of the rows, evenly, the last one among them."""
    stride = -(-len(rows) // most) if rows else 1
    return list(rows[::-1][::stride][::-1])

"""How fast encoder-decoders are trained here: with and without input feeding, in fp32 and in this machine's own precision.

Each as :mod:`rnnlm.benchmarks.training` measures it.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from rnnlm.benchmarks.random_pairs import plan_pairs
from rnnlm.benchmarks.training import Summary, bench_training

FORMS = {"input_feeding": ("false", "true"), "precision": ("fp32", "auto")}


@dataclass(frozen=True)
class FormSpeed:
    """What one form of the network and one precision give, medians over the rounds."""

    input_feeding: bool
    precision: str
    summary: Summary

    def record(self) -> dict[str, Any]:
        """In JSON's types."""
        return {"input_feeding": self.input_feeding, "precision": self.precision, **asdict(self.summary)}


def bench_pairs(
    text: tuple[str, ...], recipe: str | None, assignments: dict[str, str], rounds: int, steps: int, alone: bool = False
) -> Iterator[FormSpeed]:
    """Each form that `assignments` leave open; one precision where the machine's own is fp32. text: none: random pairs.

    Raises:
        SettingsError: a setting is unknown. RnnlmError: the text cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        done = set()
        for form in _forms(assignments):
            planned = plan_pairs(text, recipe, assignments | form, Path(folder))
            feeds, precision = bool(planned.resolved.values["input_feeding"]), _precision(planned.resolved.values)
            if (feeds, precision) not in done:
                done.add((feeds, precision))
                *_, summary = bench_training(planned, rounds, steps, alone)
                yield FormSpeed(feeds, precision, cast(Summary, summary))


def _forms(assignments: dict[str, str]) -> list[dict[str, str]]:
    forms: list[dict[str, str]] = [{}]
    for name, values in FORMS.items():
        if name not in assignments:
            forms = [{**form, name: value} for form in forms for value in values]
    return forms


def _precision(values: dict[str, Any]) -> str:
    from rnnlm.neural.device import resolve_device, resolve_precision

    return resolve_precision(values["precision"], resolve_device(values["device"]))

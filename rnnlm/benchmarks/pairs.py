"""How fast encoder-decoders are trained here: with and without input feeding, in fp32 and in this machine's own precision.

Each as :mod:`rnnlm.benchmarks.training` measures it. Without a text they read random pairs: lines of the length that captions have, words
as often as words of that rank are (Zipf).
"""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from rnnlm.benchmarks.training import Summary, bench_training
from rnnlm.training.plan import plan
from rnnlm.training.request import Request

FORMS = {"input_feeding": ("false", "true"), "precision": ("fp32", "auto")}
PAIRS, VOCABULARY = 4_000, 8_000
OF_RANDOM_PAIRS = {"tokenizer": "word", "column": "source", "target_column": "target"}
WORDS, SPREAD, SHORTEST, LONGEST = 14, 4, 4, 40  # of a line: mean, standard deviation, bounds


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
    with tempfile.TemporaryDirectory() as name:
        folder, done = Path(name), set()
        settings = assignments
        if not text:
            text, settings = (str(_random_pairs(folder / "pairs.tsv")),), OF_RANDOM_PAIRS | assignments
        for form in _forms(assignments):
            chosen = {"holdout": "0", **settings, **form}
            planned = plan(Request(text=text, recipe=recipe, assignments=chosen, task="seq2seq", output=folder / "model"))
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


def _random_pairs(path: Path) -> Path:
    """Pairs of lines of about the same length; every word on either side once at least."""
    random = np.random.default_rng(1)
    source_P = random.normal(WORDS, SPREAD, PAIRS)
    sides = [_random_lines(random, length_P) for length_P in (source_P, source_P + random.normal(0, 2, PAIRS))]
    rows = (f"{source}\t{target}\n" for source, target in zip(*sides, strict=True))
    path.write_text("source\ttarget\n" + "".join(rows), encoding="utf-8")
    return path


def _random_lines(random: np.random.Generator, length_P: np.ndarray) -> Iterator[str]:
    ends_P = np.cumsum(length_P.round().clip(SHORTEST, LONGEST).astype(int))
    chance_V = 1 / np.arange(1, VOCABULARY + 1)
    drawn = random.choice(VOCABULARY, ends_P[-1] - VOCABULARY, p=chance_V / chance_V.sum())
    words = random.permutation(np.concatenate([np.arange(VOCABULARY), drawn]))
    for ids in np.split(words, ends_P[:-1]):
        yield " ".join(f"w{each}" for each in ids.tolist())

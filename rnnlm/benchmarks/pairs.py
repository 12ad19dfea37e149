"""How fast encoder-decoders are trained here: with and without input feeding, in fp32 and in this
machine's own precision.

Each as :mod:`rnnlm.benchmarks.training` measures it.
"""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from rnnlm.benchmarks.training import Summary, bench_training
from rnnlm.training.plan import Plan, plan
from rnnlm.training.request import Request

FORMS = {"input_feeding": ("false", "true"), "precision": ("fp32", "auto")}


@dataclass(frozen=True)
class FormSpeed:
    """What one form of the network and one precision give, medians over the rounds."""

    input_feeding: bool
    precision: str
    summary: Summary

    def record(self) -> dict[str, Any]:
        """In JSON's types."""
        return {
            "input_feeding": self.input_feeding,
            "precision": self.precision,
            **asdict(self.summary),
        }


def bench_pairs(
    text: tuple[str, ...],
    recipe: str | None,
    assignments: dict[str, str],
    rounds: int,
    steps: int,
    alone: bool = False,
) -> Iterator[FormSpeed]:
    """Each form that `assignments` leave open; one precision where the machine's own is fp32. text:
    none: random pairs.

    Raises:
        SettingsError: a setting is unknown. RnnlmError: the text cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        done = set()
        for form in _forms(assignments):
            planned = plan_pairs(text, recipe, assignments | form, Path(folder))
            feeds, precision = (
                bool(planned.resolved.values["input_feeding"]),
                _precision(planned.resolved.values),
            )
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


def _precision(values: Mapping[str, Any]) -> str:
    from rnnlm.neural.device import resolve_device, resolve_precision

    return resolve_precision(values["precision"], resolve_device(values["device"]))


# ---- Random pairs of lines, which stand for a corpus where none is given: lines as long as
# captions, words as often as words of that rank are (Zipf).

PAIRS, VOCABULARY = 4_000, 7_998  # words of either side; with </s> and <unk> 8,000 tokens
WORDS, SPREAD, SHORTEST, LONGEST = 14, 4, 4, 40  # of a line: mean, standard deviation, bounds
SETTINGS = {"tokenizer": "word", "column": "source", "target_column": "target"}  # that suit them


def plan_pairs(
    text: tuple[str, ...], recipe: str | None, assignments: dict[str, str], folder: Path
) -> Plan:
    """What training an encoder-decoder on all pairs of a text would be; on random ones, which are
    written to `folder`, where there is none.

    Raises:
        SettingsError: a setting is unknown. RnnlmError: the text cannot be read.
    """
    settings = {"holdout": "0", **({} if text else SETTINGS), **assignments}
    path = folder / "pairs.tsv"
    if not text and not path.exists():
        path.write_text(
            "source\ttarget\n" + "".join(map("{}\t{}\n".format, *random_sides())), encoding="utf-8"
        )
    return plan(
        Request(
            text=text or (str(path),),
            recipe=recipe,
            assignments=settings,
            task="seq2seq",
            output=folder / "model",
        )
    )


def random_sides() -> tuple[list[str], list[str]]:
    """Sources and targets, those of a pair about as long; every word on either side once at least.
    The same ones each time."""
    random = np.random.default_rng(1)
    source_P = random.normal(WORDS, SPREAD, PAIRS)
    source, target = (
        list(_lines(random, length_P))
        for length_P in (source_P, source_P + random.normal(0, 2, PAIRS))
    )
    return source, target


def _lines(random: np.random.Generator, length_P: np.ndarray) -> Iterator[str]:
    ends_P = np.cumsum(length_P.round().clip(SHORTEST, LONGEST).astype(int))
    chance_V = 1 / np.arange(1, VOCABULARY + 1)
    drawn = random.choice(VOCABULARY, ends_P[-1] - VOCABULARY, p=chance_V / chance_V.sum())
    words = random.permutation(np.concatenate([np.arange(VOCABULARY), drawn]))
    for ids in np.split(words, ends_P[:-1]):
        yield " ".join(f"w{each}" for each in ids.tolist())

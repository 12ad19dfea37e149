"""The weights with which an n-best list is rescored, in memory and as a file: for which models, for which writing of the text."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rnnlm.errors import ModelError, TextError, notice
from rnnlm.files.reading import read_json
from rnnlm.files.writing import save_file
from rnnlm.interface import LanguageModel
from rnnlm.rescoring.features import LM, OOV, WORDS, TextMapping

FEW_UTTERANCES = 500  # weights tuned on fewer differ from sample to sample


@dataclass(frozen=True)
class Tuned:
    """What weights were tuned on: so many utterances with so many words; and the errors there, before and after."""

    utterances: int
    words: int
    errors_before: int
    errors_after: int
    seed: int


@dataclass(frozen=True)
class Weights:
    """The weight of each feature by its name; the first-pass score has the weight 1.

    models: name -> fingerprint of each language model, None for one that was never saved.
    """

    weights: dict[str, float]
    models: dict[str, str | None]
    mapping: TextMapping = TextMapping()
    tuned: Tuned | None = None
    format_version: Literal[1] = 1


def save_weights(weights: Weights, path: str | Path) -> None:
    """Write them to a JSON file, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    save_file(Path(path), [json.dumps(dataclasses.asdict(weights), indent=2, allow_nan=False).encode() + b"\n"])


def read_weights(path: str | Path) -> Weights:
    """The weights in a file of :func:`save_weights`. A notice says so where they were tuned on fewer than FEW_UTTERANCES.

    Raises:
        TextError: it cannot be read, or does not hold weights.
    """
    weights = read_json(Path(path), Weights, TextError, f"{path} holds no weights", "write them with --weights-output")
    known = {WORDS, *(prefix + name for name in weights.models for prefix in (LM, OOV))}
    if strangers := sorted(weights.weights.keys() - known):
        raise TextError(f"{path} holds no weights", f"{strangers[0]!r} is a feature of no model in it", "tune again")
    if missing := sorted({LM + name for name in weights.models} - weights.weights.keys()):
        raise TextError(f"{path} holds no weights", f"that of {missing[0]!r} is missing", "tune again")
    if weights.tuned:
        warn_of_few(weights.tuned.utterances)
    return weights


def warn_of_few(utterances: int, advice: str = "") -> None:
    """A notice where weights were tuned on so few utterances that they differ from sample to sample."""
    if utterances < FEW_UTTERANCES:
        notice(
            f"weights tuned on {utterances:,} utterance{'' if utterances == 1 else 's'}, fewer than {FEW_UTTERANCES}, are uncertain{advice}"
        )


def matched(weights: Weights, models: Mapping[str, LanguageModel]) -> dict[str, LanguageModel]:
    """`models` under the names that `weights` have for them, in their order. What counts is the fingerprint, not the name.

    Raises:
        ModelError: they are not the models the weights were tuned for.
    """
    left = dict(models)
    found = {}
    for name, fingerprint in weights.models.items():
        same = [own for own, model in left.items() if model.fingerprint == fingerprint and (fingerprint or own == name)]
        if not same:
            given = ", ".join(f"{own} ({model.fingerprint})" for own, model in models.items())
            raise ModelError(
                "the weights were tuned for other models", f"for {name} ({fingerprint}); given: {given}",
                "name those models, or tune again",
            )  # fmt: skip
        found[name] = left.pop(same[0])
    if left:
        raise ModelError("the weights were tuned for other models", f"they have none for {next(iter(left))}", "leave it out, or tune again")
    return found

"""Pairs of lines in memory, and tiny encoder-decoders of every kind, for the tests."""

import random
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rnnlm.config import Layer, Resolved, resolve
from rnnlm.errors import RnnlmWarning
from rnnlm.events import Event, TrainingState, never
from rnnlm.models import model_folder, registry
from rnnlm.tasks.seq2seq.data import PairTrainingData, encode_pairs
from rnnlm.tasks.seq2seq.tokenizers import make_codec
from rnnlm.text.parallel.pair import Pair, ParallelText
from rnnlm.training.request import Request

SMALL = {
    "embedding_size": 5, "hidden_size": 4, "batch_rows": 4, "budget": "6steps", "learning_rate": 0.02, "tokenizer": "word",
    "device": "cpu", "precision": "fp32", "threads": 1,
}  # fmt: skip
WORDS = {"one": "uno", "two": "dos", "three": "tres", "four": "cuatro", "five": "cinco", "six": "seis"}


def counted(count: int, seed: int = 1, longest: int = 6) -> list[tuple[str, str]]:
    """Lines of numbers, and the same numbers of another language from the last to the first."""
    draw = random.Random(seed)
    lines = [[draw.choice([*WORDS]) for _ in range(draw.randint(1, longest))] for _ in range(count)]
    return [(" ".join(words), " ".join(WORDS[word] for word in reversed(words))) for words in lines]


TRAIN, VALID = counted(24), counted(7, seed=2)


def paired(rows: Iterable[tuple[str, str]]) -> ParallelText:
    """Pairs in memory."""
    pairs = tuple(Pair(source, (target,), line, "memory") for line, (source, target) in enumerate(rows, start=1))
    return ParallelText(pairs, "source", "target", "tsv")


def settings_of(name: str, **settings: Any) -> Resolved:
    """All settings of a tiny network of this kind."""
    kind = registry.kind_of(name, "seq2seq")
    return resolve(
        (*kind.settings_classes(), *kind.text_settings), [Layer("test", {"model": name, "task": "seq2seq", **SMALL, **settings})]
    )


def data_of(
    resolved: Resolved,
    train: Sequence[tuple[str, str]] = TRAIN,
    valid: Sequence[tuple[str, str]] | None = None,
    request: Request | None = None,
) -> PairTrainingData:
    """Pairs as a network reads them."""
    codec = make_codec(request or Request(), resolved, paired(train), {})
    return PairTrainingData(codec, encode_pairs(codec, paired(train)), None if valid is None else encode_pairs(codec, paired(valid)))


def run(
    name: str, train: Sequence[tuple[str, str]] = TRAIN, valid: Sequence[tuple[str, str]] | None = None,
    initial: TrainingState | None = None, **settings: Any,
) -> list[Event]:  # fmt: skip
    """The events of a short training run in memory, from its start or from where `initial` says that it stood."""
    resolved = settings_of(name, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        return list(registry.kind_of(name, "seq2seq").fit(resolved, data_of(resolved, train, valid), never, initial))


def fit(name: str, train: Sequence[tuple[str, str]] = TRAIN, **settings: Any) -> Any:
    """A model of this kind, trained for a few steps."""
    return run(name, train, **settings)[-1].model


def save(folder: Path, model: Any, **settings: Any) -> Any:
    """Save a model of :func:`fit`, which had these settings, in `folder`; its manifest."""
    name = model.network.settings.model
    return model_folder.save(folder, model, name, settings_of(name, **settings).values, 6, {})

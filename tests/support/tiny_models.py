"""Texts in memory and tiny models of every kind, for the tests."""

import copy
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rnnlm import corpora, registry
from rnnlm.config import SettingsLayer, resolve
from rnnlm.errors import RnnlmWarning
from rnnlm.events import Event, never
from rnnlm.lm.ngram.settings import NgramSettings
from rnnlm.lm.ngram.smoothing import ESTIMATORS
from rnnlm.lm.ngram.unigram import UnigramModel
from rnnlm.storage import model_folder
from rnnlm.text import tokenizers
from rnnlm.text.corpus import BlockText
from rnnlm.text.encoding import TrainingData
from rnnlm.text.lines import Block, TextSettings
from rnnlm.text.tokenizer_settings import TokenizerSettings

LINES = (
    "the cat sat on the mat", "a dog saw the cat", "the dog sat", "it is hard to recognize speech",
    "the <unk> sat on a cat",
)  # fmt: skip
HELD_OUT = ("the cat saw a dog", "it is hard")
_fitted: dict[str, Any] = {}
_SMALL = {
    "embedding_size": 8, "hidden_size": 12, "batch_rows": 2, "bptt_tokens": 4, "budget": "6steps",
    "learning_rate": 0.05,
    "init_range": 0.8, "device": "cpu", "precision": "fp32",
}  # fmt: skip


@dataclass(frozen=True)
class Lines(BlockText):
    """A text in memory."""

    lines: Sequence[str]
    document_starts: Sequence[int] = ()
    settings: TextSettings = TextSettings()
    sources: tuple[str, ...] = ("memory",)

    def blocks(self) -> Iterator[Block]:
        yield Block(list(self.lines), list(self.document_starts))


def english_lines(most: int | None = None) -> list[str]:
    """Return the lines of a bundled text that are not blank, or the first of them."""
    text = corpora.part("english", "valid").read_text(encoding="utf-8")
    return [line for line in text.split("\n") if line.strip()][:most]


def make_tokenizer(lines: Sequence[str] = LINES, **settings: Any) -> Any:
    return _tokenizer_of(TokenizerSettings(**settings), lines)


def _tokenizer_of(settings: TokenizerSettings, lines: Sequence[str]) -> Any:
    """Make a tokenizer of the lines; one of Hugging Face by their package."""
    if settings.tokenizer != "huggingface":
        return tokenizers.train(settings, [Block(list(lines), [])])
    from rnnlm.tools.huggingface.tokenizer import HuggingFaceTokenizer
    from support import foreign_tokenizers

    return HuggingFaceTokenizer(foreign_tokenizers.byte_level(lines), 0)


def halves_model() -> UnigramModel:
    """Return a unigram model: </s> 1/4, <unk> 1/8, a 1/2, b 1/8, never 0."""
    tokenizer = make_tokenizer(["a b", "a a b never"])
    p = {"</s>": 1 / 4, "<unk>": 1 / 8, "a": 1 / 2, "b": 1 / 8, "never": 0.0}
    with np.errstate(divide="ignore"):
        return UnigramModel(np.log([p[symbol] for symbol in tokenizer.symbols()]), tokenizer)


def small_settings(kind: registry.Kind, **settings: Any) -> Any:
    classes = (*kind.settings, TokenizerSettings)
    known = {name for cls in classes for name in cls.__dataclass_fields__}
    values = {name: value for name, value in _SMALL.items() if name in known}
    return resolve(classes, [SettingsLayer("test", {"model": kind.name, **values, **settings})])


def save(folder: Path, model: Any, name: str, **settings: Any) -> Any:
    """Save a model of :func:`fit` in `folder`, the parts of a mixture beside it; its manifest."""
    parts = [
        folder.with_name(f"{folder.name}.{number}")
        for number, _ in enumerate(settings.get("parts", ()), start=1)
    ]
    for place, part, (its_name, its_settings) in zip(
        parts, getattr(model, "parts", ()), settings.pop("parts", ()), strict=True
    ):
        save(place, part, its_name, **its_settings)
    for of_fit in ("weights", "lines"):
        settings.pop(of_fit, None)
    return model_folder.save(
        folder, model, name, small_settings(registry.kind_of(name), **settings).values, 6, {}, parts
    )


def mixture(
    parts: Sequence[tuple[str, dict[str, Any]]],
    weights: Sequence[float],
    lines: Sequence[str] = LINES,
) -> Any:
    """Make a mixture of models of :func:`fit`, each given by name and settings (`lines`: its text,
    if that is another one)."""
    from rnnlm.tools.mixtures.mixture import Mixture  # a satellite, which may be missing

    models = [fit(name, **{"lines": lines, **settings}) for name, settings in parts]
    return Mixture(models, weights)


def fit(name: str, lines: Sequence[str] = LINES, **settings: Any) -> Any:
    """Return a model of the registry's kind `name`, trained for a few steps.

    Each is trained once, and handed out as a copy. Numbers that a test draws after it are the same
    ones, whether it was trained before or not.
    """
    if name == "mixture":
        return mixture(lines=lines, **settings)
    key = repr((name, lines, settings))
    if key not in _fitted:
        _fitted[key] = _fit(name, lines, settings)
    torch.manual_seed(1)
    return copy.deepcopy(_fitted[key])


def _fit(name: str, lines: Sequence[str], settings: dict[str, Any]) -> Any:
    valid = None
    if name == "ngram":
        made = small_settings(registry.kind_of(name), **settings).make(NgramSettings)
        valid = HELD_OUT if ESTIMATORS[made.smoothing].needs_heldout(made) else None
    return run(name, lines, valid, **settings)[-1].model


def run(
    name: str, lines: Sequence[str] = LINES, valid: Sequence[str] | None = None, **settings: Any
) -> list[Event]:
    """Return the events of a short training run."""
    kind = registry.kind_of(name)
    resolved = small_settings(kind, **settings)
    tokenizer = _tokenizer_of(resolved.make(TokenizerSettings), lines)
    data = TrainingData(
        tokenizer, Lines(lines).encode(tokenizer), valid and Lines(valid).encode(tokenizer)
    )
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        return list(kind.fit(resolved, data, never, None))

"""Small texts, encoded, and small networks to train on them."""

import itertools
import json
import math
from collections.abc import Iterable

import pytest
import torch

from rnnlm.config import SettingsLayer, names_of, resolve
from rnnlm.events import PERPLEXITY, TrainingState
from rnnlm.lm.neural.settings import NetworkSettings, kinds, parts_of, stored
from rnnlm.lm.neural.training import progress, settings as fitting_settings, validation
from rnnlm.lm.neural.training.contracts import ValidationResult
from rnnlm.lm.neural.training.fitting import language_model_trainer, start_network
from rnnlm.lm.neural.training.language_modelling import (
    PerplexityValidation,
    RareWords,
    count_tokens,
)
from rnnlm.lm.neural.training.settings import FittingSettings, RunSettings
from rnnlm.lm.neural.training.trainer import Trainer
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Corpus
from rnnlm.text.encoding import TrainingData
from rnnlm.text.lines import TextSettings
from rnnlm.text.tokenizer_settings import TokenizerSettings
from support.tiny_models import english_lines

# Spelled out, so that tests do not depend on defaults, which follow what works best.
NETWORK = {
    "model": "lstm", "layers": 1, "embedding_size": 6, "hidden_size": 8, "tied": True,
    "init_range": 0.1, "forget_bias": 1.0,
    "dropout_input": 0.0, "dropout_between": 0.0, "dropout_output": 0.0,
}  # fmt: skip
FITTING = {
    "batch_rows": 32, "bptt_tokens": 35, "optimizer": "adamw", "learning_rate": 0.003, "beta1": 0.9,
    "beta2": 0.99,
    "weight_decay": 0.0, "clip_norm": 1.0, "schedule": "cosine", "warmup": 0.02, "final_rate": 0.0,
    "state_reset": 0.0, "unknown_words": 0.0,
}  # fmt: skip


def network_settings(model: str, /, **values: object) -> NetworkSettings:
    """Make the settings of a network from values by name, for networks that no command trains."""
    layer = SettingsLayer("the settings", {"model": model, **values})
    return resolve([kinds()[model], *parts_of(model)], [layer]).make(kinds()[model])


def as_stored(settings) -> dict:
    """Return the settings of a network by name, those of its cell among them, as in config.json."""
    own = dict(vars(settings))
    cell = own.pop("cell", None)
    return own | (vars(cell) if cell else {})


@pytest.fixture
def eager_snapshots(monkeypatch):
    """Report and keep a good state, and look at layers, at every step."""
    monkeypatch.setattr(progress, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(validation, "KEEP_STEPS", (1, 1))
    monkeypatch.setattr(fitting_settings, "MOST_COST", float("inf"))


def script_validations(trainer: Trainer, perplexities: Iterable[float]) -> None:
    """Have the validations of `trainer` find these perplexities, one after the other."""
    found = iter(perplexities)

    def run(stop):
        perplexity = next(found)
        return ValidationResult(math.log(perplexity), perplexity, PERPLEXITY)

    assert isinstance(trainer.validation.whole, PerplexityValidation)
    trainer.validation.whole.run = run


def tick(trainer: Trainer, seconds: float | Iterable[float]) -> None:
    """Have the clocks of `trainer` go on by so many seconds whenever they are asked for."""
    jumps = itertools.repeat(seconds) if isinstance(seconds, int | float) else seconds
    now = itertools.accumulate(jumps).__next__
    trainer.clock.now = trainer.meter.now = now
    trainer.clock.started_at = trainer.meter.since = 0.0


def steps_of_an_epoch(trainer: Trainer) -> int:
    return next(n for n, (done, _) in enumerate(trainer.source.windows(), 1) if done >= 1)


def same(one: dict, other: dict) -> bool:
    """Return whether weights by name are equal."""
    return all(torch.equal(one[name], other[name]) for name in one)


def through_a_file(state: TrainingState) -> TrainingState:
    """Return the state after a round trip through JSON and arrays."""
    facts = json.loads(json.dumps(state.facts, allow_nan=False))
    return TrainingState(facts, {name: array.copy() for name, array in state.arrays.items()})


@pytest.fixture(scope="session")
def sentences() -> list[str]:
    """Return 200 lines of the bundled validation text."""
    return english_lines(200)


@pytest.fixture
def make_data(tmp_path):
    """Return a function that makes TrainingData of lines, or of documents at empty lines."""

    def make(
        lines: list[str], valid: list[str] | None = None, documents: bool = False, **tokenizer
    ) -> TrainingData:
        settings = TextSettings(blank_lines="documents" if documents else "skip")

        def corpus(name: str, content: list[str]) -> Corpus:
            (tmp_path / name).write_text("".join(f"{line}\n" for line in content), encoding="utf-8")
            return Corpus((str(tmp_path / name),), settings)

        train = corpus("train.txt", lines)
        trained = tokenizers.train(TokenizerSettings(**tokenizer), train.blocks())
        held_out = None if valid is None else corpus("valid.txt", valid).encode(trained)
        return TrainingData(trained, train.encode(trained), held_out)

    return make


@pytest.fixture
def make_trainer():
    """Return a function that makes the Trainer of a small network, in fp32 on the CPU."""

    def make(
        data: TrainingData, *, precision="fp32", device="cpu", budget="10steps", seed=1, **settings
    ) -> Trainer:
        model = settings.get("model", NETWORK["model"])
        names = names_of([kinds()[model], *parts_of(model)])
        if "activation" not in names:
            settings.pop("activation", None)
        own = {name: settings.pop(name) for name in list(settings) if name in names}
        torch.manual_seed(seed)
        network = start_network(stored({**NETWORK, **own}), data.tokenizer, torch.device(device))
        fitting = FittingSettings(**{**FITTING, **settings})
        run_settings = RunSettings(budget=budget, seed=seed)
        counts_V = count_tokens(data.train, data.tokenizer)
        rare = RareWords.of(data.train, data.tokenizer, counts_V, fitting.unknown_words, seed)
        return language_model_trainer(network, fitting, run_settings, data, precision, rare)

    return make

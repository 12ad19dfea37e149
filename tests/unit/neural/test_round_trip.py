"""Every kind of network, from its first training step to samples of the saved model.

For each kind of cell, output layer, character input and task: a few training steps, scores beside
those of the CPU, saving and loading, samples, and a run that is resumed. Small enough to run three
times: on the CPU with all other tests, on a GPU with `-m gpu`, and on the pretended GPU
(tests/support/pretended_gpu.py), where a training step must not wait for the device.
"""

import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pytest

import rnnlm
from rnnlm.config import Resolved
from rnnlm.errors import RnnlmWarning
from rnnlm.events import Step, TrainingState, never
from rnnlm.generation.drawing import generate
from rnnlm.generation.settings import SamplingSettings
from rnnlm.inference.span_scoring import score_spans, whole_text
from rnnlm.models import model_folder, registry
from rnnlm.models.registry import LANGUAGE_MODEL
from rnnlm.neural.fitting import progress
from rnnlm.neural.fitting.step import PLAIN_USES, GraphedStep
from rnnlm.neural.fitting.trainer import Trainer
from rnnlm.tasks.labels.model import Search, predict
from rnnlm.tasks.seq2seq.data import encode_pairs
from rnnlm.tasks.seq2seq.decoding import translate
from rnnlm.tasks.seq2seq.evaluation import target_scores
from rnnlm.text import tokenizers
from rnnlm.text.encoding import TrainingData
from rnnlm.text.tokenizer_settings import TokenizerSettings
from support import pretended_gpu, tiny_models, tiny_pairs, tiny_tasks
from support.devices import CUDA
from support.tiny_models import HELD_OUT, LINES, Lines
from support.tiny_translators import parallel_text

# Where the host waits for the device in a training step, as "file:line: what": nowhere.
WAITS_IN_A_TRAINING_STEP: list[str] = []
# Where a GPU would compute something else than was meant, such as in fp16 instead of bf16: nowhere.
FAULTS_IN_A_TRAINING_STEP: list[str] = []

FEW_OPERATIONS = 4  # more for each token of a window; a sigmoid cell has 8, a Mogrifier a hundred

DROPOUT = {"dropout_input": 0.2, "dropout_between": 0.2, "dropout_output": 0.2}
STEPS, CUT = 4, 2
SMALL = {"budget": f"{STEPS}steps", "validate_every_steps": 2, "learning_rate": 0.02}
TEXTS = [words for words, _, _ in tiny_tasks.VALID[:4]] + [["oslo"], ["never-seen", "at", "noon"]]


@dataclass(frozen=True)
class Case:
    """A kind of network: its task, its kind of model, and what it is besides."""

    name: str
    task: str
    model: str
    settings: dict[str, Any] = field(default_factory=dict)

    def resolved(self, **more: Any) -> Resolved:
        """Return all settings of a tiny network of this kind."""
        given = {**SMALL, **self.settings, **more}
        if self.task == LANGUAGE_MODEL:
            return tiny_models.small_settings(registry.kind_of(self.model), **given)
        if self.task == "seq2seq":
            return tiny_pairs.settings_of(self.model, **given)
        return tiny_tasks.settings_of(self.task, self.model, **given)

    def data(self, resolved: Resolved) -> Any:
        """Return a few examples in the form that this network reads."""
        if self.task == LANGUAGE_MODEL:
            tokenizer = tokenizers.train(resolved.make(TokenizerSettings), Lines(LINES).blocks())
            train, valid = (Lines(lines).encode(tokenizer) for lines in (LINES * 2, HELD_OUT))
            return TrainingData(tokenizer, train, valid)
        if self.task == "seq2seq":
            return tiny_pairs.data_of(resolved, tiny_pairs.TRAIN[:12], tiny_pairs.VALID[:4])
        train = tiny_tasks.labelled(tiny_tasks.TRAIN[:16], self.task)
        return tiny_tasks.data_of(
            resolved, train, tiny_tasks.labelled(tiny_tasks.VALID[:4], self.task)
        )

    def trainer(self, device: str, initial: TrainingState | None = None, **settings) -> Trainer:
        """Make a trainer at the start of a run, or in the state `initial`."""
        resolved = self.resolved(device=device, **settings)
        make = resolve_name(f"{registry.kind_of(self.model, self.task).fitting}:make_trainer")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RnnlmWarning)
            return make(resolved, self.data(resolved), initial)

    def save(self, folder: Path, model: Any) -> None:
        """Save `model` as a command does."""
        model_folder.save(folder, model, self.model, self.resolved().values, STEPS, {})

    def scores(self, model: Any) -> np.ndarray:
        """Return the log-probabilities of a few texts, or the probabilities of their labels."""
        if self.task == LANGUAGE_MODEL:
            ids = Lines(HELD_OUT + LINES[:2]).encode(model.tokenizer).ids
            return score_spans(model, ids, whole_text(ids))
        if self.task == "seq2seq":
            model = getattr(model, "core", model)
            return target_scores(model, encode_pairs(model.codec, parallel_text(tiny_pairs.VALID)))
        search = Search(probabilities=True, nbest=2)
        labels = [column for prediction in predict(model, TEXTS, search) for column in prediction]
        logprobs = [each.logprob_nats for column in labels for each in column.best]
        return np.concatenate([column.p_TK.ravel() for column in labels] + [logprobs])

    def samples(self, model: Any) -> list[str] | None:
        """Return texts drawn from the model; None if it writes none."""
        sampling = SamplingSettings(max_tokens=5, seed=5)
        if self.task == LANGUAGE_MODEL:
            return [each.text for each in generate(model, num=3, settings=sampling)]
        if self.task == "seq2seq":
            lines = translate(model, ["one two", "seven"], sampling=sampling, num=2)
            return [each.text for line in lines for each in line.hypotheses]
        return None


PENALTIES = {"activation_penalty": 2.0, "temporal_penalty": 1.0}
AWD = {"layers": 2, "weight_drop": 0.3, "locked_dropout": True, **PENALTIES, **DROPOUT}
CELLS = {
    "tanh": ("rnn", {}),
    "sigmoid": ("rnn", {"activation": "sigmoid"}),
    "relu": ("rnn", {"activation": "relu"}),
    "jordan": ("jordan", {}),
    "ffnn": ("ffnn", {}),
    "gru, reset after": ("gru", {"reset_gate": "after"}),
    "gru, reset before": ("gru", {"reset_gate": "before"}),
    "lstm": ("lstm", DROPOUT),
    "peepholes": ("lstm", {"peepholes": True, "connections": "highway", "layers": 2}),
    "coupled gates": ("lstm", {"coupled_gates": True}),
    "mogrifier": ("lstm", {"mogrifier_rounds": 2}),
    "qrnn": ("qrnn", {"layers": 2}),
    "awd": ("lstm", AWD),
}
OUTPUTS = {
    "adaptive": {"output_layer": "adaptive", "cutoffs": "4,9", "tied": None},
    "class": {"output_layer": "class"},
    "hierarchical": {"output_layer": "hierarchical", "tied": None},
    "mos": {"output_layer": "mos", "mixture_components": 2, "dropout_latent": 0.2},
    "sampled": {"loss": "sampled", "samples": 5},
    "nce": {"loss": "nce", "samples": 5},
}
CHARACTERS = {
    "characters cnn": {"characters": "cnn", "character_filters": "0,6"},
    "characters lstm": {"characters": "lstm", "character_hidden_size": 4},
}
FROM_CHARACTERS = {"tied": None, "character_size": 4}
TASKS = [
    Case("tags", "tagging", "lstm"),
    Case("tags, crf", "tagging", "lstm", {"output_layer": "crf", "characters": None}),
    Case("tags, characters lstm", "tagging", "rnn", {"characters": "lstm"}),
    Case("classes", "classification", "lstm", {"sentence_pooling": "attention"}),
    Case("tags, qrnn", "tagging", "qrnn"),
    Case("classes, cnn", "classification", "cnn"),
    Case("classes, bag", "classification", "bag"),
    Case("pairs", "seq2seq", "lstm", {"attention": None, "bridge": "mean"}),
    Case("pairs, attention", "seq2seq", "gru", {"attention": "additive"}),
    Case("pairs, qrnn", "seq2seq", "qrnn", {"attention": "dot"}),
    Case("pairs, input feeding", "seq2seq", "lstm", {"attention": "dot", "input_feeding": True}),
]
CASES = [
    *(Case(name, LANGUAGE_MODEL, model, settings) for name, (model, settings) in CELLS.items()),
    *(Case(name, LANGUAGE_MODEL, "lstm", settings) for name, settings in OUTPUTS.items()),
    *(
        Case(name, LANGUAGE_MODEL, "lstm", FROM_CHARACTERS | CHARACTERS[name])
        for name in CHARACTERS
    ),
    *TASKS,
]
every_case = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


def through_a_file(state: TrainingState) -> TrainingState:
    """Return the state after a round trip through JSON and arrays."""
    facts = json.loads(json.dumps(state.facts, allow_nan=False))
    return TrainingState(facts, {name: array.copy() for name, array in state.arrays.items()})


@every_case
def test_a_network_goes_round_on_the_cpu(case, tmp_path):
    goes_round(case, "cpu", tmp_path)


@every_case
@pytest.mark.parametrize("device", [CUDA])
def test_a_network_trains_scores_saves_and_resumes(case, device, tmp_path):
    goes_round(case, device, tmp_path)


def goes_round(case: Case, device: str, tmp_path: Path) -> None:
    """Train, score, save, load, sample and resume, and check that nothing is lost on the way."""
    trainer = case.trainer(device)
    *events, fitted = trainer.train(never)
    losses = [event.loss_nats for event in events if isinstance(event, Step)]
    assert fitted.stopped == "budget" and fitted.steps == STEPS
    assert losses and np.isfinite([*losses, fitted.best]).all()
    assert {parameter.device.type for parameter in trainer.network.parameters()} == {device}

    # Saved and loaded again, on this device and on the CPU.
    case.save(tmp_path / "model", fitted.model)
    loaded = rnnlm.load(tmp_path / "model", device)
    scores = case.scores(loaded)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, case.scores(fitted.model), atol=1e-5)
    on_cpu = rnnlm.load(tmp_path / "model", "cpu")
    np.testing.assert_allclose(scores, case.scores(on_cpu), atol=1e-3)
    assert case.samples(loaded) == case.samples(loaded)

    # A run that is cut off and resumed ends where the unbroken one ended, its optimizer too. A GPU
    # adds up in another order each time, which Adam makes large where a gradient is nearly zero:
    # there, weights alone.
    cut = case.trainer(device)
    *_, half = cut.train(lambda: cut.step_count >= CUT)
    resumed = case.trainer(device, through_a_file(half.state))
    *_, whole = resumed.train(never)
    assert (half.steps, whole.steps) == (CUT, STEPS)
    assert whole.state.arrays.keys() == fitted.state.arrays.keys()
    before, after = half.state.arrays, fitted.state.arrays
    weights = [name for name in before if name.startswith("network.")]
    if device == "cpu":
        for name in after:
            np.testing.assert_array_equal(whole.state.arrays[name], after[name], err_msg=name)
    is_pretended = pretended_gpu.STATE.is_on
    for name in after if is_pretended else weights:
        atol = 1e-5 if is_pretended else 2 * SMALL["learning_rate"]
        np.testing.assert_allclose(
            whole.state.arrays[name], after[name], rtol=1e-3, atol=atol, err_msg=name
        )
    assert any(not np.array_equal(before[name], after[name]) for name in weights)


@pretended_gpu.needed()
@pytest.mark.parametrize("precision, cuda_graphs", [("fp32", False), ("bf16", "auto")])
@every_case
def test_a_training_step_waits_only_in_listed_places(case, precision, cuda_graphs):
    trainer = case.trainer("cuda", precision=precision, cuda_graphs=cuda_graphs, budget="20steps")
    trainer.begin()
    # The first steps, and a recording, set up what stays, and may wait.
    for _ in range(PLAIN_USES + 2 if isinstance(trainer.update, GraphedStep) else 2):
        trainer.train_step()
    with pretended_gpu.waits() as waits, pretended_gpu.faults() as faults:
        for _ in range(2):
            trainer.train_step()
    assert waits == WAITS_IN_A_TRAINING_STEP
    assert faults == FAULTS_IN_A_TRAINING_STEP


@pretended_gpu.needed()
def test_a_run_stays_on_the_second_device(monkeypatch):
    monkeypatch.setattr(pretended_gpu.STATE, "device_count", 2)
    monkeypatch.setattr(progress, "REPORT_SECONDS", 0.0)
    (case,) = (case for case in CASES if case.name == "lstm")
    trainer = case.trainer("cuda:1", budget="10steps", validate_every_steps=None)
    with pretended_gpu.faults() as faults:
        *events, fitted = trainer.train(never)
    assert fitted.steps == 10 and sum(isinstance(event, Step) for event in events) >= 3
    assert faults == []
    assert {str(parameter.device) for parameter in trainer.network.parameters()} == {"cuda:1"}


def operations_of_a_step(case: Case, tokens: int) -> int:
    """Count the operations that the host hands to the device in a training step over so many
    tokens."""
    trainer = case.trainer("cuda", bptt_tokens=tokens, cuda_graphs=False, budget="20steps")
    trainer.begin()
    trainer.train_step()
    before = pretended_gpu.STATE.operations
    trainer.train_step()
    return pretended_gpu.STATE.operations - before


@pretended_gpu.needed()
@pytest.mark.parametrize("name", CELLS)
def test_cells_whose_operations_grow_with_windows_are_recorded(name):
    """The host launches each step of such a cell by itself, forward and backward.

    cuDNN's layers are one operation a window; the QRNN's are as many as doublings reach over it.
    """
    model, settings = CELLS[name]
    case = Case(name, LANGUAGE_MODEL, model, settings)
    per_token = (operations_of_a_step(case, 48) - operations_of_a_step(case, 16)) / (48 - 16)
    assert case.trainer("cuda").is_recorded == (per_token > FEW_OPERATIONS)

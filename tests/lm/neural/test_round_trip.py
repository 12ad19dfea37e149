"""Every kind of network, from its first training step to samples of the saved model: on the CPU, on
a GPU with `-m gpu`, and on a device that computes nothing (support/fake_device.py), which all of it
stays on, and which no training step waits for."""

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rnnlm
from rnnlm import registry
from rnnlm.arrays import as_numpy
from rnnlm.config import ResolvedSettings
from rnnlm.errors import RnnlmWarning
from rnnlm.events import Step, TrainingState, never
from rnnlm.lm.base.span_scoring import score_spans, whole_text
from rnnlm.lm.neural.layers.layers import named_layers
from rnnlm.lm.neural.training import fitting
from rnnlm.lm.neural.training.step import PLAIN_USES, GraphedStep
from rnnlm.lm.neural.training.trainer import Trainer
from rnnlm.registry import LANGUAGE_MODEL
from rnnlm.scoring.generation.drawing import generate
from rnnlm.scoring.generation.settings import GenerationSettings
from rnnlm.storage import model_folder
from rnnlm.tasks.labelling import fitting as label_fitting
from rnnlm.tasks.labelling.model import LabelSearch, predict
from rnnlm.tasks.seq2seq import fitting as seq2seq_fitting
from rnnlm.tasks.seq2seq.data import encode_pairs
from rnnlm.tasks.seq2seq.decoding import translate
from rnnlm.tasks.seq2seq.evaluation.evaluation import target_scores
from rnnlm.tasks.seq2seq.options import DecodingSettings
from rnnlm.text import tokenizers
from rnnlm.text.encoding import TrainingData
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.tools.mixtures.adaptation import adapt
from rnnlm.tools.mixtures.adapted_model import NeuralCacheSettings, UnigramCacheSettings
from support import tiny_models, tiny_pairs, tiny_tasks
from support.devices import CUDA, no_waits
from support.fake_device import FakeDevice
from support.networks import through_a_file
from support.operations import Operations
from support.tiny_models import HELD_OUT, LINES, Lines
from support.tiny_translators import parallel_text

pytestmark = pytest.mark.needs(
    "tasks/labelling", "tasks/seq2seq", "tools/inspection", "tools/mixtures"
)

MAKERS = {
    LANGUAGE_MODEL: fitting.make_trainer, "seq2seq": seq2seq_fitting.make_trainer,
    "tagging": label_fitting.make_trainer, "classification": label_fitting.make_trainer,
}  # fmt: skip
FEW_OPERATIONS = 4  # more for each token of a window; a sigmoid cell has 8, a Mogrifier a hundred

DROPOUT = {"dropout_input": 0.2, "dropout_between": 0.2, "dropout_output": 0.2}
STEPS, CUT = 4, 2
SMALL = {
    "budget": f"{STEPS}steps", "validate_every_steps": 2, "learning_rate": 0.02, "batch_rows": 2,
}  # fmt: skip
# Few words, because a device that computes nothing takes long for each operation
ROWS = sorted(tiny_tasks.TRAIN, key=lambda row: len(row[0]))[:8]
PAIRS = [pair for pair in tiny_pairs.TRAIN if len(pair[0].split()) < 4][:6]
TEXTS = [["fly", "me", "never-seen"], ["oslo"]]


@dataclass(frozen=True)
class Case:
    """A kind of network: its task, its kind of model, and what it is besides."""

    name: str
    task: str
    model: str
    settings: dict[str, Any] = field(default_factory=dict)

    def resolved(self, **more: Any) -> ResolvedSettings:
        """Return all settings of a tiny network of this kind."""
        given = {**SMALL, **self.settings, **more}
        if self.task == LANGUAGE_MODEL:
            return tiny_models.small_settings(registry.kind_of(self.model), **given)
        if self.task == "seq2seq":
            return tiny_pairs.settings_of(self.model, **given)
        return tiny_tasks.settings_of(self.task, self.model, **given)

    def data(self, resolved: ResolvedSettings) -> Any:
        """Return a few examples in the form that this network reads."""
        if self.task == LANGUAGE_MODEL:
            tokenizer = tokenizers.train(resolved.make(TokenizerSettings), Lines(LINES).blocks())
            train, valid = (Lines(lines).encode(tokenizer) for lines in (LINES * 2, HELD_OUT))
            return TrainingData(tokenizer, train, valid)
        if self.task == "seq2seq":
            return tiny_pairs.data_of(resolved, PAIRS, tiny_pairs.VALID[:2])
        train, valid = (tiny_tasks.labelled(rows, self.task) for rows in (ROWS, ROWS[:2]))
        return tiny_tasks.data_of(resolved, train, valid)

    def trainer(self, device: str, initial: TrainingState | None = None, **settings) -> Trainer:
        """Make a trainer at the start of a run, or in the state `initial`."""
        resolved = self.resolved(device=device, **settings)
        with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
            return MAKERS[self.task](resolved, self.data(resolved), initial)

    def save(self, folder: Path, model: Any) -> None:
        """Save `model` as a command does."""
        model_folder.save(folder, model, self.model, self.resolved().values, STEPS, {})

    def scores(self, model: Any) -> np.ndarray:
        """Return the log-probabilities of a few texts, or the probabilities of their labels."""
        if self.task == LANGUAGE_MODEL:
            ids = Lines(HELD_OUT).encode(model.tokenizer).ids
            return score_spans(model, ids, whole_text(ids))
        if self.task == "seq2seq":
            model = getattr(model, "core", model)
            return target_scores(model, encode_pairs(model.codec, parallel_text(PAIRS[:2])))[0]
        scores = []
        for search in (LabelSearch(), LabelSearch(probabilities=True, nbest=2)):
            for prediction in predict(model, TEXTS, search):
                for column in prediction:
                    scores.append([each.logprob_nats for each in column.best])
                    if search.probabilities:
                        scores.append(column.p_TK.ravel())
        return np.concatenate(scores)

    def samples(self, model: Any) -> list[str] | None:
        """Return texts drawn from the model, and found by beam search; None if it writes none."""
        sampling = GenerationSettings(num=2, max_tokens=3, seed=5)
        if self.task == LANGUAGE_MODEL:
            return [each.text for each in generate(model, sampling)]
        if self.task == "seq2seq":
            sources, beam = ["one two", "seven"], DecodingSettings(beam=2)
            lines = list(translate(model, sources, sampling=sampling, num=2))
            lines += translate(model, sources[1:], settings=beam)
            return [each.text for line in lines for each in line.hypotheses]
        return None


PENALTIES = {"activation_penalty": 2.0, "temporal_penalty": 1.0}
AWD = {"layers": 2, "weight_drop": 0.3, "locked_dropout": True, **PENALTIES, **DROPOUT}
CELLS = {
    "tanh": ("rnn", {}), "sigmoid": ("rnn", {"activation": "sigmoid"}),
    "relu": ("rnn", {"activation": "relu"}), "jordan": ("jordan", {}), "ffnn": ("ffnn", {}),
    "gru, reset after": ("gru", {"reset_gate": "after"}),
    "gru, reset before": ("gru", {"reset_gate": "before"}), "lstm": ("lstm", DROPOUT),
    "peepholes": ("lstm", {"peepholes": True, "connections": "highway", "layers": 2}),
    "coupled gates": ("lstm", {"coupled_gates": True}),
    "mogrifier": ("lstm", {"mogrifier_rounds": 2}), "qrnn": ("qrnn", {"layers": 2}),
    "awd": ("lstm", AWD),
}  # fmt: skip
OUTPUTS = {
    "adaptive": {"output_layer": "adaptive", "cutoffs": "4,9", "tied": None},
    "class": {"output_layer": "class"}, "nce": {"loss": "nce", "samples": 5},
    "hierarchical": {"output_layer": "hierarchical", "tied": None},
    "mos": {"output_layer": "mos", "mixture_components": 2, "dropout_latent": 0.2},
    "sampled": {"loss": "sampled", "samples": 5},
    "characters cnn": {"characters": "cnn", "character_filters": "0,6", "tied": None, "character_size": 4},
    "characters lstm": {"characters": "lstm", "character_hidden_size": 4, "tied": None, "character_size": 4},
}  # fmt: skip
TASKS = [
    Case("tags", "tagging", "lstm"),
    Case("tags, crf", "tagging", "lstm", {"output_layer": "crf", "characters": None}),
    Case("tags, characters lstm", "tagging", "rnn", {"characters": "lstm"}),
    Case("classes", "classification", "lstm", {"sentence_pooling": "attention"}),
    Case("tags, qrnn", "tagging", "qrnn"),
    Case("classes, cnn", "classification", "cnn"),
    Case("classes, bag", "classification", "bag", {"batch_norm": True}),
    Case("classes, trees", "classification", "recursive", {"composition": "tensor"}),
    Case("pairs", "seq2seq", "lstm", {"attention": None, "bridge": "mean"}),
    Case("pairs, attention", "seq2seq", "gru", {"attention": "additive"}),
    Case("pairs, qrnn", "seq2seq", "qrnn", {"attention": "dot"}),
    Case("pairs, input feeding", "seq2seq", "lstm", {"attention": "dot", "input_feeding": True}),
]
MODELS = CELLS | {name: ("lstm", settings) for name, settings in OUTPUTS.items()}
CASES = [*(Case(name, LANGUAGE_MODEL, *each) for name, each in MODELS.items()), *TASKS]
CASE = {case.name: case for case in CASES}
every_case = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


@every_case
@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_a_network_trains_scores_saves_and_resumes(case, device, tmp_path):
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
    *_, whole = case.trainer(device, through_a_file(half.state)).train(never)
    assert (half.steps, whole.steps) == (CUT, STEPS)
    assert whole.state.arrays.keys() == fitted.state.arrays.keys()
    before, after = half.state.arrays, fitted.state.arrays
    weights = [name for name in before if name.startswith("network.")]
    if device == "cpu":
        for name in after:
            np.testing.assert_array_equal(whole.state.arrays[name], after[name], err_msg=name)
    rounding = {"rtol": 1e-3, "atol": 2 * SMALL["learning_rate"]}
    for name in weights:
        found = whole.state.arrays[name]
        np.testing.assert_allclose(found, after[name], err_msg=name, **rounding)
    assert any(not np.array_equal(before[name], after[name]) for name in weights)


@every_case
@pytest.mark.parametrize("precision, cuda_graphs", [("fp32", False), ("bf16", "auto")])
@pytest.mark.parametrize("device", [CUDA])
def test_no_training_step_waits_for_a_gpu(case, precision, cuda_graphs, device):
    trainer = case.trainer(device, precision=precision, cuda_graphs=cuda_graphs, budget="20steps")
    trainer.begin()
    # The first steps, and a recording, set up what stays, and may wait.
    for _ in range(PLAIN_USES + 2 if isinstance(trainer.update, GraphedStep) else 2):
        trainer.train_step()
    with no_waits(device):
        for _ in range(2):
            trainer.train_step()


@pytest.fixture
def fake_device(monkeypatch):
    """Have the device in this test, and train on it where a setting has its name."""
    monkeypatch.setattr(fitting, "resolve_device", torch.device)
    # Checkpointed layers ask for a module of functions for their device.
    monkeypatch.setattr(torch, "lazy", torch.cpu, raising=False)
    # Backward passes run in this thread, which has the mode.
    with torch.autograd.set_multithreading_enabled(False), FakeDevice() as device:
        yield device


@pytest.mark.parametrize("case", [
    CASES[0], *(pytest.param(case, marks=pytest.mark.soak) for case in CASES[1:])
], ids=[case.name for case in CASES])  # fmt: skip
def test_a_network_stays_on_its_device_and_no_step_waits(case, fake_device):
    few = {"bptt_tokens": 2} if case.task == LANGUAGE_MODEL else {}
    trainer = case.trainer(fake_device.name, **few)
    trainer.begin()
    with fake_device.no_waits():
        trainer.train_step()
    assert {str(each.device) for each in trainer.network.parameters()} == {fake_device.name}
    model = trainer.objective.model()
    assert np.isfinite(case.scores(model)).all()
    assert (case.samples(model) is None) == (case.task in ("tagging", "classification"))


@pytest.mark.soak
@pytest.mark.parametrize("name", ["lstm", "tags"])
def test_a_resumed_run_stays_on_its_device(name, fake_device):
    case, settings = CASE[name], {"budget": "2steps", "validate_every_steps": None}
    cut = case.trainer(fake_device.name, **settings)
    *_, half = cut.train(lambda: cut.step_count >= 1)
    trainer = case.trainer(fake_device.name, through_a_file(half.state), **settings)
    *_, whole = trainer.train(never)
    assert (half.steps, whole.steps) == (1, 2)
    assert {str(each.device) for each in trainer.network.parameters()} == {fake_device.name}


def reads_a_number_in_the_backward_pass(x_TBE):
    x_TBE.register_hook(lambda grad_TBE: grad_TBE * grad_TBE.sum().item())
    return x_TBE


# Not by gradients: torch copies a network of this device to the first one of its kind.
@pytest.mark.soak
@pytest.mark.parametrize("kind, settings", [
    ("unigram", UnigramCacheSettings()), ("cache", NeuralCacheSettings()),
])  # fmt: skip
def test_a_model_that_adapts_stays_on_its_device(kind, settings, fake_device):
    adapted = adapt(CASE["lstm"].trainer(fake_device.name).objective.model(), kind, settings)
    assert np.isfinite(CASE["lstm"].scores(adapted)).all()


FAULTS = {
    "host": (lambda x: x + torch.ones(x.shape), "two devices, lazy:1 and cpu"),
    "other device": (lambda x: x + torch.ones(x.shape, device="lazy:0"), "two devices, lazy:1 and lazy:0"),
    "item": (lambda x: x * x.sum().item(), "waits for the device: a number is read"),
    "if": (lambda x: x if x.sum() > 0 else -x, "waits for the device: a number is read"),
    "backward": (reads_a_number_in_the_backward_pass, "waits for the device: a number is read"),
    "to numpy": (lambda x: x * float(as_numpy(x)[0, 0, 0]), "waits for the device: a copy to the"),
    "from the host": (lambda x: x * torch.tensor(2.0, device=x.device), "a copy from the host"),
    "mask": (lambda x: x * x[x > 0].sum(), "nonzero"),
}  # fmt: skip


@pytest.mark.parametrize("fault, message", FAULTS.values(), ids=FAULTS)
def test_a_step_that_mixes_devices_or_waits_is_noticed(fault, message, fake_device):
    trainer = CASE["lstm"].trainer(fake_device.name, bptt_tokens=2)
    trainer.begin()
    trainer.network.input.register_forward_hook(lambda module, given, x_TBE: fault(x_TBE))
    with pytest.raises(RuntimeError, match=message), fake_device.no_waits():
        trainer.train_step()


def operations_of_a_step(case: Case, tokens: int) -> int:
    """Count the operations of a training step over so many tokens."""
    trainer = case.trainer("cpu", bptt_tokens=tokens, budget="20steps")
    trainer.begin()
    trainer.train_step()
    with Operations() as operations:
        trainer.train_step()
    return len(operations.calls)


# cuDNN computes these at once, where the CPU runs a loop.
CUDNNS = {"tanh", "relu", "gru, reset after"}


@pytest.mark.parametrize("name", sorted(CELLS.keys() - CUDNNS))
def test_cells_whose_operations_grow_with_windows_are_recorded(name):
    """A GPU's host would launch their steps by themselves, not those of torch's LSTM."""
    case = CASE[name]
    per_token = (operations_of_a_step(case, 12) - operations_of_a_step(case, 4)) / (12 - 4)
    layers = named_layers(case.trainer("cpu").network).values()
    assert any(layer.is_launched_step_by_step for layer in layers) == (per_token > FEW_OPERATIONS)

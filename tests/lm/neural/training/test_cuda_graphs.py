"""Recorded iterations equal plain ones, with a stand-in that knows only its recording's arrays."""

import contextlib

import numpy as np
import pytest
import torch

from rnnlm.config import SettingsLayer, resolve
from rnnlm.errors import SettingsError, TrainingError
from rnnlm.lm.neural.training import step as step_module
from rnnlm.lm.neural.training.fitting import started
from rnnlm.lm.neural.training.settings import RECORDED_MULTIPLE, FittingSettings
from rnnlm.lm.neural.training.step import PLAIN_USES, CudaRecorder, GraphedStep, TrainingStep
from rnnlm.text.batches import Window
from support.devices import Repeater

ROWS = 3
LENGTHS = [4, 6, 4, 4, 6, 4, 3, 6, 4, 6, 6, 4, 3, 4, 6]  # 4 and 6 are frequent, 3 is not


def windows(trainer):
    start_B = trainer.source.bounds[:-1].copy()
    for number, length in enumerate(LENGTHS):
        yield Window(start_B, start_B + length, np.arange(ROWS) == number % 4, length)
        start_B = start_B + length


@pytest.fixture
def few(make_data, sentences):
    return make_data(sentences[:20])


def trained(make_data, make_trainer, sentences, recorder=None, **settings):
    """Return the trainer after a step for each of LENGTHS, and the losses."""
    settings = {"layers": 2, "dropout_output": 0.3, "weight_drop": 0.3, **settings}
    trainer = make_trainer(make_data(sentences[:40]), batch_rows=ROWS, **settings)
    if recorder is not None:
        trainer.update = GraphedStep(trainer.update, recorder)
    state, losses = trainer.network.initial_state(ROWS), []
    for number, window in enumerate(windows(trainer)):
        rate = 0.01 * (1 + number % 5)
        loss, state = trainer.step(trainer.source.batch(window), state, rate)
        losses.append(float(loss))
        own = trainer.optimizer.param_groups[0]["lr"]
        assert own == rate and type(own) is float
    return trainer, losses, [tensor.clone() for tensor in state]


@pytest.mark.parametrize("settings", [
    {"optimizer": "sgd", "momentum": 0.5}, {"optimizer": "asgd", "asgd_start": 5},
    {"optimizer": "adamw", "ema_decay": 0.9, "l2": 0.1},
], ids=str)  # fmt: skip
def test_recorded_iterations_match_plain_ones(make_data, make_trainer, sentences, settings):
    plain, losses, state = trained(make_data, make_trainer, sentences, **settings)
    recorder = Repeater()
    graphed, found, state_found = trained(make_data, make_trainer, sentences, recorder, **settings)
    np.testing.assert_allclose(found, losses, rtol=1e-5)
    torch.testing.assert_close(state_found, state)
    torch.testing.assert_close(graphed.network.state_dict(), plain.network.state_dict())
    torch.testing.assert_close(graphed.averaging.averages, plain.averaging.averages)
    assert graphed.step_count == plain.step_count
    assert graphed.averaging.count == plain.averaging.count
    plain_uses = 2 * PLAIN_USES + LENGTHS.count(3)
    assert (recorder.warm_ups, recorder.replays) == (plain_uses, len(LENGTHS) - plain_uses)
    # the frequent ones, once each
    assert {shapes[0][0] for shapes in graphed.update.graphs} == {4, 6}


def test_graphs_change_no_run_of_drawn_lengths(make_data, make_trainer, sentences, graphs_on_cpu):
    def weights_after(**more):
        settings = {
            "bptt_tokens": 8, "bptt_deviation": 2.0, "bptt_multiple": 4, "batch_rows": 4,
            "budget": "40steps", "dropout_output": 0.2,
        }  # fmt: skip
        data = make_data(sentences, sentences[:20])
        trainer = make_trainer(data, **settings, validate_every_steps=15, **more)
        return trainer, list(trainer.train(lambda: False))[-1].model.to_arrays()

    _, expected = weights_after(cuda_graphs=False)
    trainer, found = weights_after(cuda_graphs=True)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-6)
    assert len(trainer.update.graphs) >= 2


@pytest.mark.parametrize("cuda_graphs", [True, "auto"])
def test_graphs_are_skipped_without_cuda(few, make_trainer, cuda_graphs):
    own = {"model": "rnn", "activation": "sigmoid", "cuda_graphs": cuda_graphs}
    trainer = make_trainer(few, **own)
    assert type(trainer.update) is TrainingStep and not trainer.is_recorded


# auto: recorded where the host would launch every step of a window
OF_TORCH = [
    {"model": "ffnn"}, {"model": "qrnn"}, {"model": "rnn", "activation": "tanh"},
    {"model": "rnn", "activation": "relu"}, {"model": "gru", "reset_gate": "after"},
    {"model": "lstm"}, {"model": "lstm", "weight_drop": 0.5, "layers": 2},
]  # fmt: skip
OF_OURS = [
    {"model": "jordan"}, {"model": "rnn", "activation": "sigmoid"},
    {"model": "rnn", "activation": "elu"}, {"model": "gru", "reset_gate": "before"},
    {"model": "lstm", "peepholes": True}, {"model": "lstm", "coupled_gates": True},
    {"model": "lstm", "mogrifier_rounds": 2},
]  # fmt: skip
NEVER = [
    {"optimizer": "rmsprop"}, {"optimizer": "adagrad"}, {"accumulation": 2}, {"cuda_graphs": False},
]  # fmt: skip


@pytest.mark.parametrize("settings", OF_TORCH + OF_OURS, ids=str)
def test_auto_records_cells_without_a_torch_kernel(few, make_trainer, graphs_on_cpu, settings):
    trainer = make_trainer(few, **settings)
    assert trainer.settings.cuda_graphs == "auto"
    assert trainer.is_recorded == isinstance(trainer.update, GraphedStep) == (settings in OF_OURS)
    assert started(trainer, "x", few).cuda_graphs == trainer.is_recorded


@pytest.mark.parametrize("settings", NEVER, ids=str)
def test_auto_records_nothing_unrecordable(few, make_trainer, graphs_on_cpu, settings):
    assert not make_trainer(few, model="jordan", **settings).is_recorded


def test_several_processes_record_nothing(few, make_trainer, graphs_on_cpu):
    trainer = make_trainer(few, model="jordan")
    assert step_module.records_steps(trainer.settings, trainer.network, trainer.device, 1)
    assert not step_module.records_steps(trainer.settings, trainer.network, trainer.device, 2)


@pytest.mark.needs("tasks/seq2seq")
@pytest.mark.parametrize("asked, expected", [("auto", False), (True, True)])
def test_tasks_with_varying_lengths_record_only_on_demand(graphs_on_cpu, asked, expected):
    from support import tiny_pairs

    own = {"input_feeding": True, "peepholes": True, "cuda_graphs": asked}
    assert tiny_pairs.trainer_of("lstm", **own).is_recorded is expected


DRAWN = {"model": "jordan", "bptt_tokens": 30, "bptt_deviation": 5.0, "batch_rows": 2}


def lengths_of(trainer, count):
    return {trainer.source.next().tensors[0].shape[0] for _ in range(count)}


def test_recorded_windows_have_few_lengths_and_a_resumed_run_keeps_them(
    make_data, make_trainer, sentences, graphs_on_cpu
):
    data = make_data(sentences)
    found = lengths_of(make_trainer(data, **DRAWN), 40)
    assert len(found) <= 6 and {length % RECORDED_MULTIPLE for length in found} == {0}
    for settings in ({"cuda_graphs": False}, {"bptt_multiple": 1}):
        assert len(lengths_of(make_trainer(data, **DRAWN, **settings), 40)) > 10
    assert lengths_of(make_trainer(data, **{**DRAWN, "bptt_deviation": 0.0}), 5) == {30}
    recorded = make_trainer(data, **DRAWN)
    expected = [recorded.source.next().tensors[0] for _ in range(4)]
    state = make_trainer(data, **DRAWN).source.state_dict()
    plain = make_trainer(data, **DRAWN, cuda_graphs=False)
    plain.source.load_state_dict(state)
    torch.testing.assert_close([plain.source.next().tensors[0] for _ in range(4)], expected)


def asked_for(text):
    layer = SettingsLayer("user", {"cuda_graphs": text}, is_text=True)
    return resolve([FittingSettings], [layer]).values["cuda_graphs"]


def test_graphs_are_asked_for_by_a_word():
    assert [asked_for(text) for text in ("auto", "true", "false")] == ["auto", True, False]
    with pytest.raises(SettingsError) as caught:
        asked_for("always")
    what = "setting cuda_graphs = 'always' is not valid; it must be true or false or auto"
    assert str(caught.value) == what


@pytest.mark.parametrize("optimizer", ["adagrad", "rmsprop"])
def test_an_optimizer_that_cannot_be_recorded_is_refused(optimizer):
    what = f"cuda_graphs.*the optimizer is {optimizer}.*cuda_graphs=false"
    with pytest.raises(SettingsError, match=what):
        FittingSettings(optimizer=optimizer, cuda_graphs=True)


@pytest.fixture
def told(monkeypatch):
    """Stand in for torch.cuda's streams and graphs. Return what they were asked for, in order."""
    told = []

    class Stream:
        def __init__(self, name):
            self.name = name

        def wait_stream(self, other):
            told.append(f"{self.name} waits for {other.name}")

        def __enter__(self):
            told.append(f"on {self.name}")

        def __exit__(self, *_):
            told.append(f"off {self.name}")

    class CUDAGraph:
        def replay(self):
            told.append("replay")

    functions = {
        "Stream": lambda device: Stream("side"), "CUDAGraph": CUDAGraph,
        "current_stream": lambda device: Stream("current"), "stream": lambda stream: stream,
        "device": lambda device: contextlib.nullcontext(), "graph_pool_handle": lambda: "pool",
        "graph": lambda graph, pool, stream: {"pool": stream}[pool],
    }  # fmt: skip
    for name, function in functions.items():
        monkeypatch.setattr(torch.cuda, name, function)
    return told


def test_warm_up_is_ordered_with_surrounding_work(told):
    recorder = CudaRecorder(torch.device("cuda"))
    assert recorder.warm_up(lambda: told.append("run") or "results") == "results"
    own = ["on side", "run", "off side"]
    assert told == ["side waits for current", *own, "current waits for side"]


def test_recording_happens_once_on_side_stream_then_replays(told):
    replay = CudaRecorder(torch.device("cuda")).record(lambda: told.append("run") or "results")
    assert told == ["on side", "run", "off side"]
    assert [replay(), replay()] == ["results", "results"]
    assert told[3:] == ["replay", "replay"]


REMEDY = "CUDA graph; operation not permitted when stream is capturing; set cuda_graphs=false"


@pytest.mark.parametrize("error, kind, what", [
    (RuntimeError("operation not permitted when stream is capturing\nmore"), TrainingError, REMEDY),
    (torch.OutOfMemoryError(), torch.OutOfMemoryError, ""),
])  # fmt: skip
def test_an_error_of_a_recording_has_a_remedy_unless_memory_is_out(told, error, kind, what):
    def run():
        raise error

    with pytest.raises(kind, match=what):
        CudaRecorder(torch.device("cuda")).record(run)

"""Recorded iterations equal plain ones: shown with a stand-in that, like a graph, knows only the arrays of its recording."""

import numpy as np
import pytest
import torch

from rnnlm.errors import SettingsError, TrainingError
from rnnlm.neural.fitting import trainer as trainer_module
from rnnlm.neural.fitting.cuda_graphs import PLAIN_USES, CudaRecorder, GraphedStep
from rnnlm.neural.fitting.settings import FittingSettings
from rnnlm.neural.fitting.step import TrainingStep
from rnnlm.text.batches import Window

ROWS = 3
LENGTHS = [4, 6, 4, 4, 6, 4, 3, 6, 4, 6, 6, 4, 3, 4, 6]  # 4 and 6 are frequent, 3 is not


class Repeater:
    """Does the recorded run again; its results overwrite those of the time before."""

    def __init__(self):
        self.warm_ups = self.replays = 0

    def warm_up(self, run):
        self.warm_ups += 1
        return run()

    def record(self, run):
        kept = []

        def replay():
            self.replays += 1
            loss, norm, state = run()
            kept[:] = kept or [tensor.clone() for tensor in (loss, norm, *state)]
            for place, result in zip(kept, (loss, norm, *state), strict=True):
                place.copy_(result)
            return kept[0], kept[1], tuple(kept[2:])

        return replay


def windows(trainer):
    start_B = trainer.source.bounds[:-1].copy()
    for number, length in enumerate(LENGTHS):
        yield Window(start_B, start_B + length, np.arange(ROWS) == number % 4, length)
        start_B = start_B + length


def trained(make_data, make_trainer, sentences, recorder=None, **settings):
    """The trainer after a step for each of LENGTHS, and the losses."""
    trainer = make_trainer(make_data(sentences[:40]), batch_rows=ROWS, layers=2, dropout_output=0.3, weight_drop=0.3, **settings)
    if recorder is not None:
        trainer.update = GraphedStep(trainer.update, recorder)
    state, losses = trainer.network.initial_state(ROWS), []
    for number, window in enumerate(windows(trainer)):
        rate = 0.01 * (1 + number % 5)
        loss, state = trainer.step(trainer.source.batch(window), state, rate)
        losses.append(float(loss))
        assert trainer.optimizer.param_groups[0]["lr"] == rate and type(trainer.optimizer.param_groups[0]["lr"]) is float
    return trainer, losses, [tensor.clone() for tensor in state]


@pytest.mark.parametrize(
    "settings",
    [{"optimizer": "sgd", "momentum": 0.5}, {"optimizer": "asgd", "asgd_start": 5}, {"optimizer": "adamw", "ema_decay": 0.9, "l2": 0.1}],
    ids=str,
)
def test_recorded_iterations_give_the_losses_states_weights_and_averages_of_plain_ones(make_data, make_trainer, sentences, settings):
    plain, losses, state = trained(make_data, make_trainer, sentences, **settings)
    recorder = Repeater()
    graphed, found, state_found = trained(make_data, make_trainer, sentences, recorder, **settings)
    np.testing.assert_allclose(found, losses, rtol=1e-5)
    torch.testing.assert_close(state_found, state)
    torch.testing.assert_close(graphed.network.state_dict(), plain.network.state_dict())
    torch.testing.assert_close(graphed.averaging.averages, plain.averaging.averages)
    assert (graphed.step_count, graphed.averaging.count) == (plain.step_count, plain.averaging.count)
    plain_uses = 2 * PLAIN_USES + LENGTHS.count(3)
    assert (recorder.warm_ups, recorder.replays) == (plain_uses, len(LENGTHS) - plain_uses)
    assert {shapes[0][0] for shapes in graphed.update.graphs} == {4, 6}  # the frequent ones, once each


def test_a_run_of_drawn_lengths_is_the_same_with_graphs(make_data, make_trainer, sentences, monkeypatch):
    def weights_after(**more):
        settings = {
            "bptt_tokens": 8,
            "bptt_deviation": 2.0,
            "bptt_multiple": 4,
            "batch_rows": 4,
            "budget": "40steps",
            "dropout_output": 0.2,
        }
        trainer = make_trainer(make_data(sentences, sentences[:20]), **settings, validate_every_steps=15, **more)
        return trainer, list(trainer.train(lambda: False))[-1].model.to_arrays()

    _, expected = weights_after()
    monkeypatch.setattr(trainer_module, "with_graphs", lambda step, settings, device: GraphedStep(step, Repeater()))
    trainer, found = weights_after(cuda_graphs=True)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-6)
    assert len(trainer.update.graphs) >= 2


def test_graphs_are_left_out_where_there_is_no_cuda(make_data, make_trainer, sentences):
    trainer = make_trainer(make_data(sentences[:20]), cuda_graphs=True)
    assert type(trainer.update) is TrainingStep


@pytest.mark.parametrize("optimizer", ["adagrad", "rmsprop"])
def test_an_optimizer_that_cannot_be_recorded_is_refused(optimizer):
    with pytest.raises(SettingsError, match=f"cuda_graphs.*the optimizer is {optimizer}.*cuda_graphs=false"):
        FittingSettings(optimizer=optimizer, cuda_graphs=True)


class Cuda:
    """torch.cuda's streams and graphs, as far as recordings need them; `told` is what they were asked for, in order."""

    def __init__(self):
        self.told = []
        cuda, self.current = self, self.Stream("current", self)

        class CUDAGraph:
            def replay(self):
                cuda.told.append("replay")

        self.CUDAGraph = CUDAGraph

    class Stream:
        def __init__(self, name, cuda):
            self.name, self.cuda = name, cuda

        def wait_stream(self, other):
            self.cuda.told.append(f"{self.name} waits for {other.name}")

        def __enter__(self):
            self.cuda.told.append(f"on {self.name}")

        def __exit__(self, *_):
            self.cuda.told.append(f"off {self.name}")

    def graph(self, graph, pool, stream):
        assert pool == "pool"
        return stream


@pytest.fixture
def cuda(monkeypatch):
    fake = Cuda()
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Cuda.Stream("side", fake))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: fake.current)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    monkeypatch.setattr(torch.cuda, "CUDAGraph", fake.CUDAGraph)
    monkeypatch.setattr(torch.cuda, "graph", fake.graph)
    return fake


def test_warming_up_is_in_order_with_what_is_before_and_after(cuda):
    results = CudaRecorder(torch.device("cuda")).warm_up(lambda: cuda.told.append("run") or "results")
    assert results == "results"
    assert cuda.told == ["side waits for current", "on side", "run", "off side", "current waits for side"]


def test_a_recording_is_made_once_on_the_side_stream_and_replayed_from_then_on(cuda):
    replay = CudaRecorder(torch.device("cuda")).record(lambda: cuda.told.append("run") or "results")
    assert cuda.told == ["on side", "run", "off side"]
    assert [replay(), replay()] == ["results", "results"]
    assert cuda.told[3:] == ["replay", "replay"]


def test_what_cannot_be_recorded_is_told_with_a_way_out(cuda):
    def run():
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    with pytest.raises(TrainingError, match="CUDA graph; operation not permitted when stream is capturing; set cuda_graphs=false"):
        CudaRecorder(torch.device("cuda")).record(run)


def test_memory_that_runs_out_in_a_recording_stays_that(cuda):
    def run():
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        CudaRecorder(torch.device("cuda")).record(run)

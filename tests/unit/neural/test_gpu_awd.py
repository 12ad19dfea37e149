"""AWD-LSTM, steps that wait for nothing and CUDA graphs, as far as only a CUDA device can show them: run with `pytest -m gpu`
on a machine that has one."""

import warnings

import pytest
import torch

from rnnlm.benchmarks.training import kernel_seconds
from rnnlm.errors import TrainingError
from rnnlm.neural import network
from rnnlm.neural.device import exact_products, memory_errors, training_products
from rnnlm.neural.fitting.cuda_graphs import PLAIN_USES, GraphedStep
from rnnlm.neural.layers import stack as cells
from rnnlm.neural.layers.kernels.choice import elman, gru, lstm
from rnnlm.neural.layers.kernels.torch_layers import kernel_type
from support.network_variants import VARIANTS

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")]
DEVICE = torch.device("cuda")
AWD = {
    "model": "lstm", "layers": 3, "layer_sizes": "50,50,24", "embedding_size": 24, "tied": True, "weight_drop": 0.5, "locked_dropout": True,
    "dropout_embedding": 0.1, "dropout_input": 0.4, "dropout_between": 0.25, "dropout_output": 0.4,
    "activation_penalty": 2.0, "temporal_penalty": 1.0, "optimizer": "sgd", "clip_norm": 0.25, "weight_decay": 1.2e-6,
}  # fmt: skip
WITHOUT_DROPPING = AWD | dict.fromkeys([name for name in AWD if name.startswith("dropout_")] + ["weight_drop"], 0.0)


@pytest.fixture
def same_masks(monkeypatch):
    """Dropout whose masks follow from how often it was asked: the same ones on each device, after `same_masks()` anew."""
    calls = [0]

    def dropout(x_TBE, p, training, locked=False):
        if not training or p == 0:
            return x_TBE
        calls[0] += 1
        shape = (1, *x_TBE.shape[1:]) if locked else x_TBE.shape
        kept = torch.rand(shape, generator=torch.Generator().manual_seed(calls[0])) >= p
        return x_TBE * (kept / (1 - p)).to(x_TBE)

    monkeypatch.setattr(cells, "dropout", dropout)
    monkeypatch.setattr(network, "dropout", dropout)
    return lambda: calls.__setitem__(0, 0)


def steps(trainer, count, rate=1.0):
    """The losses of `count` steps."""
    state, losses = trainer.network.initial_state(trainer.source.rows), []
    for _, (_, window) in zip(range(count), trainer.source.windows(), strict=False):
        loss, state = trainer.step(trainer.source.batch(window), state, rate)
        losses.append(loss.clone())
    return torch.stack(losses).cpu()


def weights_of(trainer):
    return {name: tensor.cpu() for name, tensor in trainer.network.state_dict().items()}


def test_awd_steps_equal_those_of_the_cpu_with_the_same_masks(make_data, make_trainer, sentences, same_masks):
    data, found = make_data(sentences), {}
    for device in ("cpu", "cuda"):
        same_masks()
        trainer = make_trainer(data, device=device, **AWD)
        with exact_products():
            found[device] = steps(trainer, 3), weights_of(trainer)
    torch.testing.assert_close(found["cuda"], found["cpu"], atol=1e-3, rtol=1e-3)


def test_awd_in_bf16_is_near_fp32(make_data, make_trainer, sentences, same_masks):
    data, losses = make_data(sentences), {}
    for precision in ("fp32", "bf16"):
        same_masks()
        losses[precision] = steps(make_trainer(data, device="cuda", precision=precision, **AWD), 10)
    torch.testing.assert_close(losses["bf16"], losses["fp32"], atol=0.03, rtol=0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("E, H", [(16, 32), (20, 50), (400, 1150)])
@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh", "relu"])
def test_cudnn_takes_the_flat_weights_as_they_are(kind, E, H, precision):
    gates = {"lstm": 4, "gru": 3}.get(kind, 1)
    shapes = [(7, 4, E), (4, H), (gates * H, E), (gates * H, H), (gates * H,)]
    x_TBE, h_BH, *weights = [torch.randn(shape, device=DEVICE, requires_grad=True) for shape in shapes]
    with warnings.catch_warnings(), training_products(precision, DEVICE):
        warnings.simplefilter("error")
        if kind == "lstm":
            y_TBH, _ = lstm(x_TBE, h_BH, h_BH, *weights)
        elif kind == "gru":
            y_TBH = gru(x_TBE, h_BH, *weights, weights[-1], "after", "keep")
        else:
            y_TBH = elman(x_TBE, h_BH, *weights, kind)
        y_TBH.sum().backward()
    assert y_TBH.dtype == torch.float32 and all(weight.grad.isfinite().all() for weight in weights)


def test_bf16_products_are_cudnns():
    with training_products("bf16", DEVICE):
        assert kernel_type(torch.ones(1, device=DEVICE)) == torch.bfloat16


EVERYTHING = {"layers": 2, "dropout_input": 0.1, "dropout_between": 0.1, "dropout_output": 0.1, "clip_value": 1.0, "l1": 1e-6, "l2": 1e-6}
STEPS = [(EVERYTHING | {"optimizer": name, "ema_decay": None if name == "asgd" else 0.9}, False)
         for name in ("adamw", "adam", "sgd", "asgd", "adagrad", "rmsprop")]  # fmt: skip
STEPS += [(AWD | more, graphs) for more in ({}, {"optimizer": "asgd", "ema_decay": None}, {"optimizer": "adamw", "ema_decay": 0.9})
          for graphs in (False, True)]  # fmt: skip


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("settings, cuda_graphs", STEPS, ids=str)
def test_a_training_step_does_not_wait_for_the_device(make_data, make_trainer, sentences, precision, settings, cuda_graphs):
    trainer = make_trainer(make_data(sentences), device="cuda", precision=precision, cuda_graphs=cuda_graphs, state_reset=0.2, **settings)
    steps(trainer, PLAIN_USES + 2)  # kernels are loaded, and the iteration is recorded
    state = trainer.network.initial_state(trainer.source.rows)
    windows = [window for _, (_, window) in zip(range(4), trainer.source.windows(), strict=False)]
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for window in windows:
            loss, state = trainer.step(trainer.source.batch(window), state, 0.01)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert loss.isfinite()


# ---- CUDA graphs


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "optimizer", [{"optimizer": "sgd", "momentum": 0.9}, {"optimizer": "asgd"}, {"optimizer": "adam"}, {"optimizer": "adamw"}], ids=str
)
def test_recorded_training_equals_plain_training(make_data, make_trainer, sentences, optimizer, precision):
    data, found = make_data(sentences, sentences[:20]), {}
    for cuda_graphs in (False, True):
        settings = WITHOUT_DROPPING | optimizer | {"bptt_tokens": 6, "validate_every_steps": 15, "learning_rate": 0.01}
        trainer = make_trainer(data, device="cuda", precision=precision, cuda_graphs=cuda_graphs, budget="45steps", **settings)
        *_, fitted = trainer.train(lambda: False)
        found[cuda_graphs] = fitted.best_ppl_token, weights_of(trainer)
    assert isinstance(trainer.update, GraphedStep) and trainer.update.graphs
    torch.testing.assert_close(found[True], found[False], atol=1e-3, rtol=1e-3)


def test_masks_are_drawn_anew_in_each_replay(make_data, make_trainer, sentences):
    trainer = make_trainer(make_data(sentences), device="cuda", cuda_graphs=True, **AWD)
    _, window = next(trainer.source.windows())
    state = trainer.network.initial_state(trainer.source.rows)
    losses = [float(trainer.step(trainer.source.batch(window), state, 0.0)[0]) for _ in range(PLAIN_USES + 5)]
    assert len(set(losses)) == len(losses)


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_every_variant_can_be_recorded(make_data, make_trainer, sentences, settings):
    trainer = make_trainer(make_data(sentences[:100]), device="cuda", cuda_graphs=True, budget="20steps", dropout_output=0.1, **settings)
    *_, fitted = trainer.train(lambda: False)
    assert trainer.update.graphs and fitted.stopped == "budget"


def test_recorded_steps_are_not_slower_and_kernels_fill_most_of_their_time(make_data, make_trainer, sentences):
    speeds = {}
    for cuda_graphs in (False, True):
        trainer = make_trainer(make_data(sentences), device="cuda", precision="bf16", cuda_graphs=cuda_graphs, **AWD)
        steps(trainer, PLAIN_USES + 2)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        steps(trainer, 50)
        end.record()
        torch.cuda.synchronize()
        speeds[cuda_graphs] = begin.elapsed_time(end) / 1e3
    assert speeds[True] < 1.1 * speeds[False]
    assert 0 < kernel_seconds(lambda: len(steps(trainer, 50)), DEVICE) < speeds[False]


# ---- memory


def test_memory_that_runs_out_is_an_error_with_a_way_out(make_data, make_trainer, sentences):
    with pytest.raises(TrainingError, match="out of memory on cuda.*lower hidden_size"), memory_errors(DEVICE):
        torch.empty(1 << 50, device=DEVICE)
    assert torch.ones(1, device=DEVICE).item() == 1

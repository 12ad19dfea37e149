"""Devices and precisions asked for against those here; and that nothing in a step waits for the device."""

import ast
import importlib
import inspect
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from rnnlm.errors import DeviceError, RnnlmWarning, SettingsError, TrainingError
from rnnlm.neural import device as devices
from rnnlm.neural.device import (
    exact_products,
    has_native_bf16,
    memory_errors,
    resolve_device,
    resolve_precision,
    training_products,
)
from rnnlm.neural.language_model import NeuralLanguageModel

CPU, META = torch.device("cpu"), torch.device("meta")
KINDS = [("rnn", "tanh"), ("rnn", "relu"), ("rnn", "sigmoid"), ("gru", "tanh"), ("lstm", "tanh")]
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")


# ---- what is asked for


@without_cuda
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_cuda_without_one_is_an_error_with_a_way_out(name):
    with pytest.raises(DeviceError) as caught:
        resolve_device(name)
    assert name in caught.value.what and caught.value.why and "--device cpu" in caught.value.way_out


def test_a_cuda_device_beyond_those_here_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(DeviceError, match="there are 2 CUDA devices"):
        resolve_device("cuda:2")


def test_mps_without_one_is_an_error(monkeypatch):
    monkeypatch.setattr(devices, "_has_mps", lambda: False)
    with pytest.raises(DeviceError, match="mps"):
        resolve_device("mps")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "cuda:-1", "xpu", "meta", "CPU"])
def test_other_devices_are_wrong_usage(name):
    with pytest.raises(SettingsError, match="use auto, cpu, cuda"):
        resolve_device(name)


@pytest.mark.parametrize("cuda, mps, expected", [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_auto_takes_the_fastest_device_here(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(devices, "_has_mps", lambda: mps)
    assert resolve_device("auto").type == expected


@pytest.mark.parametrize("native, expected", [(True, "bf16"), (False, "fp32")])
def test_auto_precision_is_bf16_where_it_is_fast(monkeypatch, native, expected):
    monkeypatch.setattr(devices, "has_native_bf16", lambda device: native)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_precision("auto", CPU) == expected
        assert resolve_precision("fp32", CPU) == "fp32"


def test_slow_bf16_is_taken_with_a_notice(monkeypatch):
    monkeypatch.setattr(devices, "has_native_bf16", lambda device: False)
    with pytest.warns(RnnlmWarning, match="bf16 will be slow"):
        assert resolve_precision("bf16", CPU) == "bf16"


def test_bf16_products_run_under_autocast_and_fp32_ones_as_they_are():
    a = torch.ones(2, 2)
    with training_products("bf16", CPU):
        assert (a @ a).dtype == torch.bfloat16
    with training_products("fp32", CPU):
        assert (a @ a).dtype == torch.float32
    assert isinstance(has_native_bf16(CPU), bool)


@pytest.mark.parametrize("before", [True, False])
def test_exact_products_switch_tf32_off_for_a_while(before, monkeypatch):
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    kept = matmul.allow_tf32, cudnn.allow_tf32
    try:
        matmul.allow_tf32 = cudnn.allow_tf32 = before
        with pytest.raises(ZeroDivisionError), exact_products():
            assert not matmul.allow_tf32 and not cudnn.allow_tf32
            raise ZeroDivisionError
        assert matmul.allow_tf32 == cudnn.allow_tf32 == before
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = kept


def test_memory_that_runs_out_is_an_error_with_a_way_out():
    with pytest.raises(TrainingError, match="out of memory on cpu.*lower hidden_size"), memory_errors(CPU):
        torch.empty(1 << 50)
    with pytest.raises(TrainingError, match="out of memory"), memory_errors(CPU):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="another matter"), memory_errors(CPU):
        raise RuntimeError("another matter")


# ---- device independence, shown on torch's meta device, where mixing devices raises


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("model, activation", KINDS)
def test_a_training_step_runs_on_the_meta_device(make_data, make_trainer, sentences, model, activation, optimizer):
    trainer = make_trainer(
        make_data(sentences[:20]), device="meta", model=model, activation=activation, layers=2, batch_rows=3, optimizer=optimizer,
        dropout_input=0.1, dropout_between=0.1, dropout_output=0.1, clip_value=1.0, state_reset=0.5,
    )  # fmt: skip
    state = trainer.network.initial_state(3)
    for _, window in zip(range(3), (window for _, window in trainer.streams.windows()), strict=False):
        loss, state = trainer.step(window, state, 0.1)
    assert loss.device.type == "meta" and all(part.device.type == "meta" for part in state)
    assert all(parameter.grad.device.type == "meta" for parameter in trainer.network.parameters())


@pytest.mark.parametrize("model, activation", KINDS)
def test_evaluation_and_sampling_steps_run_on_the_meta_device(make_data, make_trainer, sentences, model, activation):
    data = make_data(sentences[:20])
    network = make_trainer(data, device="meta", model=model, activation=activation, tied=False).network
    model = NeuralLanguageModel(network, data.tokenizer)
    ids_BT = np.zeros((2, 5), dtype=np.int64)
    logprob_BT, state = model.score(ids_BT, ids_BT - 1, model.initial_state(2))
    assert logprob_BT.shape == (2, 5) and logprob_BT.device.type == "meta"
    logprob_BTV, state = model.predict(ids_BT[:, :1], state.select([1, 0, 1]).select([0, 2]))
    assert logprob_BTV.shape == (2, 1, data.tokenizer.size) and logprob_BTV.device.type == "meta"
    hidden_BTH, state = model.hidden(ids_BT, model.concat_states([state.select([0]), state.select([1])]))
    assert hidden_BTH.device.type == "meta"


def test_mixing_devices_is_noticed_on_the_meta_device(make_data, make_trainer, sentences):
    """The two tests above would fail if a tensor of another device came in."""
    trainer = make_trainer(make_data(sentences[:20]), device="meta", batch_rows=3)
    _, window = next(trainer.streams.windows())
    with pytest.raises((RuntimeError, ValueError)):
        trainer.step(window, tuple(torch.zeros(1, 3, 8) for _ in range(2)), 0.1)


# ---- nothing in a step waits for the device, shown by its syntax

WAITING_METHODS = {"item", "cpu", "tolist", "numpy", "synchronize", "nonzero", "unique", "equal", "allclose", "is_nonzero"}
WAITING_FUNCTIONS = {"float", "int", "bool", "print"}
TORCHS_OWN = {"train"}  # the network's mode, not our loop of that name
ON_THE_HOST = {"int((window.end_B - window.start_B).max())"}  # numpy's, on the host already


def functions_of(module_name):
    """name -> syntax of each function and method of a module."""
    tree = ast.parse(Path(inspect.getfile(importlib.import_module(module_name))).read_text(encoding="utf-8"))
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def called_names(function):
    """Names it calls or reads as attributes: over-inclusive, so that nothing escapes."""
    names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    return names | {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}


def reachable(start, functions):
    found, waiting = {}, [start]
    while waiting:
        name = waiting.pop()
        if name in functions and name not in found and name not in TORCHS_OWN:
            found[name] = functions[name]
            waiting += called_names(functions[name])
    return found


def waits(function):
    """The calls in `function` that make the host wait for the device, as source."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Call) or ast.unparse(node) in ON_THE_HOST:
            continue
        if isinstance(node.func, ast.Attribute) and node.func.attr in WAITING_METHODS:
            yield ast.unparse(node)
        if isinstance(node.func, ast.Name) and node.func.id in WAITING_FUNCTIONS:
            yield ast.unparse(node)


def step_functions():
    layers = ("recurrence", "scheduled_window", "scheduled_elman", "scheduled_gru", "scheduled_lstm", "linear_cross_entropy")
    modules = (*layers, "output", "cells", "network", "regularization", "optimizers", "streams", "fitting")
    functions = {}
    for name in modules:
        functions |= functions_of(f"rnnlm.neural.{name}")
    functions |= {"training_products": functions_of("rnnlm.neural.device")["training_products"]}
    forwards = {  # a module's forward and an autograd.Function's halves are called under other names
        f"{name}.{node.name}": node
        for name in modules
        for parent in ast.walk(ast.parse(Path(inspect.getfile(importlib.import_module(f"rnnlm.neural.{name}"))).read_text("utf-8")))
        if isinstance(parent, ast.ClassDef)
        for node in parent.body
        if isinstance(node, ast.FunctionDef) and node.name in ("forward", "backward")
    }
    found = reachable("step", functions)
    for node in forwards.values():
        for name in called_names(node):
            found |= reachable(name, functions)
    return {**found, **forwards}


def test_the_step_is_followed_into_all_it_calls():
    names = set(step_functions())
    assert {"step", "gather", "refresh", "_on_device", "clip_gradients", "features", "loss", "_layer", "_even_rows"} <= names
    assert {"cells.forward", "scheduled_lstm.backward", "linear_cross_entropy.forward", "linear_cross_entropy.backward"} <= names
    assert "_validate" not in names and "_fitted" not in names


def test_nothing_in_a_training_step_waits_for_the_device():
    found = {name: list(waits(function)) for name, function in step_functions().items()}
    assert {name: calls for name, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    "line", ["loss.item()", "loss.cpu()", "x.tolist()", "x.numpy()", "float(loss)", "bool(x.any())", "print(loss)", "torch.cuda.synchronize()"]
)
def test_waiting_is_recognised(line):
    assert list(waits(ast.parse(f"def f():\n    return {line}")))

"""Devices and precisions asked for against those here; and that nothing in a step waits for the
device."""

import ast
import functools
import importlib
import inspect
import pkgutil
import re
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
from support.network_variants import VARIANTS

CPU, META = torch.device("cpu"), torch.device("meta")
KINDS = [("rnn", "tanh"), ("rnn", "leaky_relu"), ("gru", "tanh"), ("lstm", "tanh")]
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")


# ---- what is asked for


@without_cuda
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_missing_cuda_is_an_error_with_a_hint(name):
    with pytest.raises(DeviceError) as caught:
        resolve_device(name)
    assert name in caught.value.what and caught.value.why and "`device` cpu" in caught.value.hint


@pytest.mark.parametrize("name, error, what", [
    ("cuda:2", DeviceError, "there are 2 CUDA devices"), ("mps", DeviceError, "mps"),
    *((name, SettingsError, "use auto, cpu, cuda") for name in ("gpu", "", "cuda:x", "cuda:-1",
        "xpu", "meta", "CPU")),
])  # fmt: skip
def test_an_absent_or_invalid_device_is_an_error(monkeypatch, name, error, what):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(devices, "_has_mps", lambda: False)
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(error, match=what):
        resolve_device(name)


@pytest.mark.parametrize(
    "cuda, mps, expected", [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
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


def test_only_bf16_products_run_under_autocast():
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


def test_products_stay_exact_until_the_last_thread_ends():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    kept = matmul.allow_tf32, cudnn.allow_tf32
    try:
        matmul.allow_tf32 = cudnn.allow_tf32 = True
        one, other = exact_products(), exact_products()
        one.__enter__()
        other.__enter__()
        one.__exit__(None, None, None)
        assert not matmul.allow_tf32 and not cudnn.allow_tf32
        other.__exit__(None, None, None)
        assert matmul.allow_tf32 and cudnn.allow_tf32
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = kept


def test_running_out_of_memory_gives_a_hint():
    lower = "out of memory on cpu.*lower hidden_size.*batch_rows or bptt_tokens.*max_vocab"
    with pytest.raises(TrainingError, match=lower), memory_errors(CPU):
        torch.empty(1 << 50)
    for error in (
        torch.OutOfMemoryError("CUDA out of memory"), MemoryError(),
        RuntimeError("MPS backend out of memory (...)"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ):  # fmt: skip
        with pytest.raises(TrainingError, match="out of memory"), memory_errors(CPU):
            raise error
    with pytest.raises(RuntimeError, match="another matter"), memory_errors(CPU):
        raise RuntimeError("another matter")


# ---- device independence, shown on torch's meta device, where mixing devices raises

WINDOW = 4  # tokens: each step of a loop takes milliseconds there


@pytest.mark.parametrize(
    "model, activation, optimizer",
    [(*kind, "adamw") for kind in KINDS]
    + [("rnn", "tanh", name) for name in ("adam", "sgd", "asgd", "adagrad", "rmsprop")],
)
def test_a_training_step_runs_on_the_meta_device(
    make_data, make_trainer, sentences, model, activation, optimizer
):
    trainer = make_trainer(
        make_data(sentences[:20]), device="meta", model=model, activation=activation, layers=2,
        batch_rows=3, bptt_tokens=WINDOW, optimizer=optimizer,
        dropout_input=0.1, dropout_between=0.1, dropout_output=0.1, clip_value=1.0, state_reset=0.5,
        l1=0.1, l2=0.1, ema_decay=None if optimizer == "asgd" else 0.9,
    )  # fmt: skip
    state = trainer.network.initial_state(3)
    for _, window in zip(
        range(2), (window for _, window in trainer.source.windows()), strict=False
    ):
        loss, state = trainer.step(trainer.source.batch(window), state, 0.1)
    assert loss.device.type == "meta" and all(part.device.type == "meta" for part in state)
    assert all(parameter.grad.device.type == "meta" for parameter in trainer.network.parameters())


@pytest.mark.parametrize(
    "settings",
    [*VARIANTS, {"model": "rnn", "tied": False}, {"model": "gru"}, {"model": "lstm"}],
    ids=str,
)
def test_every_variant_trains_and_predicts_on_meta(make_data, make_trainer, sentences, settings):
    data = make_data(sentences[:20])
    trainer = make_trainer(
        data, device="meta", batch_rows=3, bptt_tokens=WINDOW, dropout_input=0.1,
        dropout_output=0.1, **settings,
    )  # fmt: skip
    _, window = next(trainer.source.windows())
    loss, state = trainer.step(trainer.source.batch(window), trainer.network.initial_state(3), 0.1)
    assert loss.device.type == "meta" and all(part.device.type == "meta" for part in state)
    model = NeuralLanguageModel(trainer.network, data.tokenizer)
    ids_BT = np.zeros((3, 5), dtype=np.int64)
    logprob_BT, state = model.score(ids_BT, ids_BT, model.initial_state(3))
    logprob_BTV, state = model.predict(ids_BT[:, :1], state.select([1, 0, 1]))
    hidden_BTH, _ = model.hidden(
        ids_BT, model.concat_states([state.select([0]), state.select([1, 2])])
    )
    assert logprob_BT.device.type == logprob_BTV.device.type == hidden_BTH.device.type == "meta"
    assert logprob_BTV.shape == (3, 1, data.tokenizer.size)


def test_mixing_devices_is_noticed_on_the_meta_device(make_data, make_trainer, sentences):
    """The tests above would fail if a tensor of another device came in."""
    trainer = make_trainer(make_data(sentences[:20]), device="meta", batch_rows=3)
    _, window = next(trainer.source.windows())
    with pytest.raises((RuntimeError, ValueError)):
        trainer.step(
            trainer.source.batch(window), tuple(torch.zeros(1, 3, 8) for _ in range(2)), 0.1
        )


# ---- nothing in a step waits for the device, shown by its syntax

WAITING_METHODS = {
    "item",
    "cpu",
    "tolist",
    "numpy",
    "synchronize",
    "nonzero",
    "unique",
    "equal",
    "allclose",
    "is_nonzero",
}
WAITING_FUNCTIONS = {"float", "int", "bool", "print"}
TORCHS_OWN = {"train"}  # the network's mode, not our loop of that name
ON_THE_HOST = {
    # numpy's, on the host already
    "int((window.end_B - window.start_B).max())", "int(length_W.max(initial=0))",
    "int(self.count_B.sum())",
    "int(count_B[read:read + rows].sum())", "int(epochs_done)", "start_B.tolist()",
    "end_B.tolist()",
    "int(self.tokens_E[chosen_B].sum())", "int(each[0])", "int(each[-1])",
    "torch.unique(ids_TB, return_inverse=True)", "int(length_n[-1])",  # where the device is a CPU
    "int(w)",  # a name
    "int(epochs)",  # of the schedule, a number of the host
    # word vectors, before the first step
    "rows_VE.detach().float().cpu().numpy()", "rows_VE.detach().float().cpu()",
}  # fmt: skip


def tree_of(module):
    name = f"rnnlm.{module}" if module.startswith("tasks.") else f"rnnlm.neural.{module}"
    return ast.parse(
        Path(inspect.getfile(importlib.import_module(name))).read_text(encoding="utf-8")
    )


def functions_of(modules):
    """Map each name to the syntax of the functions and methods of that name, in all modules."""
    found = {}
    for module in modules:
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.FunctionDef) and node.name not in ON_THE_CPU:
                found.setdefault(node.name, []).append(node)
    return found


def called_names(function):
    """Return all names that the function calls or reads as attributes: too many, so that none is
    missed."""
    names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    return names | {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}


def reachable(start, functions):
    found, waiting = {}, [start]
    while waiting:
        name = waiting.pop()
        if name in functions and name not in found and name not in TORCHS_OWN:
            found[name] = functions[name]
            waiting += [
                called for function in functions[name] for called in called_names(function) - BEFORE
            ]
    return found


def waits(function):
    """Yield the source of each call in `function` that makes the host wait for the device."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Call) or ast.unparse(node) in ON_THE_HOST:
            continue
        if isinstance(node.func, ast.Attribute) and node.func.attr in WAITING_METHODS:
            yield ast.unparse(node)
        if isinstance(node.func, ast.Name) and node.func.id in WAITING_FUNCTIONS:
            yield ast.unparse(node)


STEP_MODULES = (
    "network", "initialisation", "layers.layers", "words", *(f"tasks.{name}" for name in (
        "labels.network", "labels.encoders", "labels.contextual", "labels.fitting", "labels.heads",
        "batches",
        "seq2seq.network", "seq2seq.attention", "seq2seq.batches", "seq2seq.fitting",
        "seq2seq.kernels")),
    *(f"fitting.{name}" for name in ("optimization", "language_modelling", "trainer", "step")),
    *(f"{room}.{module.name}" for room in ("outputs",
                                           "layers.kernels") for module in pkgutil.iter_modules(
        importlib.import_module(f"rnnlm.neural.{room}").__path__)),
)  # fmt: skip
ON_THE_CPU = {"rows_by_group", "_is_within"}  # where it is known that the device is the host
BEFORE = {
    "prepare",
    "arrange",
    "ranks",
    "run",
    "paths",
    "_best_path",
}  # called before the first step or in decoding, reached by names of buffers, attributes, modules


@functools.cache
def step_functions():
    """Map each name to the functions of that name that a step may call. A module's forward and an
    autograd.Function's two halves are called under other names, so all of them are included."""
    functions = functions_of(STEP_MODULES)
    functions["training_products"] = functions_of(["device"])["training_products"]
    found = {}
    for start in ("step", "next", "forward", "backward", "__call__"):
        found |= reachable(start, functions)
    return found


FOLLOWED = """add_gradients update _share_of_new step next batch restart_rows _on_device gradient_norms clip_gradients features loss connect
_even_rows __call__ warm_up record replay
set_rate dropout activation_penalty _drop_words recurrent_weights cudnns_layer flat_weights kernel_type
_pad_with_zeros forward backward draw _groups_by_class _tails _paths window_loss by_doubling step_backward _gates
read vectors is_word mirror _last _best
losses log_partition log_likelihood is_word batch_tensors label_tensors
encode decode look read_step_by_step _with_own_words make_loop pair_tensors scores_backward"""


def test_the_step_is_followed_into_all_it_calls():
    functions = step_functions()
    assert set(re.split(r"\s", FOLLOWED)) <= set(functions) and not {"is_sound", "end_event"} & set(
        functions
    )
    assert len(functions["loss"]) >= 6  # the network's and each output layer's


def test_a_training_step_never_waits_for_the_device():
    found = {
        name: [call for each in same for call in waits(each)]
        for name, same in step_functions().items()
    }
    assert {name: calls for name, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    "line",
    [
        "loss.item()",
        "loss.cpu()",
        "x.tolist()",
        "x.numpy()",
        "float(loss)",
        "bool(x.any())",
        "print(loss)",
        "torch.cuda.synchronize()",
    ],
)
def test_waiting_is_recognised(line):
    assert list(waits(ast.parse(f"def f():\n    return {line}")))

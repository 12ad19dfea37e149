"""Devices and precisions asked for against those here."""

import os
import platform
import subprocess
import sys
import warnings

import pytest
import torch

from rnnlm.errors import DeviceError, RnnlmWarning, SettingsError, TrainingError
from rnnlm.lm.neural import device as devices
from rnnlm.lm.neural.device import exact_products, memory_errors, resolve_device, resolve_precision

CPU, MPS = torch.device("cpu"), torch.device("mps")
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")


@without_cuda
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_missing_cuda_is_an_error_with_a_hint(name):
    with pytest.raises(DeviceError) as caught:
        resolve_device(name)
    assert name in caught.value.what and caught.value.why and "`device` cpu" in caught.value.hint


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "cuda:-1", "xpu", "meta", "CPU"])
def test_an_invalid_device_is_an_error(name):
    with pytest.raises(SettingsError, match="use auto, cpu, cuda"):
        resolve_device(name)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="an MPS device is here")
def test_missing_mps_is_an_error():
    with pytest.raises(DeviceError, match="device mps is not available"):
        resolve_device("mps")


@without_cuda
@pytest.mark.parametrize("mps, expected", [(True, "mps"), (False, "cpu")])
def test_auto_takes_the_fastest_device_here(monkeypatch, mps, expected):
    monkeypatch.setattr(devices, "_has_mps", lambda: mps)
    assert resolve_device("auto").type == expected


def test_gpus_come_before_other_devices_and_take_bf16(two_gpus):
    assert resolve_device("auto").type == "cuda"
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(DeviceError, match="there are 2 CUDA devices"):
        resolve_device("cuda:2")
    with warnings.catch_warnings(action="error"):
        assert resolve_precision("auto", torch.device("cuda")) == "bf16"
        assert resolve_precision("auto", MPS) == "fp32"
        expected = "bf16" if devices.has_native_bf16(CPU) else "fp32"
        assert resolve_precision("auto", CPU) == expected
        assert resolve_precision("fp32", CPU) == "fp32"
    with pytest.warns(RnnlmWarning, match="bf16 will be slow"):
        assert resolve_precision("bf16", MPS) == "bf16"


# On a processor without AVX-512, or under oneDNN's own limit: an LSTM trains in bf16, if asked to.
WITHOUT_KERNELS = """
import torch
from rnnlm.lm.neural.device import cpu_has_bf16_kernels, resolve_precision
from rnnlm.lm.neural.layers.kernels import choice

with torch.inference_mode():
    assert not cpu_has_bf16_kernels()
assert resolve_precision("auto", torch.device("cpu")) == "fp32"
weight, states = torch.zeros(8, 2, requires_grad=True), torch.ones(2, 1, 2)
with torch.autocast("cpu", torch.bfloat16):
    y_TBH, _ = choice.lstm(torch.ones(5, 1, 2), *states, weight, weight, torch.ones(8))
y_TBH.sum().backward()
assert weight.grad.count_nonzero()
"""


@pytest.mark.processes
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the limit is for x86")
def test_processors_without_bf16_kernels_take_fp32_or_the_loops():
    limits = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    subprocess.run([sys.executable, "-c", WITHOUT_KERNELS], env=os.environ | limits, check=True)


def test_only_bf16_products_run_under_autocast():
    a = torch.ones(2, 2)
    with devices.training_products("bf16", CPU):
        assert (a @ a).dtype == torch.bfloat16
    with devices.training_products("fp32", CPU):
        assert (a @ a).dtype == torch.float32


@pytest.fixture
def products():
    """Return those of torch's settings that allow TF32, and restore them."""
    settings = torch.backends.cuda.matmul, torch.backends.cudnn
    kept = [each.allow_tf32 for each in settings]
    yield settings
    for each, allowed in zip(settings, kept, strict=True):
        each.allow_tf32 = allowed


@pytest.mark.parametrize("before", [True, False])
def test_exact_products_switch_tf32_off_for_a_while(before, products):
    products[0].allow_tf32 = products[1].allow_tf32 = before
    with pytest.raises(ZeroDivisionError), exact_products():
        assert not any(each.allow_tf32 for each in products)
        raise ZeroDivisionError
    assert [each.allow_tf32 for each in products] == [before, before]


def test_products_stay_exact_until_the_last_thread_ends(products):
    products[0].allow_tf32 = products[1].allow_tf32 = True
    one, other = exact_products(), exact_products()
    one.__enter__(), other.__enter__(), one.__exit__(None, None, None)
    assert not any(each.allow_tf32 for each in products)
    other.__exit__(None, None, None)
    assert all(each.allow_tf32 for each in products)


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

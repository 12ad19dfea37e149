"""Devices and precisions asked for against those here."""

import warnings

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

CPU = torch.device("cpu")
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

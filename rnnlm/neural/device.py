"""Devices and precisions: what was asked for, checked against what is available."""

import contextlib
import threading
from collections.abc import Iterator

import torch

from rnnlm.errors import DeviceError, SettingsError, TrainingError, notice
from rnnlm.system import keep_freed

# The allocators of CPU and MPS, and the libraries of CUDA, have no class of error for it: this is
# what their messages say.
OUT_OF_MEMORY = ("allocate memory", "not enough memory", "out of memory", "STATUS_ALLOC_FAILED")


def resolve_device(name: str) -> torch.device:
    """`auto` (CUDA, else MPS, else CPU) or a device by name.

    Raises:
        DeviceError: it is not available. SettingsError: there is no such kind of device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SettingsError(
            f"device {name!r} is not known", hint="use auto, cpu, cuda, cuda:N or mps"
        ) from None
    if device.type == "cuda" and not torch.cuda.is_available():
        why = (
            "this torch is built without CUDA"
            if not torch.version.cuda
            else "no CUDA device is visible"
        )
        raise DeviceError(f"device {name} is not available", why, "use --device cpu or auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"device {name} is not available", f"there are {torch.cuda.device_count()} CUDA devices"
        )
    if device.type == "mps" and not _has_mps():
        raise DeviceError("device mps is not available", hint="use --device cpu or auto")
    if device.type not in ("cpu", "cuda", "mps"):
        raise SettingsError(
            f"device {name!r} is not supported", hint="use auto, cpu, cuda, cuda:N or mps"
        )
    return device


def resolve_precision(name: str, device: torch.device) -> str:
    """`fp32` or `bf16`; `auto` is bf16 where the device multiplies it natively. A slow choice gets
    a notice."""
    native = has_native_bf16(device)
    if name == "auto":
        return "bf16" if native else "fp32"
    if name == "bf16" and not native:
        notice(f"{device.type} has no native bf16 products here: precision bf16 will be slow")
    return name


def has_native_bf16(device: torch.device) -> bool:
    """Whether products in bf16 are faster than in fp32 on this device."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, check)() for check in checks if hasattr(torch.cpu, check))
    return False


def training_products(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """The context in which products run: autocast to bf16, or as they are (torch's cuDNN kernels
    may take TF32)."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def product_type(x: torch.Tensor) -> torch.dtype:
    """In which type products run: autocast's where it is on, but never less than float64 where `x`
    is that."""
    device = x.device.type
    is_on = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if is_on and x.dtype != torch.float64 else x.dtype


class _ExactProducts:
    """torch's switches for TF32 belong to the whole process: the first of those who need exact
    products turns them off, the last one brings back what was set before."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.before = True, True

    def begin(self) -> None:
        matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
        with self.lock:
            if not self.users:
                self.before = matmul.allow_tf32, cudnn.allow_tf32
                matmul.allow_tf32 = cudnn.allow_tf32 = False
            self.users += 1

    def end(self) -> None:
        with self.lock:
            self.users -= 1
            if not self.users:
                torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = self.before


_exact = _ExactProducts()


@contextlib.contextmanager
def exact_products() -> Iterator[None]:
    """IEEE fp32: no TF32 in cuBLAS or cuDNN while this lasts, in any thread."""
    _exact.begin()
    try:
        yield
    finally:
        _exact.end()


@contextlib.contextmanager
def reading(network: torch.nn.Module, precision: str) -> Iterator[None]:
    """Evaluation mode, no gradients, products in `precision`. A network that was in training goes
    back to that afterwards."""
    was_training = network.training
    if was_training:
        network.eval()
    exact = exact_products() if precision == "fp32" else contextlib.nullcontext()
    try:
        with (
            torch.no_grad(),
            exact,
            training_products(precision, next(network.parameters()).device),
        ):
            yield
    finally:
        if was_training:
            network.train()


@contextlib.contextmanager
def memory_errors(device: torch.device) -> Iterator[None]:
    """Turn torch's errors of memory that ran out into a TrainingError with a hint."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        has_a_class = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not has_a_class and not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        hint = (
            "lower hidden_size, embedding_size, layers, batch_rows or bptt_tokens; "
            "for a large vocabulary set max_vocab or output_layer=adaptive"
        )
        raise TrainingError(
            f"out of memory on {device}", "the network and its batch do not fit", hint
        ) from None


def keep_freed_memory(device: torch.device) -> None:
    """On a CPU, freed arrays stay with the process: each training step makes the same ones again
    (10 % of its time)."""
    if device.type == "cpu":
        keep_freed()


def _has_mps() -> bool:
    return torch.backends.mps.is_available()

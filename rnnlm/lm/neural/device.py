"""Choose devices and precisions: check the request against the available ones."""

import contextlib
import functools
import threading
from collections.abc import Iterator

import torch

from rnnlm.errors import DeviceError, SettingsError, TrainingError, keyword, notice
from rnnlm.system import keep_freed

# The allocators of CPU and MPS, and the libraries of CUDA, have no class of error for it: these are
# parts of their messages.
OUT_OF_MEMORY = ("allocate memory", "not enough memory", "out of memory", "STATUS_ALLOC_FAILED")


def resolve_device(name: str) -> torch.device:
    """Return the device of this name; `auto` is CUDA, else MPS, else the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if _has_mps() else "cpu")
    known = "use auto, cpu, cuda, cuda:N or mps"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SettingsError(f"unknown device {name!r}", hint=known) from None

    # torch accepts a device that this machine lacks, and would fail at the first tensor on it.
    unavailable = f"device {name} is not available"
    if device.type == "cuda" and not torch.cuda.is_available():
        is_built = bool(torch.version.cuda)
        why = "no CUDA device is visible" if is_built else "this torch is built without CUDA"
        raise DeviceError(unavailable, why, "use " + keyword("device") + " cpu or auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(unavailable, f"there are {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not _has_mps():
        raise DeviceError(
            "device mps is not available", hint="use " + keyword("device") + " cpu or auto"
        )
    if device.type not in ("cpu", "cuda", "mps"):
        raise SettingsError(f"device {name!r} is not supported", hint=known)
    return device


def resolve_precision(name: str, device: torch.device) -> str:
    """Return `fp32` or `bf16`; `auto` is bf16 where the device multiplies it natively. Give notice
    of a slow choice."""
    if name == "fp32":
        return name
    native = has_native_bf16(device)
    if name == "auto":
        return "bf16" if native else "fp32"
    if not native:
        notice(f"{device.type} has no native bf16 arithmetic here: precision bf16 will be slow")
    return name


def has_native_bf16(device: torch.device) -> bool:
    """Return whether products in bf16 are faster than in fp32 on this device."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        supported = [getattr(torch.cpu, check)() for check in checks if hasattr(torch.cpu, check)]
        return any(supported) and cpu_has_bf16_kernels()
    return False


@functools.cache
def cpu_has_bf16_kernels() -> bool:
    """Return whether oneDNN, torch's library on a CPU, has kernels in bf16 here: it is asked for
    its LSTM, with and without gradients, as nothing computes that in their place.

    The instructions of the processor do not tell: ONEDNN_MAX_CPU_ISA limits their use. Nor do
    kernels tell that bf16 is fast: AVX-512 without bf16 instructions has them, five times slower
    than in fp32.
    """
    with torch.inference_mode(False):
        zeros = functools.partial(torch.zeros, dtype=torch.float32, device="cpu")
        x_TBE, state_1BH, bias_G = zeros(1, 1, 1), zeros(1, 1, 1), zeros(4)
        try:
            for trains in (False, True):
                weight = zeros(4, 1).requires_grad_(trains)
                weights = [weight, weight, bias_G, bias_G]
                settings = True, 1, 0.0, trains, False, False
                with torch.set_grad_enabled(trains), torch.autocast("cpu", torch.bfloat16):
                    y_TBH = torch.lstm(x_TBE, (state_1BH, state_1BH), weights, *settings)[0]
                if trains:
                    y_TBH.sum().backward()
        except RuntimeError:
            return False
    return True


def training_products(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """Return the context in which products run: autocast to bf16, or as they are (torch's cuDNN
    kernels may take TF32)."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def without_autocast(x: torch.Tensor) -> contextlib.AbstractContextManager:
    """Return the context in which products with `x` run in its own type."""
    device = x.device.type  # meta has no autocast
    if torch.amp.is_autocast_available(device):
        return torch.autocast(device, enabled=False)
    return contextlib.nullcontext()


def product_type(x: torch.Tensor) -> torch.dtype:
    """Return the type in which products with `x` run: autocast's if it is on, but float64 for
    float64."""
    device = x.device.type
    is_on = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if is_on and x.dtype != torch.float64 else x.dtype


class _ExactProducts:
    """torch's switches for TF32, which belong to the whole process: the first user who needs exact
    products turns them off, the last one restores them."""

    lock = threading.Lock()
    users = 0
    before = True, True  # of cuBLAS, of cuDNN


@contextlib.contextmanager
def exact_products() -> Iterator[None]:
    """Multiply in IEEE fp32 in this context, without TF32 in cuBLAS or cuDNN, in any thread."""
    matmul, cudnn, exact = torch.backends.cuda.matmul, torch.backends.cudnn, _ExactProducts
    with exact.lock:
        if not exact.users:
            exact.before = matmul.allow_tf32, cudnn.allow_tf32
            matmul.allow_tf32 = cudnn.allow_tf32 = False
        exact.users += 1
    try:
        yield
    finally:
        with exact.lock:
            exact.users -= 1
            if not exact.users:
                matmul.allow_tf32, cudnn.allow_tf32 = exact.before


@contextlib.contextmanager
def evaluation_mode(network: torch.nn.Module, precision: str) -> Iterator[None]:
    """Enter evaluation mode, without gradients, with products in `precision`. A network that was in
    training mode goes back to that afterwards."""
    was_training = network.training
    if was_training:
        network.eval()
    exact = exact_products() if precision == "fp32" else contextlib.nullcontext()
    products = training_products(precision, next(network.parameters()).device)
    try:
        with torch.no_grad(), exact, products:
            yield
    finally:
        if was_training:
            network.train()


@contextlib.contextmanager
def memory_errors(device: torch.device) -> Iterator[None]:
    """Turn torch's errors about memory that ran out into a TrainingError with a hint."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        has_a_class = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not has_a_class and not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        raise TrainingError(
            f"out of memory on {device}",
            "the network and its batch do not fit",
            "lower hidden_size, embedding_size, layers, batch_rows or bptt_tokens; "
            "for a large vocabulary set max_vocab or output_layer=adaptive",
        ) from None


def keep_freed_memory(device: torch.device) -> None:
    """Keep freed arrays in the process on a CPU: each training step makes the same ones again, in
    10 % of its time."""
    if device.type == "cpu":
        keep_freed()


def _has_mps() -> bool:
    return torch.backends.mps.is_available()

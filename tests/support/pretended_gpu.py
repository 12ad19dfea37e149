"""A CUDA device for machines without one: tensors say `cuda:0`, and the CPU computes them.

    PYTHONPATH=tests python -m pytest -p support.pretended_gpu -m gpu tests/unit    tests
    python tests/support/pretended_gpu.py -m rnnlm train ... --device cuda          a program
    PRETENDED_GPU_REPORT=FILE   where either one leaves what was noticed, and how often
    PRETENDED_GPUS=2            how many devices there are; without it, one

The idea
    `CudaTensor` reports a CUDA device and has no memory there; it holds a CPU tensor with the
    numbers, `inner`. Every operation of torch passes through `dispatch`, below autograd and
    autocast, which are therefore the real ones with their rules for CUDA. `dispatch` checks the
    rules that a real device enforces, runs the operation on the inner tensors and wraps the
    results. torch.cuda's functions are replaced by ones that keep the state of a pretended device.

What it shows
    * tensors of different devices in one operation, a host generator for the device, `.numpy()`;
    * waits: places where the host waits for the device, such as `.item()`, a mask as an index or a
      copy from pageable memory. `waits()` lists them, and set_sync_debug_mode("error") raises;
    * CUDA graphs: a capture only records, and a replay runs what was recorded on the same arrays;
    * the conditions of cuDNN's recurrent layers;
    * operations that CUDA lacks, or lacks under torch.use_deterministic_algorithms(True);
    * an event on one device that does not cover a copy from another (`faults()`).

What it cannot show
    Speed, memory, rounding, kernels that fail, and races between streams: work is always done when
    it is asked for. Processes that a test starts see no device.

It needs torch exactly as constraints.txt has it, built for CPUs, on x86-64 Linux: `why_not()`.
"""

import atexit
import contextlib
import ctypes
import json
import os
import platform
import re
import runpy
import sys
import threading
import time
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

ROOT = Path(__file__).resolve().parents[2]
REPORT = "PRETENDED_GPU_REPORT"  # environment variable: the file for what was noticed
HOW_TO = "PYTHONPATH=tests python -m pytest -p support.pretended_gpu"

# ---- the device and its state


@dataclass
class State:
    """What a CUDA driver knows: one pretended machine a process."""

    is_on: bool = False
    device_count: int = int(os.environ.get("PRETENDED_GPUS", "1"))
    current_device: int = 0
    sync_debug_mode: int = 0  # 0 default, 1 warn, 2 error
    capturing: "CUDAGraph | None" = None
    streams: dict[int, "Stream"] = field(default_factory=dict)  # the current stream of each device
    generators: dict[int, Tensor] = field(default_factory=dict)  # each device's, as their states
    # By device, copies to the host that were started without waiting, until an event covers them.
    copies_under_way: Counter[int] = field(default_factory=Counter)
    operations: int = 0


STATE = State()
DRAWING_LOCK = threading.RLock()  # one thread draws at a time


def index_of(device: Any) -> int:
    """Return the number of a CUDA device; `cuda` without a number is the current device."""
    index = device if isinstance(device, int) else None
    if device is not None and index is None:
        index = torch.device(device).index
    if index is None:
        return STATE.current_device
    if index >= STATE.device_count:
        raise RuntimeError("CUDA error: invalid device ordinal")
    return index


class Notes:
    """Things noticed, each as `file:line: what`. `collect` keeps those of its context apart."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.collectors: list[list[str]] = []

    def add(self, what: str) -> None:
        """Note `what` at the line of rnnlm that is running."""
        note = f"{calling_line()}: {what}"
        if not self.collectors:
            self.counts[note] += 1
        elif note not in self.collectors[-1]:
            self.collectors[-1].append(note)

    @contextlib.contextmanager
    def collect(self) -> Iterator[list[str]]:
        """List what is noticed in this context, each note once."""
        self.collectors.append([])
        try:
            yield self.collectors[-1]
        finally:
            self.collectors.pop()


WAITS = Notes()  # the host waits for the device
COPIES = Notes()  # from the host to the device
FAULTS = Notes()  # a real device would raise nothing, and compute something else than was meant
waits, copies, faults = WAITS.collect, COPIES.collect, FAULTS.collect


def calling_line() -> str:
    """Return the innermost running line of rnnlm, else that of the caller, as `file:line`."""
    frame = sys._getframe(1)
    caller = ""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        line = f"{module.replace('.', '/')}.py:{frame.f_lineno}"
        if module.startswith("rnnlm."):
            return line
        if not caller and module != __name__ and not module.startswith(("torch", "contextlib")):
            caller = line
        frame = frame.f_back
    return caller


def wait(what: str, torch_notices: bool = True) -> None:
    """Note that the host waits for the device here, and do what torch does then.

    c10::cuda::memcpy_and_sync and stream_synchronize honour the debug mode; the driver refuses all
    waits while a stream is being captured. torch does not notice waits inside the driver.
    """
    WAITS.add(what)
    if STATE.capturing is not None:
        raise RuntimeError(f"CUDA error: operation not permitted when stream is capturing ({what})")
    if not torch_notices:
        return
    if STATE.sync_debug_mode == 2:
        raise RuntimeError(f"called a synchronizing CUDA operation ({what})")
    if STATE.sync_debug_mode == 1:
        warnings.warn(f"called a synchronizing CUDA operation ({what})", stacklevel=3)


def seed_generator(seed: int, index: int) -> None:
    """Seed the generator of one device."""
    own = torch.Generator().manual_seed(int(seed) & ((1 << 63) - 1))
    STATE.generators[index] = own.get_state()


def with_generator(index: int, run: Callable[[], Any]) -> Any:
    """Run `run` with the device's own generator in place of the host's.

    Device and host draw independently on a real machine: drawing on one leaves the other as it is.
    """
    host = torch.random.default_generator
    with DRAWING_LOCK:
        if index not in STATE.generators:
            seed_generator(host.initial_seed(), index)
        before = host.get_state()
        host.set_state(STATE.generators[index])
        try:
            return run()
        finally:
            STATE.generators[index] = host.get_state()
            host.set_state(before)


# ---- tensors


class CudaTensor(Tensor):
    """A tensor that reports a CUDA device. `inner`, on the CPU, has its shape and numbers."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor, index: int) -> "CudaTensor":
        assert type(inner) is Tensor and inner.device.type == "cpu", type(inner)
        made = Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=torch.device("cuda", index),
        )  # fmt: skip
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})

    def __repr__(self) -> str:
        return f"CudaTensor({self.inner!r}, device={self.device})"

    def __reduce_ex__(self, protocol: int) -> tuple:
        return restored, (self.inner.detach(), self.device.index, self.requires_grad)

    def __deepcopy__(self, memo: dict) -> Tensor:
        if id(self) not in memo:
            own: Tensor = CudaTensor(self.inner.clone(), self.device.index)
            if isinstance(self, torch.nn.Parameter):
                own = torch.nn.Parameter(own, self.requires_grad)
            memo[id(self)] = own
        return memo[id(self)]

    def numpy(self, *, force: bool = False) -> Any:
        if force:
            return self.detach().cpu().numpy()
        advice = "Use Tensor.cpu() to copy the tensor to host memory first."
        raise TypeError(f"can't convert {self.device} device type tensor to numpy. {advice}")

    def __array__(self, *_args: Any, **_settings: Any) -> Any:
        return self.numpy()

    def tolist(self) -> Any:
        return self.detach().cpu().tolist()

    def data_ptr(self) -> int:
        return self.inner.data_ptr()

    @property
    def data(self) -> Tensor:
        """The same numbers without gradients. Given another tensor, this one takes its memory."""
        return CudaTensor(self.inner, self.device.index)

    @data.setter
    def data(self, new: Tensor) -> None:
        if not isinstance(new, CudaTensor):
            raise RuntimeError("incompatible tensor type: .data is on the device of its tensor")
        Tensor.data.__set__(self, new)
        self.inner = new.inner


def restored(inner: Tensor, index: int, requires_grad: bool) -> Tensor:
    """Rebuild a pickled tensor."""
    return CudaTensor(inner, index).requires_grad_(requires_grad)


plain_apply = torch.nn.Module._apply


def moved(self: torch.nn.Module, function: Callable, recurse: bool = True) -> torch.nn.Module:
    """Move a module, as Module.to() asks for it, so that its parameters stay the same objects.

    torch gives a parameter other memory in place, which cannot make a CudaTensor of a plain tensor.
    Its other way, in which two objects swap everything, can.
    """
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        return plain_apply(self, function, recurse)
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)


# ---- rules of single operations, by their names in ATen

# The host needs a number or a size from the device: it waits.
WAITING = frozenset(
    """
    _local_scalar_dense is_nonzero equal nonzero masked_select bincount multinomial
    embedding_renorm_ _unique2 unique_dim unique_consecutive unique_dim_consecutive
    _linalg_svd _linalg_eigh linalg_eig linalg_eigvals _linalg_eigvals linalg_lstsq
    _linalg_check_errors
    """.split()
)
# From torch's page on use_deterministic_algorithms: on CUDA they raise for floating-point numbers.
NONDETERMINISTIC = frozenset(
    """
    cumsum cumsum_ put_ histc kthvalue median _ctc_loss grid_sampler_2d_backward nll_loss2d_forward
    """.split()
)
# cuBLAS, which CUDA asks for products: of floating-point numbers only (addmm_cuda).
PRODUCTS = frozenset("mm addmm addmm_ bmm baddbmm baddbmm_ mv addmv dot".split())
WHOLE_NUMBERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
REPRODUCIBLE_WORKSPACES = (":4096:8", ":16:8")  # CUBLAS_WORKSPACE_CONFIG
# These draw from the generator of their device.
DRAWING = frozenset(
    """
    rand randn randint randperm rand_like randn_like randint_like uniform_ normal_ normal random_
    bernoulli bernoulli_ exponential_ geometric_ log_normal_ cauchy_ poisson multinomial
    native_dropout dropout
    """.split()
)
# These take a number on the host (a tensor without dimensions), as pointwise operations do.
TAKE_HOST_NUMBERS = frozenset(
    """
    masked_fill masked_fill_ where clamp fill_ index_fill index_fill_
    index_put index_put_ _index_put_impl_
    """.split()
)
INDEXING = frozenset(
    """
    index index_put index_put_ _index_put_impl_ _unsafe_index _unsafe_index_put
    """.split()
)


def check_devices(func: Any, name: str, args: tuple, tensors: list[Tensor], index: int) -> None:
    """Raise what TensorIterator raises when the tensors of an operation differ in device."""
    device = torch.device("cuda", index)
    exempt: list[Tensor] = []
    if name in INDEXING:
        exempt = [each for each in args[1] if each is not None]
        if not isinstance(args[0], CudaTensor):
            what = "indices should be either on cpu or on the same device as the indexed tensor"
            raise RuntimeError(f"{what} (cpu): {func}")
    if name == "_pack_padded_sequence":
        exempt = [args[1]]  # the lengths, which torch wants on the host

    numbers_allowed = torch.Tag.pointwise in func.tags or name in TAKE_HOST_NUMBERS
    numbers_allowed = numbers_allowed or name.startswith("_foreach")
    for tensor in tensors:
        is_host_number = tensor.device.type == "cpu" and tensor.dim() == 0 and numbers_allowed
        is_exempt = any(tensor is each for each in exempt)
        if tensor.device == device or is_host_number or is_exempt:
            continue
        what = "Expected all tensors to be on the same device, but found at least two devices"
        raise RuntimeError(f"{what}, {device} and {tensor.device}! ({func})")


def check_waits(name: str, args: tuple, kwargs: dict) -> None:
    """Note the waits that belong to an operation rather than to a copy."""
    # nonzero turns a mask into numbers, and the host asks how many. Numbers on the host are copied.
    if name in INDEXING:
        for each in args[1]:
            if each is not None and each.dtype in (torch.bool, torch.uint8):
                wait("index by a mask")
            if each is not None and not isinstance(each, CudaTensor):
                wait("index on the host")

    # Many draws with replacement are one kernel; others check their probabilities first.
    many_draws = name == "multinomial" and len(args) > 2 and args[2] and args[1] != 1
    sizes_unknown = name == "repeat_interleave" and kwargs.get("output_size") is None
    if sizes_unknown or (name in WAITING and not many_draws):
        wait(name)


def check_kernels(name: str, first: Tensor) -> None:
    """Raise where CUDA has no kernel, or none that is deterministic and is asked to be."""
    if name in PRODUCTS and first.dtype in WHOLE_NUMBERS:
        raise NotImplementedError(f'"addmm_cuda" not implemented for {first.dtype}')
    if not torch.are_deterministic_algorithms_enabled():
        return
    if name in NONDETERMINISTIC and first.is_floating_point():
        raise RuntimeError(f"{name}_cuda_kernel does not have a deterministic implementation")
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    if name in PRODUCTS and workspace not in REPRODUCIBLE_WORKSPACES:
        what = "Deterministic behavior was enabled, but this operation uses CuBLAS"
        raise RuntimeError(f"{what}: set CUBLAS_WORKSPACE_CONFIG=:4096:8")


# ---- dispatch: every operation of torch comes through here


class EveryOperation(TorchDispatchMode):
    """Hand over operations without a CudaTensor, too: some of them make one."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})


def watch_thread() -> EveryOperation:
    """Return the mode for the running thread: each thread has modes and switches of its own.

    Backward passes are to stay in the thread that asks for them, where the mode is.
    """
    torch._C._set_multithreading_enabled(False)
    return EveryOperation()


plain_thread = threading.Thread.run


def watched_thread(self: threading.Thread) -> None:
    """Run a thread of Python under the mode."""
    with watch_thread():
        plain_thread(self)


def dispatch(func: Any, args: tuple, kwargs: dict) -> Any:
    """Run one operation of ATen under the rules of the device that it belongs to."""
    name = func._schema.name.partition("::")[2]
    tensors = tensors_in((args, tuple(kwargs.values())))
    on_device = [each for each in tensors if isinstance(each, CudaTensor)]

    # Pinned memory is the host's, and an attribute of its storage here.
    if name in ("pin_memory", "_pin_memory"):
        return pinned(args[0].clone())
    if name == "is_pinned":
        return not on_device and is_pinned(args[0])
    if kwargs.get("pin_memory"):
        return pinned(func(*args, **{**kwargs, "pin_memory": False}))

    # The device of the result: as asked for, or that of the first argument which is on one.
    asked = kwargs.get("device")
    is_for_device = bool(on_device) if asked is None else torch.device(asked).type == "cuda"
    if not on_device and not is_for_device:
        return func(*args, **kwargs)
    index = index_of(asked) if asked is not None and is_for_device else on_device[0].device.index

    # Copies have rules of their own; a new array of the host, like one of the device, has none.
    if name == "_to_copy":
        return copied(func, args[0], kwargs, index if is_for_device else None)
    if name == "copy_" and isinstance(args[0], CudaTensor) != isinstance(args[1], CudaTensor):
        is_async = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
        return copied_across(args[0], args[1], is_async)
    if not is_for_device:
        return func(*mapped(on_host, args), **kwargs)
    if name in ("set_", "resize_"):
        raise NotImplementedError(f"the pretended GPU has no {func}")

    # a new array with a device takes but a shape from another
    if name != "copy_" and asked is None:
        check_devices(func, name, args, tensors, index)
    check_waits(name, args, kwargs)
    if tensors:
        check_kernels(name, tensors[0])
    generator = kwargs.get("generator")
    if generator is not None and generator.device.type != "cuda":
        raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
    STATE.operations += 1

    # The same operation on the tensors inside.
    inner_args = mapped(on_host, args)
    inner_kwargs = {key: mapped(on_host, value) for key, value in kwargs.items()}
    if name == "native_dropout" and inner_args[2] is None:
        inner_args = (*inner_args[:2], True)  # no answer to "training?" is a yes on CUDA alone

    def run() -> Any:
        if name in DRAWING:
            return with_generator(index, lambda: func(*inner_args, **inner_kwargs))
        return func(*inner_args, **inner_kwargs)

    reads = mapped(on_host, tensors)
    found = execute(run, reads, arguments_written(func, inner_args, inner_kwargs))
    if name == "_pack_padded_sequence":
        return CudaTensor(found[0], index), found[1]  # how many rows each step has: for the host
    return wrapped(found, on_device, index)


def on_host(value: Any) -> Any:
    """Return the CPU's side of an argument."""
    if isinstance(value, CudaTensor):
        return value.inner
    if isinstance(value, torch.device) and value.type == "cuda":
        return torch.device("cpu")
    return value


def wrapped(found: Any, given: list[CudaTensor], index: int) -> Any:
    """Wrap results; what an operation wrote to in place stays the same object."""
    wrappers = {id(each.inner): each for each in given}

    def wrap(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if id(value) in wrappers:
            assert wrappers[id(value)].shape == value.shape, "a shape was changed in place"
            return wrappers[id(value)]
        return CudaTensor(value, index)

    return mapped(wrap, found)


def mapped(change: Callable[[Any], Any], values: Any) -> Any:
    """Apply `change` to each value in nested lists and tuples, as arguments of ATen are."""
    if isinstance(values, (list, tuple)):
        return type(values)([mapped(change, each) for each in values])
    return change(values)


def tensors_in(values: Any) -> list[Tensor]:
    """Return the tensors in nested lists and tuples."""
    if isinstance(values, Tensor):
        return [values]
    if not isinstance(values, (list, tuple)):
        return []
    return [tensor for each in values for tensor in tensors_in(each)]


# ---- copies between host and device


def pinned(host: Tensor) -> Tensor:
    """Mark the memory of `host` as page-locked: the device can read it while the host goes on."""
    host.untyped_storage().is_pretended_pinned = True
    return host


def is_pinned(host: Tensor) -> bool:
    """Return whether a copy of `host` need not wait; one of no bytes never does."""
    return host.numel() == 0 or getattr(host.untyped_storage(), "is_pretended_pinned", False)


def copied(func: Any, source: Tensor, kwargs: dict, index: int | None) -> Tensor:
    """Copy `source` to the device `index`, or to the host where that is None (ATen's _to_copy)."""
    own = dict(kwargs)
    is_async = own.pop("non_blocking", False)
    device = own.pop("device", None)
    own.pop("pin_memory", None)
    if device is not None and torch.device(device).type == "meta":
        return func(on_host(source), device=device, **own)  # shapes alone: nothing is copied
    if not isinstance(source, CudaTensor):
        assert index is not None
        leave_host(source, is_async)
        found = func(source, **own)
        return CudaTensor(found.clone() if found is source else found, index)
    inner = source.inner
    if index is None:
        leave_device(source, is_async, is_pinned=True)  # torch takes pinned memory here by itself
        host = func(inner, **own)
        return pinned(host) if is_async else host
    return CudaTensor(execute(lambda: func(inner, **own), [inner]), index)


def copied_across(target: Tensor, source: Tensor, is_async: bool) -> Tensor:
    """Copy between host and device into an array that is there (ATen's copy_)."""
    if isinstance(target, CudaTensor):
        leave_host(source, is_async)
        target.inner.copy_(source)
    else:
        leave_device(source, is_async, is_pinned(target))
        target.copy_(source.inner)
    return target


def leave_host(source: Tensor, is_async: bool) -> None:
    """Apply the rules of a copy from the host to the device (copy_kernel_cuda).

    A blocking copy waits until it is done. Another one waits in the driver where its memory is
    pageable, because that may move: cudaMemcpyAsync stages it first.
    """
    kind = "pinned" if is_pinned(source) else "pageable"
    COPIES.add(f"{kind}, {'asynchronous' if is_async else 'blocking'}")
    if not is_async or STATE.capturing is not None:
        wait("copy from the host")
    elif kind == "pageable":
        wait("copy from pageable memory", torch_notices=False)


def leave_device(source: CudaTensor, is_async: bool, is_pinned: bool) -> None:
    """Apply the rules of a copy from the device to the host."""
    index = source.device.index
    if not is_async or STATE.capturing is not None:
        wait("copy to the host")
        STATE.copies_under_way[index] = 0
        return
    if not is_pinned:
        wait("copy to pageable memory", torch_notices=False)
    STATE.copies_under_way[index] += 1


# ---- CUDA graphs: what is captured is recorded, and a replay runs that


class CUDAGraph:
    """Operations in the order in which they were asked for, with the arrays they read and write."""

    def __init__(self, *_args: Any, **_settings: Any) -> None:
        self.recorded: list[tuple[Callable[[], Any], list[Tensor]]] = []
        self.before: dict[int, tuple[Any, Any]] = {}  # address -> storage from before, its content
        self.made: set[int] = set()  # addresses of arrays that the capture made
        self.read: set[int] = set()  # addresses of those it found

    def record(self, run: Callable[[], Any], reads: list[Tensor], writes: list[Tensor]) -> Any:
        """Add an operation; its results say what shapes the following ones have."""
        for each in reads:
            if each.untyped_storage().data_ptr() not in self.made:
                self.read.add(each.untyped_storage().data_ptr())
        for each in writes:
            storage = each.untyped_storage()
            if storage.data_ptr() not in self.before:
                self.before[storage.data_ptr()] = storage, storage.clone()
        found = run()
        results = tensors_in(found)
        for each in results:
            if each.untyped_storage().data_ptr() not in self.read:
                self.made.add(each.untyped_storage().data_ptr())
        self.recorded.append((run, results))
        return found

    def end_capture(self) -> None:
        """Undo what recording computed: nothing has run, and results are no numbers yet."""
        for storage, content in self.before.values():
            storage.copy_(content)
        for _, results in self.recorded:
            for each in results:
                if each.is_floating_point() and each.untyped_storage().data_ptr() in self.made:
                    each.detach().fill_(torch.nan)
        self.before = {}

    def replay(self) -> None:
        """Run the recorded operations again; their results go to the arrays of the recording."""
        for run, results in self.recorded:
            for old, new in zip(results, tensors_in(run()), strict=True):
                places = {each.untyped_storage().data_ptr() for each in (old, new)}
                if len(places) == 2:
                    old.copy_(new)

    def reset(self) -> None:
        self.recorded = []

    def pool(self) -> tuple[int, int]:
        return 0, 0


class capture:
    """torch.cuda.graph: capture instead of run, and leave the generators as they were."""

    def __init__(self, cuda_graph: CUDAGraph, *_args: Any, **_settings: Any) -> None:
        self.graph = cuda_graph

    def __enter__(self) -> None:
        assert STATE.capturing is None, "a capture within a capture"
        wait("torch.cuda.synchronize, as a capture begins")
        STATE.capturing, self.generators = self.graph, dict(STATE.generators)

    def __exit__(self, *_error: object) -> None:
        STATE.capturing = None
        self.graph.end_capture()
        STATE.generators = self.generators


def execute(run: Callable[[], Any], reads: list[Tensor], writes: list[Tensor] | None = None) -> Any:
    """Run an operation, or record it while a graph is being captured."""
    if STATE.capturing is None:
        return run()
    return STATE.capturing.record(run, reads, writes or [])


def arguments_written(func: Any, args: tuple, kwargs: dict) -> list[Tensor]:
    """Return the tensors that an operation writes to, by the marks in its signature."""
    if STATE.capturing is None:
        return []
    places = []
    for number, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            places.append(args[number] if number < len(args) else kwargs.get(argument.name))
    return tensors_in(places)


# ---- cuDNN's recurrent layers

LAYERS = "lstm", "gru", "rnn_tanh", "rnn_relu"
NATIVE = {name: getattr(torch, name) for name in (*LAYERS, "lstm_cell")}


def cudnn_layer(name: str) -> Callable[..., tuple[Tensor, ...]]:
    """Return torch.lstm or one of its like for tensors of both kinds, with cuDNN's conditions.

    The conditions are those of ATen/native/cudnn/RNN.cpp and ATen/cudnn/AutocastRNN.cpp.
    """

    def layer(x: Tensor, *given: Any) -> tuple[Tensor, ...]:
        # Called with (x, hx, weights, settings...), or packed (x, rows a step, hx, weights, ...).
        if not isinstance(x, CudaTensor):
            return NATIVE[name](x, *given)
        is_packed = not isinstance(given[2], bool)
        rows_T = given[:1] if is_packed else ()
        hx, weights, *settings = given[len(rows_T) :]
        states = [hx] if isinstance(hx, Tensor) else list(hx)
        is_training = settings[3]

        if not all(isinstance(each, CudaTensor) for each in (x, *states, *weights)):
            raise RuntimeError("Input and hidden tensors are not at the same device")
        if torch.backends.cudnn.enabled:
            x, states, weights = under_cudnn(x, states, weights)
        else:
            is_training = True  # torch's own kernels have a backward pass in any mode
        if torch.autograd.forward_ad._current_level >= 0:
            raise NotImplementedError("Trying to use forward AD with _cudnn_rnn, which has none")
        call = Call(name, rows_T, len(states), tuple(settings))
        return CudnnLayer.apply(call, is_training, x, *states, *weights)

    return layer


def under_cudnn(x: Tensor, states: list, weights: list) -> tuple[Tensor, list, list]:
    """Check cuDNN's conditions; return its arguments, which are in fp16 under autocast."""
    if not all(each.is_contiguous() for each in states):
        raise RuntimeError("rnn: hx is not contiguous")
    if torch.is_autocast_enabled("cuda") and x.dtype != torch.float64:
        # torch's wrapper casts to fp16 whatever autocast was asked for, and makes the weights flat.
        FAULTS.add("a layer of cuDNN under autocast computes in fp16")
        with torch.autocast("cuda", enabled=False):
            return x.half(), [each.half() for each in states], [each.half() for each in weights]
    types_given = {each.dtype for each in (x, *states, *weights)}
    if len(types_given) > 1:
        raise RuntimeError(f"cuDNN: tensors of several types, {types_given}")

    # Weights one after the other in one array, in cuDNN's order.
    place, storage = weights[0].data_ptr(), weights[0].inner.untyped_storage().data_ptr()
    for each in weights:
        is_next = each.is_contiguous() and each.data_ptr() == place
        if not is_next or each.inner.untyped_storage().data_ptr() != storage:
            what = "RNN module weights are not part of single contiguous chunk of memory."
            warnings.warn(f"{what} They are compacted at every call.", stacklevel=3)
            break
        place += each.numel() * each.element_size()
    return x, states, weights


@dataclass(frozen=True)
class Call:
    """What a recurrent layer is called with beside the tensors of the device."""

    name: str
    rows_T: tuple[Tensor, ...]  # of a packed sequence
    state_count: int
    settings: tuple  # has biases, layers, dropout, training, both directions[, rows first]

    def run(self, x: Tensor, states: list[Tensor], weights: list[Tensor]) -> tuple[Tensor, ...]:
        """Run torch's layer of the CPU, which drops nothing between its layers."""
        hx = states[0] if self.state_count == 1 else tuple(states)
        settings = (*self.settings[:3], False, *self.settings[4:])
        return NATIVE[self.name](x, *self.rows_T, hx, weights, *settings)


class CudnnLayer(torch.autograd.Function):
    """One call of cuDNN: as on the device, one node in autograd, one operation in a graph."""

    @staticmethod
    def forward(ctx, call, is_training, x, *rest):
        inner = [each.inner for each in (x, *rest)]
        outer_type, kept = x.dtype, {}

        def run():
            with _disable_current_modes(), torch.enable_grad():
                its_type = torch.float32 if outer_type == torch.float16 else outer_type
                given = [each.to(its_type).detach().requires_grad_(is_training) for each in inner]
                states, weights = given[1 : 1 + call.state_count], given[1 + call.state_count :]
                kept["given"], kept["found"] = given, call.run(given[0], states, weights)
            return tuple(each.detach().to(outer_type, copy=True) for each in kept["found"])

        ctx.kept, ctx.is_training, ctx.index = kept, is_training, x.device.index
        ctx.set_materialize_grads(True)
        return tuple(CudaTensor(each, ctx.index) for each in execute(run, inner))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, *gradients):
        if not ctx.is_training:
            raise RuntimeError("cudnn RNN backward can only be called in training mode")
        kept, outer_type = ctx.kept, gradients[0].dtype
        inner = [each.inner for each in gradients]

        def run():
            with _disable_current_modes(), torch.enable_grad():
                pairs = zip(inner, kept["found"], strict=True)
                given = [gradient.to(found.dtype) for gradient, found in pairs]
                keep = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
                found = torch.autograd.grad(kept["found"], kept["given"], given, **keep)
            return tuple(each.to(outer_type).contiguous() for each in found)

        return None, None, *(CudaTensor(each, ctx.index) for each in execute(run, inner))


def lstm_cell(x: Tensor, states: tuple, w_ih: Tensor, w_hh: Tensor, *biases: Tensor) -> tuple:
    """Take one step of nn.LSTMCell, for which CUDA has a kernel that no CPU has."""
    if not isinstance(x, CudaTensor):
        return NATIVE["lstm_cell"](x, states, w_ih, w_hh, *biases)
    tensors = [x, *states, w_ih, w_hh, *biases]
    if torch.is_autocast_enabled("cuda"):
        tensors = [each.to(torch.get_autocast_dtype("cuda")) for each in tensors]
    x, h, c, w_ih, w_hh, *own = tensors
    b_ih, b_hh = own or (None, None)
    gates = torch.nn.functional.linear(x, w_ih, b_ih) + torch.nn.functional.linear(h, w_hh, b_hh)
    i, f, g, o = gates.chunk(4, dim=1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def flatten_parameters(self: torch.nn.RNNBase) -> None:
    """Put the weights of an nn.LSTM or its like one after the other, as cuDNN wants them."""
    weights = self._flat_weights
    if not all(isinstance(each, CudaTensor) for each in weights):
        return
    flat = torch.cat([each.inner.flatten() for each in weights])
    parts = flat.split([each.numel() for each in weights])
    for each, part in zip(weights, parts, strict=True):
        each.inner = part.view(each.shape)


# ---- torch.cuda: streams and events


class Stream:
    """A queue of work that is always done already."""

    def __init__(self, device: Any = None, priority: int = 0, **_: Any) -> None:
        self.device = torch.device("cuda", index_of(device))

    def wait_stream(self, other: "Stream") -> None:
        """Order later work behind that of `other`; the host does not wait."""

    def wait_event(self, event: "Event") -> None:
        """Order later work behind `event`; the host does not wait."""

    def record_event(self, event: "Event | None" = None) -> "Event":
        event = event or Event()
        event.record(self)
        return event

    def synchronize(self) -> None:
        wait("torch.cuda.Stream.synchronize")
        STATE.copies_under_way[self.device.index] = 0

    def query(self) -> bool:
        return True

    def __enter__(self) -> "Stream":
        self.before = STATE.current_device, STATE.streams.get(self.device.index)
        STATE.current_device = self.device.index
        STATE.streams[self.device.index] = self
        return self

    def __exit__(self, *_error: object) -> None:
        STATE.current_device, stream = self.before
        STATE.streams[self.device.index] = stream or Stream(self.device)


def current_stream(device: Any = None) -> Stream:
    """Return the stream on which a device's work is queued now."""
    return STATE.streams.setdefault(index_of(device), Stream(device))


class Event:
    """A mark in a stream. Where none is named, in the current stream of the current device."""

    def __init__(self, *_args: Any, **_settings: Any) -> None:
        self.at = 0.0

    def record(self, stream: Stream | None = None) -> None:
        index = (stream or current_stream()).device.index
        for other, count in STATE.copies_under_way.items():
            if count and other != index:
                FAULTS.add(f"an event on cuda:{index} does not wait for a copy from cuda:{other}")
        STATE.copies_under_way[index] = 0
        self.at = time.perf_counter()

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        wait("torch.cuda.Event.synchronize", torch_notices=False)

    def wait(self, stream: Stream | None = None) -> None:
        """Order later work of `stream` behind this; the host does not wait."""

    def elapsed_time(self, other: "Event") -> float:
        return max(1e-3, (other.at - self.at) * 1e3)


# ---- torch.cuda: the other functions


class current_device_is:
    """torch.cuda.device: another current device for a while."""

    def __init__(self, device: Any) -> None:
        self.index = index_of(device)

    def __enter__(self) -> None:
        self.before, STATE.current_device = STATE.current_device, self.index

    def __exit__(self, *_error: object) -> None:
        STATE.current_device = self.before


def set_device(device: Any) -> None:
    if isinstance(device, torch.device) and device.index is None:
        raise ValueError(
            f"Expected a torch.device with a specified index or an integer, but got:{device}"
        )
    STATE.current_device = index_of(device)


def synchronize(device: Any = None) -> None:
    wait("torch.cuda.synchronize")
    STATE.copies_under_way[index_of(device)] = 0


def set_sync_debug_mode(mode: int | str) -> None:
    STATE.sync_debug_mode = {"default": 0, "warn": 1, "error": 2}.get(mode, mode)


def get_rng_state(device: Any = "cuda") -> Tensor:
    return with_generator(index_of(device), torch.random.default_generator.get_state)


def set_rng_state(state: Tensor, device: Any = "cuda") -> None:
    assert not isinstance(state, CudaTensor), "the state of a generator belongs on the CPU"
    STATE.generators[index_of(device)] = state.clone()


def manual_seed_all(seed: int) -> None:
    for index in range(STATE.device_count):
        seed_generator(seed, index)


def get_device_properties(device: Any = None) -> types.SimpleNamespace:
    settings = {"major": 9, "minor": 0, "total_memory": 80 << 30, "multi_processor_count": 132}
    return types.SimpleNamespace(name="NVIDIA H100 (pretended)", **settings)


class Profile(torch.profiler.profile):
    """A profile without kernels: none ran. (A torch without CUDA refuses to look for them.)"""

    def __init__(self, *, activities: Any = None, **settings: Any) -> None:
        cuda = torch.profiler.ProfilerActivity.CUDA
        host = [each for each in activities or () if each != cuda]
        super().__init__(activities=host or [torch.profiler.ProfilerActivity.CPU], **settings)


FUNCTIONS = {
    "is_available": lambda: True,
    "is_initialized": lambda: True,
    "_lazy_init": lambda: None,
    "device_count": lambda: STATE.device_count,
    "current_device": lambda: STATE.current_device,
    "set_device": set_device,
    "device": current_device_is,
    "get_device_name": lambda device=None: get_device_properties(device).name,
    "get_device_properties": get_device_properties,
    "get_device_capability": lambda device=None: (9, 0),
    "is_bf16_supported": lambda including_emulation=True: True,
    "synchronize": synchronize,
    "set_sync_debug_mode": set_sync_debug_mode,
    "get_sync_debug_mode": lambda: STATE.sync_debug_mode,
    "Stream": Stream,
    "stream": lambda stream: stream or contextlib.nullcontext(),
    "current_stream": current_stream,
    "default_stream": current_stream,
    "Event": Event,
    "CUDAGraph": CUDAGraph,
    "graph": capture,
    "graph_pool_handle": lambda: (0, 0),
    "is_current_stream_capturing": lambda: STATE.capturing is not None,
    "get_rng_state": get_rng_state,
    "set_rng_state": set_rng_state,
    "manual_seed": lambda seed: seed_generator(seed, STATE.current_device),
    "manual_seed_all": manual_seed_all,
    "seed_all": lambda: manual_seed_all(0),
    "initial_seed": lambda: 0,
    "empty_cache": lambda: None,
    "ipc_collect": lambda: None,
    "memory_allocated": lambda device=None: 0,
    "memory_reserved": lambda device=None: 0,
    "max_memory_allocated": lambda device=None: 1 << 20,
    "max_memory_reserved": lambda device=None: 1 << 20,
    "reset_peak_memory_stats": lambda device=None: None,
    "mem_get_info": lambda device=None: (80 << 30, 80 << 30),
}


# ---- switching it on, in pytest and for programs


def why_not() -> str | None:
    """Return why the device cannot be pretended here; None: it can."""
    wanted = re.search(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    found = torch.__version__.partition("+")[0]
    if wanted is None or found != wanted[1]:
        version = wanted[1] if wanted else "which it lacks"
        what = f"the pretended GPU is made for the torch of constraints.txt, {version}"
        return f"{what}; this is {found}"
    if STATE.is_on:
        return None
    if torch.version.cuda or torch.version.hip or torch.cuda.is_available():
        return "this torch is built for GPUs; the pretended one needs a build for CPUs"
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        where = f"{platform.system()} on {platform.machine()}"
        return f"the pretended GPU is made for Linux on x86-64; this is {where}"
    return None


def needed() -> pytest.MarkDecorator:
    """Return the mark of tests that need the pretended device: without it they are skipped."""
    reason = why_not() or f"needs the pretended GPU: {HOW_TO}"
    return pytest.mark.skipif(not STATE.is_on, reason=reason)


def pretend() -> None:
    """Have a CUDA device in this process from now on.

    Raises:
        RuntimeError: that is impossible, for the reason of :func:`why_not`.
    """
    if STATE.is_on:
        return
    reason = why_not()
    if reason is not None:
        raise RuntimeError(reason)
    STATE.is_on = True
    register_with_torch()

    # torch.cuda, and what else says whether and which CUDA there is.
    for name, function in FUNCTIONS.items():
        setattr(torch.cuda, name, function)
    torch.cuda.random.get_rng_state = get_rng_state
    torch.cuda.random.set_rng_state = set_rng_state
    torch.version.cuda = "13.0"
    torch.backends.cuda.is_built = lambda: True
    torch.backends.cudnn.is_available = lambda: True
    torch.backends.cudnn.version = lambda: 91900
    torch.amp.autocast_mode.amp_definitely_not_available = lambda *_: False
    torch.profiler.profile = Profile

    # These bypass `dispatch`: they choose the CPU's kernels by what torch was built with.
    for name in LAYERS:
        setattr(torch, name, cudnn_layer(name))
        setattr(torch._VF, name, cudnn_layer(name))
    torch._VF.lstm_cell = lstm_cell
    torch.nn.RNNBase.flatten_parameters = flatten_parameters

    # torch.tensor(..., device="cuda") makes its array on the host, and `dispatch` sees the copy.
    torch._C._set_only_lift_cpu_tensors(True)
    torch.nn.Module._apply = moved
    threading.Thread.run = watched_thread
    watch_thread().__enter__()
    if os.environ.get(REPORT):
        atexit.register(write_report, Path(os.environ[REPORT]))


def register_with_torch() -> None:
    """Give torch's C++ the two objects of a CUDA build without which it refuses CUDA tensors.

    Both are C++ objects with tables of virtual functions, built here by hand. The numbers of the
    slots are the order of declarations in the headers named below, in the C++ ABI of x86-64 Linux;
    this is why another torch or platform is refused.
    """
    folder = Path(torch.__file__).parent / "lib"
    zero = ctypes.CFUNCTYPE(ctypes.c_longlong)(lambda: 0)
    one = ctypes.CFUNCTYPE(ctypes.c_longlong)(lambda: 1)
    answer_0, answer_1 = (ctypes.cast(each, ctypes.c_void_p).value for each in (zero, one))

    # A device guard (c10/core/impl/DeviceGuardImplInterface.h) whose functions do nothing and
    # return 0: autograd asks for the current device and stream around each backward function.
    library = ctypes.CDLL(str(folder / "libc10.so"))
    table = (ctypes.c_void_p * 96)(*[answer_0] * 96)
    guard = (ctypes.c_void_p * 1)(ctypes.addressof(table))
    arguments = "ENS_10DeviceTypeEPKNS0_24DeviceGuardImplInterfaceE"
    register = getattr(library, f"_ZN3c104impl24DeviceGuardImplRegistrarC1{arguments}")
    register.argtypes = [ctypes.c_void_p, ctypes.c_int8, ctypes.c_void_p]
    register((ctypes.c_char * 64)(), 1, guard)  # 1: c10::DeviceType::CUDA
    library._ZN3c104impl24ensureCUDADeviceGuardSetEv()

    # CUDA's hooks (ATen/detail/CUDAHooksInterface.h): those of a build without CUDA, except for the
    # ones by which autograd asks whether there is CUDA at all.
    hooks_of = ctypes.CDLL(str(folder / "libtorch_cpu.so"))._ZN2at6detail12getCUDAHooksEv
    hooks_of.restype = ctypes.c_void_p
    hooks = ctypes.cast(hooks_of(), ctypes.POINTER(ctypes.c_void_p))
    inherited = (ctypes.c_void_p * 48).from_address(hooks[0])
    own = (ctypes.c_void_p * 50)(0, 0, *inherited)  # a table of virtual functions follows two words
    is_built, is_available, has_primary_context, init, has_cuda = 2, 3, 4, 5, 16
    for slot in (is_built, is_available, has_primary_context, has_cuda):
        own[2 + slot] = answer_1
    own[2 + init] = answer_0
    hooks[0] = ctypes.addressof(own) + 2 * ctypes.sizeof(ctypes.c_void_p)
    assert torch._C._get_accelerator().type == "cuda"
    register_with_torch.kept = zero, one, table, guard, own  # torch points to them from now on


def write_report(path: Path) -> None:
    """Write what was noticed outside of `waits`, `copies` and `faults`, with how often, as JSON."""
    found: dict[str, Any] = {"operations": STATE.operations}
    for name, notes in (("waits", WAITS), ("copies", COPIES), ("faults", FAULTS)):
        found[name] = dict(notes.counts.most_common())
    path.write_text(json.dumps(found, indent=1) + "\n")


def pytest_load_initial_conftests() -> None:
    """Switch it on before any test is imported: marks ask then whether there is a device."""
    reason = why_not()
    if reason is not None:
        raise pytest.UsageError(reason)
    pretend()


def pytest_report_header() -> str:
    return f"pretended GPUs: {STATE.device_count}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for note, count in FAULTS.counts.most_common():
        terminalreporter.write_line(f"FAULT on a real GPU, {count} times: {note}")


def launch(arguments: list[str]) -> None:
    """Run `-m MODULE ...` or `FILE ...` with the device."""
    pretend()
    sys.path.insert(0, os.getcwd())
    is_module = arguments[0] == "-m"
    sys.argv = arguments[1:] if is_module else arguments
    if is_module:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    # Under its proper name, so that the program's tests find this very state.
    sys.path.insert(0, str(ROOT / "tests"))
    from support import pretended_gpu

    pretended_gpu.launch(sys.argv[1:])

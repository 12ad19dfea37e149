"""Coordinate the ranks of a run: processes that each read their own rows, on one machine or
several, and take every step together.

torchrun starts them, and gives each its rank in the environment. Gradients are averaged by
DistributedDataParallel. Time and signals, which differ from rank to rank and must not, are
exchanged now and then: rank 0's clock, and whether any rank was asked to stop or to save; in
between the clock is stopped.

A run of one process is :data:`SINGLE_PROCESS`, which does without torch.distributed.
"""

import contextlib
import inspect
import itertools
import os
import socket
import time
import traceback
import weakref
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from rnnlm.config import Budget
from rnnlm.errors import LostProcessError, TrainingError
from rnnlm.events import never
from rnnlm.lm.neural.layers.batch_norm import running_statistics
from rnnlm.system import (
    FAREWELL_SECONDS,
    POLL_SECONDS,
    Rank,
    current_rank,
    farewell,
    lost_at_start,
    store,
)

BETWEEN_SECONDS = 0.1  # from one exchange to the next, about
MOST_STEPS = 1000  # between two exchanges
LOOPBACK = ("lo", "lo0")  # the names of the interface on Linux and on macOS
# Parts of torch's messages when another process is lost.
LOST = (
    "gloo",
    "nccl",
    "connection closed",
    "connection reset",
    "broken pipe",
    "timed out",
    "socket",
)


class SingleProcess:
    """The only process of a run, which has nothing to exchange."""

    rank_info = Rank()
    count = 1
    now: Callable[[], float] | None = None  # callers use their own clock

    def share(self, size: int) -> slice:
        """Return this rank's slice of `size` rows."""
        return slice(0, size)

    def exchange_signals(
        self, stop: Callable[[], bool], save: Callable[[], bool]
    ) -> tuple[Callable[[], bool], Callable[[], bool]]:
        """Return (whether to stop, whether to save) as the same answer on all ranks, made of the
        answers of each one."""
        return stop, save

    def own_stop(self, stop: Callable[[], bool]) -> Callable[[], bool]:
        """Return whether this rank is asked to stop, for places where ranks need not agree; `stop`
        is from :meth:`exchange_signals`."""
        return stop

    def synchronize_periodically(self, step: int) -> None:
        """Exchange clock and signals now and then. Called before each step, `step` of them done."""

    def synchronize(self) -> None:
        """Wait for all ranks, and exchange clock and signals."""

    def totals(self, *values: float) -> list[float]:
        """Sum each value over all ranks."""
        return list(values)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensor of each rank, all of one shape, on the CPU."""
        return [tensor.detach().cpu()]

    def gather_rows(self, tensor: Tensor, rows: int) -> Tensor:
        """Join (places, B, width) of all ranks' rows, `rows` in all, on the CPU."""
        return tensor.detach().cpu()

    def share_statistics(self, network: nn.Module) -> None:
        """Give the running statistics of a network their mean over the ranks."""

    def averaging(self, module: nn.Module) -> nn.Module:
        """Return `module` as one whose gradients a backward pass averages over the ranks."""
        return module

    def without_averaging(self, module: nn.Module) -> contextlib.AbstractContextManager:
        """Keep the gradients of a module from :meth:`averaging` to this rank, in this context."""
        return contextlib.nullcontext()

    def seed_per_rank(self, *seed: int) -> None:
        """Give each rank its own random numbers from now on."""

    def check_same(self, what: str, digest: bytes) -> None:
        """Refuse to continue unless `what`, whose digest is given, is the same on all ranks."""

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Run together with the other ranks in this context. If one is gone, or does not answer,
        LostProcess is raised."""
        yield


SINGLE_PROCESS = SingleProcess()


class ProcessGroup(SingleProcess):
    """One of several ranks, made by :func:`join`."""

    def __init__(self, here: Rank, timeout: str, run: int = 0) -> None:
        self.rank_info = here
        self.count = here.count
        self.timeout = timeout
        self.run = run
        self.clock = 0.0
        self.now = lambda: self.clock
        # Tensors of exchanges that we or torch still hold.
        self.lent: set[weakref.ref] = set()
        self.exchange_signals(never, never)

    def share(self, size: int) -> slice:
        return _share(self.rank_info.rank, self.count, size)

    def exchange_signals(
        self, stop: Callable[[], bool], save: Callable[[], bool]
    ) -> tuple[Callable[[], bool], Callable[[], bool]]:
        self.stop, self.save = stop, save
        self.wants_stop = self.wants_save = False
        self.last_step = self.next_step = 0
        return lambda: self.wants_stop, self._take_save

    def own_stop(self, stop: Callable[[], bool]) -> Callable[[], bool]:
        return self.stop

    def synchronize_periodically(self, step: int) -> None:
        """Exchange as often as it costs little: after as many steps as :data:`BETWEEN_SECONDS` held
        last time, and at most twice as many as then."""
        if self.last_step < step < self.next_step:
            return
        before, steps = self.clock, step - self.last_step
        self.synchronize()
        fitting = steps * BETWEEN_SECONDS / max(1e-6, self.clock - before)
        self.last_step = step
        self.next_step = step + max(1, int(min(fitting, 2 * steps, MOST_STEPS)))

    def synchronize(self) -> None:
        signals = self._gather_floats(time.perf_counter(), self.stop(), self.save())
        self.clock = signals[0][0]
        self.wants_stop |= any(stop for _, stop, _ in signals)
        self.wants_save |= any(save for _, _, save in signals)

    def totals(self, *values: float) -> list[float]:
        return [
            sum(values_of_ranks)
            for values_of_ranks in zip(*self._gather_floats(*values), strict=True)
        ]

    def gather(self, tensor: Tensor) -> list[Tensor]:
        local = tensor.detach().cpu().contiguous()
        gathered = [torch.empty_like(local) for _ in range(self.count)]
        self.lent.update(weakref.ref(shared, self.lent.discard) for shared in (local, *gathered))
        distributed.all_gather(gathered, local)
        return [shared.clone() for shared in gathered]

    def gather_rows(self, tensor: Tensor, rows: int) -> Tensor:
        # Ranks have a row more or less: pad them to the same number for the exchange.
        most = -(-rows // self.count)
        filled = torch.nn.functional.pad(tensor.detach().cpu(), (0, 0, 0, most - tensor.shape[1]))
        shares = [_share(rank, self.count, rows) for rank in range(self.count)]
        parts = zip(self.gather(filled), shares, strict=True)
        return torch.cat([part[:, : share.stop - share.start] for part, share in parts], dim=1)

    def share_statistics(self, network: nn.Module) -> None:
        for buffer in running_statistics(network).values():
            buffer.copy_(torch.stack(self.gather(buffer)).mean(dim=0))

    def averaging(self, module: nn.Module) -> nn.Module:
        # No buffers are exchanged. The option for that was renamed in torch 2.13.
        known = inspect.signature(DistributedDataParallel).parameters
        is_renamed = "forward_sync_buffers" in known
        name = "forward_sync_buffers" if is_renamed else "broadcast_buffers"
        options: dict[str, Any] = {name: False}
        return DistributedDataParallel(module, **options)

    def without_averaging(self, module: nn.Module) -> contextlib.AbstractContextManager:
        assert isinstance(module, DistributedDataParallel)  # the result of `averaging`
        return module.no_sync()

    def seed_per_rank(self, *seed: int) -> None:
        if self.rank_info.rank:
            torch.manual_seed(seed_of((*seed, self.rank_info.rank)))

    def check_same(self, what: str, digest: bytes) -> None:
        digests = self.gather(torch.frombuffer(bytearray(digest), dtype=torch.uint8))
        differing = [
            rank for rank, other in enumerate(digests) if not torch.equal(other, digests[0])
        ]
        if differing:
            raise TrainingError(
                f"{what} of {Rank(differing[0], self.count)} differs from that of the first "
                "process",
                hint="give all processes the same files and versions",
            )

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)  # they hold tensors
            self._wait_for_torch()
            lost = self._lost_process(error)
            if lost:
                raise lost from error
            raise
        farewell(f"run{self.run}", self.rank_info)
        self._wait_for_torch()
        distributed.destroy_process_group()

    def _wait_for_torch(self) -> None:
        """Wait until torch has released the tensors of every exchange, for FAREWELL_SECONDS at
        most.

        A thread of gloo does so some time after the exchange, and needs Python's lock for it. If we
        end the group while it waits for the lock, we wait for the thread in turn, holding the lock:
        for ever. And once Python is ending, the thread breaks the process down (SIGABRT).
        """
        until = time.monotonic() + FAREWELL_SECONDS
        while self.lent and time.monotonic() < until:
            time.sleep(POLL_SECONDS)

    def _lost_process(self, error: BaseException) -> LostProcessError | None:
        """Return the error to raise if torch says by `error` that another rank is gone."""
        message = str(error).partition("\n")[0]
        is_torchs = isinstance(error, distributed.DistError) or any(
            words in message.lower() for words in LOST
        )
        if not (isinstance(error, RuntimeError) and is_torchs):
            return None
        is_late = "imed out" in message
        why = f" got no answer within {self.timeout}" if is_late else f": {message[-200:]}"
        return LostProcessError(
            "another process of the run is lost",
            f"{self.rank_info}{why}",
            "to continue from its last saved state, run the same command again",
        )

    def _take_save(self) -> bool:
        """Return whether to save, and reset the request."""
        wanted = self.wants_save
        self.wants_save = False
        return wanted

    def _gather_floats(self, *values: float) -> list[list[float]]:
        """Return the values of each rank, the same everywhere."""
        return [
            values_of_rank.tolist()
            for values_of_rank in self.gather(torch.tensor(values, dtype=torch.float64))
        ]


def join(device: torch.device, timeout: str) -> SingleProcess:
    """Join the ranks of this run, and return them once all are there.

    device: this rank's. timeout: how long one waits for another before it gives up (30s, 10m).
    """
    here = current_rank()
    if here.count == 1:
        return SINGLE_PROCESS
    with lost_at_start(here):
        run = next(_runs)
        return open_group(here, device, timeout, distributed.PrefixStore(f"run{run}", store()), run)


def open_group(
    here: Rank, device: torch.device, timeout: str, place_to_meet: distributed.Store, run: int = 0
) -> ProcessGroup:
    """Open torch's group of processes, and return it once all have met at `place_to_meet`.

    They exchange gradients on GPUs over NCCL, and all else over gloo.
    """
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    limit = timedelta(seconds=Budget.parse(timeout).seconds or 0)  # RunSettings takes times alone
    _keep_gloo_local(here)
    distributed.init_process_group(
        backend, store=place_to_meet, rank=here.rank, world_size=here.count, timeout=limit
    )
    ranks = ProcessGroup(here, timeout, run)
    ranks.synchronize()
    return ranks


def _keep_gloo_local(here: Rank) -> None:
    """Let gloo listen on the loopback interface if torchrun says that all ranks are local, and the
    user has chosen no interface. By itself it takes the one of the host's name."""
    if os.environ.get("LOCAL_WORLD_SIZE") != str(here.count):
        return
    for _, interface in socket.if_nameindex():
        if interface in LOOPBACK:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)


def _share(rank: int, count: int, size: int) -> slice:
    """Return the slice of `size` rows for `rank`: in order, and as even as can be."""
    return slice(rank * size // count, (rank + 1) * size // count)


def seed_of(parts: Sequence[int]) -> int:
    """Mix several numbers into a seed for torch."""
    [mixed] = np.random.SeedSequence(parts).generate_state(1, np.uint64)
    return int(mixed >> 1)


# Numbers the runs, so that a second run of these processes does not read leftovers of the first
# one.
_runs = itertools.count()

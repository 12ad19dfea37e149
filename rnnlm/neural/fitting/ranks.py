"""The ranks of a run: processes that each read rows of their own, on one machine or several, and
take every step together.

torchrun or `rnnlm train --processes` starts them, and says in the environment which of them this
one is. Gradients are averaged by DistributedDataParallel. Time and signals, which differ from rank
to rank and must not, are exchanged now and then: rank 0's clock, and whether any rank was asked to
stop or to save; in between the clock stands still.

A run of one process is :data:`SINGLE_PROCESS`, which does without torch.distributed.
"""

import contextlib
import inspect
import itertools
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from rnnlm.config import Budget
from rnnlm.errors import LostProcess, TrainingError
from rnnlm.events import never
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
MOST_STEPS = 1000  # and no more than so many
# what torch says then, in part
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
    """The one process of a run: everything is as it is."""

    rank_info = Rank()
    count = 1
    now: Callable[[], float] | None = None  # the clock is that of whoever asks

    def share(self, size: int) -> slice:
        """Which of `size` rows, or whatever, are this rank's."""
        return slice(0, size)

    def exchange_signals(
        self, stop: Callable[[], bool], save: Callable[[], bool]
    ) -> tuple[Callable[[], bool], Callable[[], bool]]:
        """(whether to stop, whether to save), the same on all ranks, made of what each one is
        asked."""
        return stop, save

    def own_stop(self, stop: Callable[[], bool]) -> Callable[[], bool]:
        """Whether this rank is asked to stop, where it need not be the same on all; `stop` is from
        :meth:`exchange_signals`."""
        return stop

    def synchronize_periodically(self, step: int) -> None:
        """To be called before each step, `step` of them done: now and then clock and signals are
        exchanged."""

    def synchronize(self) -> None:
        """Wait for all ranks, and exchange clock and signals."""

    def totals(self, *values: float) -> list[float]:
        """The sum over all ranks of each value."""
        return list(values)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensor of each rank, all of one shape, on the CPU."""
        return [tensor.detach().cpu()]

    def gather_rows(self, tensor: Tensor, rows: int) -> Tensor:
        """(places, B, width) of all ranks' rows, `rows` in all, on the CPU."""
        return tensor.detach().cpu()

    def averaging(self, module: nn.Module) -> nn.Module:
        """`module`, whose gradients a backward pass averages over the ranks."""
        return module

    def without_averaging(self, module: nn.Module) -> contextlib.AbstractContextManager:
        """While this lasts, gradients of what came out of :meth:`averaging` are this rank's
        alone."""
        return contextlib.nullcontext()

    def seed_per_rank(self, *seed: int) -> None:
        """From now on each rank draws random numbers of its own."""

    def check_same(self, what: str, digest: bytes) -> None:
        """Make sure that `what`, of which `digest` is, is the same on all ranks.

        Raises:
            TrainingError: it is not.
        """

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """The time of the run, after which this rank goes its own way.

        Raises:
            LostProcess: another rank is gone, or does not answer.
        """
        yield


SINGLE_PROCESS = SingleProcess()


class ProcessGroup(SingleProcess):
    """One of several ranks. To be made by :func:`join`."""

    def __init__(self, here: Rank, timeout: str, run: int = 0) -> None:
        self.rank_info, self.count, self.timeout, self.run = here, here.count, timeout, run
        self.clock = 0.0
        self.now = lambda: self.clock
        # tensors of exchanges, until they are let go of here and by torch
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
        """As often as it costs little: after so many steps as :data:`BETWEEN_SECONDS` took last
        time, and at most twice as many as then."""
        if self.last_step < step < self.next_step:
            return
        before, steps = self.clock, step - self.last_step
        self.synchronize()
        fitting = steps * BETWEEN_SECONDS / max(1e-6, self.clock - before)
        self.last_step, self.next_step = (
            step,
            step + max(1, int(min(fitting, 2 * steps, MOST_STEPS))),
        )

    def synchronize(self) -> None:
        found = self._gathered(time.perf_counter(), self.stop(), self.save())
        self.clock = found[0][0]
        self.wants_stop |= any(stop for _, stop, _ in found)
        self.wants_save |= any(save for _, _, save in found)

    def totals(self, *values: float) -> list[float]:
        return [sum(each) for each in zip(*self._gathered(*values), strict=True)]

    def gather(self, tensor: Tensor) -> list[Tensor]:
        own = tensor.detach().cpu().contiguous()
        found = [torch.empty_like(own) for _ in range(self.count)]
        self.lent.update(weakref.ref(each, self.lent.discard) for each in (own, *found))
        distributed.all_gather(found, own)
        return [each.clone() for each in found]

    def gather_rows(self, tensor: Tensor, rows: int) -> Tensor:
        """Ranks have a row more or less: they are filled up to the same number for the way."""
        most = -(-rows // self.count)
        filled = torch.nn.functional.pad(tensor.detach().cpu(), (0, 0, 0, most - tensor.shape[1]))
        shares = [_share(rank, self.count, rows) for rank in range(self.count)]
        return torch.cat(
            [
                part[:, : share.stop - share.start]
                for part, share in zip(self.gather(filled), shares, strict=True)
            ],
            dim=1,
        )

    def averaging(self, module: nn.Module) -> nn.Module:
        # by torch 2.13
        renamed = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
        options: dict[str, Any] = {
            "forward_sync_buffers" if renamed else "broadcast_buffers": False
        }
        return DistributedDataParallel(module, **options)

    def without_averaging(self, module: nn.Module) -> contextlib.AbstractContextManager:
        assert isinstance(module, DistributedDataParallel)  # what `averaging` returns
        return module.no_sync()

    def seed_per_rank(self, *seed: int) -> None:
        if self.rank_info.rank:
            torch.manual_seed(
                int(
                    np.random.SeedSequence((*seed, self.rank_info.rank)).generate_state(
                        1, np.uint64
                    )[0]
                    >> 1
                )
            )

    def check_same(self, what: str, digest: bytes) -> None:
        found = self.gather(torch.frombuffer(bytearray(digest), dtype=torch.uint8))
        differing = [rank for rank, other in enumerate(found) if not torch.equal(other, found[0])]
        if differing:
            raise TrainingError(
                f"{what} of {Rank(differing[0], self.count)} is not that of the first one",
                hint="give all the same files and versions",
            )

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)  # they hold tensors
            self._wait_for_torch()
            if loss := self._loss(error):
                raise loss from error
            raise
        farewell(f"run{self.run}", self.rank_info)
        self._wait_for_torch()
        distributed.destroy_process_group()

    def _wait_for_torch(self) -> None:
        """Until it has let go of the tensors of every exchange, for FAREWELL_SECONDS at most. A
        thread of gloo does so some time after the exchange, and needs Python's lock for it. Who
        ends the group while it waits for the lock, waits for it in turn, holding the lock: for
        ever; and once Python is ending, the thread breaks the process down (SIGABRT)."""
        until = time.monotonic() + FAREWELL_SECONDS
        while self.lent and time.monotonic() < until:
            time.sleep(POLL_SECONDS)

    def _loss(self, error: BaseException) -> LostProcess | None:
        """What `error` means where torch says by it that another rank is gone."""
        said = str(error).partition("\n")[0]
        is_torchs = isinstance(error, distributed.DistError) or any(
            words in said.lower() for words in LOST
        )
        if not (isinstance(error, RuntimeError) and is_torchs):
            return None
        why = (
            f"{self.rank_info}: {said[-200:]}"
            if "imed out" not in said
            else f"{self.rank_info} had no answer within {self.timeout}"
        )
        return LostProcess(
            "another process of the run is lost",
            why,
            "go on from its last saved state: the same again with --resume",
        )

    def _take_save(self) -> bool:
        wanted, self.wants_save = self.wants_save, False
        return wanted

    def _gathered(self, *values: float) -> list[list[float]]:
        """The values of each rank, the same everywhere."""
        return [each.tolist() for each in self.gather(torch.tensor(values, dtype=torch.float64))]


def join(device: torch.device, timeout: str) -> SingleProcess:
    """The ranks of this run, once all are there; `device` (a torch.device) is this one's. Who waits
    for another longer than `timeout` (30s, 10m) gives up.

    Raises:
        LostProcess: one does not come.
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
    """Open torch's group of processes, and return it once all have come to `place_to_meet`.

    They exchange gradients on GPUs over NCCL, and all else over gloo.
    """
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    limit = timedelta(seconds=Budget.parse(timeout).seconds or 0)  # RunSettings takes times alone
    distributed.init_process_group(
        backend, store=place_to_meet, rank=here.rank, world_size=here.count, timeout=limit
    )
    ranks = ProcessGroup(here, timeout, run)
    ranks.synchronize()
    return ranks


def _share(rank: int, count: int, size: int) -> slice:
    """Of `size` rows, in order and as evenly as can be."""
    return slice(rank * size // count, (rank + 1) * size // count)


# so that a second run of these processes does not read what the first one left
_runs = itertools.count()

"""The workers of a count: the threads of this process, processes of this machine, or the workers of
a Dask cluster.

Workers beside this process are a pool (:class:`rnnlm.parallel.WorkerPool`). This is the one module
that knows Dask; everybody else runs a phase so::

    with workers.connected_cluster("tcp://10.0.0.1:8786") as pool:
        pool.check_folder(folder, mark)
        for done in pool.run(function, tasks):
            if done is not None:
                task, result = done

`function` and each of `tasks` travel to a worker: a function of a module, and a small value with
paths and numbers. Their input and output lie in a folder that all workers see, never in arguments
or results. A task may run several times, also after its run has ended: it writes under a new name,
which the caller renames when it has the result (as :class:`rnnlm.tools.counting.store.Store`
does). None is yielded now and then while a result is awaited. Ctrl-C, or any error, leaves the
context: tasks that wait are called off, those that run have ten seconds to notice.

`distributed` is imported when a cluster is named, and not before.
"""

import contextlib
import functools
import hashlib
import logging
import os
import re
import secrets
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, TypeVar

from rnnlm import system
from rnnlm.errors import (
    OutputError,
    RnnlmError,
    SettingsError,
    UsageError,
    keyword,
    require_package,
)
from rnnlm.lm.ngram.counting.workspace import Workspace
from rnnlm.parallel import WorkerPool, in_threads, process_pool
from rnnlm.tools.counting.store import Store, WrittenPiece

if TYPE_CHECKING:
    from distributed import Client

# ---- The tasks of a count, and who runs them: threads, or a pool that sees the same folder. The
# arguments of a task are names and numbers. It writes pieces into the folder under new names; the
# process that owns the folder finishes them.

LARGEST_KEPT = 1 << 24  # bytes of arrays that stay in a worker when they are freed


class CountingTask(Protocol):
    """A part of the work, which can be sent to another process."""

    def run(self, store: Store, workspace: Workspace) -> Sequence[WrittenPiece]:
        """Do the work, and return the pieces that are written."""


class TaskRunner:
    """Runs tasks in the threads of this process, whose memory is the workspace's."""

    def __init__(self, store: Store, workspace: Workspace) -> None:
        self.store = store
        self.workspace = workspace

    def run(self, tasks: Iterable[CountingTask]) -> Iterator[Sequence[WrittenPiece] | None]:
        """Yield the result of each task, in their order; None while the next one is awaited."""
        store, workspace = self.store, self.workspace
        yield from in_threads(lambda task: task.run(store, workspace), tasks, workspace.threads)


class PoolRunner(TaskRunner):
    """Runs tasks in a pool whose workers see the folder under the same name. memory: bytes that the
    arrays of a task may take."""

    def __init__(self, store: Store, workspace: Workspace, pool: WorkerPool, memory: int) -> None:
        super().__init__(store, workspace)
        self.pool = pool
        self.memory = memory

    def run(self, tasks: Iterable[CountingTask]) -> Iterator[Sequence[WrittenPiece] | None]:
        run = functools.partial(
            run_task,
            folder=str(self.store.folder.absolute()),
            mark=self.store.mark,
            memory=self.memory,
        )
        for done in self.pool.run(run, tasks):
            yield done and done[1]


def run_task(task: CountingTask, *, folder: str, mark: str, memory: int) -> Sequence[WrittenPiece]:
    """Work on a task, in a worker. Nothing of the folder stays open or mapped afterwards: its files
    may be deleted elsewhere.

    mark: a file that exists while the run lasts. memory: the bytes that the task may use.
    """
    system.allow_open_files()
    system.return_freed(LARGEST_KEPT)
    store = Store(Path(folder), mark=mark)
    store.check_mark()
    return task.run(store, Workspace(memory, threads=1))


# ---- A Dask cluster as a pool: connect, check, watch, and disconnect.

Result = TypeVar("Result")

SCHEMES = ("tcp", "tls", "ucx", "ws", "wss", "inproc")
HOST = r"(\[[0-9a-fA-F:.%]+\]|[\w.-]+)"
ADDRESS = re.compile(rf"(({'|'.join(SCHEMES)})://)?{HOST}:[0-9]{{1,5}}")
DISTRIBUTED = re.compile(r"distributed(\..*)?")  # its loggers, each with its own level
CONNECT_SECONDS = 10.0
LOOK_SECONDS = 2.0  # between two questions to the scheduler
SILENT_SECONDS = 60.0  # without an answer, after which it counts as lost
SETTLE_SECONDS = 10.0  # for tasks that were called off
WAY_OUT = "check that the scheduler is running and reachable from here, then run the command again"


def check_address(address: str, folder: str | None) -> None:
    """Make sure that `address` can be the address of a cluster, whose workers share a `folder`."""
    if not ADDRESS.fullmatch(address):
        raise SettingsError(
            f"dask = {address!r} is not understood",
            hint="give the address of a scheduler, such as tcp://10.0.0.1:8786; processes of "
            "this machine are " + keyword("workers", "N"),
        )
    if folder is None:
        raise UsageError(
            "the workers of a cluster need a shared folder",
            f"dask = {address} is given without one",
            "add " + keyword("temp", "DIR") + ", a folder on a shared file system",
        )
    _distributed()


def _distributed() -> ModuleType:
    """Import the package."""
    return require_package("distributed", "dask", "clusters")


def try_out_cluster(address: str, folder: str) -> None:
    """Connect to a cluster and check that its workers can do the work, before time goes into the
    steps before it."""
    with connected_cluster(address) as pool:
        try:
            os.makedirs(folder, exist_ok=True)
            store = Store(Path(folder))
            store.set_mark()
            try:
                pool.check_folder(store.folder.absolute(), store.mark)
            finally:
                store.remove_mark()
        except OSError as error:
            why = error.strerror or str(error)
            raise OutputError(f"cannot write to {folder}", why, "choose another folder") from None


@contextlib.contextmanager
def connected_cluster(address: str) -> Iterator["Cluster"]:
    """Provide the workers of the cluster whose scheduler has this address."""
    distributed = _distributed()
    # Its messages about workers that come and go are for operators of a cluster; our own errors
    # report everything that matters here.
    for name in ("bokeh", *filter(DISTRIBUTED.match, logging.root.manager.loggerDict)):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    with contextlib.ExitStack() as held:
        try:
            client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise RnnlmError(
                f"cannot connect to the Dask scheduler at {address}",
                str(error).partition("\n")[0] or type(error).__name__,
                "check that it is running and reachable from here, and that the address is right",
            ) from None
        held.callback(_close, client)
        cluster = Cluster(client, f"of {address}")
        held.callback(cluster.leave)
        cluster.check_workers()
        yield cluster


def _close(client: "Client") -> None:
    with contextlib.suppress(Exception):  # the scheduler may be gone
        client.close(timeout=SETTLE_SECONDS)


class Cluster(WorkerPool):
    """The workers of a cluster. whose: as messages call them.

    A thread asks the scheduler now and then how many workers there are; one that does not answer
    for SILENT_SECONDS is lost.
    """

    def __init__(self, client: "Client", whose: str) -> None:
        self.client = client
        self.whose = whose
        self._heard = time.monotonic()
        self._has_left = threading.Event()
        self._done: list[object] = []
        self._look()
        super().__init__(client.get_executor(pure=False, retries=3), self._threads)
        threading.Thread(target=self._keep_looking, daemon=True).start()

    # ---- The scheduler, and how many workers it has.

    def _look(self) -> None:
        threads_of_worker: Mapping[str, int] = self.client.nthreads()
        self.size = self._threads = sum(threads_of_worker.values())
        self._heard = time.monotonic()

    def _keep_looking(self) -> None:
        has_left = False
        held: deque[list[object]] = deque(maxlen=1)
        while not has_left:
            with contextlib.suppress(Exception):  # no answer; `check` counts the seconds
                self._look()
            has_left = self._has_left.wait(LOOK_SECONDS)
            # See `outcome`. The main thread may still hold finished results: release the ones from
            # before the last look.
            held.append(self._done)
            self._done = []

    def check(self) -> None:
        if self.client.status not in ("running", "connecting"):
            raise self._lost("the connection is closed")
        silent = time.monotonic() - self._heard
        if silent > SILENT_SECONDS:
            raise self._lost(f"it has not answered for {silent:.0f} s")

    def _lost(self, why: str) -> RnnlmError:
        return RnnlmError(f"lost the Dask scheduler {self.whose}", why, WAY_OUT)

    # ---- Tasks.

    def submit(self, function: Callable[..., Result], *arguments: object) -> "Future[Result]":
        return self.executor.submit(_checked, code_version(), function, *arguments)

    def outcome(self, future: "Future[Result]") -> Result:
        from distributed.scheduler import KilledWorker

        # A future notifies the scheduler when it is released. Python ignores exceptions raised
        # then, so the main thread would miss a signal that arrives at that moment. Another thread
        # releases it.
        self._done.append(future)
        try:
            return future.result()
        except CancelledError:
            raise self._lost("it dropped the work") from None
        except KilledWorker as error:
            raise RnnlmError(
                "a task has killed several workers",
                str(error).partition("\n")[0],
                "they may have run out of memory: lower "
                + keyword("memory")
                + ", or give the workers more with dask worker --memory-limit",
            ) from None
        except ModuleNotFoundError as error:
            raise _no_rnnlm("a worker", str(error)) from None

    def leave(self) -> None:
        """Stop asking the scheduler."""
        self._has_left.set()

    def settle(self) -> None:
        """Wait until no worker is at work for this client, SETTLE_SECONDS at most."""
        until = time.monotonic() + SETTLE_SECONDS
        with contextlib.suppress(Exception):  # without a scheduler, there is nothing to wait for
            while time.monotonic() < until and self.client.status == "running":
                busy = self.client.sync(self._busy, callback_timeout=SETTLE_SECONDS)
                if not busy:
                    return
                time.sleep(0.1)

    async def _busy(self) -> bool:
        # The workers' own message: the scheduler forgets a task at once when it is called off.
        busy_by_worker = await self.client._run(_is_at_work, on_error="ignore")
        return any(busy_by_worker.values())

    # ---- Checks, before the first task.

    def check_workers(self) -> None:
        """Make sure that there are workers, and that each has this version of rnnlm."""
        versions = self._answers(_version)
        if not versions:
            raise RnnlmError(
                f"the Dask scheduler {self.whose} has no workers",
                hint="start some with dask worker ADDRESS, and try again",
            )
        for worker, answer in sorted(versions.items()):
            # An object that a worker cannot even read comes back in words.
            if isinstance(answer, ImportError) or "ModuleNotFoundError" in str(answer):
                raise _no_rnnlm(f"the worker {worker}", str(answer))
            if isinstance(answer, BaseException):
                raise RnnlmError(f"the worker {worker} cannot run tasks", str(answer))
            if answer != code_version():
                raise _other_version(f"the worker {worker}", str(answer), code_version())

    def _answers(self, function: Callable[..., object], *arguments: object) -> dict[str, object]:
        """Return the result of a function on each worker, or its error. A worker that is lost
        meanwhile has no answer: others do its work."""
        from distributed.comm import CommClosedError

        answers = self.client.run(function, *arguments, on_error="return")
        lost = (CommClosedError, ConnectionError)
        return {name: answer for name, answer in answers.items() if not isinstance(answer, lost)}

    def check_folder(self, folder: Path, mark: str) -> None:
        """Make sure that each worker sees the file `mark` of `folder`, which holds its own name,
        and can write beside it."""
        answers = self._answers(_seen, str(folder), mark)
        try:
            for worker, answer in sorted(answers.items()):
                why = str(answer)
                if isinstance(answer, str):
                    why = f"the file {answer} it wrote there is not visible here"
                    if (folder / answer).is_file():
                        continue
                raise OutputError(
                    f"the worker {worker} does not share the folder {folder}",
                    why,
                    "name a folder that all workers can read and write under the same path",
                )
        finally:
            for path in folder.glob(f"{mark}.*.new"):  # also of a worker that is lost since
                path.unlink(missing_ok=True)


def _no_rnnlm(worker: str, why: str) -> RnnlmError:
    return RnnlmError(
        f"{worker} cannot import rnnlm", why, "install the same version there, and start it again"
    )


def _other_version(worker: str, worker_version: str, own_version: str) -> RnnlmError:
    return RnnlmError(
        f"{worker} has another version of rnnlm",
        f"{worker_version} there, {own_version} here",
        "install the same version there, and start it again",
    )


# ---- In a worker.


@functools.cache
def code_version() -> str:
    """Return the version of rnnlm with a hash of its code: two copies of one version may differ
    while it is developed."""
    package = sys.modules[__name__.partition(".")[0]]
    root = Path(package.__path__[0])
    code_hash = hashlib.sha256()
    # Files that only an installed copy has there are left out.
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if not name.startswith(("cli/", "corpora/", "checkpoints/")):
            code_hash.update(name.encode())
            code_hash.update(path.read_bytes())
    return f"{package.__version__}+{code_hash.hexdigest()[:12]}"


_at_work = 0  # tasks of this process
_counting = threading.Lock()


def _checked(version: str, function: Callable[..., Result], *arguments: object) -> Result:
    """Run a task, which the rnnlm of that version has sent. Workers that came after the first task
    have not been asked for their version."""
    global _at_work
    if version != code_version():
        raise _other_version("a worker", code_version(), version)
    with _counting:
        _at_work += 1
    try:
        return function(*arguments)
    finally:
        with _counting:
            _at_work -= 1


def _is_at_work() -> bool:
    return _at_work > 0


def _version() -> str:
    return code_version()


def _seen(folder: str, mark: str) -> str:
    """Look at the folder as this worker sees it. Return the name of a file that it wrote there."""
    path = Path(folder) / mark
    if path.read_text() != mark:
        raise ValueError(f"it finds something else in {path}")
    new = f"{mark}.{secrets.token_hex(8)}.new"
    with open(Path(folder) / new, "x") as stream:
        stream.write(mark)
    return new


# ---- The workers that a person requests.

MEMORY = "1G"  # that a task may take, unless another limit is given


@dataclass(frozen=True)
class WorkerOptions:
    """The workers that a person requests: so many `processes` of this machine, the workers of the
    Dask cluster at an `address`, or none."""

    processes: int | None = None
    address: str | None = None

    @property
    def are_wanted(self) -> bool:
        return self.processes is not None or self.address is not None

    def check(self, folder: str | None) -> None:
        """Make sure that there can be such workers. folder: the folder that the workers of a
        cluster share."""
        if self.processes is not None and self.address is not None:
            raise UsageError(
                "workers and dask cannot be combined",
                "one asks for processes of this machine, the other for a cluster",
                "leave one of them out",
            )
        if self.address is not None:
            check_address(self.address, folder)

    def try_out(self, folder: str | None) -> None:
        """Check that the workers can do the work, before time goes into the steps before it."""
        self.check(folder)
        if self.address is not None and folder is not None:
            try_out_cluster(self.address, folder)

    def memory(self, given: str | None) -> str | None:
        """Return the memory limit of a task: the `given` one; None: as much as it needs."""
        return MEMORY if given is None and self.are_wanted else given

    def connected(self) -> contextlib.AbstractContextManager[WorkerPool | None]:
        """Return a context that provides the pool; None if no workers are wanted."""
        if self.processes is not None:
            return process_pool(self.processes)
        if self.address is not None:
            return connected_cluster(self.address)
        return contextlib.nullcontext()

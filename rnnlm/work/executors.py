"""Executors: processes of this machine, or the calling thread itself. Those of other machines are
in :mod:`rnnlm.work.dask_cluster`.

:class:`Processes` replaces concurrent.futures.ProcessPoolExecutor, which runs a script without a
`__main__` guard again in each worker, lets workers survive a parent that is killed, and before
Python 3.11.5 waits forever when a worker dies while a large piece is being sent. loky, which does
without the guard, has its workers finish what they were given when their parent is killed, up to
hours later, and then report leaked semaphores; one killed worker ends all of them.
"""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import IO, Any, TypeVar

from rnnlm import system
from rnnlm.errors import RnnlmError

Result = TypeVar("Result")
HINT = "run it again, perhaps with fewer `workers`: it goes on with what is finished on disk"


class Inline(Executor):
    """An executor that runs each call at once, in the thread that submits it."""

    def submit(
        self, function: Callable[..., Result], /, *arguments: object, **keywords: object
    ) -> Future[Result]:
        future: Future[Result] = Future()
        try:
            future.set_result(function(*arguments, **keywords))
        except Exception as error:  # whoever asks for the result gets it
            future.set_exception(error)
        return future


class Processes(Executor):
    """An executor of `count` processes. The end of its context waits for what is submitted; an
    error that leaves the context kills the processes instead."""

    def __init__(self, count: int) -> None:
        self.processes: list[WorkerProcess] = []
        self._idle: queue.SimpleQueue[WorkerProcess] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(count)  # each waits for one process
        try:
            for _ in range(count):
                self.processes.append(WorkerProcess())
                self._idle.put(self.processes[-1])
        except BaseException:
            self.kill()
            raise

    def submit(
        self, function: Callable[..., Result], /, *arguments: object, **keywords: object
    ) -> Future[Result]:
        return self._threads.submit(self._call, (function, arguments, keywords))

    def _call(self, call: tuple) -> Any:
        process = self._idle.get()
        try:
            return process.call(call)
        finally:
            self._idle.put(process)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        self.kill()

    def kill(self) -> None:
        """End all processes now; the calls that they were working on fail."""
        # The threads end once their processes are gone, and only then may streams be closed.
        for process in self.processes:
            process.process.kill()
        self._threads.shutdown(cancel_futures=True)
        for process in self.processes:
            process.close()

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is not None:
            self.kill()
        self.shutdown()


class WorkerProcess:
    """A process that works for this one, in its own session: Ctrl-C on the terminal does not reach
    it."""

    def __init__(self) -> None:
        path = os.pathsep.join(system.import_path())
        self.process = subprocess.Popen(
            system.python("-c", f"from {__name__} import work; work()"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, start_new_session=True,
        )  # fmt: skip
        assert self.process.stdin and self.process.stdout
        self.calls: IO[bytes] = self.process.stdin
        self.results: IO[bytes] = self.process.stdout

    def call(self, call: tuple) -> Any:
        """Return the result of a call there, or raise its error; RnnlmError where the process is
        gone."""
        try:
            pickle.dump(call, self.calls, pickle.HIGHEST_PROTOCOL)
            self.calls.flush()
            result, error = pickle.load(self.results)  # noqa: S301 a process of our own wrote it
        except (OSError, EOFError, pickle.UnpicklingError):
            raise self._died() from None
        if error:
            raise error
        return result

    def close(self) -> None:
        """Wait until the process, which was killed, is gone."""
        for stream in (self.calls, self.results):
            with contextlib.suppress(OSError):  # what could not be written any more
                stream.close()
        self.process.wait()

    def _died(self) -> RnnlmError:
        try:
            code = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            code = 0
        if code < 0:
            why = f"it was ended by {signal.Signals(-code).name}"
        else:
            why = f"it ended with code {code}"
        if code == -signal.SIGKILL:
            why += ": the system may have run out of memory"
        return RnnlmError("a worker process died", why, HINT)


def work() -> None:
    """Run the calls that come through standard input, in a worker, and write their results until
    the parent is gone."""
    # The parent handles these signals.
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)

    # Results have the stream to themselves: what a library prints is none, and goes where errors
    # go. Where there is no such place, nothing else may get its number.
    if sys.stderr is None:
        os.open(os.devnull, os.O_WRONLY)
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    system.keep_freed()  # one piece takes the memory of the one before
    calls: queue.SimpleQueue[tuple] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, calls), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        while True:
            pickle.dump(_outcome(*calls.get()), results, pickle.HIGHEST_PROTOCOL)
            results.flush()


def _receive(stream: IO[bytes], calls: "queue.SimpleQueue[tuple]") -> None:
    """Put the parent's calls into the queue. The stream ends when the parent does, in whatever way;
    then this process ends, too, even at work."""
    try:
        while True:
            calls.put(pickle.load(stream))  # noqa: S301 the parent wrote it
    finally:
        os._exit(0)


def _outcome(
    function: Callable[..., Any], arguments: tuple, keywords: dict[str, Any]
) -> tuple[object, Exception | None]:
    try:
        return function(*arguments, **keywords), None
    except MemoryError:
        return None, RnnlmError(
            "not enough memory",
            "a worker ran out of it",
            "lower `workers`, `memory`, `sample` or `max_vocab`",
        )
    except Exception as error:  # the parent raises it
        return None, error

"""Run tasks beside this one: in threads, or in processes of this machine over pipes.

:func:`in_threads` works through parts of this process's data. A :class:`WorkerPool` works on tasks
that may travel: a task takes paths and numbers and returns names and counts; its input and its
output lie in a folder that all workers see. It may run twice, or be killed: its files have
temporary names until the process that began the phase renames them. That process waits for all
tasks of a phase before it begins the next; no task waits for another.

:class:`ProcessExecutor` replaces concurrent.futures.ProcessPoolExecutor, which runs a script
without a `__main__` guard again in each worker, lets workers survive a parent that is killed, and
before Python 3.11.5 waits forever when a worker dies while a large piece is being sent. loky, which
does without the guard, has its workers finish their tasks when their parent is killed, up to hours
later, and then report leaked semaphores; one killed worker ends all of them.
"""

import contextlib
import itertools
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias, TypeVar

from rnnlm import system
from rnnlm.errors import RnnlmError, joined_message, keyword

Task = TypeVar("Task")
Result = TypeVar("Result")
# Which results come when: in the order of the tasks, errors too; in that order, but the first error
# of any task at once; or as they end, and an error when those that run have ended.
Order: TypeAlias = Literal["in turn", "errors at once", "as they end"]

TICK_SECONDS = 0.5  # between two checks of whether the work can continue or is asked to end
AHEAD = 2  # tasks handed out for each worker: it begins the next one at once
DONE = object()  # there are no more tasks
HINT = (
    "run it again, perhaps with fewer "
    + keyword("workers")
    + ": it resumes from what is finished on disk"
)


class RunCancelled(RnnlmError):
    """The run that a task belongs to has ended, so its result is useless."""


class WorkerPool:
    """A pool of workers behind one executor.

    It works on `size` tasks at once and hands out at most `most`, by default AHEAD a worker. A pool
    that can lose something it depends on reports it in `check`, and in its own errors in `outcome`.
    """

    def __init__(self, executor: Executor, size: int, most: int | None = None) -> None:
        self.executor = executor
        self.size = size
        self.most = most

    @property
    def begun(self) -> float:
        """How much is done of the running tasks, in the unit in which they report it."""
        return 0.0

    def check(self) -> None:
        """Raise an error if the work cannot continue."""

    def check_folder(self, folder: Path, mark: str) -> None:
        """Make sure that all workers see and write a folder, which has a file of the name `mark`
        that holds its name. Processes of this machine do."""

    def settle(self) -> None:
        """Wait a while for tasks that were called off, so that they leave nothing behind."""

    def outcome(self, future: "Future[Result]") -> Result:
        """Return the result of a finished task, or raise its error."""
        return future.result()

    def submit(self, function: Callable[..., Result], *arguments: object) -> "Future[Result]":
        """Hand out a task."""
        return self.executor.submit(function, *arguments)

    def run(
        self,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        order: Order = "errors at once",
    ) -> Iterator[tuple[Task, Result] | None]:
        """Yield each task with the result of `function` for it; and None now and then while the
        next one is awaited, so that the caller can show how far the work is, or end it.

        After an error, and when the caller leaves, tasks that wait are called off.
        """
        left = iter(tasks)
        waiting: dict[Future[Result], Task] = {}  # in the order in which they were handed out
        error: Exception | None = None
        try:
            while True:
                # Few tasks are handed out ahead: reading them may take memory, and a pool may grow.
                while error is None and len(waiting) < (self.most or AHEAD * max(1, self.size)):
                    following: Any = next(left, DONE)
                    if following is DONE:
                        break
                    waiting[self.submit(function, following)] = following
                if not waiting:
                    break

                # Those behind may have failed, too.
                ended = [future for future in waiting if future.done()]
                in_turn = list(itertools.takewhile(Future.done, waiting))
                taken = ended if order == "as they end" else in_turn
                if order == "errors at once":
                    taken += [future for future in ended[len(taken) :] if _has_failed(future)]
                for future in taken:
                    task = waiting.pop(future)
                    try:
                        result = self.outcome(future)
                    except Exception as failure:
                        if order != "as they end":
                            raise
                        error = error or failure
                        continue
                    yield task, result

                busy = waiting.keys() - ended
                if not taken and not wait(busy, TICK_SECONDS, "FIRST_COMPLETED").done:
                    self.check()
                    yield None
        finally:
            for future in waiting:
                future.cancel()
        if error is not None:
            raise error


def _has_failed(future: "Future[Result]") -> bool:
    try:
        return future.exception() is not None
    except CancelledError:
        return True


# ---- The progress of running tasks.

# Receives the progress of a long task. A pool that can receive it sets this.
_say: ContextVar[Callable[[float], None]] = ContextVar("_say", default=lambda amount: None)


def report_done(amount: float) -> None:
    """Report, from within a task, how much of it is done, if there is a receiver. All tasks of a
    phase report in one unit, which the phase chooses."""
    _say.get()(amount)


@contextlib.contextmanager
def reporting_to(say: Callable[[float], None]) -> Iterator[None]:
    """Send the progress of tasks in this context to `say`."""
    token = _say.set(say)
    try:
        yield
    finally:
        _say.reset(token)


# ---- Threads of this process.


def in_threads(
    function: Callable[[Task], Result], parts: Iterable[Task], threads: int | None = None
) -> Iterator[Result]:
    """Yield the result of `function` for each part, in their order, from so many threads (None: as
    many as there are free processors).

    No more parts than that are in work, or finished and waiting to be taken. A single part needs
    no thread.
    """
    threads = threads or system.free_processors()

    # Draw two parts, if two may be in work, to see whether there is more than one.
    parts = iter(parts)
    first_ones = list(itertools.islice(parts, min(threads, 2)))
    parts = itertools.chain(first_ones, parts)
    if len(first_ones) < 2:
        yield from map(function, parts)
        return
    with thread_pool(threads, most=threads) as pool:
        for done in pool.run(function, parts, "in turn"):
            if done is not None:
                yield done[1]


@contextlib.contextmanager
def repeating(function: Callable[[], object], seconds: float, name: str) -> Iterator[None]:
    """Call a function every so many seconds in this context, in a thread of that name. It ends with
    the context, without waiting for the next call."""
    is_over = threading.Event()

    def repeat() -> None:
        while not is_over.wait(seconds):
            function()

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@contextlib.contextmanager
def thread_pool(count: int, most: int | None = None) -> Iterator[WorkerPool]:
    """Provide a pool of so many threads of this process; several leave processors to each other."""
    begin = system.note_several if count > 1 else None
    with ThreadPoolExecutor(count, initializer=begin) as executor:
        yield WorkerPool(executor, count, most)


@contextlib.contextmanager
def inline_pool() -> Iterator[WorkerPool]:
    """Provide a pool that runs each task at once, in the thread that hands it out."""
    yield WorkerPool(InlineExecutor(), 1, most=1)


class InlineExecutor(Executor):
    """An executor that runs each call at once, in the thread that submits it."""

    def submit(
        self, function: Callable[..., Result], /, *arguments: object, **keywords: object
    ) -> Future[Result]:
        future: Future[Result] = Future()
        try:
            future.set_result(function(*arguments, **keywords))
        except Exception as error:  # the caller of the result gets it
            future.set_exception(error)
        return future


# ---- Work that others may interrupt: the server stops a request that nobody waits for any more,
# and lets the requests of others take their turn.


class _Thread(threading.local):
    check: Callable[[], None] | None = None


_thread = _Thread()


@contextlib.contextmanager
def interruptible(check: Callable[[], None]) -> Iterator[None]:
    """Call `check`, which may wait or raise, before each of the :func:`interruptible_pieces` of
    this thread."""
    _thread.check = check
    try:
        yield
    finally:
        _thread.check = None


def interruptible_pieces(work: Iterable[Task]) -> Iterator[Task]:
    """Yield the pieces of some work; it can be interrupted before each."""
    for piece in work:
        if _thread.check:
            _thread.check()
        yield piece


def tokens_of_a_piece(most: int, interruptible_most: int) -> int:
    """Return how many tokens a piece of work may have: `most`, and in a thread that others may
    interrupt `interruptible_most`."""
    return max(1, min(most, interruptible_most)) if _thread.check else most


# ---- Processes of this machine.


class ProcessPool(WorkerPool):
    """Processes of this machine, which talk to this one through pipes."""

    executor: "ProcessExecutor"

    @property
    def begun(self) -> float:
        return sum(process.reported for process in self.executor.processes)

    def settle(self) -> None:
        # Tasks that are no longer awaited end at once, so that they write no more.
        self.executor.kill()


@contextlib.contextmanager
def process_pool(count: int) -> Iterator[WorkerPool]:
    """Provide a pool of `count` processes of this machine, which end with the context."""
    with ProcessExecutor(count) as processes:
        yield ProcessPool(processes, count)


class ProcessExecutor(Executor):
    """An executor of `count` processes. The end of its context waits for submitted tasks; an error
    that leaves the context kills the processes instead."""

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
    it. It reports how much of its call is done, which `reported` holds."""

    reported = 0.0

    def __init__(self) -> None:
        path = {"PYTHONPATH": os.pathsep.join(system.import_path()), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            system.python("-c", f"from {__name__} import work; work()"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | path,
            start_new_session=True,
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
            # Numbers say how far the call is; a pair is its end.
            answer = pickle.load(self.results)  # noqa: S301 our own process wrote it
            while not isinstance(answer, tuple):
                self.reported = answer
                answer = pickle.load(self.results)  # noqa: S301
            result, error = answer
        except (OSError, EOFError, pickle.UnpicklingError):
            raise self._died() from None
        finally:
            self.reported = 0.0
        if error:
            raise error
        return result

    def close(self) -> None:
        """Wait until the process, which was killed, is gone."""
        for stream in (self.calls, self.results):
            with contextlib.suppress(OSError):  # results that could not be written any more
                stream.close()
        self.process.wait()

    def _died(self) -> RnnlmError:
        try:
            code = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            code = 0
        if code < 0:
            why = f"it was killed by {signal.Signals(-code).name}"
        else:
            why = f"it exited with code {code}"
        if code == -getattr(signal, "SIGKILL", 9):  # Windows has no such signal
            why += ": the system may have run out of memory"
        return RnnlmError("a worker process died", why, HINT)


def work() -> None:
    """Run the calls that come through standard input, in a worker, and write their results until
    the parent is gone."""
    # The parent handles these signals.
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)

    # Results have the stream to themselves: libraries print to standard error instead. If that is
    # closed, nothing else may get its number.
    if sys.stderr is None:
        os.open(os.devnull, os.O_WRONLY)
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    system.keep_freed()  # one piece takes the memory of the one before
    calls: queue.SimpleQueue[tuple] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, calls), daemon=True).start()

    def send(answer: object) -> None:
        pickle.dump(answer, results, pickle.HIGHEST_PROTOCOL)
        results.flush()

    with contextlib.suppress(BrokenPipeError), reporting_to(send):
        while True:
            send(_outcome(*calls.get()))


def _receive(stream: IO[bytes], calls: "queue.SimpleQueue[tuple]") -> None:
    """Put the parent's calls into the queue. The stream ends when the parent does, in any way; then
    this process ends, too, even at work."""
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
            "lower "
            + joined_message(", ", map(keyword, ("workers", "memory", "sample")))
            + " or "
            + keyword("max_vocab"),
        )
    except Exception as error:  # the parent raises it
        return None, error

"""Work of requests in threads, shared out among clients in turn.

A client is who has sent a request (guards.py). Work runs until its next interruption point; there
it ends if nobody waits for its result any more, and lets other clients take their turn.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from rnnlm.parallel import interruptible
from rnnlm.text.tokenizers.word import count_unseen_words, forget_unseen_words
from rnnlm.tools.serving.responses import Refusal

Result = TypeVar("Result")
# the future that waits, and its result
Outcome = tuple["asyncio.Future[Result]", Result | Exception]

client: ContextVar[str] = ContextVar("client", default="")  # whose request is being answered

MOST_BEGUN = 8  # jobs begun and not finished: each may hold 200 MB
TURN_SECONDS = 0.05  # a job keeps its turn for so long, even if others wait
ALONE_SECONDS = 2.0  # a client counts as present for so long after its last job


class Abandoned(Exception):
    """Nobody waits for the result any more."""


@dataclass(eq=False)
class _Job:
    """A call that a client waits for. turn: set when it may go on."""

    client: str
    call: Callable[[], Any]
    done: "asyncio.Future[Any]"
    turn: threading.Event = field(default_factory=threading.Event)
    has_begun: bool = False
    turn_began: float = 0.0


class FairScheduler:
    """Threads that work for clients in turn. They end with the process, even at work.

    at_once: jobs that run at the same time. A client has one of them while others are present,
    so that it cannot hold all turns.
    """

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self._lock = threading.Lock()
        # The jobs that wait, by client; the client whose turn is next comes first.
        self._waiting: dict[str, deque[_Job]] = {}
        self._running: Counter[str] = Counter()
        self._present: dict[str, float] = {}  # client -> when it was last here
        self._begun = 0
        self._threads = 0
        self._ready: queue.SimpleQueue[_Job] = queue.SimpleQueue()

    def count_waiting(self) -> int:
        """Return how many jobs wait for their first turn or the next one."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    async def call(self, function: Callable[[], Result]) -> Result:
        """Call a function in a thread, for the client whose request is being answered."""
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        job = _Job(client.get(), function, done)
        with self._lock:
            self._waiting.setdefault(job.client, deque()).append(job)
            self._hand_out_turns()
        return await done

    # ---- Turns. The caller holds the lock.

    def _hand_out_turns(self) -> None:
        # As many as may run at once: interrupted ones continue, new ones go to a thread.
        while self._running.total() < self.at_once:
            job = self._next()
            if job is None:
                return
            self._running[job.client] += 1
            job.turn_began = time.monotonic()
            if job.has_begun:
                job.turn.set()
                continue
            job.has_begun = True
            self._begun += 1
            self._ready.put(job)
            if self._threads < self._begun:
                self._threads += 1
                threading.Thread(target=self._serve, name="work", daemon=True).start()

    def _next(self) -> _Job | None:
        """Take the next job: of the client whose last turn is longest ago."""
        for name in list(self._waiting):
            jobs = self._waiting[name]
            while jobs and jobs[0].done.cancelled() and not jobs[0].has_begun:
                jobs.popleft()
            if not jobs:
                del self._waiting[name]
                continue
            may_begin = jobs[0].has_begun or self._begun < MOST_BEGUN
            if may_begin and self._running[name] < self._share(name):
                job = jobs.popleft()
                self._to_the_end(name)
                return job
        return None

    def _to_the_end(self, name: str) -> None:
        jobs = self._waiting.pop(name)
        if jobs:
            self._waiting[name] = jobs

    def _share(self, name: str) -> int:
        """Return how many jobs of a client may run at once."""
        now = time.monotonic()
        for other, was_here in list(self._present.items()):
            if now - was_here > ALONE_SECONDS:
                del self._present[other]
        clients = self._present.keys() | self._waiting.keys() | set(self._running)
        return self.at_once if clients <= {name} else 1

    # ---- In the threads.

    def _serve(self) -> None:
        # Each round is one job, from its first turn to its end.
        while True:
            job = self._ready.get()
            result: Any = None
            try:
                with interruptible(partial(self._interrupt, job)):
                    self._check_wanted(job)
                    with computing:
                        result = job.call()
            except Abandoned:
                pass
            except Exception as error:
                result = error

            # Its turn is over; report the result outside the lock.
            with self._lock:
                self._begun -= 1
                self._end_turn(job)
                self._hand_out_turns()
            tell(job.done.get_loop(), [(job.done, result)])

    def _interrupt(self, job: _Job) -> None:
        """End a job that nobody waits for; let others take their turn."""
        self._check_wanted(job)
        if time.monotonic() - job.turn_began < TURN_SECONDS:
            return
        with self._lock:
            if self._waiting.keys() <= {job.client}:
                job.turn_began = time.monotonic()
                self._hand_out_turns()  # a client that is alone again may have several
                return
            # Requeue it first for its client, and move the client to the back.
            self._end_turn(job)
            self._waiting.setdefault(job.client, deque()).appendleft(job)
            self._to_the_end(job.client)
            job.turn.clear()
            self._hand_out_turns()
        job.turn.wait()
        self._check_wanted(job)

    def _end_turn(self, job: _Job) -> None:
        self._running -= Counter([job.client])  # which forgets clients without a job
        self._present[job.client] = time.monotonic()

    def _check_wanted(self, job: _Job) -> None:
        if job.done.cancelled():
            raise Abandoned


# ---- Unseen words, which models that read characters keep.

MOST_UNSEEN = 100_000  # words kept while nothing is computed
MOST_UNSEEN_EVER = 1_000_000


class Computing:
    """The running computations. While there are none, words that no vocabulary has are forgotten:
    their ids are in use only in computations."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def __enter__(self) -> None:
        with self._lock:
            unseen = count_unseen_words()
            if unseen > MOST_UNSEEN and not self._count:
                forget_unseen_words()
            elif unseen > MOST_UNSEEN_EVER:
                why = "too many words that the models have never seen"
                raise Refusal(503, "the server is overloaded", why, retry_after=1)
            self._count += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._count -= 1


computing = Computing()


def finish(outcomes: Sequence[Outcome[Any]]) -> None:
    """Give their results to the requests that wait, in the thread of the event loop."""
    for done, result in outcomes:
        if done.done():  # who waited has left
            continue
        if isinstance(result, Exception):
            done.set_exception(result)
        else:
            done.set_result(result)


def tell(loop: asyncio.AbstractEventLoop, outcomes: Sequence[Outcome[Any]]) -> None:
    """Have the thread of the event loop give out results; a server that has stopped has none."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(finish, outcomes)

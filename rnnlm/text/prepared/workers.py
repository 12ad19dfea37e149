"""Processes that encode pieces of text side by side. They end with whoever started them, however that ends."""

import itertools
import os
import queue
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from rnnlm.errors import RnnlmError, notice
from rnnlm.text.prepared.answering import Encoder, learned
from rnnlm.text.prepared.messages import Encode, End, Failed, Learn, Learned, Setup, receive_answer, send
from rnnlm.text.prepared.pieces import Piece

AHEAD = 2  # pieces under way for each worker: one is encoded, one waits


class WorkerProcess:
    """One of them."""

    def __init__(self) -> None:
        path = os.pathsep.join(filter(None, sys.path))
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rnnlm.text.prepared.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, start_new_session=True,
        )  # fmt: skip

    def is_told(self, message: Any) -> bool:
        """Whether it has taken the message; if not, it is gone."""
        try:
            send(self.process.stdin, message)
            return True
        except OSError:
            return False

    def hear(self) -> Any:
        """Its answer.

        Raises:
            RnnlmError: that is what it answers, or it is gone.
        """
        answer = receive_answer(self.process.stdout)
        if answer is None:
            raise self._gone()
        if isinstance(answer, Failed):
            raise answer.error()
        return answer

    def end(self) -> None:
        """It is gone after this."""
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            try:
                stream.close()
            except OSError:
                pass
        self.process.wait()

    def _gone(self) -> RnnlmError:
        try:
            code = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            code = 0
        how = f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it ended with code {code}"
        why = how + (": the system may have run out of memory" if code == -signal.SIGKILL else "")
        return RnnlmError("a worker process died", why, "what is done is kept: go on with --resume, perhaps with fewer --workers")


class Workers:
    """`count` processes with the same tokenizer; none: this process itself does the work. A context: they are gone after it."""

    def __init__(self, count: int, setup: Setup) -> None:
        self.count = count
        self.setup = setup
        self.processes: list[WorkerProcess] = []
        self._here: Encoder | None = None
        self._idle: queue.SimpleQueue[WorkerProcess] = queue.SimpleQueue()

    def __enter__(self) -> "Workers":
        if not self.count:
            self._here = Encoder(self.setup)
        try:
            for _ in range(self.count):
                self.processes.append(WorkerProcess())
            for process in self.processes:
                process.is_told(self.setup)
                self._idle.put(process)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *error: Any) -> None:
        self.end()

    def end(self) -> None:
        """End them all."""
        for process in self.processes:
            process.end()

    def encode(self, asked: Encode) -> Any:
        """A piece encoded by whoever is idle."""
        if self._here:
            return self._here.encode(asked)
        process = self._idle.get()
        try:
            process.is_told(asked)
            return process.hear().piece
        finally:
            self._idle.put(process)

    def encode_again(self, piece: Piece) -> Any:
        """A piece with its ids."""
        return self.encode(Encode(piece))

    def encode_all(self, pieces: Iterable[Piece], with_ids: Callable[[], bool]) -> Iterator[tuple[Piece, Any]]:
        """Each piece with what it became, in order; `with_ids` is asked when a piece goes out."""
        if self._here:
            yield from ((piece, self.encode(Encode(piece, with_ids()))) for piece in pieces)
            return
        waiting: deque[tuple[Piece, Future]] = deque()
        with ThreadPoolExecutor(AHEAD * self.count) as threads:
            try:
                for piece in pieces:
                    if len(waiting) == AHEAD * self.count:
                        first, future = waiting.popleft()
                        yield first, future.result()
                    waiting.append((piece, threads.submit(self.encode, Encode(piece, with_ids()))))
                while waiting:
                    first, future = waiting.popleft()
                    yield first, future.result()
            except BaseException:
                for _, future in waiting:
                    future.cancel()
                for process in self.processes:
                    process.process.kill()
                raise


def learn(asked: Learn, sample: Iterable[Piece], in_worker: bool) -> Learned:
    """The tokenizer that `asked` describes, of the pieces of a sample; `in_worker`: made in one of its own, whose memory goes with it.

    Raises:
        SettingsError: the vocabulary cannot be had from this text. TextError: the text cannot be read.
    """
    found = _learned_by(WorkerProcess(), asked, sample) if in_worker else learned(asked, sample)
    for message in found.notices:
        notice(message)
    return found


def _learned_by(process: WorkerProcess, asked: Learn, sample: Iterable[Piece]) -> Learned:
    try:
        messages = itertools.chain([asked], map(Encode, sample), [End()])
        all(process.is_told(message) for message in messages)  # where it stops to listen, its answer says why
        return process.hear()
    finally:
        process.end()

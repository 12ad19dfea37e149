"""`--processes N`: the processes of one training run on this machine, started, watched and ended
together.

Each runs the command again, as one of N ranks. The first one has the terminal; the output of the
others is kept, and shown where it is the reason that the run failed. Signals are passed on to all.
They end when this process does, however it ends: their standard input, which it holds open, ends
with it.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from typing import IO, Any

import click

from rnnlm.errors import LostProcess, ReportedElsewhere
from rnnlm.system import processors, python

from . import terminal

LAUNCHED = "RNNLM_LAUNCHED"  # in the environment of the processes started here
# The exit code of a process that ended because another one was gone. The other one failed first, so
# this one is not reported.
LOST = 75
GRACE_SECONDS = 10.0  # for the others to end by themselves, once one has failed
TERM_SECONDS = 5.0  # for the rest to end after SIGTERM, before they are killed
POLL_SECONDS = 0.05
HINT = "to continue from the last checkpoint, run the same command with --resume"


def launch(count: int, arguments: Sequence[str], threads: int | None) -> int:
    """Run the command `arguments` in `count` processes and return the exit code. threads: of each
    process; None: they share the processors."""
    with contextlib.ExitStack() as open_files:
        # The first process has the terminal; the others write what they say to files.
        outputs: list[IO[bytes] | None] = [None]
        for _ in range(1, count):
            outputs.append(open_files.enter_context(tempfile.TemporaryFile()))
        environment = _environment(count, threads)
        with _Processes(count) as processes:
            for rank, errors in enumerate(outputs):
                own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
                processes.start(python("-m", "rnnlm", *arguments), {**environment, **own}, errors)
            processes.wait()
        return processes.report(outputs)


def end_with_parent() -> None:
    """Make a process that was started here end when the process that started it is gone: as if by
    SIGTERM, and soon in any case."""
    if LAUNCHED in os.environ:
        threading.Thread(target=_end_with_parent, daemon=True).start()


@contextlib.contextmanager
def reported_once(context: click.Context) -> Iterator[None]:
    """Report an error of a run of several processes once. The process that fails reports it; if it
    was killed, the process that started it does."""
    try:
        yield
    except ReportedElsewhere as error:
        context.exit(0 if LAUNCHED in os.environ else error.exit_code)
    except LostProcess:
        if LAUNCHED not in os.environ:
            raise
        context.exit(LOST)


class _Processes:
    """The processes of one run. codes: their exit codes by rank, in the order in which they
    ended."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.running: dict[int, subprocess.Popen] = {}
        self.codes: dict[int, int] = {}
        self.signals: list[int] = []
        self.deadline = float("inf")  # for those still running
        self.killed: list[int] = []  # ranks that were still running then

    def __enter__(self) -> "_Processes":
        names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
        numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
        self.before = {}
        for number in numbers:
            if signal.getsignal(number) != signal.SIG_IGN:
                self.before[number] = signal.signal(number, self._pass_on)
        return self

    def __exit__(self, *error: Any) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def start(
        self, command: list[str], environment: dict[str, str], errors: IO[bytes] | None
    ) -> None:
        """Start one more process, in a session by itself: Ctrl-C reaches only this process, which
        passes it on once."""
        out = subprocess.DEVNULL if errors else None
        self.running[len(self.running)] = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=errors,
            start_new_session=True,
        )

    def wait(self) -> None:
        """Wait until all have ended. When one fails, the others notice by themselves, and have some
        time for it; then they are terminated, and at last killed."""
        asked = False
        while self.running:
            # Collect those that have ended since the last look.
            for rank, process in list(self.running.items()):
                if process.poll() is not None:
                    self.codes[rank] = process.returncode
                    del self.running[rank]
                    if process.stdin is not None:
                        process.stdin.close()
                    if self._is_failure(process.returncode):
                        self.deadline = min(self.deadline, time.monotonic() + GRACE_SECONDS)

            # After the deadline, terminate the rest, and later kill it.
            if time.monotonic() >= self.deadline:
                self.killed = self.killed or list(self.running)
                for process in self.running.values():
                    if asked:
                        process.kill()
                    else:
                        process.terminate()
                asked, self.deadline = True, time.monotonic() + TERM_SECONDS
            time.sleep(POLL_SECONDS)

    def report(self, outputs: Sequence[IO[bytes] | None]) -> int:
        """Say why the run failed, unless it did not or the first process has said it. Return the
        exit code of the run."""
        # The first process that failed by itself: not because it lost another one, nor because it
        # was killed for being late.
        rank, code = 0, 0
        for ended, its_code in self.codes.items():
            is_own = its_code != LOST and ended not in self.killed
            if is_own and self._is_failure(its_code):
                rank, code = ended, its_code
                break

        kept = outputs[rank]
        if code < 0 and self.codes.get(0) == 0:
            # The first process has ended well, so that all is saved: the other one broke down only
            # while it was leaving.
            code = 0
        elif code < 0:
            terminal.show_error(
                f"process {rank + 1} of {self.count} was ended by {_signal_name(-code)}",
                "the others cannot go on without it, and have ended",
                HINT,
            )
        elif code and kept is not None:
            # Only the first process has the terminal: repeat what the failed one wrote.
            kept.seek(0)
            for line in kept.read().decode("utf-8", "replace").splitlines():
                terminal.say(line)
        # None failed by itself: a process hung, or the network did.
        elif not code and LOST in self.codes.values():
            names = " and ".join(f"process {rank + 1}" for rank in self.killed) or "one of them"
            terminal.show_error(
                f"the {self.count} processes lost each other",
                f"{names} did not answer within rank_timeout",
                HINT,
            )
            code = 1

        # A signal that asked for the end outranks what it made of the processes.
        ending = self._ending()
        if ending:
            return 128 + ending[0]
        if code < 0:
            return 1
        return code or max(0, *self.codes.values())

    def _ending(self) -> list[int]:
        """Return the signals passed on that ask for the end."""
        return [number for number in self.signals if number != getattr(signal, "SIGUSR1", None)]

    def _is_failure(self, code: int) -> bool:
        """Return whether a process ended in a way that ends the run of the others, too. It did not
        if it ended well or as a signal asked it to; the latter includes being killed by that
        signal, which happens where it comes while Python is shutting down."""
        return code != 0 and code <= 128 and -code not in self._ending()

    def _pass_on(self, number: int, frame: Any) -> None:
        """Pass a signal on to all processes. The wish for a checkpoint goes to the first one alone,
        which stores it for all. After a second signal they have little time left."""
        is_wish = number == getattr(signal, "SIGUSR1", None)
        if self.signals and not is_wish:
            self.deadline = min(self.deadline, time.monotonic() + TERM_SECONDS)
        self.signals.append(number)
        for rank, process in list(self.running.items()):
            if not (is_wish and rank):
                process.send_signal(number)


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _environment(count: int, threads: int | None) -> dict[str, str]:
    """Return the environment of the processes: how they find each other, on this machine alone."""
    own = {
        LAUNCHED: "1", "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()),
    }  # fmt: skip
    loopback = {"linux": "lo", "darwin": "lo0"}.get(sys.platform)
    if loopback:
        own["GLOO_SOCKET_IFNAME"] = os.environ.get("GLOO_SOCKET_IFNAME", loopback)
    if threads is None and "OMP_NUM_THREADS" not in os.environ:
        own["OMP_NUM_THREADS"] = str(max(1, processors() // count))
    return {**os.environ, **own}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _end_with_parent() -> None:
    # Standard input ends with the process that holds its other end.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(128 + signal.SIGTERM)

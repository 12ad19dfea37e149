"""Commands in separate processes: how long they take, and how much memory and disk they hold.

When a process ends, the system tells its peak memory, but not what of it is private, nor what
several processes held at the same moment. A watched process is therefore sampled ten times a
second, together with all processes that it has started (Linux; elsewhere the samples are 0).
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, ClassVar

from rnnlm.errors import RnnlmError
from rnnlm.system import peak_bytes, python

SAMPLE_SECONDS = 0.1
FIRST_SECONDS = 0.005  # the first samples are close together: a process may soon be over
BLOCK = 512  # bytes; the unit of st_blocks, whatever the file system's own blocks are

# ---- What a tree of processes holds at a moment.


@dataclass(frozen=True)
class Held:
    """The memory and disk that a process and its descendants hold, in bytes.

    private: resident memory that belongs to one process alone (RssAnon). mapped: resident pages of
    mapped files and of shared memory, which the system could drop or which others hold, too; a page
    that several processes map counts for each of them. temporary: space taken in the folder of
    temporary files, including files that were deleted while open.
    """

    private: int = 0
    mapped: int = 0
    temporary: int = 0


def held_by(pids: Iterable[int], temporary: Path | None = None) -> Held:
    """Return what these processes hold now, and what is in the folder `temporary`."""
    pids = list(pids)
    private, mapped = 0, 0
    for pid in pids:
        kilobytes = _resident_kilobytes(pid)
        private += kilobytes.get("RssAnon", 0) * 1024
        mapped += (kilobytes.get("RssFile", 0) + kilobytes.get("RssShmem", 0)) * 1024
    return Held(private, mapped, bytes_on_disk(temporary, pids) if temporary else 0)


def process_tree(root: int) -> list[int]:
    """Return this process and its descendants, but for those whose parent has ended."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    tree = [root]
    for pid in tree:  # it grows meanwhile
        tree += children.get(pid, [])
    return tree


def _parents() -> Iterator[tuple[int, int]]:
    """Yield each process of the machine and its parent."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir("/proc"):
            if not name.isdecimal():
                continue
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stream:
                # The name of the program, in parentheses, may contain spaces and parentheses.
                state_and_parent = stream.read().rpartition(b")")[2].split()
                yield int(name), int(state_and_parent[1])


def _resident_kilobytes(pid: int) -> dict[str, int]:
    """Return the Rss lines of a process's status; none where it has ended, or without /proc."""
    found = {}
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as stream:
        for line in stream:
            name, _, value = line.partition(":")
            if name.startswith("Rss"):
                found[name] = int(value.split()[0])
    return found


def bytes_on_disk(folder: Path, pids: Iterable[int] = ()) -> int:
    """Return the space that files of this folder take: those that it lists, and those that were
    deleted, or never had a name, and that one of the processes still has open. (One that is mapped
    stays open in Python; another program may close it, and it is not seen then.)"""
    blocks: dict[tuple[int, int], int] = {}  # by file: two names or processes may share one
    for path in _files(folder):
        _note_blocks(path, blocks)

    # An open file without a name takes space until it is closed.
    prefix = os.path.join(os.path.realpath(folder), "")
    for pid in pids:
        for path in _open_files(pid):
            with contextlib.suppress(OSError):
                if os.readlink(path).startswith(prefix):
                    _note_blocks(path, blocks)
    return sum(blocks.values()) * BLOCK


def _files(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield os.path.join(parent, name)


def _open_files(pid: int) -> list[str]:
    """Return links to the files that a process has open."""
    with contextlib.suppress(OSError):
        return [f"/proc/{pid}/fd/{number}" for number in os.listdir(f"/proc/{pid}/fd")]
    return []


def _note_blocks(path: str, blocks: dict[tuple[int, int], int]) -> None:
    with contextlib.suppress(OSError):  # it may have gone meanwhile
        status = os.stat(path)
        blocks[status.st_dev, status.st_ino] = status.st_blocks


class Watch:
    """Sample what a process and its descendants hold, from a thread, until the context ends. `peak`
    has the most of each, not all of them at the same moment."""

    def __init__(self, pid: int, temporary: Path | None = None) -> None:
        self.pid = pid
        self.temporary = temporary
        self.peak = Held()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_over, daemon=True)

    def __enter__(self) -> "Watch":
        # On a busy machine, a short process is over before the thread has its turn.
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _sample_until_over(self) -> None:
        seconds = FIRST_SECONDS
        while not self._is_over.wait(seconds):
            self._sample()
            seconds = min(2 * seconds, SAMPLE_SECONDS)

    def _sample(self) -> None:
        now = held_by(process_tree(self.pid), self.temporary)
        self.peak = Held(
            max(now.private, self.peak.private),
            max(now.mapped, self.peak.mapped),
            max(now.temporary, self.peak.temporary),
        )


# ---- Commands. One that fails raises RnnlmError.


@dataclass(frozen=True)
class Process:
    """A process that succeeded. peak_bytes: the most resident memory, private or not, of one
    process. held: the peaks of the whole tree, if it was watched. cpu_seconds: of its threads
    together."""

    seconds: float
    peak_bytes: int
    out: str
    held: Held = Held()
    cpu_seconds: float = 0.0


def run_rnnlm(command: str, *arguments: str, temporary: Path | None = None) -> Process:
    """Run one of rnnlm's commands in a separate process."""
    return run(f"rnnlm {command}", python("-m", "rnnlm", command, *arguments), temporary)


def run(
    name: str, command: list[str], temporary: Path | None = None, stdin: Path | None = None
) -> Process:
    """Run a command in a separate process.

    temporary: a folder for its temporary files (TMPDIR). If it is given, memory and disk are
    sampled. stdin: what it reads; None: nothing.
    """
    environment = None
    if temporary is not None:
        environment = os.environ | {"TMPDIR": str(temporary)}
    with (
        open(stdin or os.devnull, "rb") as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        # Wait by wait4, which tells the memory of this process alone.
        began = time.perf_counter()
        with subprocess.Popen(
            command, stdin=given, stdout=out, stderr=err, env=environment
        ) as process:
            watch = Watch(process.pid, temporary)
            try:
                with watch if temporary is not None else contextlib.nullcontext():
                    _, status, usage = os.wait4(process.pid, 0)
                    seconds = time.perf_counter() - began
            except BaseException:
                _kill(process.pid)
                raise
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RnnlmError(f"{name} failed", last_words(_content(err)))
        cpu_seconds = usage.ru_utime + usage.ru_stime
        return Process(seconds, peak_bytes(usage), _content(out), watch.peak, cpu_seconds)


def _kill(root: int) -> None:
    """End a process and its descendants."""
    for pid in process_tree(root):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _content(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "replace")


def last_words(messages: str) -> str:
    """Return the error message of a failed program, or else its last line."""
    lines = [line for line in messages.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or ["it said nothing"])[-1]


# ---- KenLM's programs, which others have built.

UNKNOWN_SPELLED = "UNK"  # in a text for lmplz, which refuses a literal <unk>


@dataclass(frozen=True)
class Kenlm:
    """KenLM's programs, by their paths."""

    lmplz: str
    build_binary: str

    arpa: ClassVar = "kenlm.arpa"
    binary: ClassVar = "kenlm.binary"

    def train(
        self, text: Path, order: int, memory: str, folder: Path, temporary: Path | None = None
    ) -> tuple[Process, Process]:
        """Write an ARPA file into `folder`, and a binary made of it.

        temporary: another folder for temporary files; if it is given, memory and disk are sampled.
        """
        arpa, binary = str(folder / self.arpa), str(folder / self.binary)
        options = ["-o", str(order), "-S", memory, "-T", str(temporary or folder)]
        files = ["--discount_fallback", "--text", str(text), "--arpa", arpa]
        counted = run("lmplz", [self.lmplz, *options, *files], temporary)
        return counted, run("build_binary", [self.build_binary, arpa, binary], temporary)

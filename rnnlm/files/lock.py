"""One run at a time in a folder: owner.json names the owner of the folder while a run lasts.

The system locks that file for the owner's process and releases it however the process ends. Many
network file systems do not show locks of other machines: there the file itself shows the owner. The
owner touches it every :data:`TOUCH_SECONDS`; a file that was not touched for :data:`SILENT_SECONDS`
is stale. Times are those of the file system, so clocks may differ.
"""

import contextlib
import json
import os
import platform
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from rnnlm.errors import OutputError, notice
from rnnlm.files.reading import decode_json
from rnnlm.files.writing import writing

OWNER = "owner.json"
TOUCH_SECONDS, SILENT_SECONDS = 20.0, 180.0
LARGEST = 1 << 16


@dataclass(frozen=True)
class Owner:
    """Whose run it is. machine: what distinguishes machines of one name, where the system knows
    it."""

    host: str
    machine: str
    process: int
    since: str

    @classmethod
    def this(cls) -> "Owner":
        return cls(
            platform.node(),
            _machine(),
            os.getpid(),
            datetime.now().astimezone().isoformat(timespec="seconds"),
        )

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, since {self.since}"

    def is_here(self, other: "Owner") -> bool:
        """Whether `other` ran on this machine, so that the system's lock is enough."""
        return (self.host, self.machine) == (other.host, other.machine)


@contextlib.contextmanager
def held(folder: Path, within: str, work: str) -> Iterator[None]:
    """Own the folder while this lasts. Folders made for that are removed where nothing was put into
    them. A notice names a stale lock.

    within: where in the folder owner.json is. work: what is done there, such as "training".

    Raises:
        OutputError: another run has the folder, or it cannot be written.
    """
    place = folder / within
    made = [path for path in (place, *place.parents) if not path.exists()]
    try:
        with writing(folder):
            place.mkdir(parents=True, exist_ok=True)
            stream = _taken(folder, place / OWNER, work)
        try:
            with _touching(place / OWNER):
                yield
        finally:
            with contextlib.suppress(OSError), stream:
                # else the folder vanished, and another run came
                if os.path.samestat(os.fstat(stream.fileno()), os.stat(place / OWNER)):
                    (place / OWNER).unlink()
    finally:
        with contextlib.suppress(OSError):
            place.rmdir()
            for path in made[1:]:
                path.rmdir()


def check(folder: Path, within: str, work: str) -> None:
    """Make sure that no run owns the folder, before time goes into another one; an OutputError
    names its owner."""
    if (folder / within / OWNER).exists():
        with writing(folder), open(folder / within / OWNER, "ab+") as stream:
            _check_free(folder, stream, work)


def _taken(folder: Path, path: Path, work: str) -> IO[bytes]:
    """The file that names the owner, locked, with this process in it."""
    while True:
        stream = open(path, "ab+")  # noqa: SIM115 (the lock lasts while it is open)
        try:
            before = _check_free(folder, stream, work)
            if os.fstat(stream.fileno()).st_nlink:  # else its owner took it away just now
                break
        except BaseException:
            stream.close()
            raise
        stream.close()
    if before:
        notice(f"{folder} was left locked by {before}, which has ended: its lock is taken over")
    stream.truncate(0)
    stream.write(json.dumps(asdict(Owner.this())).encode("utf-8", "backslashreplace") + b"\n")
    stream.flush()
    return stream


def _check_free(folder: Path, stream: IO[bytes], work: str) -> Owner | None:
    """Lock the file, if it is free. The owner it was left by, if it names one."""
    stream.seek(0)
    try:
        owner = decode_json(stream.read(LARGEST), Owner)
    except ValueError:  # empty, as just made, or damaged
        owner = None
    if not _lock(stream):
        raise _in_use(folder, work, str(owner or "another process"))
    if owner and not owner.is_here(Owner.this()):
        silent = _seconds_since_touched(stream)
        if silent < SILENT_SECONDS:
            raise _in_use(folder, work, f"{owner}, last heard of {silent:.0f} s ago")
    return owner


def _in_use(folder: Path, work: str, by: str) -> OutputError:
    hint = (
        "wait until it ends, or choose another folder with -o; a run counts as gone "
        f"after a silence of {SILENT_SECONDS:.0f} s"
    )
    return OutputError(f"another {work} runs in {folder}", by, hint)


def _lock(stream: IO[bytes]) -> bool:
    """Lock the file until it is closed. False where another process has locked it."""
    import filelock  # slow to import, and few commands lock anything

    try:
        return filelock.lock_descriptor(stream.fileno(), blocking=False)
    except OSError:  # a file system without locks: the file alone counts
        return True


def _seconds_since_touched(stream: IO[bytes]) -> float:
    """By the file system's clock: that of a file made beside it now."""
    path = Path(stream.name)
    probe = path.with_name(f"{OWNER}.{os.getpid()}.new")
    try:
        probe.touch()
        return probe.stat().st_mtime - os.fstat(stream.fileno()).st_mtime
    finally:
        probe.unlink(missing_ok=True)


@contextlib.contextmanager
def _touching(path: Path) -> Iterator[None]:
    """The file is touched now and then while this lasts."""
    over = threading.Event()

    def touch() -> None:
        while not over.wait(TOUCH_SECONDS):
            with contextlib.suppress(OSError):  # the folder may come back
                os.utime(path)

    thread = threading.Thread(target=touch, name="run lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _machine() -> str:
    """The system's own name of this machine; "" where it has none."""
    with contextlib.suppress(OSError):
        return Path("/etc/machine-id").read_text(encoding="ascii", errors="replace").strip()
    return ""

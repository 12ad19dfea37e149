"""Lock a folder or a file for one writer at a time, and say who that is.

A folder's owner is named in the folder, by owner.json; a file's owner beside it, by
.NAME.owner.json. The system locks the owner's file for its process and releases it however the
process ends. Many network file systems do not show locks of other machines: there the file itself
shows the owner. The owner touches it every :data:`TOUCH_SECONDS`; a file that was not touched for
:data:`SILENT_SECONDS` is stale. Times come from the file system, so clocks may differ.
"""

import contextlib
import errno
import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from rnnlm import system
from rnnlm.errors import OutputError, keyword, notice
from rnnlm.parallel import repeating
from rnnlm.storage.files.reading import decode_json
from rnnlm.storage.files.writing import (
    check_name,
    check_spelling,
    open_appending,
    short_name,
    unfinished_path,
    writing,
)

OWNER = "owner.json"
TOUCH_SECONDS, SILENT_SECONDS = 20.0, 180.0
LARGEST, FAR_BEHIND = 1 << 16, 1 << 30  # bytes


@dataclass(frozen=True)
class Owner:
    """The process that writes. machine: distinguishes machines of the same name, if the system can.
    work: its work, such as "training"."""

    host: str
    machine: str
    process: int
    since: str
    work: str

    @classmethod
    def this(cls, work: str = "") -> "Owner":
        return cls(
            platform.node(),
            _machine(),
            os.getpid(),
            datetime.now().astimezone().isoformat(timespec="seconds"),
            work,
        )

    def __str__(self) -> str:
        work = f" ({self.work})" if self.work else ""
        return f"process {self.process} on {self.host}, since {self.since}{work}"

    def is_here(self, other: "Owner") -> bool:
        """Return whether `other` ran on this machine, so that the system's lock is enough."""
        return (self.host, self.machine) == (other.host, other.machine)


@contextlib.contextmanager
def held(folder: Path, work: str) -> Iterator[None]:
    """Own the folder in this context; raise OutputError where another process owns it. A notice
    names a stale lock that is replaced.

    Folders made for it are removed if nothing was put into them. work: the work there, such as
    "training".
    """
    made: list[Path] = []
    try:
        check_name(folder)
        with writing(folder):
            check_spelling(folder)
            made = [path for path in (folder, *folder.parents) if not path.exists()]
            folder.mkdir(parents=True, exist_ok=True)
        with _owned(folder, folder / OWNER, work):
            yield
    finally:
        # The deepest folder comes first; a folder that holds something stays.
        with contextlib.suppress(OSError):
            for path in made:
                path.rmdir()


def file_held(path: Path) -> contextlib.AbstractContextManager[None]:
    """Own the file at `path`, which need not exist, in this context; raise OutputError where
    another process owns it."""
    return _owned(path, path.with_name(f".{short_name(path)}.{OWNER}"), "writing")


def check(folder: Path) -> None:
    """Make sure that no process owns the folder, before time goes into writing it. An OutputError
    names its owner, or how an existing folder is spelled."""
    with writing(folder):
        check_spelling(folder)
        if os.path.lexists(folder / OWNER):
            with _open_owner_file(folder, folder / OWNER) as stream:
                _check_free(folder, stream)


@contextlib.contextmanager
def _owned(target: Path, path: Path, work: str) -> Iterator[None]:
    """Own the folder or file `target` in this context; the file at `path` names its owner."""

    # A single step of the work may take hours, so a thread touches the file now and then.
    def touch() -> None:
        with contextlib.suppress(OSError):  # the folder may come back
            os.utime(path)

    check_name(target)
    with writing(target):
        stream = _take_lock(target, path, work)
    try:
        with repeating(touch, TOUCH_SECONDS, "run lock"):
            yield
    finally:
        with contextlib.suppress(OSError), stream:
            # Delete the file only if it is still ours: if the folder was removed meanwhile, another
            # run may have made a new one with its own file.
            is_ours = os.path.samestat(os.fstat(stream.fileno()), os.lstat(path))
            # Windows deletes no file that is open, so not that of an owner that came meanwhile.
            if system.IS_WINDOWS:
                stream.close()
            if is_ours:
                path.unlink()


def _take_lock(target: Path, path: Path, work: str) -> IO[bytes]:
    """Open and lock the file that names the owner, and write this process into it."""
    while True:
        stream = _open_owner_file(target, path)
        try:
            before = _check_free(target, stream)
            is_still_there = os.fstat(stream.fileno()).st_nlink > 0
        except BaseException:
            stream.close()
            raise
        if is_still_there:
            break
        # Its owner deleted it just now, so the lock is on a file that no other process can see.
        stream.close()

    # The file was free to lock, so its owner has ended; of one on another machine that is a guess.
    if before and not before.is_here(Owner.this()):
        notice(f"{target} was locked by {before}, which no longer responds: its lock is taken over")
    owner = json.dumps(asdict(Owner.this(work))).encode("utf-8", "backslashreplace")
    try:
        stream.truncate(0)
        stream.write(owner + b"\n")
        stream.flush()
    except OSError:  # a full disk
        path.unlink()
        stream.close()
        raise
    return stream


def _open_owner_file(target: Path, path: Path) -> IO[bytes]:
    if path.is_symlink():
        raise OutputError(
            f"cannot lock {target}",
            f"{path} is a link, and rnnlm does not write through links",
            "remove the link",
        )
    return open_appending(path)


def _check_free(target: Path, stream: IO[bytes]) -> Owner | None:
    """Lock the file, if it is free. Return the owner that left it, if it names one."""
    stream.seek(0)
    try:
        owner = decode_json(stream.read(LARGEST), Owner)
    except ValueError:  # empty, as just made, or damaged
        owner = None
    if not _lock(stream):
        raise _in_use(target, str(owner or "its name is not known"))

    # The system's lock may not reach other machines. An owner there has ended only if it has not
    # touched the file for some time.
    if owner and not owner.is_here(Owner.this()):
        seconds = _seconds_since_touched(stream)
        if seconds < SILENT_SECONDS:
            raise _in_use(target, f"{owner}, last heard of {seconds:.0f} s ago")
    return owner


def _in_use(target: Path, by: str) -> OutputError:
    hint = (
        "wait until it ends, or choose another place with "
        + keyword("output")
        + f"; a process that is silent for {SILENT_SECONDS:.0f} s counts as dead"
    )
    return OutputError(f"another process is writing {target}", by, hint)


def _lock(stream: IO[bytes]) -> bool:
    """Lock the file until it is closed. Return False where another process has locked it."""
    if sys.platform == "win32":
        import msvcrt

        # A byte far behind the end: no other process can read what is locked, and it should read
        # who the owner is.
        os.lseek(stream.fileno(), FAR_BEHIND, os.SEEK_SET)
        try:
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            return error.errno != errno.EACCES  # anything else: a file system without locks
        return True
    import filelock  # slow to import, and few commands lock anything

    try:
        return filelock.lock_descriptor(stream.fileno(), blocking=False)
    except OSError:  # a file system without locks: the file alone counts
        return True


def _seconds_since_touched(stream: IO[bytes]) -> float:
    """Return the seconds by the file system's clock, read from a file made beside it now."""
    probe = unfinished_path(Path(stream.name))
    try:
        with open(probe, "xb") as now:
            return os.fstat(now.fileno()).st_mtime - os.fstat(stream.fileno()).st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _machine() -> str:
    """Return the system's own name of this machine; "" where it has none."""
    with contextlib.suppress(OSError):
        return Path("/etc/machine-id").read_text(encoding="ascii", errors="replace").strip()
    return ""

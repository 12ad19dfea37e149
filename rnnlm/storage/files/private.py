"""Make folders that are this user's alone, in places where others may write, such as a scratch
disk.

Nothing is created or deleted below a name that somebody else may own. So a folder's name holds the
user, and its work; and its descriptor must show that it is no link, that it belongs to this user,
and that nobody else may open it.
"""

import atexit
import contextlib
import errno
import os
import platform
import shlex
import shutil
import stat
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator
from getpass import getuser
from pathlib import Path

from rnnlm import system
from rnnlm.errors import OutputError, keyword, notice
from rnnlm.storage.files import lock
from rnnlm.storage.files.writing import NO_FOLLOW, digest, writing

PRIVATE = 0o700  # the mode of a folder that its user alone may open
ANOTHER = "name another folder with " + keyword("temp")


@contextlib.contextmanager
def held(parent: str, work: str, doing: str) -> Iterator[Path]:
    """Own this user's folder for `work` within `parent` in this context, and provide its path. It
    is removed afterwards where it is empty. doing: as in :func:`rnnlm.storage.files.lock.held`."""
    folder = folder_in(Path(parent), work)
    try:
        with lock.held(folder, doing):
            yield folder
    finally:
        remove_empty(folder)


def folder_in(parent: Path, work: str) -> Path:
    """Return this user's folder for `work` within `parent`; make both where they are missing. Raise
    OutputError unless it is this user's alone."""
    with writing(parent):
        parent.mkdir(parents=True, exist_ok=True)
        mode = parent.stat().st_mode
        if sys.platform != "win32" and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise OutputError(
                f"cannot work in {parent}",
                "every user of the machine can replace what is in it",
                ANOTHER + f", or protect it: chmod +t {shlex.quote(str(parent))}",
            )
        folder = path_in(parent, work)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=PRIVATE)
        why = _fault(folder)
    if why:
        raise OutputError(f"cannot work in {folder}", why, ANOTHER + ", or remove this one")
    return folder


def path_in(parent: Path, work: str) -> Path:
    """Return where this user's folder for `work` within `parent` is, whether or not it is there."""
    return parent / f"rnnlm-{_user()}-{work}"


def remove_empty(folder: Path) -> None:
    """Remove a folder within the one that a user named, and that one, where nothing is in them. On
    Windows do so at the end of the process, too: there, mapped temporary files vanish later."""
    _remove_left(folder)
    if system.IS_WINDOWS and folder.exists():
        atexit.register(_remove_left, folder)


def _remove_left(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()


def _fault(folder: Path) -> str:
    """Return why a folder is not this user's alone; "" where it is."""
    if sys.platform == "win32":  # folders have the rights of their parents
        return ""

    # Open the folder itself, not the target of a link, and ask the open folder.
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | NO_FOLLOW)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            return "it is a link or a file, and nothing is written through it"
        return error.strerror or str(error)
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)

    # It must belong to this user, and be closed to others.
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    return f"other users may open it: its mode is {mode:04o}" if mode & 0o077 else ""


def _user() -> str:
    """Return a name that distinguishes this user from the others of the machine, for names of
    folders."""
    if sys.platform == "win32":
        return digest([getuser().encode()])[:8]
    return str(os.geteuid())


# ---- Temporary folders, and those that killed processes have left.

# A folder is locked right after it is made; one that is younger may not have come to that.
YOUNG_SECONDS = 10.0
IN_USE = "in-use"  # on Windows, a file there that its process has open


def temporary(parent: Path | None = None) -> "tempfile.TemporaryDirectory[str]":
    """Make a folder for temporary files within `parent` (None: the system's usual place), which is
    deleted with the returned object. Folders that killed processes of this user left there go
    first."""
    parent = parent or Path(tempfile.gettempdir())
    # The system has released the lock of a process that is gone. Folders of other machines are left
    # alone, whose locks may not show here.
    with contextlib.suppress(OSError):
        for name in os.listdir(parent):
            if name.startswith(_temporary_prefix()):
                _remove_leftover(parent / name)
    return _TemporaryFolder(parent)


class _TemporaryFolder(tempfile.TemporaryDirectory[str]):
    """A temporary folder that this process has locked."""

    def __init__(self, parent: Path) -> None:
        super().__init__(prefix=_temporary_prefix(), dir=parent, ignore_cleanup_errors=True)
        self._unlock = weakref.finalize(self, _close, _locked(Path(self.name)))

    def cleanup(self) -> None:
        self._unlock()
        super().cleanup()
        if os.path.exists(self.name):
            # Windows deletes no file that is mapped: by the end of the process, none is any more.
            atexit.register(_remove_at_exit, Path(self.name))


def _remove_at_exit(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        notice(f"{folder} has files that are in use: the next run deletes it")


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def _remove_leftover(folder: Path) -> None:
    with contextlib.suppress(OSError):
        if abs(time.time() - folder.lstat().st_mtime) < YOUNG_SECONDS or _fault(folder):
            return
        descriptor = _locked(folder)
        if descriptor is not None:
            os.close(descriptor)
            shutil.rmtree(folder, ignore_errors=True)


def _locked(folder: Path) -> int | None:
    """Lock a folder until the descriptor that is returned is closed, or this process ends. Return
    None where another process has locked it."""
    if sys.platform == "win32":
        # A file that is open cannot be deleted.
        try:
            (folder / IN_USE).unlink(missing_ok=True)
            return os.open(folder / IN_USE, os.O_CREAT | os.O_EXCL)
        except OSError:
            return None
    # As filelock does, whose import would take longer than most folders are needed.
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | NO_FOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _temporary_prefix() -> str:
    return f"rnnlm-{_user()}-{digest([platform.node().encode()])[:6]}-"

"""Folders that are this user's alone, in places where others may write, such as a scratch disk.

Nothing is created or deleted below a name that somebody else may own. So a folder's name holds the
user, and its work; and its descriptor must show that it is no link, that it belongs to this user,
and that nobody else may open it.
"""

import contextlib
import errno
import os
import shlex
import stat
from collections.abc import Iterator
from getpass import getuser
from pathlib import Path

from rnnlm.errors import OutputError
from rnnlm.storage.files import lock
from rnnlm.storage.files.writing import NO_FOLLOW, digest, writing

PRIVATE = 0o700  # the mode of a folder that its user alone may open
HAS_OWNERS = hasattr(os, "geteuid")  # on Windows folders have the rights of their parents
ANOTHER = "name another folder with `temp`"


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
        if HAS_OWNERS and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise OutputError(
                f"cannot work in {parent}",
                "every user of the machine can replace what is in it",
                f"{ANOTHER}, or protect it: chmod +t {shlex.quote(str(parent))}",
            )
        folder = path_in(parent, work)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=PRIVATE)
        why = _fault(folder)
    if why:
        raise OutputError(f"cannot work in {folder}", why, f"{ANOTHER}, or remove this one")
    return folder


def path_in(parent: Path, work: str) -> Path:
    """Return where this user's folder for `work` within `parent` is, whether or not it is there."""
    return parent / f"rnnlm-{_user()}-{work}"


def remove_empty(folder: Path) -> None:
    """Remove a folder within the one that a user named, and that one, where nothing is in them."""
    with contextlib.suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()


def _fault(folder: Path) -> str:
    """Return why a folder is not this user's alone; "" where it is."""
    if not HAS_OWNERS:
        return ""
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
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    if mode & 0o077:
        return f"other users may open it: its mode is {mode:04o}"
    return ""


def _user() -> str:
    """Return what tells this user from the others of the machine, for names of folders."""
    return str(os.geteuid()) if HAS_OWNERS else digest([getuser().encode()])[:8]

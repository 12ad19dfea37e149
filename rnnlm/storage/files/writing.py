"""Write files whole or not at all: under a new name, fsynced, then put in place.

The new name is random and must not be taken, and a link in a file's place is replaced rather than
followed: no other user can make us write into a file of theirs, or of someone else's.
"""

import contextlib
import errno
import functools
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import time
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, BinaryIO

import msgspec

from rnnlm import system
from rnnlm.errors import OutputError, notice

STANDARD_OUTPUT = Path("-")
# The end of a file's name until it is whole
UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.new$")
# Files of ours that come and go beside others, and make no folder another's: unfinished ones, the
# records of how files were made, and the owners of files and folders
BESIDE = re.compile(rf".+{UNFINISHED.pattern}|\..+\.run|(\..+\.)?owner\.json")
LONGEST_NAME = 200  # bytes; a file system takes 255, and our endings come on top
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)  # Windows has none

# What Windows takes for no file or for another one (learn.microsoft.com, "Naming files"); our own
# endings make a path longer by up to 21 characters.
RESERVED_NAME = re.compile("con|prn|aux|nul|(com|lpt)[0-9\u00b9\u00b2\u00b3]", re.IGNORECASE)
RESERVED_CHARACTER = re.compile(r'[<>:"|?*\x00-\x1f]')
LONGEST_PATH = 259 - 21
# Windows neither replaces nor renames a file that a program has open, as virus scanners, indexers
# and synchronised folders do for a moment: we wait for them so many seconds in all of a run.
MOST_WAITING, TICK_SECONDS = 7.0, 0.05
DENIED, SHARED = 5, 32  # Windows' errors: an open target, an open source or a mapped file


@dataclass(frozen=True)
class FileEntry:
    """One file of a folder. role: its purpose there, such as `weights`, or the tokenizer's name for
    it."""

    role: str
    bytes: int
    sha256: str


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn errors of writing in this context into an OutputError that names `place`: the file or
    folder that a person asked for."""
    try:
        yield
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "free some space, or choose another folder" if is_full else "choose another folder"
        why = error.strerror or str(error)
        # "No such file" would leave people in the dark about a file that they want to make.
        if isinstance(error, FileNotFoundError) and not place.parent.is_dir():
            why = missing_folder(place.parent)
        raise OutputError(f"cannot write to {place}", why, hint) from None


def missing_folder(folder: Path) -> str:
    """Return what to say where a folder is not there, which may be for want of its drive."""
    root = Path(folder.absolute().anchor)
    return f"there is no folder {folder}" if root.exists() else f"there is no drive {root.drive}"


def existing_part(folder: Path) -> Path:
    """Return the folder, or the deepest of those it will be in, that exists."""
    for path in (folder.absolute(), *folder.absolute().parents):
        if path.exists():
            return path
    raise FileNotFoundError(errno.ENOENT, missing_folder(folder))


def check_spelling(path: Path) -> None:
    """Refuse a name that the system takes for an existing one in another spelling: Windows and
    macOS take a letter for its capital, macOS also composed ones for decomposed ones."""
    names: list[str] = []
    with contextlib.suppress(PermissionError):  # some folders may be entered, and not listed
        if path.exists() and path.name not in ("", os.pardir):
            names = os.listdir(path.parent)
    alike = [name for name in names if _folded(name) == _folded(path.name)]
    if alike and path.name not in alike:
        raise OutputError(
            f"cannot write to {path}",
            f"here it is the same as {alike[0]!r}, which exists",
            "choose another name, or spell it like that",
        )


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def check_name(path: Path) -> None:
    """Refuse to write where the system would take a path for something else: on Windows, reserved
    names and characters, names that end in a dot or a space, and long paths. Every output that a
    person names is checked here."""
    if not system.IS_WINDOWS or path == STANDARD_OUTPUT:
        return
    whole = PureWindowsPath(str(path))
    names = list(whole.parts[bool(whole.root) :])  # a drive without a root is no drive of a path
    for name in names:
        stem = name.partition(".")[0].rstrip(" ")
        character = RESERVED_CHARACTER.search(name)
        why = ""
        if RESERVED_NAME.fullmatch(stem):
            why = f"{name} is the name of a device"
        elif character:
            why = f"names cannot have {character[0]!r}"
        elif name not in (os.curdir, os.pardir) and name[-1] in ". ":
            why = "a dot or a space at the end of a name is lost"
        if why:
            raise OutputError(
                f"cannot write to {path}", f"on Windows, {why}", "choose another name"
            )
    length = len(os.path.abspath(path))
    if length > LONGEST_PATH:
        raise OutputError(
            f"cannot write to {path}",
            f"its path has {length} characters, and Windows takes {LONGEST_PATH} with our endings",
            "choose a shorter name or another folder",
        )


def is_stream(path: Path) -> bool:
    """Return whether the object at `path` takes bytes without keeping them: standard output, a
    pipe, a terminal, a device."""
    if path == STANDARD_OUTPUT:
        return True
    mode = path.stat().st_mode if path.exists() else 0
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def same_place(path: str | os.PathLike[str]) -> str:
    """Return the place of a file, which is the same for all its names: links, and on Windows
    letters of either case."""
    return os.path.normcase(os.path.realpath(path))


def replace_file(path: Path, data: bytes | Iterable[bytes | memoryview]) -> None:
    """Write `data`, whole or in pieces, under a new name, fsync, and put it in the place of `path`.

    An OSError leaves the earlier file at `path`.
    """
    with replacing(path) as stream:
        stream.writelines([data] if isinstance(data, bytes) else data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file of a new name, which is fsynced and takes the place of `path` at the end of the
    context. An error leaves the earlier file."""
    with unfinished(path) as stream:
        yield stream
    put_in_place(Path(stream.name), path)


@contextlib.contextmanager
def unfinished(path: Path, is_lasting: bool = True) -> Iterator[BinaryIO]:
    """Open a file of a new name beside `path`, for :func:`put_in_place` to rename. It is fsynced at
    the end of the context, and deleted after an error.

    is_lasting: False for a file that can be made again and whose hash is recorded elsewhere: it
    need not survive a power cut, so there is no wait for the disk.
    """
    check_name(path)
    new = unfinished_path(path)
    # "x": never an existing file, nor through a link
    stream = open(new, "xb")  # noqa: SIM115
    try:
        with stream:
            yield stream
            stream.flush()
            if is_lasting:
                os.fsync(stream.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise


def put_in_place(new: Path, path: Path) -> None:
    """Give a file that is whole its name, in place of the earlier one. An error deletes it."""
    try:
        replace(new, path)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    # The new name must survive a power cut, too.
    _sync_folder(path.parent)


_waited = 0.0  # seconds of this run


def replace(new: Path, path: Path) -> None:
    """Rename a file to `path`, in place of the earlier one. Where another program has one of them
    open on Windows, wait until it has not, :data:`MOST_WAITING` in all of a run."""
    global _waited
    while True:
        try:
            os.replace(new, path)
            return
        except PermissionError as error:
            if getattr(error, "winerror", None) not in (DENIED, SHARED) or path.is_dir():
                raise
            if _waited >= MOST_WAITING:
                raise PermissionError(error.errno, f"another program has {path} open") from None
        time.sleep(TICK_SECONDS)
        _waited += TICK_SECONDS


def delete(path: Path) -> None:
    """Delete a file that the next run would delete, too. Say so where it stays, as Windows keeps
    what a program has open."""
    try:
        path.unlink()
    except PermissionError:
        notice(f"{path} is open in a program, or protected, and stays: the next run deletes it")
    except OSError:
        pass


def short_name(path: Path) -> str:
    """Return the name of the file at `path`, short enough for an ending; of a very long one a
    hash."""
    name = os.fsencode(path.name)
    return path.name if len(name) <= LONGEST_NAME else digest([name])[:32]


def unfinished_path(path: Path) -> Path:
    """Return where a file that will be `path` is written until it is whole: a name that cannot be
    guessed."""
    return path.with_name(f"{short_name(path)}.{secrets.token_hex(8)}.new")


def whole_name(name: str) -> str:
    """Return the final name of a file of that name."""
    return UNFINISHED.sub("", name)


def remove_unfinished(path: Path) -> None:
    """Delete leftovers of killed writers of `path`. Only the owner of its lock may."""
    left = re.compile(re.escape(short_name(path)) + r"\.[0-9a-f]{16}\.new")
    with contextlib.suppress(OSError):
        for name in filter(left.fullmatch, os.listdir(path.parent)):
            path.with_name(name).unlink()


def open_appending(path: Path) -> BinaryIO:
    """Open a file to append to it, made where there is none; never through a link, which is an
    OSError."""
    return open(path, "ab+", opener=lambda name, flags: os.open(name, flags | NO_FOLLOW, 0o666))


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(pieces: Iterable[bytes | memoryview]) -> str:
    """Return the SHA-256 of `pieces`, in hexadecimal."""
    hashed = hashlib.sha256()
    for piece in pieces:
        hashed.update(piece)
    return hashed.hexdigest()


def sha256(path: Path) -> str | None:
    """Return the SHA-256 of a file; None where it cannot be read, or no file can have such a
    name."""
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError):
        return None


def entry_of(path: Path, role: str) -> FileEntry:
    """Return the entry of a file of another program, which is hashed once until it changes."""
    status = path.stat()
    content_hash = _known_sha256(path, status.st_size, status.st_mtime_ns)
    return FileEntry(role, status.st_size, content_hash)


@functools.lru_cache(maxsize=256)
def _known_sha256(path: Path, size: int, changed: int) -> str:
    """Return the hash of a file of that size, changed at that time."""
    return sha256(path) or ""


# ---- Files of facts: a JSON object whose last field is the hash of all the others.

HASH = "hash"
HASH_DIGITS = 16  # hexadecimal; against mistakes of disks and people, not against attacks


def write_facts(path: Path, facts: object, indent: int = 1) -> None:
    """Replace the file at `path` with these facts and their hash, at once."""
    content = msgspec.to_builtins(facts)
    content[HASH] = hash_of_facts(content)
    text = json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False)
    # A file's name may be no UTF-8.
    replace_file(path, text.encode("utf-8", "backslashreplace") + b"\n")


def check_facts(content: Any) -> None:
    """Remove the hash from the facts read from a file. Raise ValueError where it is not theirs."""
    if not isinstance(content, dict) or content.pop(HASH, None) != hash_of_facts(content):
        raise ValueError("it was changed after it was written")


def hash_of_facts(content: dict[str, Any]) -> str:
    """Return the hash over facts."""
    # The order of fields and the white space between them may change.
    return hash_of_json(json.dumps(content, sort_keys=True, allow_nan=False).encode("ascii"))


def hash_of_json(encoded: bytes) -> str:
    """Return the hash by which a change of JSON is noticed."""
    return digest([encoded])[:HASH_DIGITS]


def free_bytes(folder: Path) -> int:
    """Return how many bytes are free on the disk of a folder, which need not be there yet."""
    with writing(folder):
        return shutil.disk_usage(existing_part(folder)).free

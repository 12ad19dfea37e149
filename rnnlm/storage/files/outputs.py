"""Write plain files, and folders of them for other programs, that a person asks for: check them
before time goes into them, and write them whole, under another name until they are complete."""

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from rnnlm.amounts import amount
from rnnlm.errors import OutputError, UsageError, keyword
from rnnlm.storage.files import lock
from rnnlm.storage.files.file_types import compressed
from rnnlm.storage.files.writing import (
    STANDARD_OUTPUT,
    check_name,
    put_in_place,
    remove_unfinished,
    replace_file,
    same_place,
    unfinished,
    writing,
)


def check_file(path: Path, overwrite: bool) -> None:
    """Make sure that a file may be written to `path`, before time goes into it. Raise OutputError
    where something must not be replaced, or nothing can be written into the folder."""
    check_name(path)
    if not path.parent.is_dir():
        raise OutputError(f"cannot write {path}", f"there is no folder {path.parent}")
    if is_stream(path):
        return
    if not os.access(path.parent, os.W_OK):
        raise OutputError(
            f"cannot write {path}",
            f"the folder {path.parent.absolute()} is read-only",
            "choose another folder",
        )
    if path.exists() and not path.is_file():
        raise OutputError(f"cannot write {path}", "it is not a plain file")
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} already exists",
            hint="choose another name, or replace it with " + keyword("overwrite", True),
        )


@contextlib.contextmanager
def owned_file(path: Path, overwrite: bool) -> Iterator[None]:
    """Own a file in this context, and make sure that it may be written, before time goes into it.
    Leftovers of its killed writers are deleted."""
    check_file(path, overwrite)
    if is_stream(path):
        yield
        return
    with lock.file_held(path):
        remove_unfinished(path)
        check_file(path, overwrite)
        yield


def check_apart(outputs: Iterable[Path], sources: Iterable[str]) -> None:
    """Make sure that no two outputs are the same file, and none of them an input. A UsageError
    names one that is."""
    taken = {same_place(source) for source in sources}
    for path in outputs:
        place = same_place(path)
        if place in taken and not is_stream(path):
            raise UsageError(
                f"{path} is also an input, or is written twice", hint="choose another name"
            )
        taken.add(place)


def save_file(
    path: Path,
    pieces: Iterable[bytes | memoryview],
    report: Callable[[str], None] = lambda message: None,
) -> None:
    """Write `pieces` to a file, compressed as its suffix says, whole or not at all; to a pipe, a
    device or standard output (`-`) as they come. report: called with how many bytes were written.

    Raise OutputError if it cannot be written; earlier content stays. Raise BrokenPipeError if
    standard output has no reader any more.
    """
    if path == STANDARD_OUTPUT:
        # A notebook's output has no buffer.
        if not hasattr(sys.stdout, "buffer"):
            raise OutputError(
                "cannot write to standard output", "it does not accept bytes here", "name a file"
            )
        # Text that was printed before comes first.
        sys.stdout.flush()
        sys.stdout.buffer.writelines(_watched(pieces, report))
        sys.stdout.buffer.flush()
        return
    with writing(path):
        # A pipe or device cannot be replaced, and its reader need not wait for the end.
        if is_stream(path):
            with open(path, "wb") as stream:
                stream.writelines(_watched(pieces, report))
            return
        replace_file(path, _watched(compressed(pieces, path.suffix), report))


def _watched(
    pieces: Iterable[bytes | memoryview], report: Callable[[str], None]
) -> Iterator[bytes | memoryview]:
    written = 0
    for piece in pieces:
        yield piece
        written += len(piece)
        report(f"{amount(written, unit='bytes')} written")


def save_folder(folder: Path, files: Mapping[str, Iterable[bytes | memoryview]]) -> None:
    """Write files, by name, into an owned folder. They get their names once all of them are
    complete: an error of writing leaves the earlier files. The first one is the index, without
    which the folder cannot be read: it goes before the others are renamed, and comes last."""
    with writing(folder):
        new: dict[Path, Path] = {}
        try:
            for name, pieces in files.items():
                remove_unfinished(folder / name)
                with unfinished(folder / name) as stream:
                    stream.writelines(pieces)
                new[folder / name] = Path(stream.name)
            next(iter(new)).unlink(missing_ok=True)
            while new:
                path, complete = new.popitem()
                put_in_place(complete, path)
        except BaseException:
            with contextlib.suppress(OSError):
                for complete in new.values():
                    complete.unlink()
            raise


def is_stream(path: Path) -> bool:
    """Return whether the object at `path` takes bytes without keeping them: standard output, a
    pipe, a terminal, a device."""
    if path == STANDARD_OUTPUT:
        return True
    mode = path.stat().st_mode if path.exists() else 0
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)

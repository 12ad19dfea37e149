"""Decide whether long work starts, resumes, or is already finished.

The same command resumes interrupted work. If its result is complete, it says so and ends. If
another result is there, an error names the differences and two ways out: another output, or
overwriting this one. Work is the same if its identity is: all settings that its result depends on,
and the signatures of its texts.
"""

import contextlib
import enum
import hashlib
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rnnlm.config import as_text
from rnnlm.errors import OutputError, TextError, first_of, keyword, notice
from rnnlm.storage.files import tables
from rnnlm.storage.files.lock import OWNER
from rnnlm.storage.files.reading import STANDARD_INPUT, file_of
from rnnlm.storage.files.writing import digest, sha256

Identity = Mapping[str, str]  # of work: the facts that its result depends on, by name

COMPARED_BYTES = 1 << 20  # at the start and at the end of a text
SIGNATURE_DIGITS = 12
SIGNED = ", hash "  # in every signature of files
FORMAT, TEXT = ", read as ", "text"  # at the end of a file's signature
READ_ONCE = "read once"  # so begins the signature of a text that cannot be read again
MOST_DIFFERENCES = 3  # that a message names
MODEL = "model"  # the part that names the kind of model
ENCODING_ERRORS, STRICT = "encoding_errors", "strict"
WAYS_OUT = (
    "choose another " + keyword("output") + ", or replace it with " + keyword("overwrite", True)
)


class NextStep(enum.Enum):
    """The treatment of a command's result."""

    START = "start"
    RESUME = "resume"
    FINISHED = "finished"


@dataclass(frozen=True)
class ExistingWork:
    """An existing result. identity: of the work that made it; None where it is not recorded. fault:
    why it is incomplete and cannot be resumed; "" where it can."""

    identity: Identity | None = None
    is_finished: bool = False
    fault: str = ""


def next_step(
    place: Path,
    existing: ExistingWork | None,
    wanted: Identity,
    overwrite: bool = False,
    free: Collection[str] = (),
    ways_out: str = WAYS_OUT,
) -> NextStep:
    """Return the next step for the result at `place`: start, resume, or nothing, as it is finished.

    existing: the result there; None: nothing. free: names of the identity that may change between
    two tries. Raise OutputError if something else is there that must not be overwritten; ways_out:
    the ways out.
    """
    if existing is None or overwrite:
        return NextStep.START
    if existing.fault:
        raise OutputError(f"{place} has changed since it was written", existing.fault, ways_out)
    if existing.identity is None:
        raise OutputError(
            f"{place} already exists", "there is no record of how it was made", ways_out
        )

    # Finished files had no such errors.
    if existing.identity.get(ENCODING_ERRORS) == STRICT:
        free = {*free, ENCODING_ERRORS}
    differences = [
        _difference(name, existing.identity.get(name), wanted.get(name))
        for name in differing(existing.identity, wanted, free)
    ]
    if differences:
        why = first_of(differences, MOST_DIFFERENCES, "; ")
        raise OutputError(f"{place} already holds another result", why, ways_out)
    return NextStep.FINISHED if existing.is_finished else NextStep.RESUME


def differing(before: Identity, now: Identity, free: Collection[str]) -> list[str]:
    """Return the names of the parts that differ. Where the kind of model does, it comes first, and
    settings that only one of the two kinds has are left out."""
    names = [
        name
        for name in {**before, **now}
        if name not in free and not _are_equal(before.get(name), now.get(name))
    ]
    if not (MODEL in names and MODEL in before and MODEL in now):
        return names
    names = [name for name in names if name in before and name in now]
    return sorted(names, key=lambda name: name != MODEL)


def _are_equal(before: str | None, now: str | None) -> bool:
    if before and now and FORMAT in now and FORMAT not in before and SIGNED in before:
        # A record of an earlier version, which did not have the format.
        now = now.partition(FORMAT)[0]
    # Earlier versions did not have all settings: what they did not have was off.
    off = in_one_spelling(None)
    return (before or off) == (now or off)


def _difference(name: str, before: str | None, now: str | None) -> str:
    """Say how a part of an identity differs."""
    if now is not None and now.startswith(READ_ONCE):
        return (
            f"the {name} comes from standard input or a pipe, so it cannot be checked to "
            "be the same"
        )
    # Settings are called as people give them; signatures of texts are long.
    if before is not None and now is not None and SIGNED in before and SIGNED in now:
        parts = zip(before.split(", "), now.split(", "), strict=False)
        changed = [f"{was} before, {is_now} now" for was, is_now in parts if was != is_now]
        return f"the {name} has changed: {changed[0]}"
    # A setting of the command, or a text.
    is_setting = name.isidentifier()
    called = keyword(name) if is_setting else name
    missing = "unset" if is_setting else "not given"
    # The option of a setting may be its opposite: --no-eos.
    if {before, now} == {"true", "false"}:
        return called + " differs"
    return called + f" was {before or missing} and is now {now or missing}"


def tell_finished(place: Path, what: str) -> None:
    """Send a notice that the work is done already. what: the result, such as "12 files"."""
    notice(f"{place} is finished: {what}; " + keyword("overwrite", True) + " makes it again")


# ---- Signatures of texts: cheap to make, and different for texts that differ.


def settings_identity(*settings: Any) -> dict[str, str]:
    """Return the values of settings, each a frozen dataclass, as part of an identity."""
    parts = []
    for group in settings:
        values = {field.name: getattr(group, field.name) for field in fields(group)}
        parts.append({name: in_one_spelling(value) for name, value in values.items()})
    return merged(*parts)


def merged(*parts: Identity) -> dict[str, str]:
    """Return an identity that has all these parts. A name that two of them have is a ValueError:
    one of the two would be lost."""
    identity: dict[str, str] = {}
    for part in parts:
        twice = identity.keys() & part.keys()
        if twice:
            raise ValueError(f"an identity has two parts called {', '.join(sorted(twice))}")
        identity |= part
    return identity


def in_one_spelling(value: object) -> str:
    """Return the value of a setting as text, the same for 40 and 40.0."""
    if isinstance(value, (tuple, list)):
        return ",".join(map(in_one_spelling, value))
    if isinstance(value, float):
        # Whole numbers have all their digits: two long seeds are two works.
        return str(int(value)) if value.is_integer() else f"{value:.15g}"
    return as_text(value)


def text_signatures(names: Iterable[str], role: str = "text") -> dict[str, str]:
    """Return the signatures of texts, in their order, as part of an identity. role: their use.
    Their names count for nothing."""
    return {
        role if number == 1 else f"{role} {number}": signature(name)
        for number, name in enumerate(names, start=1)
    }


# Files that hold a program's data: they are new each time, so only content counts.
signed_by_content: set[str] = set()


def signature(name: str) -> str:
    """Return facts that distinguish a text from others: its length, its time of change, a hash over
    its first and last MiB, and the format that its name says; of a folder, which may hold thousands
    of files, their lengths and times.

    The signature of standard input or of a pipe is never the same again. A name that is no file's
    (of a data set) is all that there is.
    """
    # Texts without a file of their own.
    if name == STANDARD_INPUT:
        return _never_again()
    if name in signed_by_content:
        content_hash = (sha256(Path(name)) or "")[:SIGNATURE_DIGITS]
        return f"in memory{SIGNED}{content_hash}{_format(name)}"
    file = file_of(name)
    if not os.path.lexists(file):
        return name

    # A file is known by its length, its time and its ends; pipes and devices are new each time.
    try:
        if os.path.isdir(file):
            return _folder_signature(Path(file))
        status = os.stat(file)
        if not stat.S_ISREG(status.st_mode):
            return _never_again()
        ends = _hash_of_ends(file, status.st_size)
    except OSError as error:
        raise TextError(f"cannot read {name}", error.strerror or str(error)) from None
    changed = datetime.fromtimestamp(status.st_mtime_ns // 10**9, UTC).strftime("%F %T")
    when = f"{changed}.{status.st_mtime_ns % 10**9:09d} UTC"
    return f"{status.st_size:,} bytes, changed {when}{SIGNED}{ends}{_format(name)}"


def _format(name: str) -> str:
    # The same bytes are other text under another name: lines, or a column of a table.
    return f"{FORMAT}{tables.kind_of(name) or TEXT}"


def _never_again() -> str:
    return f"{READ_ONCE}, on {datetime.now(UTC).isoformat(sep=' ')}"


def _hash_of_ends(name: str, size: int) -> str:
    with open(name, "rb") as stream:
        hashed = hashlib.sha256(stream.read(COMPARED_BYTES))
        stream.seek(max(0, size - COMPARED_BYTES))
        hashed.update(stream.read(COMPARED_BYTES))
    return hashed.hexdigest()[:SIGNATURE_DIGITS]


def _folder_signature(folder: Path) -> str:
    lines = {}
    for path, target in _below(folder, visited={}):
        if target is not None:
            lines[path] = f"{path.relative_to(folder)} -> {target.relative_to(folder)}\n"
        elif path.is_file() and path.name != OWNER:
            status = path.stat()
            lines[path] = f"{path.relative_to(folder)} {status.st_size} {status.st_mtime_ns}\n"
    hashed = digest(lines[path].encode("utf-8", "surrogatepass") for path in sorted(lines))
    return f"{len(lines):,} files{SIGNED}{hashed[:SIGNATURE_DIGITS]}"


def _below(folder: Path, visited: dict[str, Path]) -> Iterator[tuple[Path, Path | None]]:
    """Yield the files in a folder and in those below it, through links, too, and the links to
    folders that were `visited` before, each with that folder."""
    place = os.path.realpath(folder)
    if place in visited:
        yield folder, visited[place]
        return
    visited[place] = folder
    with contextlib.suppress(PermissionError):
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                yield from _below(path, visited)
            else:
                yield path, None

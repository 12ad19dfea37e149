"""What a filter has done so far, in its output folder, so that a run that was killed goes on.

filter.jsonl says first what the filter is, then which shards were begun and which are finished,
each with its counts: a line is added when a shard's files are in their places. At the end it is
written anew, the shards in the order of their names.
"""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from rnnlm.errors import OutputError, UsageError, changes
from rnnlm.files.lock import OWNER
from rnnlm.files.reading import read_small
from rnnlm.files.writing import (
    open_appending,
    put_in_place,
    replace_file,
    short_name,
    whole_name,
    writing,
)
from rnnlm.filtering.settings import Layout
from rnnlm.filtering.work import ShardCounts

JOURNAL = "filter.jsonl"
FORMAT_VERSION = 1
LARGEST = 1 << 30


class Begun(msgspec.Struct, tag="filter", tag_field="what"):
    """The first line. identity: what must be the same for the work to go on, by name."""

    identity: dict[str, str]
    layout: Layout
    format_version: int = FORMAT_VERSION


class Borders(msgspec.Struct, tag="cutoffs", tag_field="what"):
    """The borders between buckets. documents: of the reference that they come from."""

    cutoffs: tuple[float, float]
    documents: int


class Started(msgspec.Struct, tag="started", tag_field="what"):
    """A shard is being filtered."""

    shard: str


class Done(msgspec.Struct, tag="shard", tag_field="what"):
    """The files of a shard are in their places. source_bytes: the length of the shard."""

    shard: str
    documents: tuple[int, ...]
    words: tuple[int, ...]
    source_bytes: int
    text_bytes: int


Entry = Borders | Started | Done


@dataclass
class Journal:
    """The state of the filter in a folder."""

    folder: Path
    begun: Begun
    borders: Borders | None = None
    started: set[str] = field(default_factory=set)
    done: dict[str, Done] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / JOURNAL

    def begin(self) -> None:
        """Write the first line."""
        with writing(self.folder):
            replace_file(self.path, _line(self.begun))

    def add(self, entry: Entry) -> None:
        """Take note of what was done, and write it."""
        self._note(entry)
        with writing(self.folder), open_appending(self.path) as stream:
            stream.write(_line(entry))
            stream.flush()
            os.fsync(stream.fileno())

    def finish(self, shard: str, counts: ShardCounts) -> None:
        """Put what was written of a shard in its place, and take note that it is finished."""
        paths = self.begun.layout.paths(self.folder, shard)
        for group, name in counts.files.items():
            with writing(paths[group]):
                put_in_place(paths[group].with_name(name), paths[group])
        self.add(Done(shard, counts.documents, counts.words, counts.bytes, counts.text_bytes))

    def _note(self, entry: Entry) -> None:
        if isinstance(entry, Borders):
            self.borders = entry
        elif isinstance(entry, Started):
            self.started.add(entry.shard)
        else:
            self.done[entry.shard] = entry
            self.started.discard(entry.shard)

    def write(self) -> None:
        """Write all that is known anew, as it would stand if one shard had come after the other."""
        with writing(self.folder):
            known: list[Begun | Entry] = [self.begun]
            if self.borders is not None:
                known.append(self.borders)
            known += map(Started, sorted(self.started))
            known += [self.done[name] for name in sorted(self.done)]
            replace_file(self.path, b"".join(map(_line, known)))

    def check_identity(self, identity: dict[str, str]) -> None:
        """Make sure that the filter that goes on is the one that was begun."""
        changed = changes(self.begun.identity, identity, "not given")
        if changed:
            raise UsageError(
                f"{self.folder} was begun with other models or options",
                changed,
                "repeat the same ones, or start again with `overwrite=True`",
            )

    def check_apart(self, names: Iterable[str]) -> None:
        """Make sure that the results of these shards replace no file of somebody else."""
        for name in names:
            if name in self.started or name in self.done:
                continue
            for path in self.begun.layout.paths(self.folder, name).values():
                if os.path.lexists(path):
                    raise OutputError(
                        f"{path} already exists",
                        "this filter has not written it",
                        "rename it, or choose another folder",
                    )

    def clean(self) -> None:
        """Delete what tasks have left that were killed, or late: also of shards that are finished,
        as another task may have come first."""
        paths: dict[Path, set[str]] = {}
        for name in (*self.started, *self.done):
            for path in self.begun.layout.paths(self.folder, name).values():
                paths.setdefault(path.parent, set()).add(short_name(path))
        for folder, names in paths.items():
            with contextlib.suppress(OSError):  # nothing was written there
                for name in os.listdir(folder):
                    if whole_name(name) != name and whole_name(name) in names:
                        (folder / name).unlink()

    def delete(self) -> None:
        """Delete all that the filter has written."""
        with writing(self.folder):
            self.clean()
            for name in (*self.done, *self.started):
                for path in self.begun.layout.paths(self.folder, name).values():
                    path.unlink(missing_ok=True)
                    if path.parent != self.folder:
                        with contextlib.suppress(OSError):  # other files are there
                            path.parent.rmdir()
            self.path.unlink(missing_ok=True)


def _line(entry: Begun | Entry) -> bytes:
    return msgspec.json.encode(entry) + b"\n"


def read(folder: Path) -> Journal | None:
    """Return the state of the filter in a folder; None where there is none."""
    path = folder / JOURNAL
    if not os.path.lexists(path):
        return None
    try:
        # After the last newline there is nothing, or half an entry.
        first, *rest = read_small(path, LARGEST).split(b"\n")[:-1]
        journal = Journal(folder, msgspec.json.decode(first, type=Begun))
        version = journal.begun.format_version
        if version != FORMAT_VERSION:
            raise OutputError(
                f"{path} has format {version}; this rnnlm reads format {FORMAT_VERSION}"
            )
        decoder = msgspec.json.Decoder(Entry)
        for line in rest:
            journal._note(decoder.decode(line))
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise OutputError(
            f"{folder} cannot be gone on with",
            f"{JOURNAL} is damaged: {error}",
            "choose another folder",
        ) from None
    _check_names(journal)
    return journal


def _check_names(journal: Journal) -> None:
    """Make sure that no name leads out of the folder."""
    layout = journal.begun.layout
    names = [*journal.done, *journal.started, *layout.groups]
    lengths = {len(layout.groups) + 2}
    for each in journal.done.values():
        lengths |= {len(each.documents), len(each.words)}
    if (
        not all(map(is_plain, names))
        or len(lengths) > 1
        or not set(layout.kept) <= {*layout.groups}
    ):
        raise OutputError(
            f"{journal.folder} cannot be gone on with",
            f"{JOURNAL} is damaged: it names what a filter does not write",
            "choose another folder",
        )


def is_plain(name: str) -> bool:
    """Return whether a name is one of a file in a folder."""
    return (
        name not in ("", ".", "..", JOURNAL, OWNER)
        and os.path.basename(name) == name
        and "\0" not in name
    )


def check_free(folder: Path) -> None:
    """Make sure that a folder without a filter holds nothing else."""
    with writing(folder):
        others = [name for name in os.listdir(folder) if name != OWNER]
    if others:
        raise OutputError(
            f"{folder} is not empty",
            f"it holds {min(others)}, and no text that was filtered",
            "choose another folder",
        )

"""Keep the journal of a filter, in its output folder, from which a killed run resumes.

.filter.run is a journal: first the identity of the filter, then the shards that were started and
the finished ones, each with its counts. An entry is added when a shard's files are in their
places. At the end it is rewritten with the shards in the order of their names. Its name is hidden,
so that the visible files of the folder are results alone: DIR/*.jsonl can be the input of another
filter.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from rnnlm.errors import OutputError
from rnnlm.storage.files.folder import OTHER_HASH, check_place
from rnnlm.storage.files.lock import OWNER
from rnnlm.storage.files.outputs import Journal
from rnnlm.storage.files.resuming import ExistingWork, Identity
from rnnlm.storage.files.writing import put_in_place, sha256, short_name, whole_name, writing
from rnnlm.tools.filtering.settings import OutputLayout
from rnnlm.tools.filtering.work import ShardCounts

JOURNAL = ".filter.run"
FORMAT_VERSION = 1


class JobEntry(msgspec.Struct, tag="filter", tag_field="what"):
    """The first line. identity: facts that must be the same for the work to resume, by name."""

    identity: dict[str, str]
    layout: OutputLayout
    format_version: int = FORMAT_VERSION


class CutoffsEntry(msgspec.Struct, tag="cutoffs", tag_field="what"):
    """The borders between buckets. documents: of the reference that they come from."""

    cutoffs: tuple[float, float]
    documents: int


class ShardStarted(msgspec.Struct, tag="started", tag_field="what"):
    """A shard is being filtered."""

    shard: str


class WrittenFile(msgspec.Struct):
    """A file of results."""

    bytes: int
    sha256: str


class ShardFinished(msgspec.Struct, tag="shard", tag_field="what"):
    """The files of a shard are in their places. signature: signature of the shard. files: written
    files, by group."""

    shard: str
    signature: str
    documents: tuple[int, ...]
    words: tuple[int, ...]
    files: dict[str, WrittenFile]
    text_bytes: int


Entry = CutoffsEntry | ShardStarted | ShardFinished


@dataclass
class FilterState:
    """The state of the filter in a folder."""

    folder: Path
    begun: JobEntry
    borders: CutoffsEntry | None = None
    started: set[str] = field(default_factory=set)
    done: dict[str, ShardFinished] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Take note of finished work, and write it."""
        self._note(entry)
        with writing(self.folder):
            Journal(self.folder / JOURNAL).append(entry)

    def finish(self, shard: str, signature: str, counts: ShardCounts) -> None:
        """Put the written files of a shard in their places, and take note that it is finished."""
        paths = self.begun.layout.paths(self.folder, shard)
        files = {}
        for group, name in counts.files.items():
            with writing(paths[group]):
                put_in_place(paths[group].with_name(name), paths[group])
                files[group] = WrittenFile(paths[group].stat().st_size, sha256(paths[group]) or "")
        self.add(
            ShardFinished(
                shard, signature, counts.documents, counts.words, files, counts.text_bytes
            )
        )

    def _note(self, entry: Entry) -> None:
        if isinstance(entry, CutoffsEntry):
            self.borders = entry
        elif isinstance(entry, ShardStarted):
            self.started.add(entry.shard)
        else:
            self.done[entry.shard] = entry
            self.started.discard(entry.shard)

    def _files(self, shard: str) -> list[tuple[Path, WrittenFile]]:
        """Return the paths of a finished shard's files, and what is known of them."""
        paths = self.begun.layout.paths(self.folder, shard)
        return [(paths[group], written) for group, written in self.done[shard].files.items()]

    def write(self) -> None:
        """Rewrite all entries as if the shards had been processed one after the other."""
        known: list[JobEntry | Entry] = [self.begun]
        if self.borders is not None:
            known.append(self.borders)
        known += map(ShardStarted, sorted(self.started))
        known += [self.done[name] for name in sorted(self.done)]
        with writing(self.folder):
            Journal(self.folder / JOURNAL).write(known)

    def existing_work(self, shards: Iterable[str]) -> ExistingWork:
        """Return the existing part of these shards, for the rule of resuming."""
        # Finished shards must be whole: their files are there, of their lengths and hashes.
        wanted = set(shards)
        identity = dict(self.begun.identity)
        fault = ""
        for name, done in self.done.items():
            if name in wanted:
                identity[f"text {name}"] = done.signature
                for path, written in self._files(name):
                    if not path.is_file() or path.stat().st_size != written.bytes:
                        fault = fault or f"{path} is missing, or its length has changed"
                    elif not fault and sha256(path) != written.sha256:
                        fault = f"{path} {OTHER_HASH}"
        left = self.started | (wanted - self.done.keys())
        return ExistingWork(identity, is_finished=not left, fault=fault)

    def identity_with(self, identity: Identity, shards: Mapping[str, str]) -> dict[str, str]:
        """Return the identity of a request: its own, and the signatures of its finished shards, as
        others may be added at any time."""
        return {
            **identity,
            **{f"text {name}": shards[name] for name in shards if name in self.done},
        }

    def check_apart(self, names: Iterable[str]) -> None:
        """Make sure that the results of these shards replace no foreign file."""
        for name in names:
            if name in self.started or name in self.done:
                continue
            for path in self.begun.layout.paths(self.folder, name).values():
                if os.path.lexists(path):
                    raise OutputError(
                        f"{path} already exists",
                        "it was not written by this filter",
                        "rename it, or choose another folder",
                    )

    def clean(self) -> None:
        """Delete the files of tasks that were killed, or late: also of shards that are finished, as
        another task may have come first."""
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
            (self.folder / JOURNAL).unlink(missing_ok=True)


def read_state(folder: Path) -> FilterState | None:
    """Return the state of the filter in a folder; None where there is none. Make sure that without
    one the folder holds nothing else, and that no name leads out of it."""
    # Without a journal, the folder must be empty.
    if not os.path.lexists(folder / JOURNAL):
        check_place(folder, "filtered text", lambda names: names)
        return None

    # The first line describes the filter, each other one a shard.
    try:
        lines: list[JobEntry | Entry] = Journal(folder / JOURNAL).read(JobEntry | Entry)  # type: ignore[arg-type]
        begun, *rest = lines
        entries = [entry for entry in rest if not isinstance(entry, JobEntry)]
        if not isinstance(begun, JobEntry) or len(entries) < len(rest):
            raise ValueError("its first line, and no other, must describe the filter")
        if begun.format_version != FORMAT_VERSION:
            raise ValueError(
                f"it has format {begun.format_version}; this rnnlm reads format {FORMAT_VERSION}"
            )
        state = FilterState(folder, begun)
        for entry in entries:
            state._note(entry)

        # A filter writes files of these names alone.
        layout = state.begun.layout
        names = [*state.done, *state.started, *layout.groups]
        lengths = {len(layout.groups) + 2}
        written = set(layout.kept)
        for done in state.done.values():
            lengths |= {len(done.documents), len(done.words)}
            written |= {*done.files}
        if not all(map(is_plain, names)) or len(lengths) > 1 or not written <= {*layout.groups}:
            raise ValueError("it names files that a filter does not write")
    except (OSError, ValueError) as error:
        raise OutputError(
            f"the filter in {folder} cannot be resumed",
            f"{JOURNAL} is damaged: {error}",
            "choose another folder",
        ) from None
    return state


def is_plain(name: str) -> bool:
    """Return whether a name is one of a file in a folder."""
    return (
        name not in ("", ".", "..", JOURNAL, OWNER)
        and os.path.basename(name) == name
        and "\0" not in name
    )

"""Scores written to a file chunk by chunk, so that a run that was killed can continue after what it
has written.

Until the end there is FILE.run beside FILE: first what makes the run (model, options), then, after
each chunk, how many sentences are done, how long FILE is, and a hash over the sentences so far.
Resuming cuts FILE off after the last of these entries, and checks that model, options and sentences
are those of the run. Chunks are cut as they were, so that the file becomes what it would have
become, byte by byte.
"""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from rnnlm.errors import OutputError, UsageError, changes, notice
from rnnlm.files.compression import SUFFIXES
from rnnlm.files.outputs import check_file
from rnnlm.files.tables import in_json, without_halves
from rnnlm.files.writing import open_appending, replace_file, writing
from rnnlm.scoring.sentences import Sentence

JOURNAL = ".run"


@dataclass(frozen=True)
class Done:
    """What had been written after a chunk. bytes: the length of the file. hash: SHA-256 of the
    sentences."""

    sentences: Annotated[int, msgspec.Meta(ge=0)]
    bytes: Annotated[int, msgspec.Meta(ge=0)]
    hash: str


class SentencesHash:
    """A hash over whatever makes the scores of sentences. sentences: how many there were."""

    def __init__(self) -> None:
        self.sentences = 0
        self._hash = hashlib.sha256()

    def update(self, sentences: Sequence[Sentence]) -> None:
        """Add the next sentences."""
        self.sentences += len(sentences)
        for each in sentences:
            text_bytes = each.text.encode("utf-8", "surrogatepass")
            hashed: list[object] = [[each.id, without_halves(each.given), text_bytes, each.reason]]
            if each.source is not None:
                hashed.append(each.source.encode("utf-8", "surrogatepass"))
            if each.columns or each.regions:
                regions = [[region.index, without_halves(region.text)] for region in each.regions]
                hashed.append([in_json(each.columns), regions])
            for part in hashed:
                self._hash.update(msgspec.json.encode(part))

    def hexdigest(self) -> str:
        """Return the SHA-256 of the sentences so far."""
        return self._hash.hexdigest()


class ScoreFile:
    """A file of scores that is being written. done: how many sentences it has held from the start.
    sentences: how many it holds now."""

    def __init__(self, path: Path, entries: Sequence[Done]) -> None:
        self.path = path
        self.done = entries[-1].sentences if entries else 0
        # Of chunks that were written before, and are still to be compared with the input
        self._expected = list(entries)
        self.sentences = 0
        self._hash = SentencesHash()

    def write(self, sentences: Sequence[Sentence], text: str) -> None:
        """Write the `text` of the next sentences, unless the file holds them already; refuse other
        sentences than those that it holds."""
        self._hash.update(sentences)
        self.sentences, digest = self._hash.sentences, self._hash.hexdigest()
        if not self._expected:
            _append(self.path, text, self.sentences, digest)
            return
        expected = self._expected.pop(0)
        if (expected.sentences, expected.hash) != (self.sentences, digest):
            raise self._other_sentences()

    def finish(self) -> None:
        """Remove the journal: all is written. A file that holds more sentences is refused."""
        if self._expected:
            raise self._other_sentences()
        with contextlib.suppress(FileNotFoundError):
            _journal(self.path).unlink()

    def _other_sentences(self) -> UsageError:
        hint = "give those it was started with, or start again with `overwrite=True`"
        return UsageError(
            f"{self.path} was started with other sentences",
            f"they differ before sentence {self.sentences + 1}",
            hint,
        )


def begin(path: Path, run: dict[str, str], header: str, overwrite: bool = False) -> ScoreFile:
    """Begin a new file with `header`. run: what identifies the run, by name: model and settings."""
    _check(path, overwrite)
    with writing(path):
        # First what is to be done: a run that is killed from here on can be resumed
        replace_file(_journal(path), msgspec.json.encode(run) + b"\n")
    return _begun(path, header)


def _begun(path: Path, header: str) -> ScoreFile:
    """Write a file with nothing in it but `header`, of a run whose journal is there."""
    with writing(path):
        replace_file(path, b"")
    _append(path, header, 0, SentencesHash().hexdigest())
    return ScoreFile(path, [])


def resume(path: Path, run: dict[str, str], header: str) -> ScoreFile:
    """Reopen the file that a run of the same model and options has left; begin a new one, with a
    notice, where it was killed before it began one."""
    if not os.path.lexists(path) and not os.path.lexists(_journal(path)):
        notice(f"there is nothing to resume at {path}: scoring starts with the first sentence")
        return begin(path, run, header)

    # What the run says of itself. After the last newline there is nothing, or half an entry.
    try:
        first, *entries = _journal(path).read_bytes().split(b"\n")[:-1]
        begun = msgspec.json.decode(first, type=dict[str, str])
        done = [msgspec.json.decode(entry, type=Done) for entry in entries]
        size = path.stat().st_size if path.exists() else 0
    except (OSError, ValueError, msgspec.MsgspecError):
        why = f"there is no {_journal(path).name} next to it: the run is finished, or never began"
        raise OutputError(
            f"cannot resume {path}", why, "leave `resume` out, or start again with `overwrite=True`"
        ) from None
    changed = changes(begun, run, "not there")
    if changed:
        raise UsageError(
            f"{path} was started with another model or other options",
            changed,
            "repeat the same ones, or start again with `overwrite=True`",
        )

    # Continue after the last entry that the file has room for.
    if not done:  # killed between the first entry of the journal and the second
        return _begun(path, header)
    kept = [entry for entry in done if entry.bytes <= size]
    if not kept:
        raise OutputError(
            f"cannot resume {path}",
            "it is shorter than it was",
            "start again with `overwrite=True`",
        )
    with writing(path):
        with open_appending(path) as stream:
            stream.truncate(kept[-1].bytes)
        entries = [msgspec.json.encode(each) + b"\n" for each in (run, *kept)]
        replace_file(_journal(path), b"".join(entries))
    return ScoreFile(path, kept[1:])


def _check(path: Path, overwrite: bool) -> None:
    if path.suffix.lower() in SUFFIXES:
        raise UsageError(
            f"{path} would be compressed",
            "a compressed file cannot be resumed",
            "choose another name, compress it later",
        )
    if path.exists() and not path.is_file():
        raise OutputError(
            f"cannot write {path}", "it is not a plain file", "leave `output` out, and redirect"
        )
    check_file(path, overwrite)


def _journal(path: Path) -> Path:
    return path.with_name(path.name + JOURNAL)


def _append(path: Path, text: str, sentences: int, hash: str) -> None:
    with writing(path):
        with open_appending(path) as stream:
            stream.write(text.encode("utf-8"))
            end = stream.tell()
        with open_appending(_journal(path)) as stream:
            stream.write(msgspec.json.encode(Done(sentences, end, hash)) + b"\n")

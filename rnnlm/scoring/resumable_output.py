"""Scores written to a file chunk by chunk, so that a run that was killed can go on behind what it
has written.

Beside FILE there is FILE.run until the end: first what makes the run (model, options), then, after
each chunk, how many sentences are done, how long FILE is, and a hash over the sentences so far.
Going on drops what stands in FILE behind the last of these entries, and checks that model, options
and sentences are those of the run. Chunks are cut as they were, so that the file becomes what it
would have become, byte by byte.
"""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from rnnlm.errors import OutputError, UsageError, notice
from rnnlm.files.compression import SUFFIXES
from rnnlm.files.outputs import check_file, claim
from rnnlm.files.writing import open_appending, replace_file, writing
from rnnlm.scoring.sentences import Sentence, in_json

JOURNAL = ".run"


@dataclass(frozen=True)
class Done:
    """What was written when a chunk was. bytes: the length of the file. sentences: their SHA-256 in
    `hash`."""

    sentences: int
    bytes: int
    hash: str


class ScoreFile:
    """A file of scores that is being written. done: how many sentences it has held from the
    start."""

    def __init__(self, path: Path, entries: Sequence[Done]) -> None:
        self.path = path
        self.done = entries[-1].sentences if entries else 0
        # of chunks that were written before, and are yet to be compared with the input
        self._expected = list(entries)
        self.sentences = 0
        self._hash = hashlib.sha256()

    def write(self, sentences: Sequence[Sentence], text: str) -> None:
        """Write the `text` of the next sentences, unless the file holds them already.

        Raises:
            UsageError: it holds others in their place. OutputError: it cannot be written.
        """
        self.sentences += len(sentences)
        for each in sentences:
            self._hash.update(
                msgspec.json.encode(
                    [each.id, each.given, each.text.encode("utf-8", "surrogatepass"), each.reason]
                )
            )
            if each.source is not None:
                self._hash.update(msgspec.json.encode(each.source.encode("utf-8", "surrogatepass")))
            if each.columns or each.regions:
                self._hash.update(
                    msgspec.json.encode(
                        [in_json(each.columns), [[its.index, its.text] for its in each.regions]]
                    )
                )
        if not self._expected:
            _append(self.path, text, self.sentences, self._hash.hexdigest())
            return
        expected = self._expected.pop(0)
        if (expected.sentences, expected.hash) != (self.sentences, self._hash.hexdigest()):
            raise self._other_sentences()

    def finish(self) -> None:
        """All is written.

        Raises:
            UsageError: the file holds more sentences than there are.
        """
        if self._expected:
            raise self._other_sentences()
        with contextlib.suppress(FileNotFoundError):
            _journal(self.path).unlink()

    def _other_sentences(self) -> UsageError:
        hint = "give those it was started with, or start again with --overwrite"
        return UsageError(
            f"{self.path} was started with other sentences",
            f"they differ before sentence {self.sentences + 1}",
            hint,
        )


def begin(path: Path, run: dict[str, str], header: str, overwrite: bool = False) -> ScoreFile:
    """A new file that begins with `header`. run: what makes the run, by name.

    Raises:
        OutputError: something is there, or it cannot be written.
    """
    _check(path, overwrite)
    with writing(path):
        # first what is to be done: a run that is killed from here on can be resumed
        replace_file(_journal(path), msgspec.json.encode(run) + b"\n")
    return _begun(path, header)


def _begun(path: Path, header: str) -> ScoreFile:
    """The file, with nothing in it but `header`, of a run whose journal is there."""
    with writing(path):
        replace_file(path, b"")
    _append(path, header, 0, hashlib.sha256().hexdigest())
    return ScoreFile(path, [])


def resume(path: Path, run: dict[str, str], header: str) -> ScoreFile:
    """The file that a run of the same model and options has left; a new one, and a notice, where
    it was killed before it began one.

    Raises:
        UsageError: the run was another one. OutputError: no run has left the file that is there, or
            it cannot be written.
    """
    claim(path)
    if not os.path.lexists(path) and not os.path.lexists(_journal(path)):
        notice(f"there is nothing to resume at {path}: scoring starts with the first sentence")
        return begin(path, run, header)
    try:
        # behind the last newline: nothing, or half an entry
        first, *entries = _journal(path).read_bytes().split(b"\n")[:-1]
        begun, done = (
            msgspec.json.decode(first, type=dict[str, str]),
            [msgspec.json.decode(entry, type=Done) for entry in entries],
        )
        size = path.stat().st_size if path.exists() else 0
    except (OSError, ValueError, msgspec.MsgspecError):
        why = (
            f"there is no {_journal(path).name} beside it that describes a run: it came "
            "to its end, or never began"
        )
        raise OutputError(
            f"cannot resume {path}", why, "leave --resume out, or start again with --overwrite"
        ) from None
    if differing := [name for name in {**begun, **run} if begun.get(name) != run.get(name)]:
        was = ", ".join(
            f"{name} was {begun.get(name, 'not there')}, is {run.get(name, 'not there')}"
            for name in differing
        )
        raise UsageError(
            f"{path} was started with another model or other options",
            was,
            "ask for the same, or start again with --overwrite",
        )
    if not done:  # killed between the first entry of the journal and the second
        return _begun(path, header)
    kept = [entry for entry in done if entry.bytes <= size]
    if not kept:
        raise OutputError(
            f"cannot resume {path}", "it is shorter than it was", "start again with --overwrite"
        )
    with writing(path):
        with open_appending(path) as stream:
            stream.truncate(kept[-1].bytes)
        replace_file(
            _journal(path), b"".join(msgspec.json.encode(each) + b"\n" for each in (run, *kept))
        )
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
            f"cannot write {path}", "it is not a plain file", "leave --output out, and redirect"
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

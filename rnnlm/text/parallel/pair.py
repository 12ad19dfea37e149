"""Pairs: a source, and what it is translated, spelled or answered by."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import msgspec


@dataclass(frozen=True, slots=True)
class Pair:
    """A source and its references, the targets that are right: one or more. Each is a line without its end, and holds a word at least.

    line: where it stands in its file, from 1 (the row of a Parquet file, the element of a JSON array). file: the file of the source.
    """

    source: str
    references: tuple[str, ...]
    line: int
    file: str

    @property
    def where(self) -> str:
        """Where it stands, for messages."""
        return f"{self.file}, line {self.line}"


@dataclass(frozen=True)
class ParallelText:
    """Pairs, in the order of their files.

    source_name, target_name: what their columns are called, or "source" and "target". format: of :class:`ParallelSettings`, never "auto".
    """

    pairs: tuple[Pair, ...]
    source_name: str
    target_name: str
    format: str

    @cached_property
    def content_hash(self) -> str:
        """The first 12 hexadecimal digits of SHA-256 over sources and references, whatever file, format or compression they came in."""
        digest = hashlib.sha256()
        encode = msgspec.json.Encoder().encode
        for pair in self.pairs:
            digest.update(encode((pair.source, pair.references)) + b"\n")
        return digest.hexdigest()[:12]

    def grouped(self) -> "ParallelText":
        """The same with each source once, where it stands first, with the references that stand beside it there, and those of
        its other pairs that differ from these."""
        groups: dict[str, list[Pair]] = {}
        for pair in self.pairs:
            groups.setdefault(pair.source, []).append(pair)
        return replace(self, pairs=tuple(map(_merged, groups.values())))


def _merged(pairs: Sequence[Pair]) -> Pair:
    """The first of several pairs, with the other references of all. Its own are kept even if two of them are equal: as many as there are
    files of targets, so that a signature says how many references lines have."""
    first, *others = pairs
    if not others:
        return first
    found = dict.fromkeys(reference for pair in others for reference in pair.references if reference not in first.references)
    return replace(first, references=(*first.references, *found))

"""Pairs: a source, and what it is translated, spelled or answered by."""

import hashlib
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
        """The same with each source once, where it stands first, with all references that it has anywhere, each of them once."""
        first: dict[str, Pair] = {}
        references: dict[str, dict[str, None]] = {}
        for pair in self.pairs:
            first.setdefault(pair.source, pair)
            references.setdefault(pair.source, {}).update(dict.fromkeys(pair.references))
        pairs = tuple(replace(pair, references=tuple(references[source])) for source, pair in first.items())
        return replace(self, pairs=pairs)

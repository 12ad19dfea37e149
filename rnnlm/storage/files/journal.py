"""Keep a journal of work: a file of lines, each an entry in JSON behind the hash of that JSON.

Entries are appended while work lasts; a kill leaves at most half a last line, which does not count.
A line that was changed is noticed by its hash.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from rnnlm.storage.files.reading import decode_json, read_small
from rnnlm.storage.files.writing import (
    hash_of_json,
    open_appending,
    remove_unfinished,
    replace_file,
)

T = TypeVar("T")

LARGEST = 1 << 30


class Journal:
    """The journal at `path`. Resumed work begins with :meth:`write`, which removes half a last
    line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, kind: type[T], length: int | None = None) -> list[T]:
        """Return the entries, all of type `kind`. length: read only so many bytes of the journal.

        A line that was changed, or is no such entry, is a ValueError that names it.
        """
        whole_lines = read_small(self.path, LARGEST)[:length].split(b"\n")[:-1]
        entries = []
        for number, line in enumerate(whole_lines, start=1):
            line_hash, _, encoded = line.partition(b" ")
            if line_hash.decode("ascii", "replace") != hash_of_json(encoded):
                raise ValueError(
                    f"line {number} of {self.path.name} was changed after it was written"
                )
            try:
                entries.append(decode_json(encoded, kind))
            except ValueError as error:
                raise ValueError(f"line {number} of {self.path.name}: {error}") from None
        return entries

    def append(self, *entries: object, is_lasting: bool = True) -> None:
        """Add entries in one write. is_lasting: wait until they would survive a power cut."""
        with open_appending(self.path) as stream:
            stream.write(b"".join(map(_line, entries)))
            if is_lasting:
                stream.flush()
                os.fsync(stream.fileno())

    def write(self, entries: Iterable[object]) -> None:
        """Replace the journal with one of these entries, at once, and delete what killed writers of
        it left."""
        remove_unfinished(self.path)
        replace_file(self.path, map(_line, entries))


def _line(entry: object) -> bytes:
    # A file's name may be no UTF-8, which JSON holds as an escape.
    encoded = json.dumps(msgspec.to_builtins(entry), allow_nan=False).encode("ascii")
    return b"%s %s\n" % (hash_of_json(encoded).encode("ascii"), encoded)

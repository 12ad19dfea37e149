"""Sources that are given more than once: one file under two names or in two globs, or two files of the same bytes.

That costs next to nothing: files are opened only where their sizes are equal, and read on only where their beginnings are, too; of large
ones a few pieces are compared.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Hashable, Iterable, Mapping, Sequence

from rnnlm.errors import TextError, notice
from rnnlm.text import sources

PIECES, PIECE_BYTES = 64, 1 << 16  # of a file that are compared: all of one that is not larger
MOST_COMPARED = 1000  # files: the bytes of more are not compared
MOST_SHOWN = 3


def warn_of_repeats(names: Sequence[str]) -> None:
    """Send a notice that names those of `names` (sources, or globs of them) that stand for the same text."""
    with contextlib.suppress(TextError):  # one is missing, which whoever reads it says
        if repeats := repeated(sources.expand(tuple(names))):
            more = f"; and {len(repeats) - MOST_SHOWN:,} more" if len(repeats) > MOST_SHOWN else ""
            shown = "; ".join(map(_in_words, repeats[:MOST_SHOWN]))
            notice(f"the same text is given more than once, and read as often: {shown}{more}")


def repeated(found: Iterable[str]) -> list[list[str]]:
    """Those of the sources `found` that are the same text, together."""
    files: dict[Hashable, list[str]] = {}
    size_of: dict[Hashable, int] = {}
    for name in found:
        file, size = _file(name)
        files.setdefault(file, []).append(name)
        size_of[file] = size
    alike = _alike([[file for file, size in size_of.items() if size]], size_of)
    if sum(map(len, alike)) <= MOST_COMPARED:
        for pieces in (1, PIECES):
            digests = {file: _digest(files[file][0], size_of[file], pieces) for same in alike for file in same}
            alike = _alike(alike, digests)
        for first, *others in alike:
            files[first] += [name for file in others for name in files.pop(file)]
    return [names for names in files.values() if len(names) > 1]


def _alike(groups: list[list[Hashable]], keys: Mapping[Hashable, Hashable]) -> list[list[Hashable]]:
    """Of each group those of one key, where there are several."""
    found: dict[Hashable, list[Hashable]] = {}
    for number, group in enumerate(groups):
        for file in group:
            found.setdefault((number, keys[file]), []).append(file)
    return [same for same in found.values() if len(same) > 1]


def _file(name: str) -> tuple[Hashable, int]:
    """What tells the file `name` from others, and its size; 0 where it is no plain file, or empty."""
    try:
        found = os.stat(name)
    except (OSError, ValueError):  # standard input, a data set of the hub
        return name, 0
    return (found.st_dev, found.st_ino), found.st_size if stat.S_ISREG(found.st_mode) else 0


def _digest(path: str, size: int, pieces: int) -> bytes | str:
    """The hash of the file's first piece, or of all PIECES: all of its bytes, or, if it is large, pieces at even distances, the first and
    the last among them. The path of a file that cannot be read, which whoever reads it says."""
    found = hashlib.sha256()
    is_small = size <= PIECES * PIECE_BYTES
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        for number in range(pieces):
            stream.seek(number * PIECE_BYTES if is_small else number * (size - PIECE_BYTES) // (PIECES - 1))
            found.update(stream.read(PIECE_BYTES))
        return found.digest()
    return path


def _in_words(names: Sequence[str]) -> str:
    different = dict.fromkeys(names)
    return " and ".join(different) if len(different) > 1 else f"{names[0]} ({len(names)} times)"

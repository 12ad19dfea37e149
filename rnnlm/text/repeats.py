"""Sources that are given more than once: one file under two names or in two globs, or two files of the same bytes.

That costs next to nothing: files are opened only where their sizes are equal, and of large ones a few pieces are compared.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Hashable, Iterable, Sequence

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
    sizes: dict[int, list[Hashable]] = {}
    for name in found:
        file, size = _file(name)
        if file not in files and size:
            sizes.setdefault(size, []).append(file)
        files.setdefault(file, []).append(name)
    alike = [(size, file) for size, same in sizes.items() if len(same) > 1 for file in same]
    first: dict[bytes, Hashable] = {}
    for size, file in alike if len(alike) <= MOST_COMPARED else ():
        with contextlib.suppress(OSError):
            its_like = first.setdefault(_digest(files[file][0], size), file)
            if its_like != file:
                files[its_like] += files.pop(file)
    return [names for names in files.values() if len(names) > 1]


def _file(name: str) -> tuple[Hashable, int]:
    """What tells the file `name` from others, and its size; 0 where it is no plain file, or empty."""
    try:
        found = os.stat(name)
    except (OSError, ValueError):  # standard input, a data set of the hub
        return name, 0
    return (found.st_dev, found.st_ino), found.st_size if stat.S_ISREG(found.st_mode) else 0


def _digest(path: str, size: int) -> bytes:
    """The hash of the file's bytes; of a large one's pieces at even distances, the first and the last among them."""
    found = hashlib.sha256()
    is_small = size <= PIECES * PIECE_BYTES
    with open(path, "rb") as stream:
        for number in range(PIECES):
            stream.seek(number * PIECE_BYTES if is_small else number * (size - PIECE_BYTES) // (PIECES - 1))
            found.update(stream.read(PIECE_BYTES))
    return found.digest()


def _in_words(names: Sequence[str]) -> str:
    different = dict.fromkeys(names)
    return " and ".join(different) if len(different) > 1 else f"{names[0]} ({len(names)} times)"

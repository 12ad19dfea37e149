"""The lines of a file one by one, numbered; and those of several files side by side."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from rnnlm.errors import TextError
from rnnlm.files.reading import opened, text_lines

Line = tuple[int, str]  # its number, from 1, and its text


def lines_with_ends(source: str, errors: str | None = None) -> Iterator[Line]:
    """The lines of a file with their ends, without a byte order mark. errors: as :func:`rnnlm.files.reading.decode` has them.

    Raises:
        TextError: it cannot be read or decoded.
    """
    with opened(source) as stream:
        yield from enumerate(text_lines(source, stream, errors), start=1)


def without_end(line: str) -> str:
    """A line without its line end."""
    return line.removesuffix("\n").removesuffix("\r")


def side_by_side(files: Sequence[str], errors: str, what: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The lines of as long files that have the same number, without their ends. what: what the other files hold, for messages.

    Raises:
        TextError: one of them cannot be read or decoded, or has fewer lines than another.
    """
    streams = ((without_end(line) for _, line in lines_with_ends(each, errors)) for each in files)
    for number, lines in enumerate(zip_longest(*streams), start=1):
        if None in lines:
            shorter = files[lines.index(None)]
            longer = next(name for name, line in zip(files, lines, strict=True) if line is not None)
            why = f"line by line, one file holds the {what} of the other"
            raise TextError(f"{shorter} has {number - 1:,} lines, {longer} has more", why, f"look at line {number:,} of {longer}")
        yield number, lines

"""The part of a text that its vocabulary is made of.

Of files that hold their text as it is: stretches of whole lines at even distances. Of others (compressed, tables, data sets, a pipe) the
start, since one cannot begin to read them in the middle. A text no larger than that is its own sample.
"""

import itertools
from collections.abc import Iterator, Sequence

from rnnlm.errors import TextError
from rnnlm.text.lines import TextSettings
from rnnlm.text.prepared.pieces import Piece, Position, pieces, shown
from rnnlm.text.sources import SourceSettings, is_plain

STRETCHES = 64
LONGEST_LINE = 1 << 20  # looked through for the line end that a stretch begins after
LENIENT = {"encoding_errors": "replace", "special_symbols": "drop"}  # errors are told with their line when all of the text is read


def way_of(names: Sequence[str], settings: SourceSettings, wanted: int) -> str:
    """ "all", "even" or "start"."""
    sizes = Position(names)
    is_known = all(is_plain(name, settings) for name in names)
    if is_known and sizes.total <= wanted:
        return "all"
    return "even" if is_known else "start"


def start_of(every: Iterator[Piece], wanted: int) -> Iterator[Piece]:
    """The first pieces of a text, as many as hold `wanted` bytes; the last is cut at a line end near."""
    left = wanted
    for piece in every:
        if isinstance(piece.whole, bytes) and len(piece.whole) > left:
            end = piece.whole.rfind(b"\n", 0, left) + 1
            if end:
                yield Piece(piece.source, piece.first_line, piece.is_first, piece.whole[:end])
                return
        yield piece
        left -= len(piece)
        if left <= 0:
            return


def even_stretches(names: Sequence[str], wanted: int) -> Iterator[Piece]:
    """Stretches of whole lines at even distances over all these files, together about `wanted` bytes."""
    sizes = Position(names).sizes
    total, length = sum(sizes), max(1, wanted // STRETCHES)
    starts = list(itertools.accumulate(sizes, initial=0))
    for number in range(STRETCHES):
        at = total * number // STRETCHES
        file = max(index for index in range(len(sizes)) if starts[index] <= at)
        left = length
        while left > 0 and file < len(sizes):
            data = _lines_from(names[file], max(0, at - starts[file]), left)
            if data:
                yield Piece(shown(names[file]), 2, True, data)  # its lines are not numbered
            left -= max(1, len(data))
            file += 1


def _lines_from(name: str, start: int, length: int) -> bytes:
    """Whole lines from about `start` on, `length` bytes and what is left of the last line."""
    try:
        with open(name, "rb") as stream:
            stream.seek(max(0, start - 1))
            if start:
                stream.readline(LONGEST_LINE)
            data = stream.read(length)
            return data + stream.readline(LONGEST_LINE)
    except OSError as error:
        raise TextError(f"cannot read {name}", error.strerror or str(error)) from None


def sampled(names: Sequence[str], settings: SourceSettings, text_settings: TextSettings, how: str, wanted: int) -> Iterator[Piece]:
    """The pieces of a sample taken that way."""
    if how == "even":
        return even_stretches(names, wanted)
    return start_of(pieces(names, settings, text_settings.encoding_errors, Position(names)), wanted if how == "start" else 1 << 62)

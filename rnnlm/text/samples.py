"""Look at parts of a text that show what it is like, before it is read.

Plain files give stretches of whole lines at even distances. Other sources (compressed files,
tables, data sets, a pipe) give their start, since reading cannot begin in the middle. A text no
larger than the sample is the sample.
"""

import itertools
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from rnnlm.errors import TextError
from rnnlm.interface import Tokenizer
from rnnlm.text import sources, tokenizers
from rnnlm.text.line_forms import BETWEEN, tell_form, tell_unspaced_words
from rnnlm.text.lines import TextSettings, whole_lines
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.unknown_words import tell_glued_in

STRETCHES = 64
LONGEST_LINE = 1 << 20  # bytes searched for the line end that a stretch begins after
LOOKED_AT = 1 << 18  # bytes of a text that show whether it is raw, or wrapped


def size_of(name: str) -> int | None:
    """Return the bytes of a file; None where a source is no file, or a pipe."""
    return os.path.getsize(name) if os.path.isfile(name) else None


def sampling_method(names: Sequence[str], settings: sources.SourceSettings, wanted: int) -> str:
    """Return how the sample is taken: "all", "even" or "start"."""
    sizes = [size_of(name) for name in names]
    if None in sizes or not all(sources.is_plain(name, settings) for name in names):
        return "start"
    return "all" if sum(filter(None, sizes)) <= wanted else "even"


def even_stretches(names: Sequence[str], wanted: int) -> Iterator[tuple[str, bytes]]:
    """Yield stretches of whole lines at even distances over all these files, together about
    `wanted` bytes, each with the name of its file."""
    starts = list(itertools.accumulate((size_of(name) or 0 for name in names), initial=0))
    total = starts.pop()
    length = max(1, wanted // STRETCHES)
    for number in range(STRETCHES):
        # A stretch begins in the last file that begins before it, and may reach into the next ones.
        at = total * number // STRETCHES
        file = bisect_right(starts, at) - 1
        left = length
        while left > 0 and file < len(names):
            data = _lines_from(names[file], max(0, at - starts[file]), left)
            if data:
                yield names[file], data
            left -= max(1, len(data))
            file += 1


def _lines_from(name: str, start: int, length: int) -> bytes:
    """Return whole lines from about `start` on: `length` bytes and the rest of the last line."""
    try:
        with open(name, "rb") as stream:
            stream.seek(max(0, start - 1))
            if start:
                stream.readline(LONGEST_LINE)
            return stream.read(length) + stream.readline(LONGEST_LINE)
    except OSError as error:
        raise TextError(f"cannot read {name}", error.strerror or str(error)) from None


def lines_looked_at(
    names: Sequence[str], settings: sources.SourceSettings, errors: str
) -> list[str]:
    """Return about LOOKED_AT bytes of lines, blank ones too, from all over these sources where they
    are plain files; else from the beginnings of some of them. BETWEEN follows each part. errors: as
    in TextSettings."""
    how = sampling_method(names, settings, LOOKED_AT)
    stretches: list[bytes | list[str]]
    if how == "even":
        stretches = [data for _, data in even_stretches(names, LOOKED_AT)]
    else:
        # Of very many files some are enough.
        chosen = names if how == "all" else names[:: len(names) // STRETCHES + 1]
        read = (whole_lines(sources.read(name, settings, errors), name) for name in chosen)
        stretches = [next(wholes, b"") for wholes in read]

    # A stretch may be one long line.
    most = LOOKED_AT if how == "all" else LOOKED_AT // min(len(stretches), 16)
    lines: list[str] = []
    for whole in stretches:
        records = [whole.decode("utf-8-sig", "replace")] if isinstance(whole, bytes) else whole
        text = "\n".join(records)
        lines += [*text[:most].removesuffix("\n").split("\n"), BETWEEN]
    return lines


def judged(
    lines: Sequence[str], text: TextSettings, tokenizer: Tokenizer | TokenizerSettings, name: str
) -> Tokenizer | TokenizerSettings:
    """Return the tokenizer of a text, or the settings of a new one as some lines of the text decide
    them. Notices tell of lines that are no sentences, of words that blanks do not separate, and of
    words that the tokenizer of that name knows without their marks alone."""
    tell_form(lines, text.unwrap)
    if isinstance(tokenizer, TokenizerSettings):
        tell_unspaced_words(lines, tokenizer.tokenizer)
        return tokenizers.decided(tokenizer, lines)
    tell_glued_in(lines, tokenizer, name)
    return tokenizer

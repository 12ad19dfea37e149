"""Bytes of a source (a file, compressed or not, or standard input), their decoding into text, and
small files that are read as a whole."""

import contextlib
import errno
import functools
import io
import json
import math
import select
import sys
import tempfile
import tomllib
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from rnnlm.errors import RnnlmError, SettingsError, TextError
from rnnlm.files.compression import CHUNK_BYTES, decompressed, naming_errors, open_decompressed

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")

STANDARD_INPUT = "-"
UTF16 = (b"\xff\xfe", b"\xfe\xff")  # byte order marks
# The first bytes of a workbook: a zip archive (.xlsx, .ods), which soon names its parts; and the
# container of Excel, Word and PowerPoint before 2007 (.xls).
ZIP, OLD_OFFICE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
PARTS_OF_WORKBOOKS = (b"xl/", b"opendocument.spreadsheet")
MOST_SMALL_BYTES = 1 << 24
# Bytes; a line is held as a whole, and a small compressed file may hold an endless one
LONGEST_LINE = 1 << 27


def shown_name(source: str) -> str:
    """Return what a sentence calls a file: `-` is standard input."""
    return "standard input" if source == STANDARD_INPUT else source


@contextlib.contextmanager
def opened(source: str, on_read: Callable[[int], None] | None = None) -> Iterator[IO[bytes]]:
    """Open the decompressed bytes of `source` in this context. Raise TextError where they cannot be
    read, also while they are read in the context.

    on_read: called with how many bytes have been read from a file.
    """
    with naming_errors(source, TextError):
        try:
            with _open(source) if on_read is None else _open_counted(source, on_read) as stream:
                _refuse_spreadsheet(source, stream)
                yield stream
        except IsADirectoryError:
            raise TextError(
                f"{source} is a directory", hint=f"name its files: '{source}/*.txt'"
            ) from None


def _refuse_spreadsheet(source: str, stream: IO[bytes]) -> None:
    """Raise TextError if `stream`, of which nothing has been read yet, begins like a spreadsheet's
    file."""
    start = stream.peek(len(OLD_OFFICE))  # type: ignore[attr-defined]  # all of them can
    is_workbook = start.startswith(ZIP) and any(part in start for part in PARTS_OF_WORKBOOKS)
    if is_workbook or start.startswith(OLD_OFFICE):
        raise TextError(
            f"{shown_name(source)} is a spreadsheet, not a text",
            "it is a file of Excel, LibreOffice or another office program",
            "save it there as CSV (UTF-8), and name the column of the text with `column`",
        )


def decode(data: bytes, source: str, first_line: int, errors: str | None) -> str:
    """Return `data`, which begins with line `first_line` of `source`, as text. Raise TextError
    where it is not UTF-8.

    errors: what to do with bad bytes, as Python names it; None: "strict", where nothing else can be
    asked for.
    """
    try:
        return data.decode("utf-8", errors or "strict")
    except UnicodeDecodeError as error:
        # Find the bad byte's line, and its place in it.
        before = data[: error.start]
        line = first_line + before.count(b"\n")
        byte = error.start - (before.rfind(b"\n") + 1) + 1
        # Guess where the text may come from.
        hint = "convert it to UTF-8 (from Windows: iconv -f WINDOWS-1252 -t UTF-8)"
        if errors:
            hint += ', or use `encoding_errors="replace"`'
        if data.startswith(UTF16) and first_line == 1:
            hint = "it looks like UTF-16: convert it to UTF-8"
        raise TextError(
            f"{source}, line {line}, byte {byte}: not UTF-8",
            f"byte 0x{data[error.start]:02x}: {error.reason}",
            hint,
        ) from None


def undecoded(text: str, place: int) -> str:
    """Say for messages which byte is at a place of `text` that was read with "surrogateescape"."""
    before = text[:place].encode("utf-8", "surrogateescape")
    byte = ord(text[place]) - 0xDC00
    return f"byte {len(before) + 1} is 0x{byte:02x}"


def text_lines(source: str, stream: IO[bytes], errors: str | None) -> Iterator[str]:
    """Yield the lines of a source with their ends, as text, without the byte order mark of the
    first.

    Raise TextError as :func:`decode` does, and for UTF-16, though `errors` lets bad bytes pass one
    by one, and for a line longer than LONGEST_LINE.
    """
    lines = iter(lambda: stream.readline(LONGEST_LINE + 1), b"")
    for number, line in enumerate(lines, start=1):
        if len(line) > LONGEST_LINE:
            raise too_long(source, number)
        if number > 1:
            yield decode(line, source, number, errors)
            continue
        # Bad bytes that pass one by one would make a text of UTF-16, too.
        is_utf16 = errors == "surrogateescape" and line.startswith(UTF16)
        text = decode(line, source, number, "strict" if is_utf16 else errors)
        yield text.removeprefix("\ufeff")


def too_long(source: str, line: int) -> TextError:
    """Return the error for a line that is longer than LONGEST_LINE."""
    return TextError(
        f"{source}, line {line}: longer than {LONGEST_LINE:,} bytes",
        "a line must fit in memory",
        "break it into shorter lines",
    )


def _open(source: str) -> IO[bytes]:
    if source == STANDARD_INPUT:
        return cast(IO[bytes], ArrivingBytes(standard_input()))
    return open_decompressed(source)


@contextlib.contextmanager
def _open_counted(source: str, on_read: Callable[[int], None]) -> Iterator[IO[bytes]]:
    with (
        io.BufferedReader(_CountedFile(source, on_read), CHUNK_BYTES) as raw,
        decompressed(raw, Path(source).suffix.lower()) as stream,
    ):
        yield stream


class _CountedFile(io.FileIO):
    """A file that reports how many bytes are read from it."""

    def __init__(self, path: str, on_read: Callable[[int], None]) -> None:
        super().__init__(path, "rb")
        self._on_read = on_read

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        count = super().readinto(buffer)
        self._on_read(count or 0)
        return count


class StandardInput:
    """Standard input as it arrives. All of it is kept, in a temporary file where it is long: it can
    only be read once, and a text is read twice (for the vocabulary, then for the tokens)."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        # It is open as long as this is, which may be until the process ends.
        self.spool = tempfile.SpooledTemporaryFile(MOST_SMALL_BYTES)  # noqa: SIM115
        weakref.finalize(self, self.spool.close)
        self.size = 0
        self.has_ended = False
        self.newest: ArrivingBytes | None = None  # the reading that began last
        try:
            self.descriptor: int | None = stream.fileno()
        except OSError:  # it is in memory, as in tests
            self.descriptor = None

    def read(self, position: int) -> bytes:
        """Return some of the bytes from `position` on, waiting for them where necessary; none at
        the end."""
        if position >= self.size and not self.has_ended:
            self.take()
        self.spool.seek(position)
        return self.spool.read(CHUNK_BYTES)

    def take(self) -> None:
        """Keep what has arrived; wait where nothing has."""
        data = self.stream.read1(CHUNK_BYTES)  # type: ignore[attr-defined]
        self.has_ended = not data  # a terminal says so only once
        self.spool.seek(self.size)
        self.spool.write(data)
        self.size += len(data)

    def has_more(self) -> bool:
        """Return whether `take` would not wait."""
        if self.descriptor is None:
            return True
        return bool(select.select([self.descriptor], [], [], 0)[0])


class ArrivingBytes(io.BufferedIOBase):
    """One reading of standard input, from its beginning."""

    def __init__(self, source: StandardInput) -> None:
        self.source = source
        self.source.newest = self
        self.position = 0  # in the source, behind what is held
        self.held = bytearray()
        self.at = 0  # in what is held

    def readable(self) -> bool:
        return True

    def peek(self, size: int = 0) -> bytes:
        """Return some of what comes next, without reading it."""
        if self.at == len(self.held):
            self._extend()
        return bytes(self.held[self.at : self.at + io.DEFAULT_BUFFER_SIZE])

    def read(self, size: int | None = -1) -> bytes:
        wanted = sys.maxsize if size is None or size < 0 else size
        # Wait until enough has arrived, or no more will.
        while len(self.held) - self.at < wanted and self._extend():
            pass
        return self._take(min(len(self.held), self.at + wanted))

    def readline(self, size: int | None = -1) -> bytes:
        most = sys.maxsize if size is None or size < 0 else size
        end = self.held.find(b"\n", self.at) + 1
        # Search only what has arrived since, or a long line takes time in square of its length.
        while not end and len(self.held) - self.at < most:
            searched = len(self.held) - self.at
            if not self._extend():
                break
            end = self.held.find(b"\n", searched) + 1
        return self._take(min(end or len(self.held), self.at + most))

    def waits(self) -> bool:
        """Return whether the next line has not arrived yet."""
        source = self.source
        while self.held.find(b"\n", self.at) < 0:
            # Take what is kept already, then what has arrived, and never wait.
            if self.position < source.size:
                self._extend()
            elif source.has_ended:
                return False
            elif source.has_more():
                source.take()
            else:
                return True
        return False

    def _take(self, end: int) -> bytes:
        taken = bytes(self.held[self.at : end])
        self.at = end
        return taken

    def _extend(self) -> bool:
        """Hold more of the source: at least a byte, except at its end. Return whether there was
        more."""
        data = self.source.read(self.position)
        del self.held[: self.at]
        self.at = 0
        self.held += data
        self.position += len(data)
        return bool(data)


@functools.cache
def standard_input() -> StandardInput:
    """Return what arrives on standard input; it is read until the process ends."""
    if sys.stdin is None:
        raise TextError("cannot read standard input", "it is closed")
    return StandardInput(sys.stdin.buffer)


def standard_input_waits() -> bool:
    """Return whether the next line of standard input, as it was opened last, has not arrived
    yet."""
    newest = None if sys.stdin is None else standard_input().newest
    return newest is not None and newest.waits()


def read_small(path: Path, limit: int = MOST_SMALL_BYTES) -> bytes:
    """Read the file at `path`, of `limit` bytes at most; a larger one is an OSError.

    No more is read than that of a larger file, or of a device without end.
    """
    data = bytearray()
    with open(path, "rb") as stream:
        # Asked for `limit` bytes, Python would make room for all of them.
        for piece in iter(lambda: stream.read(CHUNK_BYTES), b""):
            data += piece
            if len(data) > limit:
                raise OSError(errno.EFBIG, f"it is larger than {limit:,} bytes", str(path))
    return bytes(data)


def decode_json(data: bytes | str, kind: type[T]) -> T:
    """Return JSON as a value of type `kind`.

    Raise ValueError where it is not JSON, which knows neither NaN nor Infinity, or not of that
    type.
    """
    try:
        return msgspec.convert(json.loads(data, parse_constant=_refuse, parse_float=_finite), kind)
    except RecursionError as error:
        raise ValueError(str(error)) from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:20]} is out of range")
    return number


def read_json(
    path: Path, kind: type[T], error: type[RnnlmError], damaged: str, hint: str = "", *,
    format: tuple[object, int] | None = None, limit: int = MOST_SMALL_BYTES,
) -> T:  # fmt: skip
    """Return the JSON file at `path` as a value of type `kind`.

    Raise `error` where it cannot be read, is damaged, or has another format. damaged: the message
    where it is not of that type. format: what has a `format_version`, and the one that is read.
    """
    try:
        content = decode_json(read_small(path, limit), Any)
        # Another format first: its content need not be of the type that is known here.
        if format and isinstance(content, dict):
            what, readable = format
            version = content.get("format_version")
            if version is None:
                raise ValueError("it names no format_version")
            if isinstance(version, int) and version != readable:
                raise error(f"{what} has format {version}; this rnnlm reads format {readable}")
        return msgspec.convert(content, kind)
    except OSError as failure:
        # A file that is too large is damaged; any other may just not be readable now.
        why = failure.strerror or str(failure)
        if failure.errno == errno.EFBIG:
            raise error(damaged, f"{path.name}: {why}", hint) from None
        raise error(f"cannot read {path}", why) from None
    except (ValueError, RecursionError) as failure:
        raise error(damaged, f"{path.name}: {failure}", hint) from None


def read_toml(path: Path) -> dict[str, Any]:
    """Return the flat table of a TOML file. Raise SettingsError where it is missing, not TOML, or
    holds sections."""
    try:
        table = tomllib.loads(read_small(path).decode("utf-8-sig"))
    except OSError as error:
        raise SettingsError(
            f"cannot read settings from {path}", error.strerror or str(error)
        ) from None
    except (ValueError, RecursionError) as error:
        # No TOML, no UTF-8, or a number or a nest beyond all bounds
        raise SettingsError(f"{path} is not TOML", str(error)) from None
    for name, value in table.items():
        if isinstance(value, dict):
            raise SettingsError(
                f"{path} has a section [{name}]",
                "settings are one flat table",
                "write its settings without a section",
            )
    return table

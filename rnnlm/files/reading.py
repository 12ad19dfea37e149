"""The bytes of a source (a file, compressed or not, or standard input) and how they become text;
small files, read as a whole."""

import contextlib
import errno
import functools
import io
import json
import math
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec

from rnnlm.errors import RnnlmError, SettingsError, TextError
from rnnlm.files.compression import CHUNK_BYTES, decompressed, naming_errors, open_decompressed

T = TypeVar("T")

STANDARD_INPUT = "-"
UTF16 = (b"\xff\xfe", b"\xfe\xff")  # byte order marks
# What a workbook's file begins with: a zip archive (.xlsx, .ods), which names its parts soon; and
# the container of Excel, Word and PowerPoint before 2007 (.xls).
ZIP, OLD_OFFICE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
PARTS_OF_WORKBOOKS = (b"xl/", b"opendocument.spreadsheet")
MOST_SMALL_BYTES = 1 << 24
# bytes; a line is held as a whole, and a small compressed file may hold an endless one
LONGEST_LINE = 1 << 27


def shown_name(source: str) -> str:
    """What a sentence calls a file: `-` is standard input."""
    return "standard input" if source == STANDARD_INPUT else source


@contextlib.contextmanager
def opened(source: str, on_read: Callable[[int], None] | None = None) -> Iterator[IO[bytes]]:
    """The decompressed bytes of `source`. `on_read` is called with how many bytes have been read
    from a file.

    Raises:
        TextError: it cannot be opened, read or decompressed; also while it is read inside the
            context.
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
    """Raise a TextError if `stream`, of which nothing has been read yet, begins like the file of a
    spreadsheet."""
    start = stream.peek(len(OLD_OFFICE))  # type: ignore[attr-defined]  # all of them can
    is_workbook = start.startswith(ZIP) and any(part in start for part in PARTS_OF_WORKBOOKS)
    if is_workbook or start.startswith(OLD_OFFICE):
        raise TextError(
            f"{shown_name(source)} is a spreadsheet, not a text",
            "it is a file of Excel, LibreOffice or another office program",
            "save it there as CSV (UTF-8), and name the column of the text with --column",
        )


def decode(data: bytes, source: str, first_line: int, errors: str | None) -> str:
    """`data`, which begins with line `first_line` of `source`, as text. errors: None: "strict",
    where nothing else can be asked for.

    Raises:
        TextError: it is not UTF-8, and that is to be an error.
    """
    try:
        return data.decode("utf-8", errors or "strict")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = first_line + before.count(b"\n")
        byte = error.start - (before.rfind(b"\n") + 1) + 1
        hint = "convert it to UTF-8 (from Windows: iconv -f WINDOWS-1252 -t UTF-8)"
        if errors:
            hint += ", or use --encoding-errors replace"
        if data.startswith(UTF16) and first_line == 1:
            hint = "it looks like UTF-16: convert it to UTF-8"
        raise TextError(
            f"{source}, line {line}, byte {byte}: not UTF-8",
            f"byte 0x{data[error.start]:02x}: {error.reason}",
            hint,
        ) from None


def undecoded(text: str, place: int) -> str:
    """The byte that stands at a place of `text` which was read with "surrogateescape", for
    messages."""
    return (
        f"byte {len(text[:place].encode('utf-8', 'surrogateescape')) + 1} is "
        f"0x{ord(text[place]) - 0xDC00:02x}"
    )


def text_lines(source: str, stream: IO[bytes], errors: str | None) -> Iterator[str]:
    """The lines of a source with their ends, as text, without the byte order mark of the first.

    Raises:
        TextError: as :func:`decode`; it is UTF-16, though `errors` lets bad bytes pass one by one;
            a line is longer than LONGEST_LINE.
    """
    for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE + 1), b""), start=1):
        if len(line) > LONGEST_LINE:
            raise too_long(source, number)
        is_utf16 = number == 1 and errors == "surrogateescape" and line.startswith(UTF16)
        text = decode(line, source, number, "strict" if is_utf16 else errors)
        yield text.removeprefix("\ufeff") if number == 1 else text


def too_long(source: str, line: int) -> TextError:
    """The error for a line that is longer than LONGEST_LINE."""
    return TextError(
        f"{source}, line {line}: longer than {LONGEST_LINE:,} bytes",
        "a line must fit in memory",
        "break it into shorter lines",
    )


def _open(source: str) -> IO[bytes]:
    return (
        io.BufferedReader(_Spooled(standard_input()), CHUNK_BYTES)
        if source == STANDARD_INPUT
        else open_decompressed(source)
    )


@contextlib.contextmanager
def _open_counted(source: str, on_read: Callable[[int], None]) -> Iterator[IO[bytes]]:
    with (
        io.BufferedReader(_CountedFile(source, on_read), CHUNK_BYTES) as raw,
        decompressed(raw, Path(source).suffix.lower()) as stream,
    ):
        yield stream


class _CountedFile(io.FileIO):
    """A file that reports how many bytes have been read from it."""

    def __init__(self, path: str, on_read: Callable[[int], None]) -> None:
        super().__init__(path, "rb")
        self._on_read = on_read

    def readinto(self, buffer: Any) -> int | None:
        count = super().readinto(buffer)
        self._on_read(count or 0)
        return count


@functools.cache
def standard_input() -> IO[bytes]:
    """All of standard input, in a temporary file where it is long: it can be read once only, and a
    text is read twice (vocabulary, then tokens)."""
    if sys.stdin is None:
        raise TextError("cannot read standard input", "it is closed")
    # it is read until the process ends
    spool = tempfile.SpooledTemporaryFile(MOST_SMALL_BYTES)  # noqa: SIM115
    while len(data := sys.stdin.buffer.read(CHUNK_BYTES)) == CHUNK_BYTES:
        spool.write(data)
    spool.write(data)  # less than was asked for is the end, which a terminal says once
    return spool


class _Spooled(io.RawIOBase):
    """One reading of a file that several may read."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.file.seek(self.position)
        data = self.file.read(len(buffer))
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)


def read_small(path: Path, limit: int = MOST_SMALL_BYTES) -> bytes:
    """The content of the file at `path`, of `limit` bytes at most: no more is read of a larger
    file, or of a device without end.

    Raises:
        OSError: it cannot be read, or is larger.
    """
    data = bytearray()
    with open(path, "rb") as stream:
        # asked for `limit` bytes, Python would make room for all of them
        while piece := stream.read(CHUNK_BYTES):
            data += piece
            if len(data) > limit:
                raise OSError(errno.EFBIG, f"it is larger than {limit:,} bytes", str(path))
    return bytes(data)


def decode_json(data: bytes | str, kind: type[T]) -> T:
    """JSON as a value of type `kind`.

    Raises:
        ValueError: it is not JSON, which knows neither NaN nor Infinity, or not of that type.
    """
    try:
        return msgspec.convert(json.loads(data, parse_constant=_refuse, parse_float=_finite), kind)
    except RecursionError as error:
        raise ValueError(str(error)) from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    if math.isinf(number := float(digits)):
        raise ValueError(f"{digits[:20]} is out of range")
    return number


def read_json(
    path: Path, kind: type[T], error: type[RnnlmError], damaged: str, hint: str = "", *,
    newest: tuple[str, int] | None = None, limit: int = MOST_SMALL_BYTES,
) -> T:  # fmt: skip
    """The JSON file at `path` as a value of type `kind`.

    damaged: what the error says where the file is not of that type. newest: what has a
    `format_version`, and the newest that is read.

    Raises:
        An error of the class `error`: the file cannot be read, is damaged, or has a newer format.
    """
    try:
        content = decode_json(read_small(path, limit), Any)
        version = content.get("format_version") if newest and isinstance(content, dict) else None
        if newest and isinstance(version, int) and version > newest[1]:
            raise error(
                f"{newest[0]} has format {version}",
                f"this rnnlm reads up to {newest[1]}",
                "upgrade rnnlm",
            )
        return msgspec.convert(content, kind)
    except OSError as failure:
        what, why = f"cannot read {path}", failure.strerror or str(failure)
        raise (
            error(damaged, f"{path.name}: {why}", hint)
            if failure.errno == errno.EFBIG
            else error(what, why)
        ) from None
    except (ValueError, RecursionError) as failure:
        raise error(damaged, f"{path.name}: {failure}", hint) from None


def read_toml(path: Path) -> dict[str, Any]:
    """The flat table of a TOML file.

    Raises:
        SettingsError: it is missing, not TOML, or holds sections.
    """
    try:
        table = tomllib.loads(read_small(path).decode("utf-8-sig"))
    except OSError as error:
        raise SettingsError(
            f"cannot read settings from {path}", error.strerror or str(error)
        ) from None
    except (ValueError, RecursionError) as error:
        # no TOML, no UTF-8, or a number or a nest beyond all bounds
        raise SettingsError(f"{path} is not TOML", str(error)) from None
    for name, value in table.items():
        if isinstance(value, dict):
            raise SettingsError(
                f"{path} has a section [{name}]",
                "settings are one flat table",
                "write its settings without a section",
            )
    return table

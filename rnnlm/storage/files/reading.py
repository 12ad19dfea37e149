"""Read the bytes of a source (a file, compressed or not, or standard input), decode them into text,
and read small files as a whole."""

import contextlib
import errno
import functools
import io
import json
import math
import os
import re
import sys
import tempfile
import tomllib
import weakref
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from rnnlm import satellites, system
from rnnlm.errors import RnnlmError, TextError, keyword, notice, visible
from rnnlm.storage.files.file_types import (
    CHUNK_BYTES,
    READ_BYTES,
    binary_of,
    decompressed,
    legacy_encoding,
    marked_encoding,
    to_utf8,
    unmarked_encoding,
    without_suffix,
)
from rnnlm.storage.files.writing import check_facts

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")

STANDARD_INPUT = "-"
START_BYTES = 1 << 13  # of a file, by which it is recognised
MOST_SMALL_BYTES = 1 << 24
# Bytes; a line is held as a whole, and a small compressed file may hold an endless one
LONGEST_LINE = 1 << 27
SAMPLE_BYTES = 1 << 17  # of a file that is not UTF-8, by which its encoding is recognised
CUT_OFF = "unexpected end of data"  # Python's message for a character at the end of UTF-8
SHOWN_BYTES = 40  # of a word in a message
_WORD = re.compile(rb"[^\s\",;]+")
# A pair of surrogates, or NUL, as Java and some databases write them.
_CESU = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]|\xc0\x80")
_FROM_CESU = (
    'convert it: python3 -c \'import sys; text = sys.stdin.buffer.read().replace(b"\\xc0\\x80", '
    'b"").decode("utf-8", "surrogatepass"); sys.stdout.buffer.write(text.encode("utf-16", '
    '"surrogatepass").decode("utf-16", "replace").encode())\' < FILE > NEW'
)
FEW_LINES = 3  # that are not UTF-8: a slip leaves so few; more are a file in another encoding


_WORKBOOK = re.compile(r"(.+\.xlsx)(?:#(.+))?", re.IGNORECASE | re.DOTALL)
names_in_memory: dict[str, str] = {}  # of temporary files that hold a program's data


def shown_name(source: str) -> str:
    """Return the name of a file in a sentence: `-` is standard input, and a program's data have a
    name of their own."""
    return "standard input" if source == STANDARD_INPUT else names_in_memory.get(source, source)


def is_workbook(source: str) -> bool:
    """Return whether a source is a sheet of a workbook of Excel, by its name: FILE.xlsx, or
    FILE.xlsx#SHEET. It is opened as a file of CSV."""
    return _WORKBOOK.fullmatch(source) is not None


def file_of(source: str) -> str:
    """Return the file that a source names, without the name of a sheet."""
    workbook = _WORKBOOK.fullmatch(source)
    return workbook[1] if workbook else source


@contextlib.contextmanager
def opened(
    source: str,
    on_read: Callable[[int], None] | None = None,
    *,
    error: type[RnnlmError] = TextError,
    wanted: str = "a text",
    is_kept: bool = True,
    errors: str | None = None,
    is_utf8: bool = True,
    as_is: bool = False,
) -> Iterator[IO[bytes]]:
    """Open the decompressed bytes of `source` in this context. Raise `error` where they cannot be
    read, also while they are read in the context, and where they are no text in UTF-8 by their
    first bytes.

    on_read: called with how many bytes have been read from a file. wanted: its expected kind, for
    messages. is_kept: whether standard input or a pipe can be read again. errors: as for
    :func:`decode`; "replace" reads UTF-16 without a mark, too. is_utf8: other encodings are an
    error. as_is: the bytes on disk, of any kind.
    """
    what = f"cannot read {shown_name(source)}"
    try:
        if as_is:
            with _open(source, on_read, is_kept, as_is) as raw:
                yield raw
            return
        with _open(source, on_read, is_kept) as raw, decompressed(raw) as stream:
            start = stream.peek(START_BYTES)[:START_BYTES]  # type: ignore[attr-defined]
            _check_start(source, start, error, wanted, errors, is_utf8)
            if stream is raw and start and without_suffix(source) != source:
                notice(f"{source} is not compressed: it is read as is")
            yield stream
    except IsADirectoryError:
        raise error(f"{source} is a directory", hint=f"name its files: '{source}/*.txt'") from None
    except EOFError:
        raise error(what, "the compressed file is truncated") from None
    except OSError as failure:
        raise error(what, failure.strerror or str(failure)) from None
    except zlib.error as failure:
        raise error(what, f"it is damaged: {failure}") from None


def binary_at(path: Path) -> str:
    """Return the kind of a file, as :func:`binary_of` names it; "" for a text."""
    with open(path, "rb") as stream:
        kind, _ = binary_of(stream.read(START_BYTES)) or ("", "")
    return kind


def _check_start(
    source: str, start: bytes, error: type[RnnlmError], wanted: str, errors: str | None,
    is_utf8: bool = True,
) -> None:  # fmt: skip
    """Raise `error` where a source that begins so is no text in UTF-8. Send a notice where none of
    its lines would end."""
    name = shown_name(source)
    binary = binary_of(start)
    if binary:
        raise error(f"{name} is {binary[0]}, not {wanted}", hint=binary[1])
    if not is_utf8:
        return
    encoding = marked_encoding(start)
    why = ""
    if not encoding and errors != "replace":
        encoding = unmarked_encoding(start)
        why = f"it has no byte order mark; {start.count(0):,} of {len(start):,} bytes are NUL"
    if encoding:
        raise error(f"{name} is in {encoding}, not in UTF-8", why, to_utf8(encoding, source))
    if b"\r" in start.rstrip(b"\r") and b"\n" not in start:
        notice(
            f"{name}: lines end in carriage returns alone, so they are read as one line. Convert "
            "them: tr '\\r' '\\n' < FILE > NEW"
        )


def decode(data: bytes, source: str, first_line: int, errors: str | None) -> str:
    """Return `data`, which begins with line `first_line` of `source`, as text. Raise TextError
    where it is not UTF-8 or holds NUL bytes.

    errors: treatment of bad bytes, as Python names it; None: "strict", if no other can be
    requested.
    """
    try:
        text = data.decode("utf-8", errors or "strict")
    except UnicodeDecodeError as error:
        raise not_utf8(data, error, source, first_line, errors) from None
    if errors in (None, "strict") and b"\0" in data:
        raise _nul(data, source, first_line, errors)
    return text


def not_utf8(
    data: bytes,
    error: UnicodeDecodeError,
    source: str,
    first_line: int,
    errors: str | None = None,
    kind: type[RnnlmError] = TextError,
) -> RnnlmError:
    """Return the error for bytes in `data` that are not UTF-8; see :func:`decode`. It names
    the encoding that the beginning of the file fits."""
    what = f"{_place(data, error.start, source, first_line)}: not UTF-8"
    byte = f"byte 0x{data[error.start]:02x}"
    if _CESU.match(data, error.start):
        name, why = "CESU-8", "6 bytes for a character beyond U+FFFF"
        if data[error.start] == 0xC0:
            name, why = "Java's modified UTF-8", "2 bytes for NUL"
        return kind(f"{what}, but {name}", f"{byte}: {why}", _FROM_CESU)

    # The encoding is recognised by lines around the byte and at the beginning, each taken once.
    before = data.rfind(b"\n", 0, max(0, error.start - SAMPLE_BYTES)) + 1
    around = data[before : error.start + SAMPLE_BYTES]
    sample = _beginning(source).replace(around, b"", 1) + around
    encoding = None if error.reason == CUT_OFF else legacy_encoding(sample)
    if encoding is None:
        hint = "convert it to UTF-8"
        if errors:
            hint += ", or use " + keyword("encoding_errors", "replace")
        return kind(what, f"{byte}: {error.reason}", hint)

    # A word shows whether that is right.
    match = next(match for match in _WORD.finditer(data) if match.end() > error.start)
    first = max(match.start(), error.start - SHOWN_BYTES // 2)
    word = data[first : min(match.end(), first + SHOWN_BYTES)]
    shown_word = visible(word.decode(encoding, "replace"))
    what += ", but " if encoding == "Windows-1252" else ", perhaps "
    return kind(
        what + encoding, f"{byte}: {shown_word!r} in {encoding}", to_utf8(encoding.upper(), source)
    )


def _beginning(source: str) -> bytes:
    """Return lines from the beginning of a file; none of standard input or of a pipe, which may be
    waited for."""
    if source == STANDARD_INPUT or not os.path.isfile(source):
        return b""
    # The error that is being made is the one to show.
    try:
        with _open(source, None, True) as raw, decompressed(raw) as stream:
            sample = stream.read(SAMPLE_BYTES)
    except (OSError, EOFError, zlib.error):
        return b""
    return sample if len(sample) < SAMPLE_BYTES else sample[: sample.rfind(b"\n") + 1]


def check_mostly_utf8(source: str) -> None:
    """Make sure that no more than a few lines of a source are not UTF-8: these may have no result,
    where each line has one. Of many, the first is the error."""
    bad_lines: list[tuple[int, bytes]] = []
    with opened(source, errors="surrogateescape") as stream:
        lines = iter(lambda: stream.readline(LONGEST_LINE + 1), b"")
        for number, line in enumerate(lines, start=1):
            try:
                line.isascii() or line.decode("utf-8")
            except UnicodeDecodeError:
                bad_lines.append((number, line))
                if len(bad_lines) > FEW_LINES:
                    number, line = bad_lines[0]
                    decode(line, source, number, "strict")


def _nul(data: bytes, source: str, first_line: int, errors: str | None) -> TextError:
    """Return the error for the NUL bytes in `data`; see :func:`decode`."""
    hint = "name a text; or remove them: tr -d '\\0' < FILE > NEW"
    if errors:
        hint += (
            "; or use "
            + keyword("encoding_errors", "replace")
            + ", which reads them as white space"
        )
    return TextError(
        f"{_place(data, data.index(0), source, first_line)}: a NUL byte",
        f"{data.count(0):,} of the {len(data):,} bytes read here are NUL, which text does "
        "not contain",
        hint,
    )


def _place(data: bytes, at: int, source: str, first_line: int) -> str:
    """Return the place of a byte of `data` for messages; see :func:`decode`."""
    before = data[:at]
    line = first_line + before.count(b"\n")
    byte = at - before.rfind(b"\n")
    return f"{shown_name(source)}, line {line}, byte {byte}"


def undecoded(text: str, place: int) -> str:
    """Say for messages which byte is at a place of `text` that was read with "surrogateescape"."""
    before = text[:place].encode("utf-8", "surrogateescape")
    return f"byte {len(before) + 1} is 0x{ord(text[place]) - 0xDC00:02x}"


def text_lines(source: str, stream: IO[bytes], errors: str | None) -> Iterator[str]:
    """Yield the lines of a source with their ends, as text, without the byte order mark of the
    first.

    Raise TextError as :func:`decode` does, and for a line longer than LONGEST_LINE.
    """
    for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE + 1), b""), start=1):
        if len(line) > LONGEST_LINE:
            raise too_long(source, number)
        text = decode(line, source, number, errors)
        yield text.removeprefix("\ufeff") if number == 1 else text


def too_long(source: str, line: int) -> TextError:
    """Return the error for a line that is longer than LONGEST_LINE."""
    return TextError(
        f"{shown_name(source)}, line {line}: longer than {LONGEST_LINE:,} bytes",
        "a line must fit in memory",
        "split it into shorter lines",
    )


def _open(
    source: str, on_read: Callable[[int], None] | None, is_kept: bool, as_is: bool = False
) -> IO[bytes]:
    """Return the bytes of a source as they are on disk; of a sheet, the CSV, unless
    `as_is`."""
    if source == STANDARD_INPUT:
        arriving = standard_input() if is_kept else StandardInput(_standard_stream(), is_kept)
        return cast(IO[bytes], ArrivingBytes(arriving))
    if is_kept and is_pipe(source):
        return cast(IO[bytes], ArrivingBytes(_kept_pipe(source, os.stat(source).st_ino)))
    if is_workbook(source) and not as_is:
        changed = os.stat(file_of(source)).st_mtime_ns
        return cast(IO[bytes], ArrivingBytes(_kept_sheet(source, changed)))
    if on_read is None:
        return open(source, "rb")
    return io.BufferedReader(_CountedFile(source, on_read), READ_BYTES)


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
    """Standard input, or another pipe, as it arrives. All of it is kept, in a temporary file where
    it is long: it can only be read once, and a text is read twice (for the vocabulary, then for the
    tokens).

    is_kept: whether that is so; else it is gone once it is read.
    """

    def __init__(self, stream: IO[bytes], is_kept: bool = True) -> None:
        self.stream = stream
        self.is_kept = is_kept
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
        if not self.is_kept:
            return self.stream.read1(CHUNK_BYTES)  # type: ignore[attr-defined]
        if position >= self.size and not self.has_ended:
            self.take()
        self.spool.seek(position)
        return self.spool.read(CHUNK_BYTES)

    def take(self) -> None:
        """Keep the bytes that have arrived; wait if there are none."""
        data = self.stream.read1(CHUNK_BYTES)  # type: ignore[attr-defined]
        self.has_ended = not data  # a terminal says so only once
        self.spool.seek(self.size)
        self.spool.write(data)
        self.size += len(data)

    def has_more(self) -> bool:
        """Return whether `take` would not wait."""
        return self.descriptor is None or system.has_input(self.descriptor)


class ArrivingBytes(io.BufferedIOBase):
    """One reading of standard input or of a pipe, from its beginning."""

    def __init__(self, source: StandardInput) -> None:
        self.source = source
        self.source.newest = self
        self.position = 0  # in the source, behind the held bytes
        self.held = bytearray()
        self.at = 0  # in the held bytes

    def readable(self) -> bool:
        return True

    def peek(self, size: int = 0) -> bytes:
        """Return some of the next bytes, without reading them."""
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
        # Search only the new bytes, or a long line takes time in square of its length.
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
            # Take the kept bytes, then those that have arrived, and never wait.
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
    """Return the bytes that arrive on standard input; it is read until the process ends."""
    return StandardInput(_standard_stream())


def is_pipe(source: str) -> bool:
    """Return whether a path is gone once it is read: a pipe, such as bash's `<(...)`, or a
    device."""
    return os.path.exists(source) and not os.path.isfile(source) and not os.path.isdir(source)


@functools.cache
def _kept_pipe(source: str, inode: int) -> StandardInput:
    """Return what arrives from a pipe, which is kept like standard input."""
    return StandardInput(open(source, "rb"))


@functools.lru_cache(maxsize=4)
def _kept_sheet(source: str, changed: int) -> StandardInput:
    """Return a sheet of a workbook as CSV, all of it: what is wrong with it is said at once."""
    reader = next((form for form in satellites.entries("tables") if form.name == ".xlsx"), None)
    if reader is None:
        raise TextError(f"{source} is a workbook", hint="export it as CSV (UTF-8)")
    [(file, sheet)] = _WORKBOOK.findall(source)
    kept = StandardInput(io.BytesIO())
    for line in reader.load()(source, file, sheet or None):
        kept.size += kept.spool.write(line)
    return kept


def _standard_stream() -> IO[bytes]:
    if sys.stdin is None:
        raise TextError("cannot read standard input", "it is closed")
    return sys.stdin.buffer


def standard_input_waits() -> bool:
    """Return whether the next line of standard input, as it was opened last, has not arrived
    yet."""
    newest = None if sys.stdin is None else standard_input().newest
    return newest is not None and newest.waits()


def read_small(path: Path, limit: int = MOST_SMALL_BYTES) -> bytes:
    """Read the file at `path`, of `limit` bytes at most; a larger one is an OSError.

    A larger file, or a device without end, is not read beyond the limit.
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
        return as_type(json.loads(data, parse_constant=_refuse, parse_float=_finite), kind)
    except RecursionError as error:
        raise ValueError(str(error)) from None


def as_type(content: object, kind: type[T]) -> T:
    """Return JSON as a value of type `kind`; raise ValueError if it has another type."""
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        # msgspec puts fields in backticks, which in our messages mark settings.
        raise ValueError(str(error).replace("`", "'")) from None


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
    has_hash: bool = False,
) -> T:  # fmt: skip
    """Return the JSON file at `path` as a value of type `kind`.

    Raise `error` if it cannot be read, is damaged, or has another format. damaged: the message if
    it is not of that type. format: the name for messages, and the newest version that is read.
    has_hash: it is a file of facts, whose last field is the hash of the others.
    """
    try:
        content = decode_json(read_small(path, limit), Any)
        # Another format first: its content need not be of the type that is known here.
        if format and isinstance(content, dict):
            what, readable = format
            version = content.get("format_version")
            if version is None:
                raise ValueError("it has no format_version")
            if isinstance(version, int) and not 1 <= version <= readable:
                raise error(
                    f"{what} has format {version}; this rnnlm reads formats up to {readable}"
                )
        if has_hash:
            check_facts(content)
        return as_type(content, kind)
    except OSError as failure:
        # A file that is too large is damaged; any other may just not be readable now.
        why = failure.strerror or str(failure)
        if failure.errno == errno.EFBIG:
            raise error(damaged, f"{path.name}: {why}", hint) from None
        raise error(f"cannot read {path}", why) from None
    except (ValueError, RecursionError) as failure:
        raise error(damaged, f"{path.name}: {failure}", hint) from None


# Files that people write have tens of keys in a table or two; all settings together are about 300.
MOST_KEYS, DEEPEST_BY_HAND = 1_000, 32
_NOT_KEYS = re.compile(  # comments and strings of TOML, of several lines or of one; of JSON, too
    r"""\#[^\n]*+
    | \"{3}(?:[^"\\]|\\.|"{1,2}(?!"))*+"{0,5} | \'{3}(?:[^']|'{1,2}(?!'))*+'{0,5}
    | "(?:[^"\\\n]|\\.)*+"? | '[^'\n]*+'?""",
    re.DOTALL | re.VERBOSE,
)


def read_by_hand(
    path: Path, error: type[RnnlmError], limit: int = MOST_SMALL_BYTES
) -> dict[str, Any]:
    """Return the table of a file that people write: TOML, or JSON where its name ends in .json.

    Raise `error` where it is missing or neither; it names the line at fault.
    """
    is_json = path.suffix.lower() == ".json"
    try:
        data = read_small(path, limit)
        _check_start(str(path), data[:START_BYTES], error, "a file of settings", None)
        text = data.decode("utf-8-sig")
        _check_extent(text)
        return decode_json(text, dict[str, Any]) if is_json else tomllib.loads(text)
    except FileNotFoundError:
        raise error(f"no such file: {path}") from None
    except OSError as failure:
        raise error(f"cannot read {path}", failure.strerror or str(failure)) from None
    except UnicodeDecodeError as failure:
        raise not_utf8(data, failure, str(path), 1, kind=error) from None
    except (ValueError, RecursionError) as failure:
        # A number or a nest beyond all bounds, or simply not of this form.
        kind = "JSON" if is_json else "TOML"
        hint = "a name that ends in .json is read as JSON, any other as TOML"
        raise error(f"{path} is not {kind}", str(failure), hint) from None


def _check_extent(text: str) -> None:
    """Raise ValueError where TOML or JSON has more keys than MOST_KEYS, or is nested deeper than
    DEEPEST_BY_HAND, before it is parsed: that takes time and memory in square of both."""
    bare = _NOT_KEYS.sub("", text)
    keys = 0
    for line in bare.splitlines():
        # A key ends at an equals sign or a colon; the name of a table is in brackets.
        *before, rest = re.split("[=:]", line)
        names = [*before, rest] if line.lstrip().startswith("[") else before
        keys += len(names)
        for name in names:
            dots = re.split("[,{]", name)[-1].count(".")
            if dots > DEEPEST_BY_HAND:
                raise ValueError(f"a name has {dots:,} dots, of {DEEPEST_BY_HAND} at most")
        if keys > MOST_KEYS:
            raise ValueError(f"it has more than {MOST_KEYS:,} keys")
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", bare):
        depth += 1 if bracket in "[{" else -1
        if depth > DEEPEST_BY_HAND:
            raise ValueError(f"it is nested more than {DEEPEST_BY_HAND} deep")

"""Files read and written through their compression: .gz, .xz, .bz2 and .zst, by their suffix."""

import bz2
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from rnnlm.errors import RnnlmError

CHUNK_BYTES = 1 << 22
PIECE_BYTES = 1 << 11  # decompressed at a time: 4 bytes of .zst may stand for 128 KiB
XZ_MEMORY = 1 << 29  # xz -9 takes an eighth of it
SUFFIXES = (".gz", ".xz", ".bz2", ".zst")


def open_decompressed(path: str) -> IO[bytes]:
    """The bytes of the file at `path`, decompressed as its suffix says.

    Raises:
        OSError: it cannot be opened, or is damaged. While reading, EOFError: it is truncated;
            zlib.error: it is damaged.
    """
    return decompressed(open(path, "rb"), Path(path).suffix.lower())


def decompressed(stream: IO[bytes], suffix: str) -> IO[bytes]:
    """The bytes of a file with that suffix, of which `stream` holds what is on disk; what it raises
    is as for :func:`open_decompressed`."""
    if suffix in (".gz", ".bz2"):
        return (gzip if suffix == ".gz" else bz2).open(stream, "rb")
    if suffix == ".xz":
        frames = _Frames(
            stream, lambda: lzma.LZMADecompressor(memlimit=XZ_MEMORY), lzma.LZMAError, padding=b"\0"
        )
    elif suffix == ".zst":
        import zstandard

        frames = _Frames(
            stream, lambda: zstandard.ZstdDecompressor().decompressobj(), zstandard.ZstdError
        )
    else:
        return stream
    return io.BufferedReader(frames, CHUNK_BYTES)


@contextlib.contextmanager
def naming_errors(path: str, kind: type[RnnlmError]) -> Iterator[None]:
    """Turns what goes wrong while a file is read into an error of that kind, which names it."""
    try:
        yield
    except EOFError:
        raise kind(f"cannot read {path}", "the compressed file is truncated") from None
    except OSError as error:
        raise kind(f"cannot read {path}", error.strerror or str(error)) from None
    except zlib.error as error:
        raise kind(f"cannot read {path}", f"it is damaged: {error}") from None


def compressed(pieces: Iterable[bytes | memoryview], suffix: str) -> Iterator[bytes | memoryview]:
    """`pieces` as a file with this suffix holds them."""
    suffix = suffix.lower()
    if suffix not in SUFFIXES:
        yield from pieces
        return
    compressor = _compressor(suffix)
    yield from map(compressor.compress, pieces)
    yield compressor.flush()


def _compressor(suffix: str) -> Any:
    if suffix == ".zst":
        import zstandard

        return zstandard.ZstdCompressor().compressobj()
    if suffix == ".gz":
        return zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    return lzma.LZMACompressor() if suffix == ".xz" else bz2.BZ2Compressor()


def without_suffix(path: str) -> str:
    """`path` without its suffix of compression."""
    suffix = Path(path).suffix
    return path.removesuffix(suffix) if suffix.lower() in SUFFIXES else path


class _Frames(io.RawIOBase):
    """All frames (or streams) of a compressed file, decompressed a little at a time, whatever they
    claim to hold. zstandard's own reader stops after the first, and takes a truncated one for
    whole; lzma's allocates as large a dictionary as the file asks for."""

    def __init__(
        self,
        compressed: IO[bytes],
        start: Callable[[], Any],
        damage: type[Exception],
        padding: bytes = b"",
    ) -> None:
        self.compressed = compressed
        self.start = start  # gives the decompressor of a new frame
        self.damage = damage  # what it raises
        self.padding = padding  # what may stand between frames
        self.frame: Any = None
        self.rest = self.text = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.text:
            self.rest = self.rest or memoryview(self.compressed.read(CHUNK_BYTES))
            if not self.rest and self.frame is not None:
                raise EOFError("truncated")
            if not self.rest:
                return 0
            self._decompress()
        count = min(len(buffer), len(self.text))
        buffer[:count], self.text = self.text[:count], self.text[count:]
        return count

    def close(self) -> None:
        self.compressed.close()
        super().close()

    def _decompress(self) -> None:
        """The text of the next few bytes of `rest`."""
        piece = bytes(self.rest[:PIECE_BYTES])
        if self.frame is None and (padded := len(piece) - len(piece.lstrip(self.padding))):
            self.rest = self.rest[padded:]
            return
        self.frame = self.frame or self.start()
        try:
            self.text = memoryview(self.frame.decompress(piece))
        except self.damage as error:
            raise OSError(f"it is damaged: {error}") from None
        self.rest = self.rest[len(piece) - len(self.frame.unused_data) :]
        if self.frame.eof:
            self.frame = None

"""Files read and written through their compression: .gz, .xz, .bz2 and .zst, told by their suffix."""

import bz2
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from rnnlm.errors import RnnlmError

CHUNK_BYTES = 1 << 22
_OPEN = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
SUFFIXES = (*_OPEN, ".zst")


def open_decompressed(path: str) -> IO[bytes]:
    """The bytes of the file at `path`, decompressed where its suffix says so.

    Raises:
        OSError: it cannot be opened, or is damaged. While reading, EOFError: it is truncated; lzma.LZMAError, zlib.error:
            it is damaged.
    """
    suffix = Path(path).suffix.lower()
    return _OPEN[suffix](path, "rb") if suffix in _OPEN else decompressed(open(path, "rb"), suffix)


def decompressed(stream: IO[bytes], suffix: str) -> IO[bytes]:
    """The bytes of a file with that suffix, of which `stream` holds what is on disk; what it raises is as for :func:`open_decompressed`."""
    if suffix in _OPEN:
        return _OPEN[suffix](stream, "rb")
    return io.BufferedReader(_Zstandard(stream), CHUNK_BYTES) if suffix == ".zst" else stream


@contextlib.contextmanager
def naming_errors(path: str, kind: type[RnnlmError]) -> Iterator[None]:
    """Turns what goes wrong while a file is read into an error of that kind, which names it."""
    try:
        yield
    except EOFError:
        raise kind(f"cannot read {path}", "the compressed file is truncated") from None
    except OSError as error:
        raise kind(f"cannot read {path}", error.strerror or str(error)) from None
    except (lzma.LZMAError, zlib.error) as error:
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


class _Zstandard(io.RawIOBase):
    """All frames of a .zst file. zstandard's own reader stops after the first, and takes a truncated one for whole."""

    def __init__(self, compressed: IO[bytes]) -> None:
        self.compressed = compressed
        self.frame: Any = None
        self.rest, self.text = b"", memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.text:
            chunk = self.rest or self.compressed.read(CHUNK_BYTES)
            if not chunk and self.frame is not None:
                raise EOFError("truncated")
            if not chunk:
                return 0
            self._decompress(chunk)
        count = min(len(buffer), len(self.text))
        buffer[:count], self.text = self.text[:count], self.text[count:]
        return count

    def close(self) -> None:
        self.compressed.close()
        super().close()

    def _decompress(self, chunk: bytes) -> None:
        import zstandard

        self.frame = self.frame or zstandard.ZstdDecompressor().decompressobj()
        try:
            self.text, self.rest = memoryview(self.frame.decompress(chunk)), b""
        except zstandard.ZstdError as error:
            raise OSError(f"it is damaged: {error}") from None
        if self.frame.eof:
            self.rest, self.frame = self.frame.unused_data, None

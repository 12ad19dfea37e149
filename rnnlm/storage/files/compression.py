"""Read and write files through their compression: .gz, .xz, .bz2 and .zst. Reading follows a file's
first bytes, writing its suffix."""

import bz2
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from rnnlm.storage.files.first_bytes import ENOUGH, compression_of

CHUNK_BYTES = 1 << 22
READ_BYTES = 1 << 16  # of a compressed file at a time: more would jump ahead of what is shown
PIECE_BYTES = 1 << 11  # decompressed at a time: 4 bytes of .zst may hold 128 KiB
XZ_MEMORY = 1 << 29  # xz -9 takes an eighth of it
ZSTD_WINDOW = 1 << 31  # bytes; of zstd --long=31, which is the longest
SUFFIXES = (".gz", ".xz", ".bz2", ".zst")


def decompressed(stream: IO[bytes]) -> IO[bytes]:
    """Return the decompressed bytes of a file, of which nothing has been read yet. `stream` holds
    those on disk, and can be peeked into.

    Reading may raise OSError or zlib.error where the file is damaged, EOFError where it is
    truncated.
    """
    suffix = compression_of(stream.peek(ENOUGH))  # type: ignore[attr-defined]
    if suffix == ".gz":
        return cast(IO[bytes], gzip.open(stream, "rb"))
    if suffix == ".bz2":
        return cast(IO[bytes], bz2.open(stream, "rb"))
    if suffix == ".xz":
        frames = _Frames(
            stream, lambda: lzma.LZMADecompressor(memlimit=XZ_MEMORY), lzma.LZMAError, padding=b"\0"
        )
    elif suffix == ".zst":
        import zstandard

        decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
        frames = _Frames(stream, decompressor.decompressobj, zstandard.ZstdError)
    else:
        return stream
    return io.BufferedReader(frames, CHUNK_BYTES)


def is_compressed(path: str) -> bool:
    """Return whether the file at `path` can be read and begins like a compressed one."""
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        return compression_of(stream.read(ENOUGH)) != ""
    return False


def compressed(pieces: Iterable[bytes | memoryview], suffix: str) -> Iterator[bytes | memoryview]:
    """Yield `pieces` as a file with this suffix holds them."""
    made = compressor(suffix)
    if made is None:
        yield from pieces
        return
    yield from map(made.compress, pieces)
    yield made.flush()


def compressor(suffix: str) -> Any:
    """Return a compressor for a file with this suffix, which has `compress` and `flush`; None if
    the file is not compressed."""
    suffix = suffix.lower()
    if suffix not in SUFFIXES:
        return None
    if suffix == ".zst":
        import zstandard

        return zstandard.ZstdCompressor().compressobj()
    if suffix == ".gz":
        return zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    return lzma.LZMACompressor() if suffix == ".xz" else bz2.BZ2Compressor()


def without_suffix(path: str) -> str:
    """Return `path` without its suffix of compression."""
    suffix = Path(path).suffix
    return path.removesuffix(suffix) if suffix.lower() in SUFFIXES else path


class _Frames(io.RawIOBase):
    """All frames (or streams) of a compressed file, decompressed a little at a time, regardless of
    the size they claim.

    zstandard's own reader stops after the first frame, and treats a truncated one as complete;
    lzma's allocates as large a dictionary as the file asks for.
    """

    def __init__(
        self,
        compressed: IO[bytes],
        start: Callable[[], Any],
        damage: type[Exception],
        padding: bytes = b"",
    ) -> None:
        self.compressed = compressed
        self.start = start  # makes the decompressor of a new frame
        self.damage = damage  # the error that it raises
        self.padding = padding  # bytes that may lie between frames
        self.frame: Any = None  # the decompressor of the frame being read
        self.rest = memoryview(b"")  # read from the file, not yet decompressed
        self.text = memoryview(b"")  # decompressed, not yet taken

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # Some input gives no text, such as padding or the header of a frame.
        while not self.text:
            if not self.rest:
                self.rest = memoryview(self.compressed.read(READ_BYTES))
            if not self.rest:
                if self.frame is not None:
                    raise EOFError("truncated")
                return 0
            self._decompress()
        count = min(len(buffer), len(self.text))
        buffer[:count] = self.text[:count]
        self.text = self.text[count:]
        return count

    def close(self) -> None:
        self.compressed.close()
        super().close()

    def _decompress(self) -> None:
        """Decompress the next few bytes of `rest` into `text`."""
        piece = bytes(self.rest[:PIECE_BYTES])

        # Between frames, skip the padding first.
        if self.frame is None:
            padded = len(piece) - len(piece.lstrip(self.padding))
            if padded:
                self.rest = self.rest[padded:]
                return
            self.frame = self.start()

        try:
            self.text = memoryview(self.frame.decompress(piece))
        except self.damage as error:
            is_too_large = "memory" in str(error).lower()
            why = "it takes too much memory" if is_too_large else "it is damaged"
            raise OSError(f"{why}: {error}") from None

        # The bytes after the frame's end begin the next one.
        self.rest = self.rest[len(piece) - len(self.frame.unused_data) :]
        if self.frame.eof:
            self.frame = None

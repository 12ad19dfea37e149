"""Compressed files, through the corpus that reads them."""

import bz2
import gzip
import lzma

import pytest
import zstandard

from rnnlm.text.corpus import Corpus

LINES = ["the cat", "sat on", "the m\u00e4t"]
TEXT = "\n".join(LINES) + "\n"


def read(path) -> list[str]:
    return [line for block in Corpus((str(path),)).blocks() for line in block.lines]


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress), (".zst", zstd)],
)
@pytest.mark.parametrize("parts", [
    [LINES], [["one"], ["two"]], [[]], [[f"line number {number}" for number in range(150_000)]],
], ids=["a text", "parts one after the other", "an empty text", "many megabytes"])  # fmt: skip
def test_compression_is_undone(tmp_path, suffix, compress, parts):
    path = tmp_path / f"text.txt{suffix}"
    path.write_bytes(
        b"".join(compress("".join(f"{line}\n" for line in part).encode()) for part in parts)
    )
    assert read(path) == [line for part in parts for line in part]

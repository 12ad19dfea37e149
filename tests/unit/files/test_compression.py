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


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress), (".zst", zstd)])
class TestCompression:
    def test_is_undone(self, tmp_path, suffix, compress):
        path = tmp_path / f"text.txt{suffix}"
        path.write_bytes(compress(TEXT.encode()))
        assert read(path) == LINES

    def test_of_many_megabytes_is_undone(self, tmp_path, suffix, compress):
        path = tmp_path / f"text.txt{suffix}"
        lines = [f"line number {number}" for number in range(150_000)]
        path.write_bytes(compress("\n".join(lines).encode()))
        assert read(path) == lines

    def test_parts_one_after_the_other_are_all_read(self, tmp_path, suffix, compress):
        path = tmp_path / f"text.txt{suffix}"
        path.write_bytes(compress(b"one\n") + compress(b"two\n"))
        assert read(path) == ["one", "two"]

    def test_of_an_empty_text_is_empty(self, tmp_path, suffix, compress):
        path = tmp_path / f"text.txt{suffix}"
        path.write_bytes(compress(b""))
        assert read(path) == []

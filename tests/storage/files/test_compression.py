"""Compressed files, through the corpus that reads them."""

import bz2
import gzip
import lzma
from functools import partial

import pytest
import zstandard

from rnnlm.text.corpus import Corpus

LINES = ["the cat", "sat on", "the m\u00e4t"]


def read(path) -> list[str]:
    return [line for block in Corpus((str(path),)).blocks() for line in block.lines]


@pytest.mark.parametrize(("suffix", "compress"), [
    (".gz", gzip.compress), (".xz", partial(lzma.compress, preset=0)),(".bz2", bz2.compress),
    (".zst", zstandard.ZstdCompressor().compress),
])  # fmt: skip
@pytest.mark.parametrize("parts", [
    [LINES], [["one"], ["two"]], [[]], [[f"line number {number}" for number in range(150_000)]],
], ids=["a text", "parts one after the other", "an empty text", "many megabytes"])  # fmt: skip
def test_compression_is_undone(tmp_path, suffix, compress, parts):
    path = tmp_path / f"text.txt{suffix}"
    texts = ["".join(f"{line}\n" for line in part) for part in parts]
    path.write_bytes(b"".join(compress(text.encode()) for text in texts))
    assert read(path) == [line for part in parts for line in part]

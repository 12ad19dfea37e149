"""Files that are read as a whole, and compressed ones, through the corpus that reads them."""

import bz2
import errno
import gzip
import lzma
from functools import partial

import pytest
import zstandard

from rnnlm.errors import ModelError
from rnnlm.storage.files.reading import MOST_SMALL_BYTES, read_json, read_small
from rnnlm.storage.files.writing import write_facts
from rnnlm.text.corpus import Corpus


def test_a_small_file_is_read_as_a_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 1000)
    assert read_small(tmp_path / "a") == b"x" * 1000


def test_no_more_than_the_bound_is_read(tmp_path):
    with open(tmp_path / "a", "wb") as stream:
        stream.truncate(1 << 40)  # a hole: no disk is taken
    with pytest.raises(OSError) as caught:
        read_small(tmp_path / "a")
    assert caught.value.errno == errno.EFBIG
    with open(tmp_path / "a", "wb") as stream:
        stream.truncate(MOST_SMALL_BYTES)
    assert len(read_small(tmp_path / "a")) == MOST_SMALL_BYTES


@pytest.mark.parametrize("old, new, is_whole", [
    (b" ", b"\t", True), (b"12", b"13", False), (b'"name"', b'"Name"', False), (b"{", b"[", False),
])  # fmt: skip
def test_a_file_of_facts_notices_any_change_of_its_content(tmp_path, old, new, is_whole):
    path = tmp_path / "facts.json"
    facts = {"name": "\udce4 and ä", "bytes": 12, "share": 0.1}
    write_facts(path, facts)
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    if is_whole:
        assert read_json(path, dict, ModelError, "damaged", has_hash=True) == facts
    else:
        with pytest.raises(ModelError):
            read_json(path, dict, ModelError, "damaged", has_hash=True)


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

"""Small files that promise, or unfold into, very much: nothing is allocated by a number that a file
merely claims."""

import itertools
import json
import tracemalloc
import zlib

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from rnnlm.errors import RnnlmError
from rnnlm.models import model_folder
from rnnlm.text import sources
from rnnlm.text.sources import SourceSettings
from support.odd_inputs import quiet, value_or_error
from support.saved_models import sealed
from support.tiny_models import fit, save

MEGABYTE = 1 << 20
ZSTD_BLOCK = 128 << 10  # the most that one holds


def peak_bytes(work) -> tuple[object, int]:
    """Return what `work` returns, or the RnnlmError it raises, and the most memory that Python and
    numpy held during it."""
    tracemalloc.start()
    try:
        return value_or_error(work), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def zstandard_bomb(blocks: int) -> bytes:
    """Return a frame of so many blocks, each one byte repeated (RFC 8878, section 3.1.1.2)."""
    block = (ZSTD_BLOCK << 3 | 1 << 1).to_bytes(3, "little") + b"\n"
    last = (ZSTD_BLOCK << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\n"
    return b"\x28\xb5\x2f\xfd" + b"\x00" + b"\x70" + block * (blocks - 1) + last


def gzip_bomb(megabytes: int) -> bytes:
    compressor = zlib.compressobj(wbits=31)
    return (
        b"".join(compressor.compress(b"\n" * MEGABYTE) for _ in range(megabytes))
        + compressor.flush()
    )


@pytest.mark.parametrize(
    "suffix, content",
    [(".zst", zstandard_bomb(1 << 14)), (".gz", gzip_bomb(200))],
    ids=["zstandard", "gzip"],
)
def test_expanding_compressed_text_is_read_in_parts(tmp_path, suffix, content):
    path = tmp_path / f"text{suffix}"
    path.write_bytes(content)

    def chunks():
        return [
            len(chunk) for chunk in itertools.islice(sources.read(str(path), SourceSettings()), 3)
        ]

    chunks()  # what is imported then is not counted
    lengths, peak = peak_bytes(chunks)
    assert len(lengths) == 3 and peak < 150 * MEGABYTE


def test_expanding_parquet_file_is_read_in_parts(tmp_path):
    path = tmp_path / "table.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["x" * (MEGABYTE // 10)] * 1000}), path)
    assert path.stat().st_size < 10_000
    characters, peak = peak_bytes(
        lambda: sum(
            len(text) for chunk in sources.read(str(path), SourceSettings()) for text in chunk
        )
    )
    assert characters == 1000 * (MEGABYTE // 10) and peak < 70 * MEGABYTE


@pytest.mark.parametrize("name, settings, most", [
    ("lstm", {"hidden_size": 1 << 20, "layers": 100}, 40),
    ("lstm",
     {"embedding_size": 1 << 20, "characters": "cnn",
      "character_filters": ",".join(["9999999"] * 100)}, 40),
], ids=["layers", "characters"])  # fmt: skip
def test_a_model_larger_than_its_weights(tmp_path, name, settings, most):
    with quiet():
        save(tmp_path / "model", fit(name), name)
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_bytes())
    config["settings"].update(settings)
    path.write_text(json.dumps(sealed(config)))
    # what is imported then is not counted
    value_or_error(lambda: model_folder.load(tmp_path / "model", "cpu"))
    found, peak = peak_bytes(lambda: model_folder.load(tmp_path / "model", "cpu"))
    assert isinstance(found, RnnlmError) and peak < most * MEGABYTE


def test_what_is_counted_here_counts():
    assert peak_bytes(lambda: np.ones(MEGABYTE, dtype=np.uint8))[1] >= MEGABYTE

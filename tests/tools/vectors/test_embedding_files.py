"""Files of vectors: the same numbers in each format, written in parts, whole or not at all."""

import gzip
import itertools
import json

import numpy as np
import pyarrow.parquet
import pytest

import rnnlm
from rnnlm.errors import OutputError, TextError, UsageError
from rnnlm.tools.vectors import embedding
from rnnlm.tools.vectors.embedding import Embedder
from rnnlm.tools.vectors.embedding_files import save_vectors
from rnnlm.tools.vectors.settings import EmbeddingSettings
from support.tiny_models import fit

LINES = ("the cat sat", "", 'a "dog" saw', "the cat", "it is hard")


@pytest.fixture(scope="module")
def model():
    return fit("gru")


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(embedding, "LINES_PER_CHUNK", 2)


@pytest.mark.parametrize("words", [False, True])
def test_all_formats_hold_what_embed_gives(tmp_path, model, words):
    expected = rnnlm.Model(model).embed(LINES, words=words)
    for name in ("a.npy", "a.parquet", "a.jsonl", "a.jsonl.gz"):
        embedder = Embedder(model, EmbeddingSettings(words=words))
        assert save_vectors(tmp_path / name, embedder, iter(LINES)) == 5
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), expected)
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert {row.pop("reason", None) for row in table} == {None}
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    lines = gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()).splitlines()
    assert table == rows == [json.loads(line) for line in lines]
    vectors = np.array([row.pop("vector") for row in rows], np.float32)
    np.testing.assert_array_equal(vectors, expected)
    if not words:
        assert rows == [
            {"line": number, "text": line} for number, line in enumerate(LINES, start=1)
        ]
        return
    assert rows[4] == {"line": 3, "word_index": 2, "word": '"dog"', "start": 2, "end": 7}
    beside = (tmp_path / "a.npy.words.tsv").read_text().splitlines()
    assert beside[0].split("\t") == list(rows[0]) and len(beside) == 1 + len(expected)
    assert beside[5] == '3\t2\t"""dog"""\t2\t7'


def test_lines_are_read_as_they_are_written(tmp_path, model):
    """So that a text may be larger than memory."""
    read = 0

    def lines():
        nonlocal read
        for line in itertools.islice(itertools.cycle(LINES), 20):
            read += 1
            yield line

    said = []
    save_vectors(
        tmp_path / "a.npy",
        Embedder(model),
        lines(),
        progress=lambda message: said.append((message, read)),
    )
    assert said[0] == ("2 lines embedded", 2) and said[-1] == ("20 lines embedded", 20)
    assert np.load(tmp_path / "a.npy", mmap_mode="r").shape[0] == 20


@pytest.mark.parametrize("name", ["a.npy", "a.parquet", "a.jsonl"])
def test_an_error_midway_leaves_the_old_file(tmp_path, model, name):
    (tmp_path / name).write_text("before")
    embedder = Embedder(model, EmbeddingSettings(words=True))
    with pytest.raises(TextError, match="line 4"):
        save_vectors(tmp_path / name, embedder, (*LINES[:3], "<s>"), overwrite=True)
    assert [each.read_text() for each in tmp_path.iterdir()] == ["before"]


def test_existing_or_formatless_files_are_refused(tmp_path, model):
    (tmp_path / "a.npy.words.tsv").write_text("mine")
    with pytest.raises(OutputError, match=r"a\.npy\.words\.tsv already exists"):
        save_vectors(tmp_path / "a.npy", Embedder(model, EmbeddingSettings(words=True)), LINES)
    with pytest.raises(UsageError, match="not have the suffix of a vectors file"):
        save_vectors(tmp_path / "a.csv", Embedder(model), LINES)

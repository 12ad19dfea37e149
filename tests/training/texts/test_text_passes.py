"""How often a run reads its texts, after a look at some of their lines: once for words, which are
numbered on the way; else once for the vocabulary and once for the ids. Nothing is read or encoded again for
the evaluation."""

import os
from collections import Counter

import pytest

import rnnlm
from rnnlm.storage.files import reading
from rnnlm.text.tokenizers.word import WordTokenizer
from support.small_runs import SMALL
from support.tiny_models import LINES

TINY = {**SMALL, "model": "rnn", "batch_rows": 2, "budget": "2steps"}


@pytest.fixture
def files(tmp_path):
    paths = {name: tmp_path / f"{name}.txt" for name in ("text", "valid", "test")}
    for path in paths.values():
        path.write_text("\n".join(LINES * 20) + "\n")
    return paths


@pytest.fixture
def opened(monkeypatch):
    """Return a counter of how often each file of text has been opened, by its name."""
    names = Counter()
    decompressed = reading.decompressed

    def counted(stream):
        names[os.path.basename(stream.name)] += 1
        return decompressed(stream)

    monkeypatch.setattr(reading, "decompressed", counted)
    return names


@pytest.mark.parametrize("tokenizer", ["word", "char", "byte", "sentencepiece"])
def test_text_is_looked_at_and_read_for_vocabulary_and_both_parts(
    files, opened, tmp_path, tokenizer
):
    size = {"vocab_size": 300} if tokenizer == "sentencepiece" else {}
    output = tmp_path / "model"
    *_, finished = rnnlm.train(files["text"], output=output, tokenizer=tokenizer, **size, **TINY)
    assert opened == {"text.txt": 2 if tokenizer == "word" else 3}
    assert finished.results["valid"]["sentences"] == 5


def test_a_given_tokenizer_needs_one_reading(files, opened, tmp_path):
    output = tmp_path / "model"
    *_, finished = rnnlm.train(files["text"], output=output, tokenizer_from="demo", **TINY)
    assert opened == {"text.txt": 2}
    assert finished.results["valid"]["sentences"] == 5


def test_no_validation_or_test_line_is_encoded_twice(files, opened, tmp_path, monkeypatch):
    encoded = []
    encode = WordTokenizer.encode
    watched = lambda self, lines: encoded.extend(lines) or encode(self, lines)  # noqa: E731
    monkeypatch.setattr(WordTokenizer, "encode", watched)
    *_, finished = rnnlm.train(**files, output=tmp_path / "model", **TINY)
    assert opened == {"text.txt": 2, "valid.txt": 1, "test.txt": 1}
    lines = 20 * len(LINES)
    assert len(encoded) == 2 * lines  # the training text was encoded as it was read
    assert [result["sentences"] for result in finished.results.values()] == [lines] * 2

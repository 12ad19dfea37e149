"""A text that memory is not to hold is in a folder as long as it is needed."""

import numpy as np
import pytest

from rnnlm.storage.files import tensors
from rnnlm.text.corpus import Corpus
from rnnlm.text.lines import TextSettings, silent
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.tools.counting import counted_data
from rnnlm.tools.counting.counted_data import LimitedText, on_disk, text_to_count
from rnnlm.tools.counting.workers import WorkerOptions
from rnnlm.tools.prepared import preparation, prepared_text

LINES = ["the old dog sleeps", "a dog barked", "the old cat sleeps"] * 50


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(line + "\n" for line in LINES))
    return Corpus((str(path),))


def files_in(folder):
    """Return the files in a folder and those below it."""
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("is_read_once", [True, False])
def test_a_text_goes_on_disk_once_it_does_not_fit(corpus, temp, monkeypatch, is_read_once):
    settings = TokenizerSettings(lowercase=not is_read_once)

    def read(times):
        monkeypatch.setattr(counted_data, "TIMES_AT_MOST", times)
        arguments = (corpus, settings, "300M", str(temp), 0.2, WorkerOptions(), silent)
        return text_to_count(*arguments)

    # Whatever its words are, it fits; or only if they are usual, and it is read once.
    assert read(times=40) is corpus
    text = read(times=10**6)
    assert isinstance(text, LimitedText) == is_read_once
    assert bool(files_in(temp)) != is_read_once

    # Its first block is already too large.
    split = text.split(0.2)
    made, *parts = split.encode_once(settings)
    assert files_in(temp) and split.held_out == "20%"
    for part, expected in zip(parts, corpus.split(0.2).encode(made), strict=True):
        assert np.array_equal(np.asarray(part.ids), expected.ids)
        assert part.lines_hash == expected.lines_hash


@pytest.mark.parametrize("is_named", [False, True])
def test_a_text_vanishes_once_let_go(corpus, temp, is_named):
    # Temporary files go to one folder, whether the user has named it or the system.
    named = str(temp) if is_named else None
    text = on_disk(corpus, TokenizerSettings(), "300M", named, 0.2, silent)
    train, held_out = text.split(0.2).encode(text.tokenizer)
    assert files_in(temp)
    ids_T = np.asarray(train.ids)

    train.release(train.tokens)
    train.release(text.index.counts.tokens)
    assert files_in(temp) == []
    # What was read into memory stays.
    assert (train.tokens, held_out.sentences) == (len(ids_T), 30)
    assert len(np.asarray(held_out.ids)) == held_out.tokens

    # An interrupted run makes it again.
    again = on_disk(corpus, TokenizerSettings(), "300M", named, 0.2, silent)
    assert np.array_equal(np.asarray(again.split(0.2).encode(again.tokenizer)[0].ids), ids_T)


@pytest.mark.parametrize("blank_lines", ["skip", "documents"])
def test_a_copy_is_split_as_its_text_is(corpus, tmp_path, monkeypatch, blank_lines):
    lines = [line + "\n" * (1 + (number % 4 == 3)) for number, line in enumerate(LINES)]
    (tmp_path / "text.txt").write_text("".join(line + "\n" for line in lines))
    corpus = Corpus(corpus.sources, TextSettings(blank_lines=blank_lines))
    copy = on_disk(corpus, TokenizerSettings(), "300M", str(tmp_path / "temp"), 0.2, silent)
    expected = corpus.split(0.2).encode(copy.tokenizer)
    for text, other in zip(copy.split(0.2).encode(copy.tokenizer), expected, strict=True):
        assert np.array_equal(np.asarray(text.ids), np.asarray(other.ids))
        assert text.lines_hash == other.lines_hash

    # With the usual share, a long one is validated on its end alone, and trained on as before.
    monkeypatch.setattr(prepared_text, "MOST_HELD_OUT", 30)
    train, held_out = copy.split(0.2, is_chosen=False).encode(copy.tokenizer)
    assert train.lines_hash == expected[0].lines_hash
    assert 0 < held_out.tokens <= 30 < expected[1].tokens
    assert train.words == expected[0].words
    train.release(train.tokens)
    assert files_in(tmp_path / "temp") == []
    assert train.words == expected[0].words


def test_the_rest_of_a_text_stays(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "SMALL_SHARD_BYTES", 500)
    monkeypatch.setattr(tensors, "HELD_ITEMS", 20)
    text = on_disk(corpus, TokenizerSettings(), "300M", str(tmp_path / "temp"), 0.0, silent)
    train, _ = text.split(0.0).encode(text.tokenizer)
    whole_T = np.asarray(train.ids)
    [folder] = (tmp_path / "temp").glob("*/text")
    shards = len(list(folder.glob("*.safetensors")))

    # Read a part, let go of it, and read on.
    half = len(whole_T) // 2
    assert np.array_equal(train.ids[:half], whole_T[:half])
    train.release(half)
    assert len(list(folder.glob("*.safetensors"))) == pytest.approx(shards / 2, abs=1)
    assert np.array_equal(train.ids[half:], whole_T[half:])
    train.release(len(whole_T))
    assert not folder.exists()

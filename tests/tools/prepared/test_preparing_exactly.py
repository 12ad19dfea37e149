"""A text prepared in two passes and bounded memory, or with the vocabulary of a sample."""

import gzip
import re
import subprocess
import sys

import numpy as np
import pytest

import rnnlm
from rnnlm import system
from rnnlm.errors import OutputError, SettingsError, TextError, UsageError
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Corpus
from rnnlm.text.lines import TextSettings
from rnnlm.text.samples import sampling_method
from rnnlm.text.sources import SourceSettings
from rnnlm.text.tokenizer_settings import NewTokenizerSettings, TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import MemoryLimit
from rnnlm.tools.prepared import preparation, prepared_text
from rnnlm.tools.prepared.preparation import (
    CountingWords,
    Encoding,
    Prepared,
    ResourceLimits,
    Sampled,
    Sampling,
    prepare_exactly,
)
from rnnlm.tools.prepared.shards import RawPiece
from rnnlm.tools.prepared.tokenizer_sample import FileSample, even_stretches, learn, start_of

# Between two events, in seconds. Without a pause, whoever waits for them would take the processor
# from the threads that do the work.
SOON = 0.001


@pytest.fixture
def exactly(tmp_path, text, small_shards, monkeypatch):
    """Return a function that prepares `text` within limits of a few thousand bytes."""
    monkeypatch.setattr(preparation, "SMALL_SHARD_BYTES", 20_000)
    monkeypatch.setattr(preparation, "TICK_SECONDS", SOON)
    folder = tmp_path / "prepared"
    events = []

    def prepare(blank_lines="skip", source=text, threads=2, tokenizer=None, **given):
        limit = MemoryLimit(20_000, 10_000_000, folder, threads)
        limits = ResourceLimits(threads, 3_000, 1 << 20, limit)
        monkeypatch.setattr(preparation, "resource_limits", lambda *_: limits)
        events[:] = prepare_exactly(
            [str(source)], folder, text_settings=TextSettings(blank_lines=blank_lines),
            source_settings=SourceSettings(), memory=300_000_000,
            tokenizer=tokenizer or TokenizerSettings(), **given,
        )  # fmt: skip
        return prepared_text.load(folder)

    prepare.events = events
    return prepare


@pytest.mark.parametrize(("settings", "held_out"), [
    ({}, 0.2), ({"min_count": 2, "lowercase": True}, 0.0),
    ({"split_punctuation": True, "max_vocab": 500}, 0.2),
    ({"tokenizer": "char", "max_vocab": 30}, 0.0), ({"blank_lines": "documents"}, 0.2),
], ids=str)  # fmt: skip
def test_an_exact_vocabulary_is_that_of_training(exactly, text, settings, held_out):
    settings = dict(settings)
    blank_lines = settings.pop("blank_lines", "skip")
    made = TokenizerSettings(**settings)
    found = exactly(blank_lines, held_out=held_out, tokenizer=made)
    assert len(found.index.shards) > 2 and found.index.sample.how == "all"

    corpus = Corpus((str(text),), TextSettings(blank_lines=blank_lines))
    split = corpus.split(held_out)
    wanted = tokenizers.train(made, split.blocks())
    assert found.tokenizer.fingerprint == wanted.fingerprint
    assert np.array_equal(found.tokenizer.counts_V, wanted.counts_V)
    parts, expected = found.split(held_out).encode(wanted), split.encode(wanted)
    for one, other in zip(parts, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert np.array_equal(np.asarray(one.ids), other.ids)
            assert np.array_equal(np.asarray(one.oov), other.oov)


def test_events_report_both_passes(exactly):
    exactly()
    kinds = [type(event) for event in exactly.events]
    assert list(dict.fromkeys(kinds)) == [Sampling, CountingWords, Sampled, Encoding, Prepared]
    counted = [event.share for event in exactly.events if isinstance(event, CountingWords)]
    assert counted == sorted(counted) and 0 <= counted[0] and counted[-1] <= 1


def test_exact_work_resumes_with_other_memory(exactly, monkeypatch, tmp_path):
    unbroken = exactly().index
    for path in (tmp_path / "prepared").iterdir():
        path.unlink()
    add = preparation.add_shard

    def cut_off(folder, index, shard):
        if len(index.shards) == 2:
            raise KeyboardInterrupt
        return add(folder, index, shard)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(preparation, "add_shard", cut_off)
        exactly()
    assert exactly(threads=1).index == unbroken
    assert not any(isinstance(event, CountingWords) for event in exactly.events)
    with pytest.raises(OutputError, match="`held_out` was"):
        exactly(held_out=0.1)


def test_a_given_tokenizer_encodes_in_one_pass(exactly, text):
    given = tokenizers.train(TokenizerSettings(max_vocab=90), Corpus((str(text),)).blocks())
    found = exactly(tokenizer=given)
    assert found.tokenizer.fingerprint == given.fingerprint
    assert not any(isinstance(event, CountingWords) for event in exactly.events)
    assert np.array_equal(found.encode(given).ids, Corpus((str(text),)).encode(given).ids)


def test_a_sample_of_all_gives_every_word(tmp_path, text, prepared, stdin):
    prepared("exact", sample="all")
    exact = prepared_text.load(tmp_path / "exact")
    wanted = tokenizers.train(NewTokenizerSettings(), Corpus((str(text),)).blocks())
    assert exact.tokenizer.fingerprint == wanted.fingerprint and exact.index.counts.oov_tokens == 0
    assert exact.index.sample.how == "all"
    assert exact.index.sample.bytes == text.stat().st_size

    # Standard input cannot be read twice.
    stdin(text.read_bytes())
    with pytest.raises(UsageError, match="standard input can be read only once; .* reads it twice"):
        prepared("piped", source="-", sample="all")


def test_counting_ends_when_nobody_waits(tmp_path, text, small_shards, monkeypatch):
    monkeypatch.setattr(preparation, "TICK_SECONDS", SOON)
    monkeypatch.setattr(preparation, "pieces", lambda *given: iter(lambda: endless, None))
    endless = preparation.RawPiece("text", 1, True, b"the same\n")
    events = rnnlm.prepare(text, tmp_path / "prepared", sample="all")
    assert isinstance(next(events), Sampling) and isinstance(next(events), CountingWords)
    events.close()
    assert not (tmp_path / "prepared").exists()


def test_too_little_memory_is_refused(tmp_path, monkeypatch):
    with pytest.raises(SettingsError, match="memory = 200M is too little.*at least 300M are"):
        preparation.resource_limits(200_000_000, tmp_path)
    assert preparation.resource_limits(300_000_000, tmp_path).threads >= 1
    # A program that has loaded much needs more.
    monkeypatch.setattr(system, "private_bytes", lambda: 400_000_000)
    with pytest.raises(SettingsError, match="the program itself uses 400 MB") as raised:
        preparation.resource_limits(450_000_000, tmp_path)
    least = int(re.search(r"at least (\d+)M", raised.value.hint)[1]) + 1
    assert preparation.resource_limits(least * 10**6, tmp_path).threads >= 1


WITHIN = """
import sys, threading
from pathlib import Path
from rnnlm import system
from rnnlm.text.lines import TextSettings
from rnnlm.tools.prepared.preparation import prepare_exactly
from rnnlm.text.sources import SourceSettings
from rnnlm.text.tokenizer_settings import TokenizerSettings

text, folder, words, memory = *sys.argv[1:3], *map(int, sys.argv[3:])
with open(text, "w") as stream:
    for start in range(0, words, 20):
        line = (f"{number * 7919 % words:x}" for number in range(start, start + 20))
        stream.write(" ".join(line) + "\\n")

peak, is_done = 0, threading.Event()

def watch():
    global peak
    while not is_done.wait(0.02):
        peak = max(peak, system.private_bytes())

watcher = threading.Thread(target=watch)
watcher.start()
settings = TokenizerSettings(max_vocab=words // 100)
for event in prepare_exactly(
    [text], Path(folder), tokenizer=settings, text_settings=TextSettings(),
    source_settings=SourceSettings(), memory=memory,
):
    pass
is_done.set()
watcher.join()
print(peak, event.vocabulary_size, event.oov_words)
"""


@pytest.mark.soak
@pytest.mark.parametrize("words", [20_000_000])
def test_a_text_of_many_words_keeps_within_memory(tmp_path, words):
    arguments = [str(tmp_path / "text"), str(tmp_path / "prepared"), str(words), "300000000"]
    command = [sys.executable, "-c", WITHIN, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    peak, size, unknown = map(int, done.stdout.split())
    assert peak < 300_000_000 and size == words // 100 and unknown == words - size + 2


PLAIN = SourceSettings()


def numbered(tmp_path, name, first, count):
    path = tmp_path / name
    path.write_text("".join(f"{number:07d}\n" for number in range(first, first + count)))
    return str(path)


def test_sampling_depends_on_text_size_and_kind(tmp_path):
    name = numbered(tmp_path, "text.txt", 0, 1000)
    packed = tmp_path / "text.txt.gz"
    packed.write_bytes(gzip.compress(b"a b\n" * 2000))
    assert sampling_method([name], PLAIN, 8000) == "all"
    assert sampling_method([name], PLAIN, 7999) == "even"
    assert sampling_method([name, str(packed)], PLAIN, 7999) == "start"
    assert sampling_method([str(packed)], PLAIN, 10**9) == "start"
    assert sampling_method(["-"], PLAIN, 10**9) == "start"


def test_stretches_are_distinct_whole_lines_from_everywhere(tmp_path):
    names = [numbered(tmp_path, "a.txt", 0, 30_000), numbered(tmp_path, "b.txt", 30_000, 30_000)]
    lines = b"".join(data for _, data in even_stretches(names, 100_000)).decode().splitlines()
    numbers = [int(line) for line in lines]
    assert all(len(line) == 7 for line in lines) and numbers == sorted(set(numbers))
    assert 90_000 < 8 * len(lines) < 110_000
    for start in range(0, 60_000, 5_000):
        share = sum(start <= number < start + 5_000 for number in numbers) / len(numbers)
        assert 0.5 / 12 < share < 1.5 / 12


def test_many_small_files_fill_the_stretches_together(tmp_path):
    names = [numbered(tmp_path, f"{number}.txt", number * 10, 10) for number in range(200)]
    assert sum(len(data) for _, data in even_stretches(names, 8_000)) > 6_000


def test_the_start_is_cut_at_a_line_end():
    text = b"one\ntwo\n", b"three\nfour\n", b"five\n"
    pieces = [RawPiece("t", 2 * n + 1, n == 0, lines) for n, lines in enumerate(text)]
    for size, expected in ((15, b"one\ntwo\nthree\n"), (10**6, b"one\ntwo\nthree\nfour\nfive\n")):
        assert b"".join(piece.whole for piece in start_of(iter(pieces), size)) == expected


def test_compressed_text_is_sampled_from_its_start(tmp_path):
    packed = tmp_path / "text.txt.gz"
    packed.write_bytes(gzip.compress(b"".join(b"%07d\n" % number for number in range(1000))))
    (piece,) = FileSample([str(packed)], PLAIN, TextSettings(), "start", 100)
    assert piece.whole.splitlines()[0] == b"0000000" and len(piece.whole) == 96


def test_a_tokenizer_is_learned_from_pieces_with_notices():
    sample = [RawPiece("t", 1, True, b"the cat sat on the mat\n" * 20)] * 3
    settings = TokenizerSettings(tokenizer="sentencepiece", vocab_size=5000)
    found = learn(sample, TextSettings(), settings)
    assert found.size < 5000 and found.sample_bytes == sum(map(len, sample))
    assert tokenizers.load(found.settings, found.files).fingerprint == found.fingerprint
    assert any("has only" in notice for notice in found.notices)


def test_a_sample_yielding_no_tokenizer_is_an_error():
    tiny = TokenizerSettings(tokenizer="sentencepiece", vocab_size=5)
    with pytest.raises(SettingsError):
        learn([RawPiece("t", 1, True, b"the cat sat\n")], TextSettings(), tiny)
    with pytest.raises(TextError, match="t, line 7, byte 5"):
        learn([RawPiece("t", 7, False, b"bad \xff\n")], TextSettings(), TokenizerSettings())

"""What the vocabulary is made of: all of a text, stretches of it, or its start."""

import gzip

import pytest

from rnnlm.errors import SettingsError, TextError
from rnnlm.text import tokenizers
from rnnlm.text.lines import TextSettings
from rnnlm.text.prepared.shards import RawPiece
from rnnlm.text.prepared.tokenizer_sample import (
    FileSample,
    even_stretches,
    learn,
    sampling_method,
    start_of,
)
from rnnlm.text.sources import SourceSettings
from rnnlm.text.tokenizer_settings import TokenizerSettings

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
    lines = b"".join(piece.whole for piece in even_stretches(names, 100_000)).decode().splitlines()
    numbers = [int(line) for line in lines]
    assert all(len(line) == 7 for line in lines) and numbers == sorted(set(numbers))
    assert 90_000 < 8 * len(lines) < 110_000
    for start in range(0, 60_000, 5_000):
        share = sum(start <= number < start + 5_000 for number in numbers) / len(numbers)
        assert 0.5 / 12 < share < 1.5 / 12


def test_many_small_files_fill_the_stretches_together(tmp_path):
    names = [numbered(tmp_path, f"{number}.txt", number * 10, 10) for number in range(200)]
    assert sum(len(piece) for piece in even_stretches(names, 8_000)) > 6_000


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

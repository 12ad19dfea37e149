"""Word vectors from files, whole and damaged."""

import bz2
import gzip
import lzma
import time
import warnings

import numpy as np
import pytest
import torch
import zstandard

from rnnlm.errors import RnnlmWarning, SettingsError, TextError
from rnnlm.lm.neural.words import load_vectors
from rnnlm.text.vectors import read_vectors

SYMBOLS = ["</s>", "<unk>", "the", "cat", "m\u00e4t", "dog"]
GLOVE = "the 0.1 -0.2 3e-1\nzebra 7 7 7\nm\u00e4t 1 2 3\n"
WORD2VEC = "3 3\n</s> 0 0 0.5 \ndog -1 -2 -3 \nzebra 7 7 7 \n"  # word2vec ends each line in a space


def read(tmp_path, content, name="vectors.txt", width=3, symbols=SYMBOLS, **options):
    """Read vectors. Return them by symbol, and the notices."""
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RnnlmWarning)
        found = read_vectors(path, symbols, width, **options)
    assert found.ids_K.dtype == np.int64 and found.values_KE.dtype == np.float32
    assert found.values_KE.shape == (len(found.ids_K), width)
    rows = zip(found.ids_K, found.values_KE.astype(float).round(6), strict=True)
    vectors = {symbols[id]: value.tolist() for id, value in rows}
    return vectors, [str(warning.message) for warning in caught]


def failing(tmp_path, content, kind=TextError, **options):
    with pytest.raises(kind) as caught:
        read(tmp_path, content, **options)
    assert type(caught.value) is kind and "vectors.txt" in caught.value.what
    return str(caught.value)


def test_vectors_of_glove_and_of_word2vec(tmp_path):
    vectors, (notice,) = read(tmp_path, GLOVE)
    assert vectors == {"the": [0.1, -0.2, 0.3], "m\u00e4t": [1, 2, 3]}
    assert notice.endswith("vectors for 2 of 6 words (33.3%); the others start at random")
    assert read(tmp_path, WORD2VEC)[0] == {"</s>": [0, 0, 0.5], "dog": [-1, -2, -3]}
    _, (notice,) = read(tmp_path, "the 0.1 -0.2 0.3\nThe 1 2 3\n")
    assert "vectors for 1 of 6 words (16.7%); the others start at random, so that" in notice
    assert notice.endswith("its words may be written in another case (see `lowercase`)")


def test_vectors_land_in_their_rows_and_others_stay(tmp_path):
    (tmp_path / "v.txt").write_text(GLOVE, encoding="utf-8")
    with pytest.warns(RnnlmWarning):
        found = read_vectors(tmp_path / "v.txt", SYMBOLS, 3)
    weight_VE = torch.nn.Parameter(torch.full((6, 3), 9.0))
    load_vectors(weight_VE, found)
    expected = [[9, 9, 9], [9, 9, 9], [0.1, -0.2, 0.3], [9, 9, 9], [1, 2, 3], [9, 9, 9]]
    torch.testing.assert_close(weight_VE.detach(), torch.tensor(expected))
    assert weight_VE.requires_grad and weight_VE.grad_fn is None


@pytest.mark.parametrize(("suffix", "compress"), [
    (".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress),
    (".zst", zstandard.ZstdCompressor().compress),
])  # fmt: skip
def test_compressed_files_are_read(tmp_path, suffix, compress):
    packed, name = compress(GLOVE.encode()), f"vectors.txt{suffix}"
    assert read(tmp_path, packed, name)[0] == read(tmp_path, GLOVE)[0]
    with pytest.raises(TextError, match="vectors.txt"):
        read(tmp_path, packed[:-9], name)


@pytest.mark.parametrize("change", [("\n", "\r\n"), ("\n", " \n"), ("\n", "\n\n"), ("3\n", "3")])
def test_line_ends_do_not_matter(tmp_path, change):
    content = GLOVE.removesuffix("\n") + "\n"
    changed = content.replace(*change) if change[0] == "\n" else content.removesuffix("\n")
    assert read(tmp_path, changed)[0] == read(tmp_path, GLOVE)[0]


def test_repeated_words_and_words_with_spaces_are_left_out_with_a_notice(tmp_path):
    vectors, notices = read(tmp_path, "cat 1 1 1\ncat 2 2 2\nzebra 1 1 1\nzebra 2 2 2\ncat 3 3 3\n")
    assert vectors == {"cat": [1, 1, 1]}
    assert len(notices) == 2 and "2 lines with a word that occurred before" in notices[0]
    vectors, notices = read(tmp_path, "4 3\ncat 7 8 9\n  1 2 3\nmy cat 1 2 3\ndog 4 5 6\n")
    assert vectors["cat"] == [7, 8, 9]
    assert "2 words with spaces inside left out (first: line 3)" in notices[0]


@pytest.mark.parametrize("content, symbols, expected", [
    (". . . 1 2 3\nat name@domain.com 4 5 6\ncat 7 8 9\n", SYMBOLS, {"cat": [7, 8, 9]}),
    ("cat 7 8 9\n. . . 1 2 3\n", SYMBOLS, {"cat": [7, 8, 9]}),
    ("1984 1 2 3\n7 4 5 6\n", ["</s>", "<unk>", "7", "1984"], {"1984": [1, 2, 3], "7": [4, 5, 6]}),
])  # fmt: skip
def test_words_may_contain_spaces_or_be_numbers(tmp_path, content, symbols, expected):
    assert read(tmp_path, content, symbols=symbols)[0] == expected


def test_a_file_for_other_words_is_an_error(tmp_path):
    with pytest.raises(TextError, match="has no vector for any of the 6 words.*another case"):
        read(tmp_path, "The 1 2 3\nCAT 4 5 6\ncat\u00a0 4 5 6\n")


@pytest.mark.parametrize("content, line", [
    ("the 1 2 3 4 5\ncat 1 2 3 4 5\n", 1), ("2 5\nthe 1 2 3 4 5\n", 1), ("\nthe 1 2 3 4 5\n", 2),
])  # fmt: skip
@pytest.mark.parametrize("width", [3, 6])
def test_another_width_says_what_to_set(tmp_path, content, line, width):
    message = failing(tmp_path, content, SettingsError, width=width)
    assert f"line {line}: vectors of width 5" in message
    assert f"embedding_size is {width}" in message and "set embedding_size=5" in message


@pytest.mark.parametrize("word", ["cat", "zebra"])
@pytest.mark.parametrize("numbers, found", [
    ("1 2", 2), ("1", 1), ("", 0), ("1 2 3 4", 4), ("1 2 3 4 5 6 7", 7),
])  # fmt: skip
def test_a_line_of_wrong_width_is_named(tmp_path, word, numbers, found):
    lines = f"the 1 2 3\n{word} {numbers}\n"
    for line, content in ((2, lines), (3, f"2 3\n{lines}")):
        numbers = "1 number" if found == 1 else f"{found} numbers"
        assert f"line {line}: {numbers} instead of 3" in failing(tmp_path, content)


def test_bad_utf8_is_named_or_replaced(tmp_path):
    content = b"the 1 2 3\nc\xfft 1 2 3\n"
    assert "line 2, byte 2: not UTF-8" in failing(tmp_path, content)
    assert read(tmp_path, content, encoding_errors="replace")[0] == {"the": [1, 2, 3]}


def test_many_vectors_are_skipped_fast(tmp_path):
    line = " ".join(["", *["0.12345"] * 100, "\n"])
    (tmp_path / "v.txt").write_text("".join(f"word{number}{line}" for number in range(20_000)))
    began = time.process_time()
    with pytest.warns(RnnlmWarning, match="2 of 2 words"):
        found = read_vectors(tmp_path / "v.txt", ["word19999", "word7"], 100)
    assert found.ids_K.tolist() == [1, 0] and time.process_time() - began < 0.5

"""Tokens that are characters or bytes."""

import pytest
from hypothesis import given, strategies as st

from rnnlm.errors import ModelError
from rnnlm.text import tokenizers
from support.tiny_models import make_tokenizer

any_line = st.text(st.characters(codec="utf-8", exclude_characters="\n"))


def test_ids_of_characters():
    tokenizer = make_tokenizer(["abba a", "<unk>b"], tokenizer="char")
    assert tokenizer.symbols() == ["</s>", "<unk>", "a", "b", " "]
    assert tokenizer.counts_V.tolist() == [2, 1, 3, 3, 1]
    encoded = tokenizer.encode(["ab<unk>", "", "cä a"])
    assert encoded.ids.tolist() == [2, 3, 1, 0, 0, 1, 1, 4, 2, 0]
    assert encoded.offsets.tolist() == [0, 4, 5, 10]
    assert encoded.oov.tolist() == [5, 6]


def test_a_literal_unk_may_be_spelled():
    tokenizer = make_tokenizer(["<unk> x"], tokenizer="char", literal_unk="spell")
    assert tokenizer.counts_V[1] == 0 and set("<unk> x") == set(tokenizer.symbols()[2:])
    assert tokenizer.surface("<unk>") == [*"<unk>", "</s>"]
    assert tokenizer.fingerprint != make_tokenizer(["<unk> x"], tokenizer="char").fingerprint


def test_a_space_begins_a_word():
    tokenizer = make_tokenizer(["a b\tc\u00a0"], tokenizer="char")
    starts = dict(zip(tokenizer.symbols(), tokenizer.starts_word_V.tolist(), strict=True))
    assert {symbol for symbol, start in starts.items() if start} == {"</s>", " ", "\t"}


def test_rare_characters_are_unknown_and_text_is_lowercased():
    tokenizer = make_tokenizer(["aAAb"], tokenizer="char", lowercase=True, min_count=2)
    assert tokenizer.symbols() == ["</s>", "<unk>", "a"]
    assert tokenizer.surface("Ab<unk>") == ["a", "b", "<unk>", "</s>"]
    assert not tokenizer.keeps_case and not tokenizer.keeps_text


@pytest.mark.parametrize("literal_unk", ["symbol", "spell"])
@given(lines=st.lists(any_line, min_size=1, max_size=4))
def test_any_text_of_its_characters_comes_back(literal_unk, lines):
    lines = [*lines, "<unk> <unk"]
    tokenizer = make_tokenizer(lines, tokenizer="char", literal_unk=literal_unk)
    encoded = tokenizer.encode(lines)
    assert not len(encoded.oov)
    assert tokenizer.decode(encoded.ids) == "\n".join(lines)
    for line in lines:
        assert tokenizer.decode(tokenizer.encode([line]).ids) == line
        assert "".join(tokenizer.surface(line)[:-1]) == line


def test_a_vocabulary_of_longer_symbols_is_damaged():
    tokenizer = make_tokenizer(["a"], tokenizer="char")
    with pytest.raises(ModelError, match="not one character"):
        tokenizers.load(tokenizer.to_settings(), {"vocab.txt": b"1\t</s>\n0\t<unk>\n1\tab\n"})


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(["abä"], tokenizer="byte")


def test_ids_of_bytes(tokenizer):
    assert (tokenizer.size, tokenizer.boundary_id, tokenizer.unk_id) == (257, 0, None)
    encoded = tokenizer.encode(["aä", "", "<unk>"])
    unk = [byte + 1 for byte in b"<unk>"]
    assert encoded.ids.tolist() == [98, 0xC3 + 1, 0xA4 + 1, 0, 0, *unk, 0]
    assert encoded.offsets.tolist() == [0, 4, 5, 11] and not len(encoded.oov)
    assert tokenizer.counts_V[[0, 98, 99, 0xC4]].tolist() == [1, 1, 1, 1]
    assert tokenizer.counts_V.sum() == 5


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n")), min_size=1, max_size=4)
)
def test_any_text_comes_back(tokenizer, lines):
    encoded = tokenizer.encode(lines)
    assert tokenizer.decode(encoded.ids) == "\n".join(lines)
    for line in lines:
        assert tokenizer.decode(tokenizer.encode([line]).ids) == line


def test_bytes_outside_text_are_shown_as_bytes(tokenizer):
    assert tokenizer.decode([0xC3 + 1, 98, 0]) == "\ufffda"


def test_white_space_begins_a_word(tokenizer):
    starts = [id for id, start in enumerate(tokenizer.starts_word_V) if start]
    assert starts == [0, 0 + 1, 0x09 + 1, 0x0D + 1, 0x20 + 1]

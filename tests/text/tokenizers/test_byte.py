import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.tiny_models import make_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(["abä"], tokenizer="byte")


def test_ids_of_a_small_text(tokenizer):
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

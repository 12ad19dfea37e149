import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.errors import ModelError
from rnnlm.text.tokenizers.vocabulary import Vocabulary

symbols = st.lists(st.text(st.characters(codec="utf-8")) | st.text("\\tnr0\t\n\r\0"), unique=True)


@given(symbols, st.data())
def test_the_file_keeps_any_symbols_and_counts(symbols, data):
    min_size = len(symbols)
    counts = data.draw(st.lists(st.integers(0, 2**62), min_size=min_size, max_size=len(symbols)))
    stored = Vocabulary(tuple(symbols), np.array(counts, dtype=np.int64)).to_bytes()
    assert stored.count(b"\n") == len(symbols)
    again = Vocabulary.from_bytes(stored)
    assert again.symbols == tuple(symbols) and again.counts_V.tolist() == counts


def test_counts_that_are_not_known_stay_so():
    stored = Vocabulary(("</s>", "<unk>", "?"), None).to_bytes()
    assert stored == b"?\t</s>\n?\t<unk>\n?\t?\n"
    again = Vocabulary.from_bytes(stored)
    assert again.symbols == ("</s>", "<unk>", "?") and again.counts_V is None
    with pytest.raises(ModelError, match="the vocabulary is damaged"):
        Vocabulary.from_bytes(b"?\t</s>\n1\t<unk>\n")

"""Vocabularies, sentencepiece models, settings of tokenizers: a tokenizer that works, or an
RnnlmError."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.errors import RnnlmError
from rnnlm.text import tokenizers
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import Vocabulary
from support.odd_inputs import damaged, odd_json, odd_numbers, odd_text, quiet, value_or_error
from support.tiny_models import make_tokenizer

VOCABULARY = Vocabulary(
    ("</s>", "<unk>", "the", "a\tb\\", "\n", "\u00e9"), np.array([3, 0, 2, 1, 1, 1])
)
counts = st.sampled_from([0, 1, -1, 2**63 - 1]) | st.integers(0, 99)


@given(
    st.one_of(
        damaged(VOCABULARY.to_bytes(), Vocabulary(VOCABULARY.symbols, None).to_bytes()),
        st.lists(
            st.builds(
                lambda count, symbol: f"{count}\t{symbol}\n",
                odd_numbers | counts.map(str) | st.just("?"),
                odd_text,
            ),
            max_size=4,
        ).map(
            lambda lines: "".join(["1\t</s>\n1\t<unk>\n", *lines]).encode("utf-8", "surrogatepass")
        ),
    )
)
def test_any_vocabulary(data):
    vocabulary = value_or_error(lambda: Vocabulary.from_bytes(data))
    if not isinstance(vocabulary, RnnlmError):
        assert Vocabulary.from_bytes(vocabulary.to_bytes()).symbols == vocabulary.symbols
    for name in ("word", "char"):
        tokenizer = value_or_error(
            lambda name=name: tokenizers.load({"tokenizer": name}, {"vocab.txt": data})
        )
        if not isinstance(tokenizer, RnnlmError):
            value_or_error(
                lambda tokenizer=tokenizer: tokenizer.encode(["the cat \u00e9", "", "<unk>"])
            )


@pytest.fixture(scope="module")
def sentencepiece_files():
    with quiet():
        return make_tokenizer(
            ["the cat sat on the mat", "a dog"] * 3, tokenizer="sentencepiece", vocab_size=300
        ).to_files()


@given(st.data())
def test_a_damaged_sentencepiece_model(sentencepiece_files, data):
    files = {**sentencepiece_files}
    name = data.draw(st.sampled_from(sorted(files)))
    files[name] = data.draw(damaged(files[name]))
    tokenizer = value_or_error(lambda: tokenizers.load({"tokenizer": "sentencepiece"}, files))
    if not isinstance(tokenizer, RnnlmError):
        encoded = value_or_error(lambda: tokenizer.encode(["the cat \u2581 <unk> \u65e5", ""]))
        if not isinstance(encoded, RnnlmError):
            assert encoded.ids.min() >= 0 and encoded.ids.max() < tokenizer.size
            value_or_error(lambda: tokenizer.decode(encoded.ids))


@given(
    st.dictionaries(
        st.sampled_from(sorted(TokenizerSettings.__dataclass_fields__)), odd_json, max_size=3
    )
)
def test_any_settings_of_a_tokenizer(settings):
    value_or_error(lambda: tokenizers.load(settings, {"vocab.txt": VOCABULARY.to_bytes()}))

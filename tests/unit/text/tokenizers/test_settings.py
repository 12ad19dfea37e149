import warnings

import pytest

from rnnlm.errors import RnnlmWarning, SettingsError
from rnnlm.text import tokenizers
from support.tiny_models import LINES, make_tokenizer


@pytest.mark.parametrize("tokenizer", ["sentencepiece", "byte"])
@pytest.mark.parametrize("limits", [{"min_count": 2}, {"max_vocab": 50}, {"min_count": 2, "max_vocab": 50}])
def test_limits_that_a_tokenizer_does_not_have_are_refused(tokenizer, limits):
    with pytest.raises(SettingsError, match=f"^{' and '.join(limits)}: not for the {tokenizer} tokenizer"):
        make_tokenizer(tokenizer=tokenizer, **limits)


def test_a_stored_tokenizer_with_limits_that_had_no_effect_loads():
    tokenizer = make_tokenizer(tokenizer="byte")
    loaded = tokenizers.load({**tokenizer.to_settings(), "min_count": 5}, tokenizer.to_files())
    assert loaded.fingerprint == tokenizer.fingerprint and loaded.to_settings()["min_count"] == 5


@pytest.mark.parametrize("tokenizer", ["word", "char"])
def test_a_vocabulary_of_special_symbols_alone_is_told(tokenizer):
    with pytest.warns(RnnlmWarning, match="</s> and <unk> alone \\(min_count = 100,000\\)"):
        assert make_tokenizer(tokenizer=tokenizer, min_count=100_000).size == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert make_tokenizer(["a a b"], tokenizer=tokenizer, min_count=2).size > 2
        make_tokenizer([])  # no text: that is an error elsewhere


def test_a_text_of_unk_alone_leaves_no_word_either():
    with pytest.warns(RnnlmWarning, match="alone"):
        make_tokenizer(["<unk> <unk>"])
    assert make_tokenizer(LINES).size > 2

import pytest

from rnnlm.errors import UsageError
from rnnlm.evaluation.labels import LabelSignature
from rnnlm.evaluation.translation import TranslationSettings, TranslationSignature

PARTS = {
    "data": "77d05c1b9f3e",
    "beam": "5",
    "length_power": "1.0",
    "max_length": "2x+10",
    "model": "1f0c8d2a4b6e",
}
BLEU = TranslationSignature.of("bleu", TranslationSettings(lowercase=True), **PARTS)
RATE = TranslationSignature.of("symbol_error_rate", TranslationSettings(spelled=True), data="77d0")


def test_signature_states_counting_and_decoding():
    decoding = "beam:5|length_power:1.0|max_length:2x+10"
    assert str(BLEU) == f"bleu|case:lower|tok:13a|data:77d05c1b9f3e|{decoding}|model:1f0c8d2a4b6e"
    assert str(RATE) == "symbol_error_rate|case:kept|units:spelled|data:77d0"


@pytest.mark.parametrize("signature", [BLEU, RATE])
def test_it_is_read_back(signature):
    assert TranslationSignature.parse(str(signature)) == signature


def test_figures_compare_despite_different_models_and_decoding():
    parts = PARTS | {"beam": "1", "max_length": "1x+10", "model": "another"}
    assert (
        BLEU.differing(
            TranslationSignature.of("bleu", TranslationSettings(lowercase=True), **parts)
        )
        == []
    )
    assert BLEU.differing(
        TranslationSignature.of("bleu", TranslationSettings(bleu_tokenizer="intl"), **parts)
    ) == ["case", "tok"]


def test_a_signature_of_labels_is_none_of_translations():
    with pytest.raises(UsageError, match="not a signature of translations"):
        TranslationSignature.parse(str(LabelSignature("f1", scheme="bio")))

import pytest

from rnnlm.errors import UsageError
from rnnlm.evaluation.labels import LabelSignature

SPANS = LabelSignature(
    "f1", mode="conlleval", scheme="bio", data="77d05c1b9f3e", model="1f0c8d2a4b6e"
)


def test_signature_states_what_was_counted_and_how():
    assert str(SPANS) == "f1|mode:conlleval|scheme:bio|data:77d05c1b9f3e|model:1f0c8d2a4b6e"
    assert (
        str(LabelSignature("accuracy", column="upos", data="77d0", model="1f0c"))
        == "accuracy|column:upos|data:77d0|model:1f0c"
    )


@pytest.mark.parametrize(
    "signature",
    [SPANS, LabelSignature("accuracy"), LabelSignature("f1", column="a|b:c%7C", data="1")],
)
def test_it_is_read_back(signature):
    assert LabelSignature.parse(str(signature)) == signature


def test_figures_compare_that_differ_by_the_model_alone():
    assert (
        SPANS.differing(
            LabelSignature(
                "f1", mode="conlleval", scheme="bio", data="77d05c1b9f3e", model="another"
            )
        )
        == []
    )
    assert SPANS.differing(
        LabelSignature("f1", mode="strict", scheme="bio", data="0", model="1f0c8d2a4b6e")
    ) == ["mode", "data"]


@pytest.mark.parametrize("text", ["", "f1|who:me", "rnnlm:0.1|data:77d05c1b9f3e"])
def test_what_is_no_signature_is_an_error(text):
    with pytest.raises(UsageError, match="not a signature of labels"):
        LabelSignature.parse(text)

import pytest

from rnnlm.errors import UsageError
from rnnlm.evaluation.perplexity import Signature, sign
from rnnlm.tasks.labelling.evaluation.label_metrics import LabelSignature
from rnnlm.tasks.seq2seq.evaluation.translation import TranslationSettings, TranslationSignature
from rnnlm.text.encoding import LinesHash
from rnnlm.text.lines import TextSettings
from rnnlm.tools.mixtures.adapted_model import UnigramCacheSettings
from rnnlm.tools.mixtures.mixture import Mixture
from rnnlm.tools.mixtures.unigram_cache import UnigramCache
from support.tiny_models import LINES, Lines, fit

pytestmark = pytest.mark.needs("tasks/labelling", "tasks/seq2seq", "tools/mixtures")


@pytest.fixture(scope="module")
def unigram():
    return fit("unigram")


def signature(model, lines=LINES, context="carry", **settings) -> Signature:
    encoded = Lines(lines, settings=TextSettings(**settings)).encode(model.tokenizer)
    return sign(model, encoded, context)


def test_it_says_what_was_measured_and_how_and_is_read_back(unigram):
    tokenizer = unigram.tokenizer
    expected = LinesHash()
    expected.update(LINES)
    assert str(signature(unigram)) == (
        f"rnnlm:0.1|data:{expected.hexdigest()}|tok:word:{tokenizer.fingerprint},V={tokenizer.size}|case:kept|ctx:carry"
        "|blank:skip|unk:literal|eos:yes|prec:fp64|adapt:none|model:unsaved"
    )
    usual = signature(unigram)
    assert Signature.parse(str(usual)) == usual


def changed(one: Signature, other: Signature) -> set[str]:
    return {name for name, value in vars(one).items() if value != vars(other)[name]}


def test_each_part_changes_with_what_it_stands_for(unigram):
    usual = signature(unigram)
    assert changed(usual, signature(unigram)) == set()
    assert changed(usual, signature(unigram, context="reset")) == {"ctx"}
    assert changed(usual, signature(unigram, blank_lines="keep")) == {"blank"}
    assert changed(usual, signature(unigram, LINES[::-1])) == {"data"}
    assert changed(usual, signature(unigram, unwrap=True)) == {"unwrap"}
    assert changed(usual, signature(fit("unigram", lowercase=True))) == {"tok", "case"}
    assert changed(usual, signature(fit("unigram", tokenizer="char"))) == {"tok"}
    found = changed(usual, signature(fit("unigram", tokenizer="char", literal_unk="spell")))
    assert found == {"tok", "unk"}
    assert changed(usual, signature(fit("lstm"))) == {"prec"}


def test_line_borders_count_in_the_hash():
    def hashed(*blocks: list[str]) -> str:
        result = LinesHash()
        for block in blocks:
            result.update(block)
        return result.hexdigest()

    assert hashed(["a", "b"], ["c"]) == hashed(["a"], ["b", "c"])
    assert len({hashed(["a", "b"]), hashed(["a b"]), hashed(["ab"]), hashed(["a", "b", ""])}) == 4
    assert len(hashed(["a"])) == 12


def test_it_names_adaptations_wherever_they_are_at_work():
    ngram = fit("ngram")
    cache = UnigramCache(ngram, UnigramCacheSettings(7, 0.25))
    assert signature(cache).adapt == "unigram(tokens=7,weight=0.25)"
    found = signature(UnigramCache(cache, UnigramCacheSettings(9, 0.5))).adapt
    assert found == "unigram(tokens=7,weight=0.25)+unigram(tokens=9,weight=0.5)"
    assert signature(Mixture([cache, ngram], [0.5, 0.5])).adapt == "unigram(tokens=7,weight=0.25)"
    assert signature(Mixture([cache, ngram], [0.0, 1.0])).adapt == "none"


# ---- Of every task.

SPANS = LabelSignature("f1", mode="conlleval", scheme="bio", data="77d0", model="1f0c")
DECODING = {"beam": "5", "length_power": "1.0", "max_length": "2x+10"}
LOWERING = TranslationSettings(lowercase=True)
BLEU = TranslationSignature.of("bleu", LOWERING, data="77d0", **DECODING, model="1f0c")
RATE = TranslationSignature.of("symbol_error_rate", TranslationSettings(spelled=True), data="77d0")
OF_TASKS = {
    SPANS: "f1|mode:conlleval|scheme:bio|data:77d0|model:1f0c",
    LabelSignature("accuracy", column="upos", data="1"): "accuracy|column:upos|data:1",
    LabelSignature("f1", column="a|b:c%7C"): "f1|column:a%7Cb%3Ac%257C",
    BLEU: "bleu|case:lower|tok:13a|data:77d0|beam:5|length_power:1.0|max_length:2x+10|model:1f0c",
    RATE: "symbol_error_rate|case:kept|units:spelled|data:77d0",
}


@pytest.mark.parametrize("signature", OF_TASKS, ids=str)
def test_signatures_of_tasks_state_what_was_counted(signature):
    assert str(signature) == OF_TASKS[signature]


@pytest.mark.parametrize("text", ["", "rnnlm:0.1", "snnlm:0.1|data:0", "data"])
def test_anything_else_is_no_signature(text):
    with pytest.raises(UsageError, match="not a signature"):
        Signature.parse(text)

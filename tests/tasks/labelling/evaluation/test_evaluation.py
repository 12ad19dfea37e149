"""Models of labels evaluated and compared from Python, and data read for that."""

import dataclasses

import pytest

import rnnlm
from rnnlm.errors import ComparisonError, RnnlmError, RnnlmWarning, UsageError
from rnnlm.evaluation.evaluate import evaluate
from rnnlm.scoring.generation.drawing import generate
from rnnlm.scoring.generation.search import likeliest, next_words
from rnnlm.tasks.labelling.data import EDIT, SOUNDS, WORD, Codec, column_of
from rnnlm.tasks.labelling.evaluation import evaluation
from rnnlm.tasks.labelling.evaluation.evaluation_data import labelled_data
from rnnlm.tasks.labelling.evaluation.label_metrics import Predictions, report
from rnnlm.tasks.labelling.formats.example import Example, LabelledText
from rnnlm.tasks.labelling.model import predict
from rnnlm.tools.mixtures.adaptation import adapt
from rnnlm.tools.pairs.scoring import score_pairs
from support.tiny_models import make_tokenizer
from support.tiny_tasks import VALID, fit, labelled

LETTERS = [("box", "B AA K S"), ("ox", "AA K S"), ("ax", "AE K S")]


def pairs(rows):
    examples = tuple(
        Example(tuple(word), (tuple(sounds.split()),), (), line, "memory")
        for line, (word, sounds) in enumerate(rows, start=1)
    )
    return LabelledText(examples, ("sounds",), (), "tsv", {"sounds": "none"})


@pytest.fixture(scope="module")
def model():
    return fit("tagging", "lstm")


def test_metrics_are_those_of_the_predictions(model):
    text = labelled(VALID, "tagging")
    found = evaluate(model, text)
    found_labels = predict(model, [example.words for example in text.examples])
    predicted = [each[0].best[0].labels for each in found_labels]
    gold = [example.word_labels[0] for example in text.examples]
    expected = report(Predictions("word", gold, predicted, "slots", "bio"))
    its = found.columns[0]
    assert (its.f1, its.accuracy) == (expected.f1, expected.accuracy)
    assert its.by_type == expected.by_type
    assert found.to_dict()["columns"][0]["signature"] == found.signature
    assert "predictions" not in found.to_dict()


def test_stored_figures_of_another_form_are_an_error(model):
    found = evaluate(model, labelled(VALID, "tagging"))
    stored = found.to_dict()
    stored["columns"][0]["signature"] = True
    with pytest.raises(AttributeError, match="no attribute .partition"):
        print(type(found).from_dict(stored).metrics)


def test_named_and_loaded_models_answer_alike(tagger):
    named = evaluate(tagger.folder, tagger.valid)
    loaded = evaluate(rnnlm.load(tagger.folder, "cpu"), [str(tagger.valid)])
    assert dataclasses.replace(loaded, seconds=named.seconds) == named
    compared = rnnlm.compare([tagger.folder, tagger.folder], tagger.valid, names=["a", "b"])
    differences = {(each.column, each.metric): each.difference for each in compared.differences}
    assert differences["2", "f1"] == 0


def test_labels_never_learned_are_named_and_count_as_wrong():
    """Of letters that become sounds: one symbol of at most two sounds for each letter."""
    rows = [(("B", "AA", "K+S"), tuple("box")), (("AE", "K+S"), tuple("ax"))]
    column = column_of("sounds", WORD, rows, "none", "none", SOUNDS)
    speller = Codec(make_tokenizer(["b o x a"]), [column])
    told = "memory: 1 of 4 words need more than 2 sounds per letter; they count as wrong"
    with pytest.warns(RnnlmWarning, match=told):
        data = labelled_data(speller, pairs([*LETTERS, ("b", "B AA K")]), "memory")
    assert (data.labels[0] == -1).all() and data.examples[3].word_labels == (("B", "AA", "K"),)
    told = "memory: 3 of the labels do not occur in the training data; they count as wrong: "
    with pytest.warns(RnnlmWarning, match=rf"{told}'IY' \(2\), 'ZH' \(1\)"):
        labelled_data(speller, pairs([("bb", "IY ZH"), ("b", "IY")]), "memory")
    told = "memory: 1 of the labels does not occur in the training data; it counts as wrong: 'IY'"
    with pytest.warns(RnnlmWarning, match=told):
        labelled_data(speller, pairs([("b", "IY")]), "memory")


def test_no_lemma_counts_as_unseen(recwarn):
    column = column_of("lemma", WORD, [(("go",), ("goes",))], "none", "none", EDIT)
    example = Example(("does",), (("do",),), (), 1, "memory")
    text = LabelledText((example,), ("lemma",), (), "conllu", {"lemma": "none"})
    codec = Codec(make_tokenizer(["goes"]), [column])
    assert labelled_data(codec, text, "memory").labels[0].tolist() == [0]
    assert not recwarn.list


def test_unknown_labels_have_no_loss_and_other_columns_are_refused(model):
    rows = [(words, ["B-other"] * len(words), intent) for words, _, intent in VALID]
    with pytest.warns(RnnlmWarning, match="'B-other'"):
        found = evaluate(model, labelled(rows, "tagging"))
    assert found.loss_nats is None and found.columns[0].accuracy == 0
    with pytest.raises(UsageError, match="the data has slots, intent; the model predicts slots"):
        evaluate(model, labelled(VALID, "tagging", both=True))


def test_settings_of_language_and_label_models_are_distinguished(model, tagger):
    text = labelled(VALID, "tagging")
    for name, value in (("context", "carry"), ("progress", print), ("target", ["x"])):
        with pytest.raises(UsageError, match=f"{name}= needs .*; this is a tagger"):
            evaluate(model, text, **{name: value})
    with pytest.raises(UsageError, match="reading= needs a tagger or a classifier"):
        evaluate("demo", "none", reading={"column": "x"})
    with pytest.raises(UsageError, match="contxt= is no option of a tagger"):
        rnnlm.Model(model).evaluate(text, contxt="reset")
    assert evaluate(model, text, context=None) is not None  # None is the usual value
    with pytest.raises(UsageError, match="train= needs a language model"):
        rnnlm.compare([model, model], text, train="none", names=["a", "b"])
    with pytest.raises(UsageError, match="top: settings for comparing language models only"):
        rnnlm.compare([model, model], text, settings=rnnlm.ComparisonSettings(top=3))
    with pytest.raises(ComparisonError, match="tagging is a tagger"):
        rnnlm.compare(["demo", tagger.folder], "none")
    with pytest.raises(UsageError, match="no data to evaluate on"):
        evaluate(tagger.folder)


@pytest.mark.parametrize("ask", [
    lambda model: list(generate(model)), lambda model: adapt(model, "cache"),
    lambda model: next_words(model, "go"), lambda model: likeliest(model),
    lambda model: score_pairs(model, []), lambda model: rnnlm.mix([model, "demo"], "none"),
])  # fmt: skip
def test_language_model_functions_name_other_kinds_of_model(tagger, ask):
    what = r"is (not a language model; it is )?a tagger; (rnnlm \w+ needs .*)?rnnlm tag -m"
    for model in (rnnlm.load(tagger.folder, "cpu"), str(tagger.folder)):
        with pytest.raises(RnnlmError, match=what):
            ask(model)


def test_a_model_swayed_by_company_fails_its_check(model, monkeypatch):
    assert {check.name: check.result for check in evaluation.checks(model, 4, 0)}["padding"] == "ok"

    def disturbed(of, texts, search):
        found, by = predict(of, texts, search), 1e-3 * (len(texts) > 1)
        return [(dataclasses.replace(each[0], p_TK=each[0].p_TK + by),) for each in found]

    monkeypatch.setattr(evaluation, "predict", disturbed)
    results = {check.name: check.result for check in evaluation.checks(model, 4, 0)}
    assert results["padding"] == "failed" and results["sums"] == "failed"

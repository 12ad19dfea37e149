"""Sentences tagged from Python: raw text, word lists, n best, lemmas and sounds."""

import dataclasses
import itertools

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import ArgumentTypeError, UsageError
from rnnlm.tasks.common import text_files
from rnnlm.tasks.labelling import tagging
from rnnlm.tasks.labelling.data import EDIT, WORD, LabelColumn
from rnnlm.tasks.labelling.files import labelled_rows
from rnnlm.tasks.labelling.formats import edit_scripts
from rnnlm.tasks.labelling.tagging import ClassifiedText, LabelledNode, classify, tag
from support import tiny_tasks
from support.tiny_tasks import VALID

WORDS = [words for words, _, _ in VALID]


def test_raw_text_and_word_lists_get_learned_labels_in_any_company_or_order(tagger):
    model = rnnlm.load(tagger.folder)
    [found] = tag(model, ["fly me to new york at noon"])
    assert found.labels == {"2": ("O", "O", "O", "B-place", "I-place", "O", "B-time")}
    assert found.text == "fly me to new york at noon"
    assert tag(model, [found.words])[0].labels == found.labels
    assert tag(str(tagger.folder), [found.text]) == [found]
    [found] = tag(tagger.folder, ["fly me, please!"])
    assert found.words == ("fly", "me,", "please!")
    alone = [tag(model, [words])[0] for words in WORDS]
    times = text_files.WINDOW // len(WORDS) + 1
    together = tag(model, [[], *WORDS * times, []])
    assert [each.labels for each in together[1:-1]] == [each.labels for each in alone] * times
    assert together[0].words == together[-1].words == () and together[0].labels == {"2": ()}


def test_a_treebank_tagger_gives_lemmas(treebank_tagger):
    [found] = tag(treebank_tagger, ["They do n't like warm songs ."])
    assert found.labels["upos"] == ("PRON", "AUX", "PART", "VERB", "ADJ", "NOUN", "PUNCT")
    assert found.labels["lemma"] == ("they", "do", "not", "like", "warm", "songs", ".")


def test_n_best_and_marginals_are_probabilities_of_original_labels(slot_tagger):
    model = rnnlm.load(slot_tagger.folder)
    [found], [best] = tag(model, WORDS[:1], nbest=5), tag(model, WORDS[:1])
    logprobs = [each.logprob_nats for each in found.nbest["slots"]]
    assert logprobs == sorted(logprobs, reverse=True)
    assert len({each.labels for each in found.nbest["slots"]}) == 5
    assert sum(each.probability for each in found.nbest["slots"]) <= 1 + 1e-6
    assert found.labels == best.labels == {"slots": found.nbest["slots"][0].labels}
    intents = found.sentence_probabilities["intent"]
    assert next(iter(intents)) == found.sentence_labels["intent"] == VALID[0][2]
    assert sum(intents.values()) == pytest.approx(1, abs=1e-5)
    for found in tag(slot_tagger.folder, WORDS, probabilities=True):
        pairs = zip(found.labels["slots"], found.probabilities["slots"], strict=True)
        for label, probabilities in pairs:
            # inside the CRF they are BIOES
            assert set(probabilities) <= {"O", "B-place", "I-place", "B-time", "I-time"}
            assert sum(probabilities.values()) == pytest.approx(1, abs=0.02)
            assert label in probabilities
            assert list(probabilities.values()) == sorted(probabilities.values(), reverse=True)


def test_probabilities_are_of_labels_and_lemmas_as_written():
    column = LabelColumn("ner", WORD, ("O", "B-X", "I-X", "E-X", "S-X"), "iob1", "bioes")
    p_TK = np.array([[0, 0, 0, 0, 1], [0.1, 0.2, 0.3, 0, 0.4]])
    first, second = tagging.of_words(column, p_TK, ["a", "b"], ["I-X", "B-X"])
    assert first == {"I-X": 1.0} and second == pytest.approx({"B-X": 0.6, "I-X": 0.3, "O": 0.1})
    scripts = (edit_scripts.script("cats", "cat"), edit_scripts.script("cat", "cat"))
    column = LabelColumn("lemma", WORD, scripts, form=EDIT)
    [found] = tagging.of_words(column, np.array([[0.6, 0.3995]]), ["as"], ["a"])
    assert found == pytest.approx({"a": 0.6, "as": 0.3995})
    same = LabelColumn("lemma", WORD, (scripts[1], edit_scripts.script("Cat", "cat")), form=EDIT)
    assert tagging.of_words(same, np.array([[0.75, 0.25]]), ["it"], ["it"]) == ({"it": 1.0},)


def test_words_are_read_by_letter_and_sounds_joined(pronouncer):
    found = tag(pronouncer, ["sheep", "TAX", ["s", "h", "a", "t"]])
    expected = [("SH", "IY", "P"), ("T", "AE", "K", "S"), ("SH", "AE", "T")]
    assert [each.labels["label"] for each in found] == expected
    # the case that the model knows
    assert found[0].words == tuple("sheep") and found[1].words == tuple("tax")
    # as training data have it
    assert tag(pronouncer, ["s h e e p"])[0].labels == found[0].labels


def test_pronunciations_differ_and_add_up_their_alignments(pronouncer):
    [found] = tag(pronouncer, ["sheep"], nbest=3)
    several = found.nbest["label"]
    assert len({each.labels for each in several}) == len(several) == 3
    assert several[0].labels == found.labels["label"]
    [one] = tag(pronouncer, ["sheep"])
    assert one.labels == found.labels
    assert one.nbest["label"][0].probability <= several[0].probability <= 1
    # However many are asked for, a pronunciation has one probability, alone if it is shown.
    p_of = {answer.labels: answer.probability for answer in several}
    for n in (1, 2, 20):
        [other] = tag(pronouncer, ["sheep"], nbest=n, probabilities=True)
        shared = [answer for answer in other.nbest["label"] if answer.labels in p_of]
        assert len(shared) == min(n, 3)
        for answer in shared:
            assert answer.probability == pytest.approx(p_of[answer.labels], rel=1e-5)


def test_n_best_are_written_differently_without_constraints(tagger, treebank_tagger):
    free = rnnlm.load(tagger.folder)
    network = free.core.network
    network.settings = dataclasses.replace(network.settings, constrained=False)
    for model, column in ((free, "2"), (treebank_tagger, "lemma")):
        [found] = tag(model, ["like york cats"], nbest=12)
        assert 6 < len(found.nbest[column]) == len({each.labels for each in found.nbest[column]})


def test_what_makes_no_sense_is_said(tagger, classifier, pronouncer, models):
    model = rnnlm.load(tagger.folder)
    with pytest.raises(ArgumentTypeError, match="sentences must be a list, not a str"):
        tag(model, "fly me")
    with pytest.raises(UsageError, match="is a classifier"):
        tag(classifier.folder, ["fly me"])
    with pytest.raises(UsageError, match="is a language model"):
        tag(rnnlm.load(models.unigram), ["fly me"])
    with pytest.raises(UsageError, match=r"sentences\[1\] has 2 words"):
        tag(pronouncer, ["tap", "tap tap"])
    with pytest.raises(UsageError, match="is a tagger") as raised:
        classify(rnnlm.load(tagger.folder), ["fly me"])
    assert "rnnlm tag" in raised.value.hint


# ---- Texts classified from Python.


def test_texts_get_one_or_several_learned_labels_with_probabilities(classifier):
    found = classify(classifier.folder, [*map(" ".join, WORDS), WORDS[0], " "])
    expected = [*(intent for _, _, intent in VALID), VALID[0][2], None]
    assert [each.label for each in found] == expected
    for each in found[:-1]:
        probabilities = each.probabilities["label"]
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert max(probabilities, key=probabilities.__getitem__) == each.label
    assert found[-1].labels == found[-1].probabilities == {} and found[-2].text is None
    expected = pytest.approx(found[0].probabilities["label"], abs=1e-5)
    assert found[-2].probabilities["label"] == expected
    model = tiny_tasks.fit("classification", "bag", form="multi", multi_label=True)
    [found] = classify(model, ["fly me to oslo"])
    assert set(found.probabilities["intent"]) == {"fare", "flight"}
    expected = {name for name, p in found.probabilities["intent"].items() if p >= 0.5}
    assert set(filter(None, found.labels["intent"].split("|"))) == expected


def test_a_row_keeps_its_columns_and_gains_predictions():
    found = ClassifiedText("a", ("a",), {"label": "x|y"}, {"label": {"x": 0.9, "y": 0.6, "z": 0.1}})
    tree = {"label": [LabelledNode(0, 1, -1, 0, "x", 0.9)]}
    owns = ["label", "label_probability", "node", "rank", "reason", "predicted_label"]
    for own, top, nodes in itertools.product(owns, [None, 1], [tree, {}]):
        asked = dataclasses.replace(found, nodes=nodes), ["label"], top, True, bool(nodes)
        [row], [usual] = labelled_rows({own: "gold"}, *asked), labelled_rows({}, *asked)
        assert row[own] == "gold" and [*row.values()] == ["gold", *usual.values()]
        assert ("predicted_label" in row) == own.endswith(("label", "label_probability"))
        assert [name for name in usual if "reason" in name] == ["reason"]
    rows = list(labelled_rows({"text": "a"}, found, ["label"], 9))
    expected = [(1, "x", 0.9), (2, "y", 0.6), (3, "z", 0.1)]
    assert [(row["rank"], row["label"], row["label_probability"]) for row in rows] == expected

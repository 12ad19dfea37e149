import math
import warnings
from dataclasses import replace

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import RnnlmWarning, TextError, UsageError
from rnnlm.tools.rescoring.features import feature_table
from rnnlm.tools.rescoring.nbest import Hypothesis, Utterance
from rnnlm.tools.rescoring.settings import TextMapping
from support.tiny_models import fit, halves_model


@pytest.fixture
def halves():
    return halves_model()


def utterance(*texts: str) -> Utterance:
    ranked = enumerate(texts, start=1)
    made = (Hypothesis(text, -float(rank), f"list, line {rank}") for rank, text in ranked)
    return Utterance("u", tuple(made))


@pytest.mark.parametrize(("settings", "text", "mapped"), [
    ({}, "It's  GOOD,\tisn't it?", "It's GOOD, isn't it?"),
    ({"lowercase": True}, "It's GOOD, isn't it?", "it's good, isn't it?"),
    ({"lowercase": True}, "\u00c4RGER A\nB", "\u00e4rger a b"),
    ({"remove_punctuation": True}, "\"It's GOOD\", isn\u2019t it? 'Well-known' dogs' ($5)",
     "It's GOOD isn't it Well known dogs 5"),
    ({"lowercase": True, "remove_punctuation": True}, "- ! -", ""),
    # The unknown symbol is no punctuation.
    ({"lowercase": True, "remove_punctuation": True}, "A <UNK>, <unk> b<unk>", "a unk <unk> b unk"),
    ({"remove_punctuation": True, "special_symbols": "replace"}, "a </s> b!", "a <unk> b"),
])  # fmt: skip
def test_what_a_model_reads(settings, text, mapped):
    assert TextMapping(**settings).mapped(text) == mapped


def test_errors_are_counted_on_unmapped_texts_by_default():
    mapping = TextMapping(lowercase=True, remove_punctuation=True)
    assert mapping.for_wer("A, b") == "A, b"
    assert replace(mapping, normalise_wer=True).for_wer("A, b") == "a b"
    assert TextMapping(special_symbols="drop", normalise_wer=True).for_wer("a </s> b") == "a b"
    with pytest.raises(TextError, match="list, line 3: the text holds </s>"):
        TextMapping(normalise_wer=True).for_wer("a </s> b", "list, line 3")


def test_features_worked_out_by_hand(halves):
    table = feature_table([utterance("a b", "a x y"), utterance("")], {"m": halves}, TextMapping())
    assert table.names == ("lm:m", "words", "oov:m")
    assert table.usable_SN.tolist() == [[True, True], [True, False]]
    assert table.first_SN[0].tolist() == [-1, -2]
    assert table.features_KSN[0, 0] / math.log(2) == pytest.approx([-6, -9])
    assert table.features_KSN[0, 1, 0] == pytest.approx(-2 * math.log(2))
    assert table.features_KSN[1:, 0].tolist() == [[2, 3], [0, 2]]
    swapped = table.rows([1, 0]).columns(["words", "lm:m"])
    assert swapped.features_KSN[0].tolist() == [[0, 0], [2, 3]]
    assert swapped.names == ("words", "lm:m")


def test_common_beginnings_are_read_once_without_changing_scores(monkeypatch):
    model = fit("lstm")
    lists = [
        utterance("The cat sat on a mat", "the  cat sat on the dog", "a dog"),
        utterance("the CAT sat on a mat", "a zebra"),
    ]
    texts = ["the cat sat on a mat", "the cat sat on the dog", "a dog"]
    texts += ["the cat sat on a mat", "a zebra"]
    alone = [rnnlm.Model(model).score_sentences([text])[0].logprob_nats for text in texts]
    sizes, hidden, reports = [], model.hidden, []

    def watched(inputs_BT, state):
        sizes.append(inputs_BT.size)
        return hidden(inputs_BT, state)

    model.hidden = watched
    monkeypatch.setattr("rnnlm.tools.rescoring.features.TEXTS_AT_ONCE", 3)
    table = feature_table(lists, {"m": model}, TextMapping(lowercase=True), reports.append)
    assert reports == ["m: 3 of 4 texts scored", "m: 4 of 4 texts scored"]
    assert table.features_KSN[0].ravel()[:5] == pytest.approx(alone, abs=1e-5)
    # what reading each text alone would read
    assert sum(len(text.split()) + 1 for text in set(texts)) == 20
    first_three = 1 + 6 + 2 + 2  # the boundary, the first text, "the dog" after "on", "a dog"
    assert sum(sizes) == first_three + 3


def test_models_with_one_tokenizer_share_their_unknown_words(halves):
    models = {"m": halves, "same": halves, "other": fit("unigram")}
    table = feature_table([utterance("a zebra")], models, TextMapping())
    assert table.names == ("lm:m", "lm:same", "lm:other", "words", "oov:m", "oov:other")


def test_impossible_hypotheses_are_not_usable_and_counted(halves):
    lists = [utterance("a", "never"), utterance("never", "never a")]
    message = "3 hypotheses have probability zero .* 1 utterances with no other .* keep their 1-b"
    with pytest.warns(RnnlmWarning, match=message):
        table = feature_table(lists, {"m": halves}, TextMapping())
    assert table.usable_SN.tolist() == [[True, False], [True, False]]
    assert np.isfinite(table.features_KSN).all()


def test_hypotheses_that_the_first_pass_excludes_are_not_usable_and_counted(halves):
    scored = [
        [-1.0, -1e6, -1e6 - 2],
        [-math.inf, -1e38, -1e38],
        [-1e10, -3e5],
        [-1e10],
        [-9e8, -9e8 - 1],  # low, but nothing says that it is no score
    ]
    lists = []
    for number, values in enumerate(scored):
        hypotheses = tuple(Hypothesis("a b", score) for score in values)
        lists.append(Utterance(f"u{number}", hypotheses))
    message = "^6 hypotheses, the first in utterance 'u0', are excluded .* 2 utterances with no oth"
    with pytest.warns(RnnlmWarning, match=message):
        table = feature_table(lists, {"m": halves}, TextMapping())
    usable = [row.nonzero()[0].tolist() for row in table.usable_SN]
    assert usable == [[0, 1], [1], [1], [0], [0, 1]] and np.isfinite(table.first_SN).all()


def test_an_excluded_hypothesis_is_kept_before_an_impossible_one(halves):
    one = Utterance("u", (Hypothesis("never", -1.0), Hypothesis("a", -1e10)))
    with pytest.warns(RnnlmWarning):
        table = feature_table([one], {"m": halves}, TextMapping())
    assert table.usable_SN.tolist() == [[False, True]]


# as the model writes them
@pytest.mark.parametrize("texts, lowercase", [(("a", "<s> a"), False), (("a", "</S> A"), True)])
def test_reserved_symbols_are_an_error_or_dropped(halves, texts, lowercase):
    lists = [utterance(*texts)]
    mapping = TextMapping(lowercase=lowercase)
    with pytest.raises(TextError, match="list, line 2: the text holds </?s>"):
        feature_table(lists, {"m": halves}, mapping)
    dropped = feature_table(lists, {"m": halves}, replace(mapping, special_symbols="drop"))
    assert dropped.features_KSN[0, 0, 0] == dropped.features_KSN[0, 0, 1]


def test_unknown_upper_case_is_reported_when_it_matters(halves):
    lists = [utterance("A B", "B A")]
    with pytest.warns(RnnlmWarning, match="100% of the list's words are unknown to m, .*`lowerca"):
        feature_table(lists, {"m": halves}, TextMapping())
    with warnings.catch_warnings(action="error"):
        feature_table(lists, {"m": halves}, TextMapping(lowercase=True))
        feature_table([utterance("X Y", "Y X")], {"m": halves}, TextMapping())


def test_unseen_characters_are_reported_once_naming_models(halves):
    lists = [utterance("a\u2019 b", "\u2019 b")]
    with pytest.warns(RnnlmWarning) as caught:
        feature_table(lists, {"one": halves, "two": halves}, TextMapping())
    told = "\u2019 2 times: unknown to one and two."
    assert [str(each.message).startswith(told) for each in caught].count(True) == 1
    with warnings.catch_warnings(action="error"):
        feature_table(lists, {"one": halves}, TextMapping(remove_punctuation=True))


def test_rescoring_needs_hypotheses_and_a_model(halves):
    with pytest.raises(UsageError, match="there are no utterances"):
        feature_table([], {"m": halves}, TextMapping())
    with pytest.raises(UsageError, match="no language model"):
        feature_table([utterance("a")], {}, TextMapping())


def test_empty_hypotheses_are_scored_as_their_end(halves):
    lists = [utterance("a b", ""), utterance(" . ")]
    message = "^2 of 3 hypotheses have no words, the first in utterance 'u': each is scored as </s>"
    with pytest.warns(RnnlmWarning, match=message):
        table = feature_table(lists, {"m": halves}, TextMapping(remove_punctuation=True))
    assert table.features_KSN[0].ravel() / math.log(2) == pytest.approx([-6, -2, -2, 0])


@pytest.mark.parametrize(("texts", "told"), [
    (["\u2581the \u2581do g", "\u2581a"], "2 of 2 hypotheses look like pieces of words"),
    (["th@@ e dog", "do@@ g"], "look like pieces of words"), (["the do ##g", "do ##g"], "pieces"),
    (["12 7 9", "3"], "2 of 2 hypotheses look like numbers ('12 7 9')"),
    (["the dog", "a dog # 1", "route 66", "a ## b", "mail me @@"], ""),
])  # fmt: skip
def test_pieces_and_numbers_in_place_of_words_are_told(halves, recwarn, texts, told):
    feature_table([utterance(*texts)], {"m": halves}, TextMapping())
    notes = [str(warning.message) for warning in recwarn if "look like" in str(warning.message)]
    assert len(notes) == bool(told)
    assert told in "".join(notes)


def test_a_model_of_pieces_has_no_note_of_them(recwarn):
    texts = ["\u2581the \u2581do g", "\u2581a \u2581do g"]
    model = fit("unigram", texts * 5)
    feature_table([utterance(*texts)], {"m": model}, TextMapping())
    assert not [warning for warning in recwarn if "look like" in str(warning.message)]

import dataclasses

import pytest

from rnnlm.errors import ComparisonError
from rnnlm.evaluation.comparison.comparison import EvaluatedModel, find_comparable
from rnnlm.evaluation.perplexity import TEXT_METRICS, Signature
from support.tiny_models import Lines, fit

SIGNATURE = Signature(*"d1 word:f1,V=9 kept carry skip literal yes fp32 none m1".split())


def subject(name, unknown_tokens=0, keeps_text=True, changes="as it stands", **parts):
    signature = dataclasses.replace(SIGNATURE, **parts)
    return EvaluatedModel(name, signature, unknown_tokens, keeps_text, changes)


@pytest.mark.parametrize("part", ["ctx", "prec", "adapt", "model"])
def test_what_may_differ_forbids_nothing(part):
    found = find_comparable([subject("a", 3), subject("b", 3, **{part: "other"})])
    assert (found.names, found.main, found.refused) == (tuple(TEXT_METRICS), "ppl_token", ())


@pytest.mark.parametrize("part", ["data", "case", "blank", "unk", "eos"])
def test_disagreeing_parts_are_named_with_values_and_remedy(part):
    with pytest.raises(ComparisonError, match=f"their signatures differ in {part}") as error:
        find_comparable([subject("a"), subject("b", **{part: "other"})])
    assert error.value.exit_code == 1 and error.value.hint
    assert f"{part}:{getattr(SIGNATURE, part)} for a" in error.value.why
    assert f"{part}:other for b" in error.value.why


def test_unk_handling_is_irrelevant_to_text_without_unk():
    subjects = [subject("a"), subject("b", unk="spell", tok="byte:f2,V=257")]
    found = find_comparable(subjects, holds_unk=False)
    assert found.main == "bits_per_char" and [each.part for each in found.refused] == ["tok"] * 3


def test_other_tokens_compare_per_word_and_per_character_of_kept_text():
    found = find_comparable([subject("a"), subject("b", tok="char:f2,V=5")])
    assert found.names == ("ppl_word", "ppl_word_no_oov", "bits_per_char", "bits_per_byte")
    assert found.main == "bits_per_char"
    names = ("ppl_token", "ppl_token_no_oov", "ppl_adjusted")
    expected = [(name, "tok") for name in names]
    assert [(each.figure, each.part) for each in found.refused] == expected
    assert "char:f2,V=5 for b" in found.refused[0].why
    other = subject("b", keeps_text=False, tok="word:f2,V=7")
    found = find_comparable([subject("a", keeps_text=False), other])
    assert found.main == "ppl_word" and "bits_per_char" not in found.names
    assert {each.figure: each.part for each in found.refused}["bits_per_char"] is None


def test_other_words_or_unknown_tokens_compare_in_nothing():
    with pytest.raises(ComparisonError, match="their signatures differ in tok") as error:
        find_comparable([subject("a", 12), subject("b", tok="sentencepiece:f2,V=5")])
    assert "12 tokens to a" in error.value.why and "--tokenizer-from" in error.value.hint
    cut = {"keeps_text": False, "changes": "punctuation split off", "tok": "word:f2,V=5"}
    with pytest.raises(ComparisonError) as error:
        find_comparable([subject("a"), subject("b", **cut)])
    assert "punctuation split off for b" in error.value.why


def test_other_vocabularies_of_words_compare_with_the_choice_among_unknown_words():
    found = find_comparable([subject("a", 12), subject("b", tok="word:f2,V=5")])
    assert (found.names, found.main) == (("ppl_adjusted",), "ppl_adjusted")
    assert {each.figure for each in found.refused} == set(TEXT_METRICS) - {"ppl_adjusted"}
    assert "unknown words are other events: tok:word:f1,V=9 for a" in found.refused[0].why
    splits = {"keeps_text": False, "changes": "punctuation split off"}
    with pytest.raises(ComparisonError, match="tok"):
        find_comparable([subject("a", 12), subject("b", tok="word:f2,V=5", **splits)])


def test_unknown_white_space_is_a_separate_character_event():
    text = Lines(["the\tcat"])
    seen, unseen = (fit("unigram", [line], tokenizer="char") for line in ("the\tcat", "the cat"))
    subjects = [
        EvaluatedModel.of(name, model, text.encode(model.tokenizer), "carry")
        for name, model in (("seen", seen), ("unseen", unseen))
    ]
    assert [each.unknown_tokens for each in subjects] == [0, 1]
    with pytest.raises(ComparisonError, match="tok"):
        find_comparable(subjects)


def test_one_different_model_suffices_to_refuse():
    with pytest.raises(ComparisonError, match="case"):
        find_comparable([subject("a"), subject("b"), subject("c", case="lower")])
    per = {name: each.per for name, each in TEXT_METRICS.items()}
    assert (per["ppl_token"], per["ppl_word"]) == ("token", "word")
    assert (per["bits_per_char"], per["bits_per_byte"]) == ("character", "byte")

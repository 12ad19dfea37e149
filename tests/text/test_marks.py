"""Marks of messy text are counted, and told of where a training text mixes forms or a model has
never seen them."""

import functools

import pytest

from rnnlm.text import tokenizers
from rnnlm.text.lines import Block
from rnnlm.text.marks import (
    count_marks,
    count_odd_spaces,
    tell_glued,
    tell_odd_spaces,
    tell_unseen,
    watch_forms,
)
from rnnlm.text.tokenizer_settings import NewTokenizerSettings, TokenizerSettings
from support.failures import notices_of
from support.tiny_models import LINES, make_tokenizer

MESSY = [
    "it\u2019s \u201ca\u201d \u2013 b\u00a0c", "it\u2019s e\u0301 &amp; x\u0301",
    "it's - plain & &bogus; \u00e9",
]  # fmt: skip


def test_marks_are_counted_by_hand():
    once = dict.fromkeys(["\u201c", "\u201d", "\u2013", "\u00a0", "e\u0301", "&amp;"], 1)
    assert count_marks(MESSY) == {"\u2019": 2, **once}  # x with an accent has no other form
    assert count_marks(["it's -- plain", ""]) == {}


def mixed(lines: list[str], **settings) -> list[str]:
    blocks = [Block(lines, []), Block(lines, [])]
    return notices_of(lambda: list(watch_forms(blocks, TokenizerSettings(**settings))))


RAW = ["The hen, the dog.", "A dog and a hen."]


@pytest.mark.parametrize("lines, settings, splits", [
    (RAW, {}, True), (["The hen , the dog .", "A dog and a hen ."], {}, False),
    (["the dog's tail", "mr. dog"] + ["a dog"] * 20, {}, False),
    (["Smith et al. , Fig. 3 , e.g. , sec. 2 ."], {}, False),  # abbreviations between single marks
    (["le chien \u00ababoie\u00bb", "\u092f\u0939 \u0939\u0948\u0964"], {}, True),
    (["a\u2019 \u2018b"], {}, False),
    (["a dog"] * 60_000 + RAW * 60_000, {}, False),  # the start decides
    ([], {}, False), (RAW, {"split_punctuation": False}, False),
    (RAW, {"remove_punctuation": True}, False), (RAW, {"tokenizer": "char"}, False),
])  # fmt: skip
def test_marks_are_split_where_the_start_of_the_text_has_them_as_parts_of_words(
    lines, settings, splits
):
    asked = NewTokenizerSettings(**settings)
    made, sent = [], []
    for size in (1 << 20, 2):  # however the lines come in blocks
        blocks = [Block(lines[at : at + size], []) for at in range(0, len(lines), size)]
        sent += notices_of(functools.partial(decide, asked, blocks, made))
    assert made == [TokenizerSettings(**{**settings, "split_punctuation": splits})] * 2
    assert len(sent) == 2 * splits
    assert all("`split_punctuation=False` keeps them" in text for text in sent)


def decide(asked, blocks, made):
    made.append(tokenizers.decided(asked, blocks))


def test_a_mixture_of_forms_is_reported_once():
    (told,) = mixed(["it's", "it's", "it\u2019s", "a \u2013 b", "a - b", "a--b"] * 2)
    assert "' 8 times and \u2019 4 times; - 8 times and \u2013 4 times." in told
    assert '`normalise="dashes,quotes"`' in told
    (told,) = mixed(["a\u00a0b", "&amp; c", "e\u0301", "Sil\u00adbe"] * 2)
    for mark in ("U+00AD (soft hyphen)", "U+00A0 (no-break space)", "&amp;", "e + U+0301"):
        assert f"{mark} 4 times" in told


@pytest.mark.parametrize(("lines", "settings"), [
    (["it's \u2019"], {}),  # twice is too rare
    (["it\u2019s \u2019"] * 9, {}),  # one form alone
    (["well-known \u2013 \u2014"] * 9, {}),  # a hyphen in a word is no dash
    (["it's", "it\u2019s"] * 9, {"normalise": "quotes"}),
    (["it's", "it\u2019s"] * 9, {"remove_punctuation": True}), (["'"] * 9999 + ["\u2019"] * 3, {}),
])  # fmt: skip
def test_other_training_texts_are_not_told_of(lines, settings):
    assert mixed(lines, **settings) == []


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("kind", [
    {}, {"tokenizer": "char"}, {"tokenizer": "byte"},
    {"tokenizer": "sentencepiece", "vocab_size": 290},
], ids=str)  # fmt: skip
def test_only_marks_new_to_the_model_are_reported(kind):
    def told_of(marks, *models):
        return notices_of(lambda: tell_unseen(marks, dict(zip("abc", models, strict=False))))

    plain = make_tokenizer([*LINES, "it's - \u00e9 a"], **kind)
    marks = count_marks(MESSY)
    (told,) = told_of(marks, plain)
    expected = "\u2019 2 times, \u201c 1 time, \u201d 1 time, \u2013 1 time and 3 others: unknown"
    assert told.startswith(f"{expected} to a.")
    assert '`normalise="dashes,entities,nfc,quotes,spaces"`' in told
    seen = make_tokenizer([*LINES, *MESSY], **kind)
    assert told_of(marks, seen) == []
    assert told_of(marks, make_tokenizer(LINES, normalise="all", **kind)) == []
    # which reads `caf eacute`
    spoken = make_tokenizer([*LINES, "caf&eacute; caf\u00e9"], remove_punctuation=True, **kind)
    assert told_of({"&eacute;": 3}, spoken) == []
    (told,) = told_of(count_marks(MESSY[:1]), plain, seen, plain)
    assert "unknown to a and c." in told


def test_white_space_other_than_one_space_is_counted():
    odd = [" a b", "a b ", "a  b", "a\tb", "\ta", "a \tb", "a b\r"]
    assert count_odd_spaces(["a b", *odd, "", "c"]) == len(odd)
    assert count_odd_spaces(["a b", "c", "", "d\u00a0e"]) == count_odd_spaces([]) == 0


@pytest.mark.parametrize("kind, is_read", [
    ({}, False), ({"tokenizer": "char"}, True), ({"tokenizer": "byte"}, True),
], ids=str)  # fmt: skip
def test_white_space_is_told_where_the_tokenizer_reads_it(kind, is_read):
    tokenizers = {"words": make_tokenizer(LINES), "other": make_tokenizer(LINES, **kind)}
    told = notices_of(lambda: tell_odd_spaces(2, tokenizers))
    assert len(told) == is_read
    if is_read:
        assert (
            told[0].startswith("2 sentences hold irregular white space")
            and "scores of other:" in told[0]
        )
        assert "`strip=True`" in told[0]
    assert notices_of(lambda: tell_odd_spaces(0, tokenizers)) == []


def test_words_that_are_known_with_a_mark_or_without_are_told():
    glued = make_tokenizer(['I am "glad".', "he ran. (Well, yes)", "stop"])
    told = notices_of(lambda: tell_glued(["ran", "zebra", "yes", "ran", "stop!"], glued, "it"))
    assert len(told) == 1 and "it knows 'ran.', but not 'ran', and 2 more like that" in told[0]
    assert "--split-punctuation" in told[0]
    for words in ([], ["zebra"], ["a"], ["."]):
        assert notices_of(lambda words=words: tell_glued(words, glued, "it")) == []
    split = make_tokenizer(["he ran. (Well, yes)"], split_punctuation=True)
    letters = make_tokenizer(["he ran."], tokenizer="char")
    for tokenizer in (split, letters):
        assert notices_of(lambda its=tokenizer: tell_glued(["ran!"], its, "it")) == []

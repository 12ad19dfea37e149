"""What every tokenizer keeps: its files and settings make it again."""

import warnings

import numpy as np
import pytest

from rnnlm.errors import RnnlmWarning, SettingsError, TextError
from rnnlm.text import tokenizers
from rnnlm.text.lines import split_words
from rnnlm.text.normalisation import normalise, remove_punctuation
from rnnlm.text.tokenizer_settings import TokenizerSettings
from support.tiny_models import LINES, make_tokenizer

AWKWARD = [*LINES, "It's an a\u2028b </s> <s>\x0b", "", "\u00e4\u20ac\u2581\U0001f600 ."]
KINDS = [
    {"lowercase": True}, {"split_punctuation": True}, {"tokenizer": "char"}, {"tokenizer": "byte"},
    {"tokenizer": "huggingface"},
    *({"tokenizer": "sentencepiece", "sentencepiece_model": model,
       "vocab_size": 300} for model in ("unigram", "bpe")),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("settings", KINDS, ids=str)
def test_a_stored_tokenizer_reloads_and_newlines_and_wrong_types_are_errors(settings):
    tokenizer = make_tokenizer(AWKWARD, **settings)
    again = tokenizers.load(tokenizer.to_settings(), tokenizer.to_files())
    assert again.fingerprint == tokenizer.fingerprint and again.symbols() == tokenizer.symbols()
    ids = tokenizer.encode(AWKWARD).ids
    if tokenizer.name != "huggingface":
        assert tokenizer.counts_V.tolist() == np.bincount(ids, minlength=tokenizer.size).tolist()
        assert again.counts_V.tolist() == tokenizer.counts_V.tolist()
    assert again.encode(AWKWARD).ids.tolist() == ids.tolist()
    with pytest.raises(TextError, match="newline"):
        tokenizer.encode(["a\nb"])
    for read in (tokenizer.encode, tokenizer.surfaces):
        for lines, message in LINES_OF_WRONG_TYPES:
            with pytest.raises(TypeError, match=message):
                read(lines)
    for ids, message in IDS_OF_WRONG_TYPES:
        with pytest.raises(TypeError, match=message):
            tokenizer.decode(ids)
    ids = tokenizer.encode([LINES[0]]).ids
    for same in (ids.tolist(), tuple(map(np.int64, ids))):
        assert tokenizer.decode(same) == tokenizer.decode(ids) != ""
    assert tokenizer.decode([]) == tokenizer.decode(np.array([])) == ""


LINES_OF_WRONG_TYPES = [
    ("one string", "lines must be a list of str, not a str; a single line is"),
    (b"bytes", "must be a list of str, not a bytes"),
    (None, "lines must be a list of str, not None"),
    (iter(["a"]), "lines must be a list of str, not a list_iterator"),
    (["a", None], r"lines\[1\] must be a str, not None"),
    ([b"a"], r"lines\[0\] must be a str, not a bytes"),
    (["a", ""] * 50 + [0], r"lines\[100\] must be a str, not an int"),
]


IDS_OF_WRONG_TYPES = [
    ("text", "ids must be a list of int or a 1-d array of them, not a str"), (3, "not an int"),
    ([1, 2.5], "not a list of float"), (np.array([1.0]), "not a 1-d array of float64"),
    (np.array([[1]]), "not a 2-d array of int64"), ([[1]], "not a list of list"),
]  # fmt: skip


@pytest.mark.parametrize("settings", [
    {"tokenizer": "byte", "lowercase": True}, {"tokenizer": "word", "literal_unk": "spell"},
])  # fmt: skip
def test_settings_foreign_to_a_tokenizer_are_refused(settings):
    with pytest.raises(SettingsError):
        TokenizerSettings(**settings)


def test_stored_tokenizers_with_idle_limits_still_load():
    tokenizer = make_tokenizer(tokenizer="byte")
    loaded = tokenizers.load({**tokenizer.to_settings(), "min_count": 5}, tokenizer.to_files())
    assert loaded.fingerprint == tokenizer.fingerprint and loaded.to_settings()["min_count"] == 5


@pytest.mark.parametrize("tokenizer", ["word", "char"])
def test_a_vocabulary_of_special_symbols_alone_is_told(tokenizer):
    with pytest.warns(RnnlmWarning, match="</s> and <unk> \\(min_count = 100,000\\)"):
        assert make_tokenizer(tokenizer=tokenizer, min_count=100_000).size == 2
    with pytest.warns(RnnlmWarning, match="the vocabulary has only"):
        make_tokenizer(
            ["<unk><unk>" if tokenizer == "char" else "<unk> <unk>"], tokenizer=tokenizer
        )
    with warnings.catch_warnings(action="error"):
        assert make_tokenizer(["a a b"], tokenizer=tokenizer, min_count=2).size > 2
        make_tokenizer([])  # no text: that is an error elsewhere


MESSY = [
    "it\u2019s  a \u201ccafe\u0301\u201d &amp;\u00a0more", "&lt;unk&gt; <unk> \u2013 x",
    "The cat - a dog\u2019s cat sat.", "...", *LINES,
]  # fmt: skip


TRAINED = [each for each in KINDS if each.get("tokenizer", "huggingface") != "huggingface"]
REWRITING = {
    "all forms": ({"normalise": "all"}, lambda line: normalise(line, "all")),
    "two forms": ({"normalise": "dashes,quotes"}, lambda line: normalise(line, "dashes,quotes")),
    "no punctuation": ({"remove_punctuation": True}, remove_punctuation),
}


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("kind", [*TRAINED, {}], ids=str)
@pytest.mark.parametrize("settings, rewrite", REWRITING.values(), ids=REWRITING)
def test_a_text_is_rewritten_wherever_it_is_read(kind, settings, rewrite):
    rewritten = [rewrite(line) for line in MESSY]
    tokenizer, clean = make_tokenizer(MESSY, **kind, **settings), make_tokenizer(rewritten, **kind)
    assert tokenizer.symbols() == clean.symbols()
    assert tokenizer.counts_V.tolist() == clean.counts_V.tolist()
    ids = tokenizer.encode(MESSY).ids.tolist()
    assert ids == clean.encode(rewritten).ids.tolist()
    assert tokenizer.surfaces(MESSY) == clean.surfaces(rewritten)
    read = rewritten if kind else [" ".join(split_words(line)) for line in rewritten]
    assert tokenizer.decode(ids) == "\n".join(read)
    again = tokenizers.load(tokenizer.to_settings(), tokenizer.to_files())
    assert again.fingerprint == tokenizer.fingerprint and again.encode(MESSY).ids.tolist() == ids
    assert not tokenizer.keeps_text
    plain = make_tokenizer(MESSY, **kind)
    assert plain.keeps_text and not plain.rewriting
    with pytest.raises(TextError, match="newline"):
        tokenizer.encode(["a,\nb"])


def test_only_normalising_changes_the_fingerprint():
    plain = make_tokenizer(["a b"])
    before = plain.to_settings()
    del before["normalise"], before["remove_punctuation"]
    assert tokenizers.load(before, plain.to_files()).fingerprint == "c9e29bf0c299"
    changes = [
        {}, {"normalise": "quotes"}, {"normalise": "all"}, {"remove_punctuation": True},
        {"normalise": "all", "remove_punctuation": True}, {"normalise": "quotes,dashes"},
        {"normalise": "dashes, quotes"},
    ]  # fmt: skip
    fingerprints = [make_tokenizer(["a b"], **change).fingerprint for change in changes]
    assert fingerprints[0] == "c9e29bf0c299"
    assert len(set(fingerprints)) == 6 and fingerprints[-1] == fingerprints[-2]

import re
import warnings

import numpy as np
import pytest

from rnnlm.errors import RnnlmWarning, TextError, UsageError
from rnnlm.generation.drawing import generate
from rnnlm.generation.search import likeliest
from rnnlm.generation.settings import BeamSettings, SamplingSettings
from rnnlm.generation.word_constraints import Ban
from rnnlm.ngram.unigram import UnigramModel
from support.tiny_models import make_tokenizer

KINDS = {
    "word": {}, "split": {"lowercase": True, "split_punctuation": True},
    "char": {"tokenizer": "char"}, "byte": {"tokenizer": "byte"},
    "pieces": {"tokenizer": "sentencepiece", "vocab_size": 300},
}  # fmt: skip


def model_of(kind: str):
    """Make a unigram model with few likely symbols, so that short words come often."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        tokenizer = make_tokenizer(["a cat, the cats cat", "A cat's at", "a.b c"], **KINDS[kind])
    texts = tokenizer.token_bytes()
    p_V = np.array(
        [
            1.0 if set(text.decode("latin-1")) <= set("act ") else 0.05 if text == b"\n" else 1e-3
            for text in texts
        ]
    )
    return UnigramModel(np.log(p_V / p_V.sum()), tokenizer)


def runs(text: str) -> list[str]:
    return re.findall("[A-Za-z0-9_\x80-\U0010ffff]+", text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", [{}, {"running": True}, {"max_tokens": 5}])
def test_banned_words_never_stand_whole_in_a_text(kind, settings):
    model, settings = model_of(kind), SamplingSettings(**{"max_tokens": 25, **settings})
    free = " ".join(sample.text for sample in generate(model, num=300, settings=settings)).lower()
    assert "a" in runs(free) and "cat" in runs(free)
    ban = ["a", "cat", "A"] if kind in ("char", "byte", "pieces") else ["a", "cat"]
    texts = [sample.text for sample in generate(model, num=150, settings=settings, ban=ban)]
    assert not [text for text in texts if {"a", "cat"} & set(text.split())]
    # "cat," is a word there
    assert not [text for text in texts if set(ban) & set(runs(text))] or kind == "word"


@pytest.mark.parametrize("kind", ["char", "byte", "pieces"])
def test_banned_word_may_be_part_of_other_words(kind):
    texts = " ".join(
        sample.text
        for sample in generate(
            model_of(kind), num=300, settings=SamplingSettings(max_tokens=25), ban=["a"]
        )
    )
    assert any("a" in run and run != "a" for run in runs(texts))


@pytest.mark.parametrize("kind", KINDS)
def test_word_begun_in_prompt_never_becomes_banned_one(kind):
    model = model_of(kind)
    if kind in ("word", "split"):
        with pytest.raises(UsageError, match="prompt"):
            list(generate(model, prompt="the cat", ban=["cat"]))
        return
    texts = [
        sample.text
        for sample in generate(
            model, prompt="the ca", num=200, settings=SamplingSettings(max_tokens=4), ban=["cat"]
        )
    ]
    assert not [text for text in texts if "cat" in runs(text)]
    with pytest.raises(UsageError, match="prompt"):
        list(generate(model, prompt="the cat", ban=["cat"]))


@pytest.mark.parametrize("kind", KINDS)
def test_ban_must_be_a_single_word(kind):
    model = model_of(kind)
    for given in ({"ban": ["a cat"]}, {"ban": [""]}):
        with pytest.raises(UsageError, match="one word"):
            list(generate(model, **given))
    with pytest.raises(TextError):
        list(generate(model, ban=["</s>"]))


def test_banning_an_unknown_word_gives_a_notice():
    with pytest.warns(RnnlmWarning, match="zebra"):
        list(generate(model_of("word"), ban=["zebra"]))


@pytest.mark.parametrize("kind", KINDS)
def test_banned_words_are_not_in_the_likeliest_texts(kind):
    model = model_of(kind)
    for sample in likeliest(
        model, num=5, settings=BeamSettings(beam=6, max_tokens=5), ban=["a", "cat"]
    ):
        assert not {"a", "cat"} & set(sample.text.split())


def test_bans_apply_to_multi_word_tokens():
    class Tokens:
        """Pieces that may hold anything."""

        boundary_id, unk_id, size = 0, None, 7
        starts_word_V = np.array([True, False, False, True, False, True, False])

        def token_bytes(self):
            return [b"\n", b"a", b"b,", b" a b", b"-a-", b" b", b"a a"]

        def encode(self, lines):
            return make_tokenizer(lines).encode(lines)

        def decode(self, ids):
            return self.wanted

    tokens = Tokens()
    tokens.wanted = "a"
    ban = Ban(tokens, ["a"], unknown=True)
    assert ban.always.tolist() == [3, 4]  # " a b" and "-a-" hold the word whole
    assert sorted(ban.forbidden([5], is_last=False)) == []  # " b" goes on with anything
    # "a" must not end; with "a a" it is "aa a"
    assert set(ban.forbidden([1], is_last=False)) == {0, 3, 4, 5}
    assert set(ban.forbidden([5], is_last=True)) == {6}  # "ba a" would have the word at its end
    assert set(ban.forbidden([], is_last=True)) >= {1, 6}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("line", ["a cat", "the cats cat", ""])
def test_token_texts_add_up_to_the_text(kind, line):
    tokenizer = model_of(kind).tokenizer
    texts = tokenizer.token_bytes()
    assert len(texts) == tokenizer.size
    assert (
        b"".join(texts[id] for id in tokenizer.encode([line]).ids).decode().removeprefix(" ")
        == f"{line}\n"
    )

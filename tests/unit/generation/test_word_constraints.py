import re
import warnings

import numpy as np
import pytest

from rnnlm.errors import RnnlmWarning, TextError, UsageError
from rnnlm.generation.beam_search import BeamSettings, likeliest
from rnnlm.generation.generator import generate
from rnnlm.generation.sampling import SamplingSettings
from rnnlm.generation.word_constraints import Ban, Words
from rnnlm.ngram.unigram import UnigramModel
from support.tiny_models import fit, make_tokenizer

KINDS = {
    "word": {}, "split": {"lowercase": True, "split_punctuation": True}, "char": {"tokenizer": "char"}, "byte": {"tokenizer": "byte"},
    "pieces": {"tokenizer": "sentencepiece", "vocab_size": 300},
}  # fmt: skip


def model_of(kind: str):
    """Unigrams with few symbols likely, so that short words come often."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RnnlmWarning)
        tokenizer = make_tokenizer(["a cat, the cats cat", "A cat's at", "a.b c"], **KINDS[kind])
    texts = tokenizer.token_bytes()
    p_V = np.array([1.0 if set(text.decode("latin-1")) <= set("act ") else 0.05 if text == b"\n" else 1e-3 for text in texts])
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
    assert not [text for text in texts if set(ban) & set(runs(text))] or kind == "word"  # "cat," is a word there


@pytest.mark.parametrize("kind", ["char", "byte", "pieces"])
def test_a_banned_word_may_be_a_part_of_others(kind):
    texts = " ".join(sample.text for sample in generate(model_of(kind), num=300, settings=SamplingSettings(max_tokens=25), ban=["a"]))
    assert any("a" in run and run != "a" for run in runs(texts))


@pytest.mark.parametrize("kind", KINDS)
def test_a_word_that_the_prompt_began_is_not_finished_as_a_banned_one(kind):
    model = model_of(kind)
    if kind in ("word", "split"):
        with pytest.raises(UsageError, match="prompt"):
            list(generate(model, prompt="the cat", ban=["cat"]))
        return
    texts = [sample.text for sample in generate(model, prompt="the ca", num=200, settings=SamplingSettings(max_tokens=4), ban=["cat"])]
    assert not [text for text in texts if "cat" in runs(text)]
    with pytest.raises(UsageError, match="prompt"):
        list(generate(model, prompt="the cat", ban=["cat"]))


@pytest.mark.parametrize("kind", KINDS)
def test_required_words_are_in_every_sample(kind):
    model = model_of(kind)
    for settings in ({}, {"running": True}, {"temperature": 0.0}, {"top_k": 2}):
        samples = list(generate(model, num=6, settings=SamplingSettings(max_tokens=30, **settings), must=["cat", "the"], ban=["a"]))
        assert len({sample.text for sample in samples}) > 1 or "temperature" in settings
        for sample in samples:
            words = set(sample.text.split()) if kind == "word" else set(runs(sample.text))
            assert {"cat", "the"} <= words and "a" not in words
            assert sample.tokens <= 30 and sample.logprob_nats < 0


def test_a_required_word_of_the_prompt_is_there_already():
    model = model_of("word")
    settings = SamplingSettings(max_tokens=10)
    plain = [sample.text for sample in generate(model, prompt="the cats", num=5, settings=settings)]
    assert [sample.text for sample in generate(model, prompt="the cats", num=5, settings=settings, must=["cats"])] == plain


def test_a_sample_with_required_words_is_the_same_whatever_num_is():
    model, settings = fit("lstm"), SamplingSettings(max_tokens=12)
    many = list(generate(model, num=4, settings=settings, must=["mat"]))
    assert list(generate(model, num=2, settings=settings, must=["mat"])) == many[:2]


def test_texts_with_a_required_word_are_nearly_those_that_rejection_leaves():
    """Of a bigram-like toy: after x comes y or z, never x; the word is z. Where it stands in a text is compared."""
    model = fit("ngram", ["x y", "x y x z", "y y x y", "z y", "x z", "y x y"] * 3, order=2)
    settings = SamplingSettings(max_tokens=8)
    rejected = [sample.text for sample in generate(model, num=1500, settings=settings) if "z" in sample.text.split()]
    kept = [sample.text for sample in generate(model, num=150, settings=settings, must=["z"])]
    for measure in (lambda words: words.index("z") == 0, lambda words: words.index("z") == 1, lambda words: len(words) > 4):
        there, here = (np.mean([measure(text.split()) for text in texts]) for texts in (rejected, kept))
        assert here == pytest.approx(there, abs=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_word_is_an_error(kind):
    model = model_of(kind)
    for given in ({"ban": ["a cat"]}, {"must": ["a cat"]}, {"ban": [""]}, {"must": [""]}):
        with pytest.raises(UsageError, match="one word"):
            list(generate(model, **given))
    with pytest.raises(TextError):
        list(generate(model, ban=["</s>"]))


def test_words_that_contradict_each_other_or_are_unknown_are_errors_or_notices():
    model = model_of("word")
    with pytest.raises(UsageError, match="banned, and must be there"):
        list(generate(model, ban=["a"], must=["a"]))
    with pytest.raises(UsageError, match="does not know"):
        list(generate(model, must=["zebra"]))
    with pytest.warns(RnnlmWarning, match="zebra"):
        list(generate(model, ban=["zebra"]))
    with pytest.raises(UsageError, match="no room"):
        list(generate(model, must=["a", "the", "at"], settings=SamplingSettings(max_tokens=2)))


def test_a_required_word_without_probability_is_an_error():
    tokenizer = make_tokenizer(["a never"])
    p = {"</s>": 0.5, "<unk>": 0.1, "a": 0.4, "never": 0.0}
    with np.errstate(divide="ignore"):
        model = UnigramModel(np.log([p[symbol] for symbol in tokenizer.symbols()]), tokenizer)
    with pytest.raises(UsageError, match="probability zero"):
        list(generate(model, must=["never"]))


@pytest.mark.parametrize("kind", KINDS)
def test_banned_words_are_not_in_the_likeliest_texts(kind):
    model = model_of(kind)
    for sample in likeliest(model, num=5, settings=BeamSettings(beam=6, max_tokens=5), ban=["a", "cat"]):
        assert not {"a", "cat"} & set(sample.text.split())


def test_a_token_of_several_words_ends_and_holds_banned_ones():
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
    ban = Ban(Words(tokens), ["a"], unknown=True)
    assert ban.always.tolist() == [3, 4]  # " a b" and "-a-" hold the word whole
    assert sorted(ban.forbidden([5], is_last=False)) == []  # " b" goes on with anything
    assert set(ban.forbidden([1], is_last=False)) == {0, 3, 4, 5}  # "a" must not end; with "a a" it is "aa a"
    assert set(ban.forbidden([5], is_last=True)) == {6}  # "ba a" would have the word at its end
    assert set(ban.forbidden([], is_last=True)) >= {1, 6}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("line", ["a cat", "the cats cat", ""])
def test_what_tokens_add_to_a_text_is_the_text(kind, line):
    tokenizer = model_of(kind).tokenizer
    texts = tokenizer.token_bytes()
    assert len(texts) == tokenizer.size
    assert b"".join(texts[id] for id in tokenizer.encode([line]).ids).decode().removeprefix(" ") == f"{line}\n"

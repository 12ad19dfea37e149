"""Unseen words with ids of their own."""

import copy
import gc
import itertools
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, strategies as st

from rnnlm.errors import SettingsError
from rnnlm.interface import Tokenizer
from rnnlm.text import tokenizers
from rnnlm.text.tokenizers.word import UnseenWords, unseen_words
from support.tiny_models import make_tokenizer

TEXT = ["the cat sat on the mat", "the <unk> sat", "a cat"]  # </s> <unk> the cat sat a mat on


def test_unseen_words_are_numbered_after_the_vocabulary():
    tokenizer = make_tokenizer(TEXT).spelling()
    encoded = tokenizer.encode(["the zebra sat", "<unk> yak zebra"])
    assert encoded.ids.tolist() == [2, 8, 4, 0, 1, 9, 8, 0] and encoded.ids.dtype == np.int32
    assert encoded.oov.tolist() == [1, 5, 6] and encoded.offsets.tolist() == [0, 4, 8]
    assert (tokenizer.size, tokenizer.input_size) == (8, 10)
    assert tokenizer.spellings(7) == ["on", "zebra", "yak"] and tokenizer.spellings(9) == ["yak"]
    assert tokenizer.spellings() == [*tokenizer.symbols(), "zebra", "yak"]
    assert len(tokenizer.symbols()) == 8


def test_it_is_the_same_tokenizer_in_all_else():
    plain = make_tokenizer(TEXT, lowercase=True)
    spelling = plain.spelling()
    assert isinstance(spelling, Tokenizer) and spelling.spelling() is spelling
    assert spelling.spells and not plain.spells
    assert spelling.fingerprint == plain.fingerprint
    assert spelling.symbols() == plain.symbols() == plain.spellings()
    assert spelling.to_files() == plain.to_files() and spelling.to_settings() == plain.to_settings()
    again = tokenizers.load(spelling.to_settings(), spelling.to_files())
    assert not again.spells and again.encode(["Zebra"]).ids.tolist() == [1, 0]
    assert spelling.surface("The Zebra") == plain.surface("The Zebra")
    assert spelling.decode(spelling.encode(["The Zebra"]).ids) == "the zebra"


def test_all_who_spell_one_vocabulary_agree_on_ids():
    one, other = make_tokenizer(TEXT).spelling(), make_tokenizer(TEXT).spelling()
    assert one.encode(["zebra"]).ids[0] == 8
    assert other.encode(["yak zebra"]).ids.tolist() == [9, 8, 0]
    assert one.input_size == other.input_size == 10
    assert make_tokenizer(["a b"]).spelling().input_size == 4  # another vocabulary
    assert copy.deepcopy(one).encode(["emu"]).ids[0] == other.encode(["emu"]).ids[0] == 10


def test_numbers_are_forgotten_with_the_last_tokenizer():
    tokenizer = make_tokenizer(["some other vocabulary"]).spelling()
    assert tokenizer.encode(["zebra"]).ids[0] == tokenizer.size
    del tokenizer
    gc.collect()
    assert make_tokenizer(["some other vocabulary"]).spelling().encode(["yak"]).ids[0] == 5
    held = unseen_words("x")
    assert unseen_words("x") is held


def test_reserved_words_from_lower_casing_end_no_line():
    tokenizer = make_tokenizer(TEXT, lowercase=True).spelling()
    encoded = tokenizer.encode(["a </S> <S>"])
    assert encoded.offsets.tolist() == [0, 4] and encoded.oov.tolist() == [1, 2]
    assert (encoded.ids[1:3] >= tokenizer.size).all()


@pytest.mark.parametrize("name", ["char", "byte"])
def test_what_has_no_words_cannot_spell(name):
    with pytest.raises(SettingsError, match="tokenizer=word"):
        make_tokenizer(TEXT, tokenizer=name).spelling()


words = st.sampled_from("a the zebra yak <unk> Yak \u00e4\u20ac \U0001f600 it's </s> .".split())
lines = st.lists(st.lists(words, max_size=8).map(" ".join), min_size=1, max_size=4)


@pytest.mark.parametrize(
    "options", [{}, {"lowercase": True}, {"split_punctuation": True}, {"min_count": 2}]
)
@given(train=lines, test=lines)
def test_only_unseen_words_differ_from_plain_ids(options, train, test):
    plain = make_tokenizer(train, **options)
    spelling = plain.spelling()
    expected, encoded = plain.encode(test), spelling.encode(test)
    assert np.array_equal(encoded.oov, expected.oov)
    assert np.array_equal(encoded.offsets, expected.offsets)
    assert np.array_equal(np.flatnonzero(encoded.ids >= spelling.size), expected.oov)
    assert np.array_equal(np.where(encoded.ids < spelling.size, encoded.ids, 1), expected.ids)
    assert encoded.ids.max(initial=0) < spelling.input_size == len(spelling.spellings())
    surface = [word for line in test for word in spelling.surface(line)]
    texts = spelling.spellings()
    assert [texts[id] for id in encoded.ids] == surface
    assert np.array_equal(spelling.encode(test).ids, encoded.ids)
    assert len({*texts}) == len(texts) or "</s>" in texts[spelling.size :]


def test_threads_side_by_side_agree():
    unseen = UnseenWords()
    words = [b"word%d" % number for number in range(500)]
    asked = [random.Random(seed).choices(words, k=400) for seed in range(40)]
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(unseen.numbers, asked))
    assert len(set(unseen.words)) == len(unseen.words) == len(set(itertools.chain(*asked)))
    for words, found in zip(asked, numbers, strict=True):
        assert [unseen.words[number].encode() for number in found] == words

"""Words as rows of character numbers."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from reference.characters import alphabet, rows_of
from rnnlm.lm.neural.alphabet import LONGEST, Alphabet
from rnnlm.lm.neural.words import SpelledWords
from support.tiny_models import make_tokenizer

WORDS = ["abc", "b", "\u00e4c\U0001f600"]


def make(lines=(" ".join(WORDS),)):
    return make_tokenizer(list(lines)).spelling()


def spelled(tokenizer, words):
    ids = torch.from_numpy(tokenizer.encode([" ".join(words)]).ids[:-1]).long()
    rows = SpelledWords(tokenizer)(ids).tolist()
    return [[number for number in row if number >= 0] for row in rows]


def test_words_are_their_characters_between_two_marks():
    tokenizer = make()
    assert Alphabet(tokenizer).size == 5 + 5  # a b c ä 😀
    rows = spelled(tokenizer, ["abc", "b", "\u00e4c\U0001f600"])
    assert rows == [[0, 5, 6, 7, 1], [0, 6, 1], [0, 8, 7, 9, 1]]
    # the special symbols are characters of their own
    table = SpelledWords(make())(torch.tensor([0, 1])).tolist()
    assert [row[:3] for row in table] == [[0, 3, 1], [0, 4, 1]]
    assert not {"<", "u", "s"} & set(map(chr, Alphabet(make()).code_points))
    # unseen words are spelled, new characters unknown
    rows = spelled(make(), ["cab", "xa", "</s>x"])
    assert rows == [[0, 7, 5, 6, 1], [0, 2, 5, 1], [0, 2, 2, 2, 2, 2, 1]]


def test_words_met_by_two_threads_misplace_no_rows():
    tokenizer = make()
    words, spell = SpelledWords(tokenizer), Alphabet.spell
    ids = torch.from_numpy(tokenizer.encode(["cab ba"]).ids[:-1]).long()

    def spell_while_another_thread_reads(*given):
        del words.alphabet.spell  # the other thread finds the method itself
        words(ids)
        return spell(words.alphabet, *given)

    words.alphabet.spell = spell_while_another_thread_reads
    words(ids)
    later = torch.from_numpy(tokenizer.encode(["bb", "cab"]).ids).long()
    assert words(later).tolist() == SpelledWords(tokenizer)(later).tolist()


def test_the_table_grows_with_words_but_sizes_follow_from_the_vocabulary():
    tokenizer = make()
    before = Alphabet(tokenizer).size
    tokenizer.encode(["xyz"])
    assert Alphabet(tokenizer).size == before == Alphabet(make_tokenizer([" ".join(WORDS)])).size
    assert not SpelledWords(tokenizer).state_dict()
    tokenizer = make()
    table = SpelledWords(tokenizer)
    before = table(torch.arange(5))
    new = torch.from_numpy(tokenizer.encode(["abcabcabc"]).ids[:1]).long()
    assert table(new)[0].tolist() == [0, *[5, 6, 7] * 3, 1]
    after = table(torch.arange(5))
    assert torch.equal(after[:, : before.shape[1]], before)
    assert (after[:, before.shape[1] :] == -1).all()


def test_long_words_are_read_up_to_65_characters():
    tokenizer = make(["ab"])
    whole = "a" * (LONGEST - 2)
    fitting, long, longer = spelled(tokenizer, [whole, f"{whole}b", "a" * 300])
    assert len(fitting) == LONGEST == 65 and fitting == long == longer == [0, *[5] * 63, 1]


@pytest.mark.filterwarnings("ignore")
def test_pieces_of_sentencepiece_are_spelled():
    settings = {"tokenizer": "sentencepiece", "vocab_size": 280}
    tokenizer = make_tokenizer(["the cat sat on the mat"] * 5, **settings).spelling()
    encoded = tokenizer.encode(["the zebra"])
    assert encoded.ids.max() < tokenizer.size == tokenizer.input_size and not tokenizer.spells
    number = tokenizer.symbols().index("\u2581")
    assert (SpelledWords(tokenizer)(torch.tensor([number]))[0] >= 0).sum() == 3


word = st.text(st.sampled_from("abc\u00e4\u20ac\U0001f600'"), min_size=1, max_size=6)
words = st.lists(word, min_size=1, max_size=6)


@given(known=words, unseen=words)
def test_spelling_equals_a_slow_reference(known, unseen):
    tokenizer = make_tokenizer([" ".join(known)]).spelling()
    rows = alphabet(known)
    assert spelled(tokenizer, known + unseen) == [rows_of(word, rows) for word in known + unseen]


def test_a_large_vocabulary_is_spelled_at_once():
    tokenizer = make_tokenizer([" ".join(f"word{number}" for number in range(100_000))])
    began = time.process_time()
    rows = Alphabet(tokenizer).spell(tokenizer.spellings(), 0)
    assert rows.shape == (100_002, 11) and rows.dtype == np.int32
    assert time.process_time() - began < 1.0

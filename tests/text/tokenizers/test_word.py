import random
import re
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, strategies as st

from rnnlm.errors import ModelError
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers import vocabulary, word as word_tokenizer
from rnnlm.text.tokenizers.vocabulary import StoredSymbols, Vocabulary
from rnnlm.text.tokenizers.word import WordTokenizer
from support.tiny_models import make_tokenizer


def test_punctuation_is_split_off_except_apostrophes_inside_words():
    tokenizer = make_tokenizer(["x"], split_punctuation=True)
    assert not tokenizer.keeps_text and tokenizer.keeps_case and tokenizer.starts_word_V.all()
    line = "\"Don't,\" she said: 3.5% (or <unk>) \u2014 the dogs' rock'n'roll \u2019tis l\u2019eau!"
    expected = (
        "\" Don't , \" she said : 3 . 5 % ( or <unk> ) \u2014 the dogs ' rock'n'roll "
        "\u2019 tis l\u2019eau ! </s>"
    )
    assert tokenizer.surface(line) == expected.split(" ")
    # the same with ASCII alone
    assert tokenizer.surface("Don't (stop).") == ["Don't", "(", "stop", ")", ".", "</s>"]


def reference_words(line: str, lowercase: bool, split_punctuation: bool) -> list[str]:
    """Return the words that the tokenizer should find, character by character."""
    if lowercase:
        line = line.lower()
    if not split_punctuation:
        return [word for word in re.split("[ \t\r\0]+", line) if word]
    words, word, at = [], "", 0

    def is_letter(position: int) -> bool:
        return 0 <= position < len(line) and (line[position].isalnum() or line[position] == "_")

    while at < len(line):
        token = "<unk>" if line.startswith("<unk>", at) else line[at]
        at_token = at
        at += len(token)

        # A letter goes on with the word, and so does an apostrophe inside it.
        is_space = token in " \t\r\0"
        is_mark = token == "<unk>" or unicodedata.category(token)[0] in "PS"
        is_apostrophe = token in "'\u2019" and is_letter(at_token - 1) and is_letter(at_token + 1)
        if not is_space and (not is_mark or is_apostrophe):
            word += token
            continue

        # Anything else ends it. A mark is a word by itself.
        words += [word, "" if is_space else token]
        word = ""
    return [each for each in [*words, word] if each]


pieces = st.sampled_from(
    "a|B|the|The|<unk>|<UNK>|</s>|<s>| | |\t|\0|\r|\x0b|\x0c|\x1c|\u00a0"
    "|'|\u2019|_|.|-|<|unk>|\u20ac|\u0130|\u03a3|7|\U0001f600|\u0301|\u2581".split("|")
)
lines = st.lists(st.lists(pieces, max_size=12).map("".join), min_size=1, max_size=5)


@pytest.mark.parametrize(
    "limits", [{}, {"min_count": 2}, {"max_vocab": 5}, {"min_count": 2, "max_vocab": 4}]
)
@given(lowercase=st.booleans(), split_punctuation=st.booleans(), train=lines, test=lines)
def test_encoding_equals_a_slow_reference(lowercase, split_punctuation, limits, train, test):
    tokenizer = make_tokenizer(
        train, lowercase=lowercase, split_punctuation=split_punctuation, **limits
    )

    # The vocabulary: the most frequent words, within the limits.
    counts = Counter()
    for line in train:
        counts.update(reference_words(line, lowercase, split_punctuation))
    frequent = []
    for word, count in counts.items():
        if count >= limits.get("min_count", 1) and word not in ("<s>", "</s>", "<unk>"):
            frequent.append(word)
    frequent.sort(key=lambda word: (-counts[word], word))
    known = frequent[: limits.get("max_vocab", 10**9) - 2]
    ids = {word: id for id, word in enumerate(["</s>", "<unk>", *known])}
    assert tokenizer.symbols() == list(ids)

    # Its counts: of lines, of all that is unknown, of each word.
    known_counts = [counts[word] for word in known]
    unknown = sum(counts.values()) - sum(known_counts)
    assert tokenizer.counts_V.tolist() == [len(train), unknown, *known_counts]

    # The ids of other lines.
    expected, oov = [], []
    for line in test:
        for word in reference_words(line, lowercase, split_punctuation):
            if word not in ids or word == "</s>":
                oov.append(len(expected))
            expected.append(1 if word == "</s>" else ids.get(word, 1))
        expected.append(0)
    encoded = tokenizer.encode(test)
    assert encoded.ids.tolist() == expected
    assert encoded.oov.tolist() == oov
    assert encoded.ids.dtype == np.int32 and len(encoded.offsets) == len(test) + 1
    for line, start, end in zip(test, encoded.offsets, encoded.offsets[1:], strict=False):
        assert tokenizer.encode([line]).ids.tolist() == encoded.ids[start:end].tolist()
        words = reference_words(line, lowercase, split_punctuation)
        assert tokenizer.surface(line) == [*words, "</s>"]


def test_the_fingerprint_ignores_counts():
    one = make_tokenizer(["a a b"]).fingerprint
    assert one == make_tokenizer(["a a a b", "a b"]).fingerprint
    others = [make_tokenizer([line]) for line in ("a b b", "a a c")]
    others += [make_tokenizer(["a a b"], lowercase=True)]
    others += [make_tokenizer(["a a b"], split_punctuation=True)]
    assert one not in [other.fingerprint for other in others]


def test_ids_become_text_again():
    tokenizer = make_tokenizer(["the cat sat on the mat", "the <unk> sat", "a cat"])
    assert tokenizer.decode(tokenizer.encode(["the cat", "", "a  dog"]).ids) == "the cat\n\na <unk>"
    assert tokenizer.decode([]) == ""
    assert tokenizer.decode([2, 3]) == "the cat"


def test_split_punctuation_is_joined_for_reading():
    line = 'He said, "it\'s late (very)." Then: "Go!"'
    tokenizer = make_tokenizer([line], split_punctuation=True)
    assert tokenizer.decode(tokenizer.encode([line, line]).ids) == f"{line}\n{line}"
    for line in ('"\u00a0 a"', 'She said "', '"a" (b) "c, d'):  # a no-break space is a word
        tokenizer = make_tokenizer([line], split_punctuation=True)
        assert tokenizer.decode(tokenizer.encode([line, line]).ids) == f"{line}\n{line}"


def test_a_million_words_are_encoded_within_a_second():
    import time

    words = random.Random(1).choices([f"word{number}" for number in range(5000)], k=1_000_000)
    lines = [" ".join(words[at : at + 25]) for at in range(0, len(words), 25)]
    tokenizer = make_tokenizer(lines[:4000])
    began = time.process_time()
    assert len(tokenizer.encode(lines).ids) == 1_040_000
    assert time.process_time() - began < 1.0


def test_surfaces_of_many_lines_equal_those_of_each():
    tokenizer = make_tokenizer(split_punctuation=True, lowercase=True)
    lines = ["The cat, saw", "", "zebra <unk>", "  a  "]
    surfaces = tokenizer.surfaces(lines)
    assert surfaces == [tokenizer.surface(line) for line in lines]
    assert surfaces[:2] == [["the", "cat", ",", "saw", "</s>"], ["</s>"]]
    assert tokenizer.surfaces([]) == []


symbols = st.lists(st.text(st.characters(codec="utf-8")) | st.text("\\tnr0\t\n\r\0"), unique=True)


@given(symbols, st.data())
def test_the_file_keeps_any_symbols_and_counts(symbols, data):
    min_size = len(symbols)
    counts = data.draw(st.lists(st.integers(0, 2**62), min_size=min_size, max_size=len(symbols)))
    stored = Vocabulary(tuple(symbols), np.array(counts, dtype=np.int64)).to_bytes()
    assert stored.count(b"\n") == len(symbols)
    again = Vocabulary.from_bytes(stored)
    assert again.symbols == tuple(symbols) and again.counts_V.tolist() == counts


def test_counts_that_are_not_known_stay_so():
    stored = Vocabulary(("</s>", "<unk>", "?"), None).to_bytes()
    assert stored == b"?\t</s>\n?\t<unk>\n?\t?\n"
    again = Vocabulary.from_bytes(stored)
    assert again.symbols == ("</s>", "<unk>", "?") and again.counts_V is None
    with pytest.raises(ModelError, match="the vocabulary is damaged"):
        Vocabulary.from_bytes(b"?\t</s>\n1\t<unk>\n")


# Lengths around eight bytes, ends and beginnings that are alike, and more than one byte a letter.
long_words = st.lists(
    st.tuples(st.sampled_from(["", "a", "abcdefgh"]), st.text("ab\\\u00e9\U0001f600", max_size=9))
    .map("".join)
    .filter(bool),
    unique=True,
    max_size=20,
)


@given(long_words, long_words, st.integers(0, 40))
def test_a_large_stored_vocabulary_reads_as_a_small_one(known, other, most_met):
    counts_V = np.arange(len(known) + 2)
    plain = make_tokenizer(["x"])
    plain = type(plain)(plain.settings, Vocabulary(("</s>", "<unk>", *known), counts_V))
    lines = [" ".join(other), "", " ".join([*known, "<unk>", "</s>", *other])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary, "LEAST_STORED", 1)
        patch.setattr(word_tokenizer, "MOST_MET", most_met)
        large = type(plain).load(plain.settings, plain.to_files())
        assert isinstance(large.vocabulary.symbols, StoredSymbols)
        for _ in range(2):
            expected = [plain.encode([line]).ids.tolist() for line in lines]
            assert [large.encode([line]).ids.tolist() for line in lines] == expected
    assert large.symbols() == plain.symbols() and large.counts_V.tolist() == counts_V.tolist()
    assert large.fingerprint == plain.fingerprint and large.to_files() == plain.to_files()
    assert [*map(large.vocabulary.symbols.__getitem__, range(large.size))] == plain.symbols()
    assert large.surfaces(lines) == plain.surfaces(lines)


def test_words_that_share_a_key_are_told_apart_by_their_bytes():
    # Equal in length, first and last eight bytes.
    words = [b"beginning%04dend-of-it" % number for number in range(300)]
    stored = StoredSymbols.of([b"</s>", *words[::2], b"a"])
    expected = {word: number for number, word in enumerate([b"</s>", *words[::2], b"a"])}
    asked = [*words, b"", b"a", b"aa", b"</s>"]
    assert stored.ids_of(asked).tolist() == [expected.get(word, -1) for word in asked]
    assert stored.ids_of_few(asked) == stored.ids_of(asked).tolist()
    assert stored.ids_of([]).tolist() == []


def test_a_vocabulary_of_many_words_holds_no_strings(monkeypatch):
    monkeypatch.setattr(vocabulary, "LEAST_STORED", 1)
    lines = [f"word{number} word{number // 3}" for number in range(20_000)]
    made = WordTokenizer.train(TokenizerSettings(), [lines])
    assert made.encode(lines[:9000]).ids.max() > 9000
    symbols = made.vocabulary.symbols
    keys_V, ids_V, twins = symbols._sorted
    arrays = (symbols.ends_V, keys_V, ids_V, made.counts_V)
    held = len(symbols.lines) + sum(array.nbytes for array in arrays)
    assert held < 50 * made.size and not twins
    assert len(made._ids) < 300
    monkeypatch.undo()
    plain = WordTokenizer.train(TokenizerSettings(), [lines])
    assert made.to_files() == plain.to_files() and made.fingerprint == plain.fingerprint


@pytest.mark.parametrize("stored, why", [
    ("1\t</s>\n1\t<unk>\nx\tabc\n", "invalid literal"),
    ("1\t</s>\n1\t<unk>\n-1\tabc\n", "below zero"),
    ("1\t</s>\n1\t<unk>\n1\tabc\n2\tabc\n", "duplicate"),
    (b"1\t</s>\n1\t<unk>\n1\t\xff\n", "codec"),
    ("1\t</s>\n1\t<unk>\n1\n", "no tab"),
])  # fmt: skip
@pytest.mark.parametrize("least", [1, 1000])
def test_a_damaged_vocabulary_is_refused_large_or_small(monkeypatch, least, stored, why):
    monkeypatch.setattr(vocabulary, "LEAST_STORED", least)
    monkeypatch.setattr(word_tokenizer, "MOST_MET", 0)
    files = {"vocab.txt": stored if isinstance(stored, bytes) else stored.encode()}
    with pytest.raises(ModelError, match=why):
        word_tokenizer.WordTokenizer.load(make_tokenizer(["x"]).settings, files).encode(["abc"])

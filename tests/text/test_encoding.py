import gzip
import warnings

import numpy as np
import pytest
from hypothesis import given, strategies as st

from rnnlm.errors import TextError
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Corpus
from rnnlm.text.encoding import known_ids
from rnnlm.text.lines import TextSettings
from rnnlm.text.marks import watch_forms
from rnnlm.text.tokenizer_settings import TokenizerSettings
from support.tiny_models import LINES, Lines, make_tokenizer


def test_ids_and_counts_of_a_small_text():
    tokenizer = make_tokenizer(["the cat sat", "the mat"])
    text = Lines(["the dog\u00a0x sat", "<unk>  m\u00e4t cat"]).encode(tokenizer)
    symbols = [tokenizer.symbols()[id] for id in text.ids]
    assert " ".join(symbols) == "the <unk> sat </s> <unk> <unk> cat </s>"
    assert text.line_offsets.tolist() == [0, 4, 8] and text.document_offsets is None
    assert text.oov.tolist() == [1, 5] and text.oov_words == 2  # a literal <unk> is none
    assert (text.tokens, text.sentences, text.words) == (8, 2, 6)
    assert (text.characters, text.bytes) == (14 + 15, 15 + 16)


@pytest.mark.parametrize("settings", [
    {}, {"lowercase": True, "split_punctuation": True}, {"tokenizer": "char"},
    {"tokenizer": "byte"},
], ids=str)  # fmt: skip
def test_all_tokenizers_count_words_characters_and_bytes_alike(settings):
    lines = ["The cat,\0the dog.", "it's\tm\u00e4t\x0bx \u2028 "]
    text = Lines(lines).encode(make_tokenizer(LINES, **settings))
    assert (text.words, text.characters, text.bytes, text.sentences) == (7, 32, 35, 2)


def test_blocks_are_joined(tmp_path, chunk_bytes):
    path = tmp_path / "text.txt"
    path.write_text("the cat\nsat\n\nthe dog\n\n\na cat sat\n")
    tokenizer = make_tokenizer(["the cat sat"])
    corpus = Corpus((str(path),), TextSettings(blank_lines="documents"))
    whole = corpus.encode(tokenizer)
    assert whole.document_offsets.tolist() == [0, 5, 8, 12]
    chunk_bytes(3)
    parts = corpus.encode(tokenizer)
    for name, value in vars(whole).items():
        assert np.array_equal(value, getattr(parts, name)), name


lines = st.lists(st.sampled_from(["a", "b", "\u00e9 a", "c\td  ", "<unk>", "", "d--e \u2019 f's"]))


@given(
    lines, st.sampled_from([{}, {"min_count": 2}, {"max_vocab": 4}]), st.sampled_from([0.0, 0.3]),
    st.sampled_from(["skip", "keep", "documents"]), st.sampled_from([3, 1 << 20]),
)  # fmt: skip
def test_one_reading_gives_what_two_give(tmp_path_factory, lines, limits, share, blank, chunk):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    corpus = Corpus((str(path),), TextSettings(blank_lines=blank))
    settings = TokenizerSettings(**limits)

    def twice():
        split = corpus.split(share)
        tokenizer = tokenizers.train(settings, watch_forms(split.blocks(), settings))
        return tokenizer, *split.encode(tokenizer)

    def once():
        found = corpus.split(share).encode_once(settings)
        tokenizers.tell_empty(found[0], settings)
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("rnnlm.text.sources.CHUNK_BYTES", chunk)
        found, wanted = outcome(once), outcome(twice)
    assert found == wanted


def outcome(read):
    """Return what `read` returns as plain values and types, or its error, and warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            tokenizer, *parts = read()
        except TextError as error:
            return str(error)
    found = [tokenizer.symbols(), tokenizer.counts_V.tolist(), tokenizer.fingerprint]
    for part in filter(None, parts):
        for value in vars(part).values():
            found.append((value.dtype, value.tolist()) if hasattr(value, "dtype") else value)
    return found, [str(each.message) for each in caught]


def test_only_plain_words_are_read_once():
    assert tokenizers.is_made_on_the_way(TokenizerSettings(min_count=3, max_vocab=10))
    for setting in (
        {"lowercase": True}, {"split_punctuation": True},
        {"normalise": "quotes"}, {"remove_punctuation": True}, {"tokenizer": "char"},
    ):  # fmt: skip
        assert not tokenizers.is_made_on_the_way(TokenizerSettings(**setting))


def test_the_hash_covers_lines_rather_than_files(tmp_path):
    tokenizer = make_tokenizer(LINES)
    for name, content in {
        "a.txt": b"the cat\nsat", "b.txt": b"\xef\xbb\xbfthe cat\r\n\r\nsat\r\n",
        "c.gz": gzip.compress(b"the cat\n"), "d.txt": b"sat\n", "other.txt": b"the cat sat\n",
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)

    def hash_of(*names: str) -> str:
        return Corpus(tuple(str(tmp_path / name) for name in names)).encode(tokenizer).lines_hash

    assert hash_of("a.txt") == hash_of("b.txt") == hash_of("c.gz", "d.txt")
    assert len({hash_of("a.txt"), hash_of("other.txt"), hash_of("d.txt", "c.gz")}) == 3


def test_ids_are_compact():
    assert Lines(["a"]).encode(make_tokenizer(["a"])).ids.dtype == np.uint16
    many = make_tokenizer([" ".join(map(str, range(65_535)))])
    text = Lines(["65534 0"]).encode(many)
    assert many.size == 65_537 and text.ids.dtype == np.int32
    assert [many.symbols()[id] for id in text.ids] == ["65534", "0", "</s>"]


words = st.lists(st.text("abxyz.,'", min_size=1, max_size=4), max_size=5).map(" ".join)


@pytest.mark.parametrize("options", [{}, {"split_punctuation": True}, {"tokenizer": "char"}])
@given(lines=st.lists(words, min_size=1, max_size=4))
def test_one_unknown_token_makes_a_word_unknown(options, lines):
    tokenizer = make_tokenizer(["a b ab ba , '"], **options)
    expected = 0
    for word in " ".join(lines).split():
        expected += bool(len(tokenizer.encode([word]).oov))
    text = Lines(lines).encode(tokenizer)
    assert text.oov_words == expected <= text.words


def test_unseen_spelled_words_are_numbered_in_reading_order(tmp_path, chunk_bytes):
    words = [f"word{number}" for number in range(300)]
    (tmp_path / "text.txt").write_text("".join(f"{word} {word}\n" for word in words))
    tokenizer = make_tokenizer(["a b c"]).spelling()
    chunk_bytes(50)
    text = Corpus((str(tmp_path / "text.txt"),)).encode(tokenizer)
    assert text.ids.dtype == np.int32 and text.oov_words == len(text.oov) == 600
    assert tokenizer.spellings(tokenizer.size) == words
    assert text.ids.reshape(300, 3).tolist() == [[id, id, 0] for id in range(5, 305)]


def test_unseen_words_are_unknown_without_characters():
    tokenizer = make_tokenizer(["a b"])
    ids = tokenizer.spelling().encode(["a x <unk> y"]).ids
    for known in (known_ids(ids, tokenizer), known_ids(ids, tokenizer.spelling())):
        assert known.tolist() == [2, 1, 1, 1, 0] and known.dtype == ids.dtype
    plain = tokenizer.encode(["a x"]).ids
    assert known_ids(plain, tokenizer) is plain
    letters = make_tokenizer(["a"], tokenizer="byte")
    assert known_ids(np.array([[0, -1]]), letters).tolist() == [[0, -1]]

"""Lists of words as other programs write them."""

import codecs
import json

import pytest

from rnnlm.errors import RnnlmWarning, TextError
from rnnlm.text.word_lists import read_words, word_list

WORDS = ["<eos>", "<unk>", "the", "caf\u00e9"]
LINES = "\n".join(WORDS)
IDS = {word: id for id, word in enumerate(WORDS)}
BY_ID = {id: word for word, id in reversed(IDS.items())}
MODEL = {"type": "WordLevel", "vocab": IDS}
DESCENDING = "".join(f"{word} {3 - id}\n" for word, id in IDS.items())


def numbered(numbers):
    return "".join(f"{word}\t{number}\n" for word, number in zip(WORDS, numbers, strict=True))


@pytest.mark.parametrize("data", [
    LINES, f"\ufeff{LINES}\n", LINES.replace("\n", "\r\n"), f"\n{LINES}\n \n\n",
    " \n".join(WORDS), codecs.BOM_UTF16_BE + LINES.encode("utf-16-be"), LINES.encode("utf-16"),
    LINES.encode("utf-16-le"), LINES.encode("utf-32"), numbered(range(4)), numbered([9, 7, 7, 0]),
    numbered([1, 2, 3, 4]), numbered([0.5, 0.25, 0.2, 1e-3]).replace("\t", "  "),
    json.dumps(WORDS), json.dumps(WORDS, indent=1), json.dumps(IDS, sort_keys=True),
    json.dumps({word: float(id) for word, id in IDS.items()}), json.dumps(BY_ID),
    json.dumps({"itos": WORDS, "stoi": IDS, "freqs": {"the": 9}}),
    json.dumps({"dictionary": {"word2idx": IDS, "idx2word": WORDS}, "train": [1]}),
    json.dumps({"version": "1.0", "truncation": None, "model": {"vocab": IDS}}),
    json.dumps({"model": MODEL, "added_tokens": [{"content": "the"}]}, indent=2),
])  # fmt: skip
def test_words_come_in_the_order_of_their_ids(data, tmp_path):
    file = tmp_path / "words"
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    assert read_words(str(file), needs_order=True) == WORDS
    with pytest.warns(RnnlmWarning, match="<eos> seem to be symbols"):
        listed = word_list(str(file))
    assert listed.words == tuple(sorted(word.encode() for word in WORDS if word != "<unk>"))


@pytest.mark.parametrize("data", [DESCENDING, json.dumps({**IDS, "the": 9})])
def test_a_list_whose_order_is_unclear_is_a_vocabulary_alone(data, tmp_path):
    file = tmp_path / "words"
    file.write_text(data, encoding="utf-8")
    assert {*read_words(str(file))} == {*WORDS}
    with pytest.raises(TextError, match=r"its numbers are (0 to 3, but|not 0 to 3)"):
        read_words(str(file), needs_order=True)


@pytest.mark.parametrize("data, said", [
    ("a  \u0259\nthe  \u00f0 \u0259\n", r"line 1: 2 words.*pronunciations.*take column 1"),
    ("7 the\n5 a\n", r"line 1: 2 words.*take column 2"),
    ("the 7\na\n", "line 2: 1 word; each line must hold one word, or all of them"),
    ("the\nof 7\n", "line 2: 2 words"),
    ("\u2581the\t-3.2\ns\t-4\n", "a list of pieces.*'\u2581the'.*tokenizer_from"),
    ("[PAD]\n[UNK]\nthe\n##s\n", "a list of pieces.*'##s'"),
    ("#version: 0.2\nt h\n", "a list of pieces.*merges"),
    (json.dumps({"the": 0, "\u0120of": 1}), "a list of pieces"),
    (json.dumps({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}), "model is BPE"),
    (json.dumps({"model": {"type": "Unigram", "vocab": [["a", -1.5]]}}), "model is Unigram"),
    (json.dumps({"a": "x", "b": 1}), "holds no list of words"),
    (json.dumps({"model": {}, "added_tokens": [3]}), "holds no list of words"),
    (json.dumps(["a", 1]), "holds no list of words"), ("{}", "holds no list of words"),
    (json.dumps({"itos": ["a", "b"], "stoi": {"b": 0, "a": 1}}), "differ; itos and stoi"),
    (json.dumps(["a", "\ud800"]), "half a character"), ("[" * 300 + "]" * 300, "nested more than"),
    ('["the",\n"a"', "words is not JSON"),
])  # fmt: skip
def test_what_is_no_list_of_words_says_what_it_is(data, said, tmp_path):
    file = tmp_path / "words"
    file.write_text(data, encoding="utf-8")
    with pytest.raises(TextError, match=said):
        read_words(str(file))


def test_a_list_may_begin_with_a_bracket(tmp_path):
    (tmp_path / "v.txt").write_text("[PAD]\n{\nthe\n")
    assert read_words(str(tmp_path / "v.txt")) == ["[PAD]", "{", "the"]

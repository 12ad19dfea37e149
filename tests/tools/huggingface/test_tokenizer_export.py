"""Our tokenizers, as a tokenizer.json: `tokenizers` gives their ids, places and texts."""

import json
import random

import pytest
import tokenizers as huggingface

from rnnlm.errors import SettingsError
from rnnlm.text.lines import is_blank, split_words
from rnnlm.tools.huggingface.export import tokenizer_files
from rnnlm.tools.huggingface.tokenizer import HuggingFaceTokenizer
from support.foreign_tokenizers import KINDS, TEXT, make
from support.tiny_models import LINES, make_tokenizer

PIECES = (
    "the man a B don't o\u2019clock \u03a3 \u0391\u03a3 \u01c5 \u0130 \u00df \ufb01 \u00e9 e\u0301 "
    "1 \u00b2 \u4e2d \U0001f600 <unk> <UNK> <s> <unk unk> s> <0x41> &lt; < > ' \u2019 ` . , ( ) _ "
    '+ $ - \u2014 " \u201c \u201d \u2026 \u2581 \u00ad \u200d \ufeff \u0600 \u00a0 \u2028 \v'
).split(" ")
PIECES += [" ", "  ", "\t", "\r", "\0"]
FORMS = "quotes,dashes,spaces,nfc"
SETTINGS = [
    {}, {"lowercase": True}, {"split_punctuation": True},
    {"lowercase": True, "split_punctuation": True, "min_count": 3},
    {"normalise": FORMS}, {"normalise": FORMS, "split_punctuation": True},
    {"remove_punctuation": True}, {"remove_punctuation": True, "lowercase": True},
    {"remove_punctuation": True, "split_punctuation": True, "normalise": FORMS},
    {"tokenizer": "char"}, {"tokenizer": "char", "literal_unk": "spell", "lowercase": True},
    {"tokenizer": "char", "normalise": FORMS, "min_count": 3},
    {"tokenizer": "byte"}, {"tokenizer": "byte", "normalise": FORMS},
    *({"tokenizer": "sentencepiece", "sentencepiece_model": model, "vocab_size": 400,
       "literal_unk": unk, "lowercase": unk == "spell", "normalise": FORMS}
      for model in ("unigram", "bpe") for unk in ("symbol", "spell")),
]  # fmt: skip


def random_lines(number):
    chance = random.Random(number)
    lines = []
    for _ in range(number):
        lines.append("".join(chance.choices(PIECES, k=chance.randrange(12))))
    return lines


def as_huggingface(tokenizer):
    return huggingface.Tokenizer.from_str(tokenizer_files(tokenizer)[0]["tokenizer.json"].decode())


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize(
    "number", [200, pytest.param(10_000, marks=pytest.mark.soak)], ids="{} lines".format
)
def test_ids_and_texts_of_random_lines_are_ours(settings, number):
    lines = random_lines(number)
    tokenizer = make_tokenizer([*LINES, *lines[::2]], **settings)
    exported = as_huggingface(tokenizer)
    boundary = tokenizer.boundary_id
    if not settings.get("remove_punctuation"):  # which rewrites a text in too many steps
        HuggingFaceTokenizer(exported.to_str().encode(), boundary)
    for line, encoding in zip(lines, exported.encode_batch(lines), strict=True):
        ids = tokenizer.encode([line]).ids.tolist()
        assert encoding.ids == [boundary, *ids[:-1]], line
        # The boundary is a special token, <unk> is a word.
        text = exported.decode(encoding.ids, skip_special_tokens=True)
        assert text == tokenizer.decode(ids), line


@pytest.mark.parametrize("settings", [
    {}, {"lowercase": True}, {"split_punctuation": True}, {"tokenizer": "char"},
], ids=str)  # fmt: skip
def test_offsets_are_the_places_of_words(settings):
    lines = random_lines(100)
    tokenizer = make_tokenizer(lines, **settings)
    exported = as_huggingface(tokenizer)
    for line in lines:
        encoding = exported.encode(line)
        assert encoding.offsets[0] == (0, 0)
        words = [line[start:end] for start, end in encoding.offsets[1:]]
        assert words == (
            split_words(line) if settings.get("lowercase") else tokenizer.surface(line)[:-1]
        )


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("kind", ["byte", "sentencepiece"])
def test_offsets_are_where_pieces_end(kind):
    settings = {"vocab_size": 400} if kind == "sentencepiece" else {}
    tokenizer = make_tokenizer(tokenizer=kind, literal_unk="spell", **settings)
    exported = as_huggingface(tokenizer)
    piece_bytes = tokenizer.token_bytes()
    for line in filter(None, random_lines(100)):
        encoding = exported.encode(line)
        written = b""
        for id, (_, end) in zip(encoding.ids[1:], encoding.offsets[1:], strict=True):
            written += piece_bytes[id]
            read = line[:end].encode()
            # A byte has the place of its character, or of several that a model does not know; the
            # space before a line has none.
            assert read.startswith(written.removeprefix(b" " * (kind != "byte")))
            assert kind == "sentencepiece" or len(read) - len(written) < 4
        assert encoding.offsets[-1][1] == len(line)


def test_newlines_and_the_symbol_are_boundaries():
    tokenizer = make_tokenizer(["the cat a b<unk>"])
    exported = as_huggingface(tokenizer)

    def tokens(text, pair=None):
        return " ".join(exported.encode(text, pair).tokens)

    assert tokens("the cat") == "</s> the cat"
    assert tokens("") == tokens("\n \r\n") == "</s>"
    assert tokens("\n\nthe\r\n \t\n\n cat\n \n") == "</s> the </s> cat </s>"
    assert tokens("the</s>cat</s>") == tokens("the </s> cat </s>") == "</s> the </s> cat </s>"
    assert tokens("the", "cat") == "</s> the </s> cat"
    encoding = exported.encode("a <unk>\n<unk></s><unk> a<unk> b<unk>")
    assert encoding.ids == [0, 2, 1, 0, 1, 0, 1, 1, tokenizer.symbols().index("b<unk>")]
    assert exported.decode(encoding.ids).endswith("b<unk>")
    assert exported.encode("the\ncat").offsets[2] == (3, 4)


@pytest.mark.parametrize("settings", [{}, {"tokenizer": "char"}, {"tokenizer": "byte"}], ids=str)
def test_lines_are_read_as_continuations_read_them(settings):
    tokenizer = make_tokenizer(**settings)
    exported = as_huggingface(tokenizer)
    chance = random.Random(3)
    for _ in range(200):
        parts = chance.choices(["the man", " ", "\t", "\r", "\n", "\n", "\r\n"], k=8)
        text = "".join(parts) + "\na"
        lines = [line.removesuffix("\r") for line in text.split("\n")]
        ids = tokenizer.encode([line for line in lines if not is_blank(line)]).ids.tolist()
        assert exported.encode(text).ids == [tokenizer.boundary_id, *ids[:-1]], text


def test_the_configuration_names_the_special_tokens():
    files, _ = tokenizer_files(make_tokenizer())
    assert json.loads(files["tokenizer_config.json"]) == {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "</s>", "eos_token": "</s>",
        "pad_token": "<pad>", "padding_side": "left",
        "model_input_names": ["input_ids", "attention_mask"], "clean_up_tokenization_spaces": False,
    }  # fmt: skip


@pytest.mark.parametrize(("word", "settings", "padding"), [
    ("the", {}, "<pad>"), ("<pad>", {}, "<<pad>>"), ("pad", {"remove_punctuation": True}, "<pad>"),
])  # fmt: skip
def test_padding_is_no_word(word, settings, padding):
    line = f"cat {word} cat"
    tokenizer = make_tokenizer([line], **settings)
    files, id = tokenizer_files(tokenizer)
    exported = huggingface.Tokenizer.from_str(files["tokenizer.json"].decode())
    assert id == tokenizer.size == exported.token_to_id(padding)
    assert json.loads(files["tokenizer_config.json"])["pad_token"] == padding
    assert exported.encode(line).ids == [0, *tokenizer.encode([line]).ids[:-1]]


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("model", ["unigram", "bpe"])
def test_each_line_of_pieces_begins_with_a_space(model):
    tokenizer = make_tokenizer(tokenizer="sentencepiece", sentencepiece_model=model, vocab_size=300)
    exported = as_huggingface(tokenizer)
    ids = tokenizer.encode(["the man", "<unk> the"]).ids.tolist()
    for text in ("the man\n<unk> the\n", "\nthe man\r\n \n<unk> the\n\n"):
        assert exported.encode(text).ids == [tokenizer.boundary_id, *ids]
    encoding = exported.encode("</s>man", add_special_tokens=False)
    assert encoding.ids == [tokenizer.boundary_id, *tokenizer.encode(["man"]).ids.tolist()[:-1]]
    assert encoding.offsets[-1][1] == len("</s>man")


def test_lower_case_makes_the_boundary_of_its_symbol():
    exported = as_huggingface(make_tokenizer(lowercase=True))
    assert exported.encode("the </S>").tokens == ["</s>", "the", "</s>"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_of_another_model_goes_back(kind):
    tokenizer = HuggingFaceTokenizer(*make(kind))
    files, _ = tokenizer_files(tokenizer)
    exported = huggingface.Tokenizer.from_str(files["tokenizer.json"].decode())
    name = json.loads(files["tokenizer_config.json"])["eos_token"]
    assert exported.token_to_id(name) == tokenizer.boundary_id
    # Its special symbols are symbols again.
    lines = [line for line in random_lines(80) if "<unk>" not in line and "<s>" not in line]
    for line in [*TEXT[:3], *lines]:
        ids = tokenizer.encode([line]).ids.tolist()
        assert exported.encode(line).ids == [tokenizer.boundary_id, *ids[:-1]]


@pytest.mark.parametrize(("settings", "why"), [
    ({"normalise": "all"}, "cannot decode HTML entities"),
    ({"tokenizer": "char", "remove_punctuation": True}, "where it changes white space"),
])  # fmt: skip
def test_what_a_file_cannot_do_is_refused(settings, why):
    with pytest.raises(SettingsError, match=f"cannot be written for Hugging Face.*{why}"):
        tokenizer_files(make_tokenizer(**settings))

"""Our tokenizers, as a tokenizer.json: `tokenizers` gives their ids, places and texts."""

import json
import random

import pytest

from rnnlm.errors import SettingsError
from rnnlm.text.lines import split_words
from rnnlm.tools.huggingface.tokenizer_export import tokenizer_files
from support.tiny_models import LINES, make_tokenizer

huggingface = pytest.importorskip("tokenizers")

PIECES = (
    "the man a B don't o\u2019clock \u03a3 \u0391\u03a3 \u01c5 \u0130 \u00df \ufb01 \u00e9 e\u0301 "
    "1 \u00b2 \u4e2d \U0001f600 <unk> <UNK> <s> <unk unk> s> <0x41> &lt; < > ' \u2019 ` . , ( ) _ "
    '+ $ - \u2014 " \u201c \u201d \u2026 \u2581 \u00ad \u200d \ufeff \u0600 \u00a0 \u2028 \v'
).split(" ")
PIECES += [" ", "  ", "\t", "\r", "\0"]
FORMS = "quotes,dashes,spaces,nfc"
WORDS = [
    {}, {"lowercase": True}, {"split_punctuation": True},
    {"lowercase": True, "split_punctuation": True, "min_count": 3},
    {"normalise": FORMS}, {"normalise": FORMS, "split_punctuation": True},
    {"remove_punctuation": True}, {"remove_punctuation": True, "lowercase": True},
    {"remove_punctuation": True, "split_punctuation": True, "normalise": FORMS},
]  # fmt: skip


def random_lines(number):
    chance = random.Random(number)
    lines = []
    for _ in range(number):
        lines.append("".join(chance.choices(PIECES, k=chance.randrange(12))))
    return lines


def as_huggingface(tokenizer):
    return huggingface.Tokenizer.from_str(tokenizer_files(tokenizer)["tokenizer.json"].decode())


@pytest.mark.parametrize("settings", WORDS, ids=str)
@pytest.mark.parametrize(
    "number", [200, pytest.param(10_000, marks=pytest.mark.soak)], ids="{} lines".format
)
def test_ids_and_texts_of_random_lines_are_ours(settings, number):
    lines = random_lines(number)
    tokenizer = make_tokenizer([*LINES, *lines[::2]], **settings)
    exported = as_huggingface(tokenizer)
    boundary = tokenizer.boundary_id
    for line, encoding in zip(lines, exported.encode_batch(lines), strict=True):
        ids = tokenizer.encode([line]).ids.tolist()
        assert encoding.ids == [boundary, *ids[:-1]], line
        # The boundary is a special token, <unk> is a word.
        text = exported.decode(encoding.ids, skip_special_tokens=True)
        assert text == tokenizer.decode(ids), line


@pytest.mark.parametrize("settings", WORDS[:2], ids=str)
def test_offsets_are_the_places_of_words(settings):
    exported = as_huggingface(make_tokenizer(**settings))
    for line in random_lines(100):
        encoding = exported.encode(line)
        assert encoding.offsets[0] == (0, 0)
        assert [line[start:end] for start, end in encoding.offsets[1:]] == split_words(line)


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
    place = exported.encode("the\ncat").offsets[2]
    assert place == (3, 4)


def test_the_configuration_names_the_special_tokens():
    files = tokenizer_files(make_tokenizer())
    assert json.loads(files["tokenizer_config.json"]) == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "</s>", "eos_token": "</s>", "pad_token": "</s>",
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
    }  # fmt: skip


def test_entities_are_refused():
    with pytest.raises(SettingsError, match="normalise = entities cannot be written for Hugging"):
        tokenizer_files(make_tokenizer(normalise="all"))

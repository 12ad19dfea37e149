"""`--vocab`: the vocabulary is the words of a file."""

from functools import partial

import pytest

from rnnlm.lm.base import loading
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import MemoryLimit
from rnnlm.text.tokenizers.word import WordTokenizer

LINES = ["the man was here", "the boy saw <unk>"] * 20
LISTED = "the\n<s>\nman\r\n\n</s>\nboy\n<unk>\nthe\nzebra\n"
SYMBOLS = {"</s>": 40, "<unk>": 80, "the": 40, "boy": 20, "man": 20, "zebra": 0}
TRAIN = "train text.txt --model ngram --order 2 --holdout 0"
COUNTED = partial(pytest.param, marks=pytest.mark.needs("tools/counting"))
PREPARED = partial(pytest.param, marks=pytest.mark.needs("tools/prepared"))


@pytest.fixture
def listed(here):
    (here / "text.txt").write_text("\n".join(LINES) + "\n")
    (here / "a.words").write_text(LISTED)
    return here / "a.words"


@pytest.mark.parametrize("line", [
    TRAIN, "train text.txt --holdout 0 --budget 2steps", COUNTED(f"{TRAIN} --memory 300M"),
    PREPARED("prepare text.txt --workers 1"), COUNTED("count text.txt --order 2"),
])  # fmt: skip
def test_a_command_has_the_words_of_the_list(line, rnnlm, listed):
    command = f"{line} --vocab a.words -o out"
    assert rnnlm(command).code == 0
    made = loading.load_tokenizer("out")
    assert dict(zip(made.symbols(), made.counts_V.tolist(), strict=True)) == SYMBOLS
    [record] = [*listed.parent.glob("out/*.json")]
    assert "a.words" not in record.read_text().replace(command, "")

    # The order of the words counts for nothing, another word does.
    listed.write_text("zebra\nman\nboy\nthe\n")
    assert "finished" in rnnlm(command).err
    listed.write_text(LISTED + "dog\n")
    changed = rnnlm(command)
    assert changed.code == 1 and "--vocab was sha256:" in changed.err


def test_counts_on_disk_are_those_in_memory(listed, tmp_path):
    limit, blocks = MemoryLimit(1, 1 << 30, tmp_path), [LINES[:20], LINES[20:]]
    made = WordTokenizer.train(TokenizerSettings(vocab="a.words"), blocks, limit)
    assert dict(zip(made.symbols(), made.counts_V.tolist(), strict=True)) == SYMBOLS


@pytest.mark.needs("tools/counting")
@pytest.mark.parametrize("option, never, kept", [
    ("--lowercase", "The", "the"), ("--split-punctuation", "here,", "o'clock"),
    ("--normalise quotes", "o’clock", "o'clock"), ("--remove-punctuation", "-", "here"),
])  # fmt: skip
def test_words_that_no_text_has_are_left_out(option, never, kept, rnnlm, listed):
    listed.write_text(f"{never}\n{kept}\n", encoding="utf-8")
    command = f"count text.txt --vocab a.words {option} -o out"
    noted = rnnlm(command).err
    assert noted.count("left out: 1 of the 2 words of a.words") == noted.count(f": {never}\n") == 1
    assert loading.load_tokenizer("out").symbols() == ["</s>", "<unk>", kept]
    listed.write_text(never, encoding="utf-8")
    assert "no vocabulary is left" in rnnlm(f"{command} --overwrite").err


@pytest.mark.parametrize("line, data, why", [
    (f"{TRAIN} --max-vocab 5", b"a", "needs max_vocab = none"),
    PREPARED("prepare text.txt --set min_count=2", b"a", "needs min_count = 1"),
    COUNTED("count text.txt --tokenizer byte", b"a", "a setting of the word and char tokenizers"),
    COUNTED("count text.txt --tokenizer char", b"a\nbc\n", "'bc' is several characters"),
    (TRAIN, b"<s>\n\n", "a.words has no words"), (TRAIN, b"a\n\xff\n", "a.words, line 2, byte 1"),
    PREPARED("prepare text.txt", b"a\nb 12\n", "a.words, line 2: 2 words"),
    (f"{TRAIN} --vocab none.txt", b"a", "cannot read none.txt"),
    (f"{TRAIN} --vocab sha256:0123456789ab", b"a", "cannot read sha256:0123"),
])  # fmt: skip
def test_what_is_no_list_of_words_is_refused(line, data, why, rnnlm, listed):
    listed.write_bytes(data)
    command = line if "--vocab" in line else f"{line} --vocab a.words"
    refused = rnnlm(f"{command} -o out")
    assert refused.code in (1, 2) and why in refused.err


@pytest.mark.needs("tools/counting")
def test_the_tokenizer_of_counts_is_one_of_a_model(rnnlm, listed):
    assert rnnlm("count text.txt --vocab a.words -o counts").code == 0
    for number, line in enumerate((TRAIN, "train text.txt --budget 2steps", "prepare text.txt")):
        command = f"{line} --tokenizer-from counts -o out{number}"
        assert rnnlm(command).code == 0 and "finished" in rnnlm(command).err
        assert loading.load_tokenizer(f"out{number}").symbols() == list(SYMBOLS)


@pytest.mark.needs("tools/counting")
def test_the_vocabulary_of_characters_is_that_of_a_file(rnnlm, listed):
    listed.write_text("a\nb\n\u0159\n", encoding="utf-8")
    noted = rnnlm("count text.txt --tokenizer char --vocab a.words -o out").err
    symbols = loading.load_tokenizer("out").symbols()
    assert symbols[:2] == ["</s>", "<unk>"] and {*symbols[2:]} == {" ", "a", "b", "\u0159"}
    assert "of the text is not in the vocabulary of the file" in noted


@pytest.mark.needs("tools/counting")
def test_words_that_are_not_what_they_seem_are_noted(rnnlm, listed):
    listed.write_text("<eps>\n#0\n!SIL\n<UNK>\nqqq\n")
    noted = rnnlm("count text.txt --vocab a.words -o out").err
    assert "!SIL, #0, <eps> seem to be symbols of Kaldi" in noted
    assert "100% of the text is not in the vocabulary of the file" in noted
    assert "<UNK>" not in loading.load_tokenizer("out").symbols()
    listed.write_text("insan \u0130nsan\n", encoding="utf-8")
    noted = rnnlm("count a.words --lowercase -o other").err
    assert "of Turkish and Azeri" in noted and "sed 's/\u0130/i/g" in noted

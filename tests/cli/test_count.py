"""`rnnlm count`: what it prints, what it writes, what it refuses."""

import pytest

from rnnlm.cli import terminal
from support.failures import checked_error

TEXT = "a b a\n\na \u00a0x <unk>\n"
COUNTS = """</s>	2
<s>	2
<s> a	2
<unk>	1
<unk> </s>	1
a	3
a </s>	1
a b	1
a \u00a0x	1
b	1
b a	1
\u00a0x	1
\u00a0x <unk>	1
"""


@pytest.fixture
def text(here):
    path = here / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_counts_alone_go_to_stdout(rnnlm, text):
    counted = rnnlm("count", text, "--order", 2)
    assert (counted.code, counted.out, counted.err) == (0, COUNTS, "")
    assert rnnlm("count", text, "--order", 2, "-o", "-").out == COUNTS


def test_trigrams_are_counted_unless_said_otherwise(rnnlm, text):
    assert rnnlm("count", text, "--only").out.splitlines() == [
        "<s> a b\t1", "<s> a \u00a0x\t1", "a b a\t1", "a \u00a0x <unk>\t1", "b a </s>\t1",
        "\u00a0x <unk> </s>\t1",
    ]  # fmt: skip


def test_rare_ones_are_left_out(rnnlm, text):
    assert rnnlm("count", text, "--min-count", 2).out == "</s>\t2\n<s>\t2\n<s> a\t2\na\t3\n"


def test_text_options_and_tokenizers(rnnlm, text, here):
    assert "<s> </s>\t1\n" in rnnlm("count", text, "--blank-lines", "keep").out
    (here / "raw.txt").write_text("Yes, yes\n")
    found = rnnlm("count", "raw.txt", "--lowercase", "--split-punctuation", "--order", 1).out
    assert found == ",\t1\n</s>\t1\n<s>\t1\nyes\t2\n"
    assert "\\x20 y e\t1\n" in rnnlm("count", "raw.txt", "--tokenizer", "char").out


def test_a_models_tokenizer_can_be_used(rnnlm, models, here):
    (here / "text").write_text("the zyzzyva the\n")
    found = rnnlm("count", "text", "-m", models.unigram, "--order", 1).out
    assert found == "</s>\t1\n<s>\t1\n<unk>\t1\nthe\t2\n"


@pytest.mark.parametrize(("arguments", "what"), [
    (["-m", "x", "--lowercase"], "-m MODEL determines the tokenizer"),
    (["--tokenizer", "byte", "--lowercase"], "lowercase cannot be combined with the byte tokenizer"),
])  # fmt: skip
def test_wrong_usage(rnnlm, text, arguments, what):
    checked_error(rnnlm("count", text, *arguments), 2, what)


def test_long_work_says_how_far_it_is(rnnlm, text, monkeypatch):
    monkeypatch.setattr(terminal, "PROGRESS_SECONDS", 0.0)
    counted = rnnlm("count", text, "--order", 2)
    assert counted.out == COUNTS
    expected = ["2 lines read", "order 1: 6 n-grams", "order 2: 7 n-grams", "13 n-grams written"]
    assert counted.err.splitlines()[-4:] == expected

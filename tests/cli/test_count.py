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
    assert "<s> </s>\t1\n" in rnnlm("count", text, "--keep-blank-lines").out
    (here / "raw.txt").write_text("Yes, yes\n")
    assert (
        rnnlm("count", "raw.txt", "--lowercase", "--split-punctuation", "--order", 1).out
        == ",\t1\n</s>\t1\n<s>\t1\nyes\t2\n"
    )
    assert "\\x20 y e\t1\n" in rnnlm("count", "raw.txt", "--tokenizer", "char").out


def test_a_models_tokenizer_can_be_used(rnnlm, models, here):
    (here / "text").write_text("the zyzzyva the\n")
    assert (
        rnnlm("count", "text", "-m", models.unigram, "--order", 1).out
        == "</s>\t1\n<s>\t1\n<unk>\t1\nthe\t2\n"
    )


def test_shards_add_up_to_the_whole(rnnlm, models, here):
    lines = models.text.read_text(encoding="utf-8").splitlines(keepends=True)
    shards = []
    for number in range(3):
        shard = here / f"shard-{number}.txt"
        shard.write_text("".join(lines[number::3]), encoding="utf-8")
        shards.append(here / f"{number}.counts.gz")
        assert rnnlm("count", shard, "--order", 4, "-o", shards[-1]).out == ""
    whole = rnnlm("count", models.text, "--order", 4)
    assert rnnlm("count", "--merge", *shards).out == whole.out
    frequent = [line for line in whole.out.splitlines() if int(line.partition("\t")[2]) >= 3]
    assert rnnlm("count", "--merge", here / "*.gz", "--min-count", 3).out.splitlines() == frequent


@pytest.mark.parametrize(
    "arguments",
    [
        ["--order", "2"],
        ["--only"],
        ["--lowercase"],
        ["--tokenizer", "char"],
        ["-m", "x"],
        ["--keep-blank-lines"],
    ],
)
def test_merge_refuses_counting_options(rnnlm, text, arguments):
    checked_error(rnnlm("count", "--merge", text, *arguments), 2, "--merge adds up counts")


@pytest.mark.parametrize(("arguments", "what"), [
    (["-m", "x", "--lowercase"], "-m MODEL brings its own tokenizer"),
    (["--tokenizer", "byte", "--lowercase"], "lowercase does not go with the byte tokenizer"),
])  # fmt: skip
def test_wrong_usage(rnnlm, text, arguments, what):
    checked_error(rnnlm("count", text, *arguments), 2, what)


def test_long_work_says_how_far_it_is(rnnlm, text, monkeypatch):
    monkeypatch.setattr(terminal, "PROGRESS_SECONDS", 0.0)
    counted = rnnlm("count", text, "--order", 2)
    assert counted.out == COUNTS
    assert counted.err.splitlines()[-4:] == [
        "2 lines read",
        "order 1: 6 n-grams",
        "order 2: 7 n-grams",
        "13 n-grams written",
    ]

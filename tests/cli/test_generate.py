"""`rnnlm generate` and `next`: samples, and the likeliest next words."""

import subprocess
import sys
from pathlib import Path

import pytest

import rnnlm as library
from rnnlm.cli.declaring import option_called
from rnnlm.config import describe
from rnnlm.scoring.generation.settings import SamplingSettings
from support.commands import environment
from support.failures import checked_error


def test_one_sample_a_line(rnnlm, models):
    shown = rnnlm("generate", "-m", models.unigram, "--num", 5, "--max-tokens", 8)
    assert (shown.code, shown.err) == (0, "")
    assert len(shown.out.splitlines()) == 5


def test_prompt_begins_samples_and_unknown_words_are_reported(rnnlm, models):
    asked = ("generate", "-m", models.lstm, "--num", 2, "--max-tokens", 5)
    shown = rnnlm(*asked, "the man")
    assert all(line.startswith("the man") for line in shown.out.splitlines())
    unknown = rnnlm(*asked, "the zorp [red]")
    assert unknown.err.startswith("note: ") and "zorp, [, red, ]" in unknown.err
    assert unknown.out.startswith("the <unk> <unk>")


def test_each_beginning_has_its_own_samples(rnnlm, models):
    flags = ("-m", models.lstm, "--num", 2, "--max-tokens", 5)
    one, other = (rnnlm("generate", text, *flags).out for text in ("the man", "a"))
    assert len(one.splitlines()) == 2
    assert rnnlm("generate", "the man", "a", *flags).out == one + other
    piped = rnnlm("generate", "-", *flags, stdin=b"the man\n\na\n")
    assert piped.out == one + other

    # A blank line separates texts that may have several lines.
    running = rnnlm("generate", "the man", "a", *flags, "--running").out
    assert running.count("\n\n") == 3


def test_a_beginning_of_running_text_may_have_lines(rnnlm, here):
    text = "def f(x):\n\n    return x\n" * 20
    (here / "code.txt").write_text(text, "utf-8")
    train = "train code.txt --tokenizer char --model ngram --order 9 --holdout 0"
    assert "33% of the lines are blank" in rnnlm(*train.split(), "-o", "skips").err
    kept = rnnlm(*train.split(), "--blank-lines", "keep", "-o", "keeps")
    skipped = rnnlm(*train.split(), "--blank-lines", "skip", "-o", "chosen")
    assert "blank" not in kept.err + skipped.err
    flags = ("-m", "keeps", "--top-k", 1, "--max-tokens", 40)
    [sample] = rnnlm("generate", "def f(x):\r\n\n", *flags, "--running", "--json").records
    assert sample["text"].startswith("def f(x):\n\n    return x\n") and sample["tokens"] == 40
    error = rnnlm("generate", "def f(x):\n", *flags)
    checked_error(error, 1, "the prompt: a line holds a newline")
    assert "--running" in error.err


def test_a_beginning_may_be_the_name_of_a_file(rnnlm, models, here):
    (here / "the").touch()
    shown = rnnlm("generate", "the", "-m", models.lstm, "--max-tokens", 1)
    assert (
        "note: 'the' is used as a beginning, although a file has that name; to use its lines: - < the"
        in shown.err
    )


@pytest.mark.parametrize("options, what", [
    ("--beam 4 --temperature 0.5", "--beam cannot be combined with --temperature"),
    ("--beam 4 --top-p 0.5 --seed 3", "--beam cannot be combined with --seed and --top-p"),
    ("--beam 4 --running", "--beam cannot be combined with --running"),
    ("--length-power 1", "--length-power needs --beam"),
    ("--beam 2 --length-power -1", "'--length-power': it must be from 0 to 10, not -1"),
    ("--beam 2 --num 3", "num = 3 does not fit a beam of 2"),
    ("- the", "- means standard input, so it must be the only text"),
])  # fmt: skip
def test_contradictions_are_wrong_usage(rnnlm, models, options, what):
    ended = rnnlm(f"generate -m {models.unigram} {options}")
    assert (ended.code, ended.out) == (2, "")
    assert what in ended.errors[0]


def test_the_likeliest_texts_are_ranked(rnnlm, models):
    records = rnnlm(f"generate -m {models.lstm} --beam 5 --num 3 the --max-tokens 6 --json").records
    assert [record["number"] for record in records] == [0, 1, 2]
    nats = [record["logprob_nats"] for record in records]
    assert nats == sorted(nats, reverse=True)
    assert all(record["text"].startswith("the") for record in records)


def test_running_texts_are_lines_separated_by_a_blank(rnnlm, models):
    asked = f"generate -m {models.unigram} --running --num 2 --max-tokens 50"
    first, second = (record["text"] for record in rnnlm(f"{asked} --json").records)
    assert "\n" in first
    assert rnnlm(asked).out == f"{first}\n\n{second}\n"


def test_the_page_has_what_the_settings_say_of_themselves():
    rows = ""
    for name, about in describe(SamplingSettings).items():
        rows += f"| `{option_called(name)}` | {about.replace('<unk>', '`<unk>`')} |\n"
    page = Path(__file__).parents[2] / "docs" / "scoring.md"
    assert f"| option | what it does |\n|---|---|\n{rows}\n" in page.read_text("utf-8")


@pytest.fixture
def counts(rnnlm, here):
    """Train bigrams. After `a`, b has 2/4, bc 1/4 and `</s>` 1/4; after b, a has 1/2."""
    (here / "t.txt").write_text("a b a b\na bc\na\n")
    command = "train t.txt --model ngram --smoothing mle --order 2 --holdout 0 -o mle"
    assert rnnlm(*command.split()).code == 0
    return "mle"


def test_words_after_a_text_have_the_probabilities_of_the_counts(rnnlm, counts):
    shown = rnnlm("next", "-m", counts, "b a")
    assert shown.rows == [
        ["word", "probability"], ["b", "0.5"], ["</s>", "0.25"], ["bc", "0.25"],
    ]  # fmt: skip
    assert rnnlm("next", "-m", counts, "b a", "--num", 1).rows[1:] == [["b", "0.5"]]
    assert rnnlm("next", "-m", counts).rows[1:] == [["a", "1"]]  # as a line begins
    assert rnnlm("next", "-m", counts, "b a", "--complete").rows[1:] == [["a", "0.5"]]


def test_the_last_word_is_completed_if_asked(rnnlm, counts):
    [answer] = rnnlm("next", "-m", counts, "a b", "--complete", "--json").records
    expected = library.load(counts).next_words("a b")
    assert answer["next"] == [{"word": w.word, "probability": w.probability} for w in expected]
    assert [word["word"] for word in answer["next"]] == ["b", "bc"]
    assert "--complete adds none" in rnnlm("next", "-m", counts, "\u6211").err
    none = rnnlm("next", "-m", counts, "a x", "--complete")
    assert none.code == 0 and none.rows == [["word", "probability"]]
    assert "mle knows no word that begins like the last one of 'a x'" in none.err


def test_several_models_and_texts_have_columns(rnnlm, counts, models):
    shown = rnnlm("next", "-m", counts, "-m", models.unigram, "b a", "b", "--num", 1)
    columns, *rows = shown.rows
    assert columns == ["model", "text", "word", "probability"]
    assert [row[:3] for row in rows[::2]] == [["mle", "b a", "b"], ["mle", "b", "</s>"]]
    assert [row[:2] for row in rows[1::2]] == [["uni", "b a"], ["uni", "b"]]
    arriving = rnnlm("next", "-m", counts, "-m", models.unigram, "-", "--num", 1, stdin=b"b a\nb\n")
    assert arriving.rows == shown.rows
    lines = rnnlm("next", "-m", counts, "-", "--json", "--num", 1, stdin=b"b a\nb\n").records
    assert [(line["model"], line["text"]) for line in lines] == [("mle", "b a"), ("mle", "b")]
    assert rnnlm("next", "-m", models.lstm, "the man", "--num", 3).rows[1:] == [
        [word.word, f"{word.probability:.4g}"]
        for word in library.load(models.lstm).next_words("the man ", 3)
    ]


def test_unknown_words_and_scores_are_noted(rnnlm, counts):
    shown = rnnlm("next", "-m", counts, "zorp")
    assert "words the model does not know, read as <unk>: zorp" in shown.err
    assert "not normalised" not in shown.err
    command = "train t.txt --model ngram --smoothing stupid --order 2 --holdout 0 -o stupid"
    assert rnnlm(*command.split()).code == 0
    noted = "stupid is not normalised: these numbers are not probabilities"
    assert noted in rnnlm("next", "-m", "stupid", "a").err


@pytest.mark.parametrize(("options", "code", "what"), [
    (["a\nb"], 1, "the prompt: a line holds a newline"), (["a </s>"], 1, "the prompt: the text holds </s>"),
    (["--num", "0"], 2, "Invalid value for '--num'"),
])  # fmt: skip
def test_what_cannot_be_continued_is_refused(rnnlm, counts, options, code, what):
    checked_error(rnnlm("next", "-m", counts, *options), code, what)


@pytest.mark.processes
@pytest.mark.parametrize(
    "command", ["generate", "next --json", pytest.param("next", marks=pytest.mark.soak)]
)
def test_beginnings_are_answered_as_they_arrive(counts, models, command):
    """An endless input has answers, and one line is answered before the next one is there."""
    words = [sys.executable, "-m", "rnnlm", *command.split(), "-m", str(models.unigram), "-"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*words, "--num", "1"], env=environment(), **pipes) as process:
        for _ in range(2):
            process.stdin.write(b"b a\n")
            process.stdin.flush()
            assert process.stdout.readline().strip()
        process.communicate(timeout=100)
        assert process.returncode == 0

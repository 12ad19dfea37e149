"""`-` is standard output wherever one FILE is written: what it then takes is what the file would
have held."""

import pytest

NBEST = b"u1\tREF\t\tthe man\nu1\t1\t-3.0\tthe man\nu1\t2\t-4.0\tthe men\n"

PAIRS = "good\tbad\nthe man\tthe zorp\n"


@pytest.fixture
def inputs(here):
    (here / "nbest.tsv").write_bytes(NBEST)
    (here / "pairs.tsv").write_text(PAIRS)
    return here


@pytest.mark.parametrize(("command", "name"), [
    ("score the,man -o", "s.jsonl"),
    ("rescore --tune nbest.tsv --lowercase -o", "best.txt"),
    ("rescore --tune nbest.tsv --lowercase --nbest-output", "n.jsonl"),
    ("rescore --tune nbest.tsv --lowercase --weights-output", "w.json"),
    ("score --pairs pairs.tsv -o", "p.jsonl"),
    ("score -m {0} --pairs pairs.tsv -o", "both.jsonl"),
])  # fmt: skip
def test_dash_writes_the_files_bytes_to_standard_output(rnnlm, models, inputs, command, name):
    verb, *options = command.format(models.lstm).split()
    arguments = (verb, "-m", models.unigram, *options)
    written, piped = rnnlm(*arguments, name), rnnlm(*arguments, "-")
    assert written.code == piped.code == 0, piped.err
    assert piped.out == (inputs / name).read_text() != ""
    assert not (inputs / "-").exists()
    # the tables for people
    assert [line for line in written.out.splitlines() if line not in piped.err] == []


@pytest.mark.parametrize(
    "command",
    ["rescore -m {0} --tune nbest.tsv -o - --json",
     "rescore -m {0} --tune nbest.tsv -o - --nbest-output -",
     "score -m {0} --pairs pairs.tsv -o - --json"],
)  # fmt: skip
def test_two_results_on_standard_output_are_refused(rnnlm, models, inputs, command):
    ended = rnnlm(*command.format(models.unigram).split())
    assert (ended.code, ended.out) == (
        2,
        "",
    ) and "standard output can take only one result" in ended.err


@pytest.mark.parametrize("command", ["train {0} --model unigram", "prepare {0}"])
def test_a_folder_cannot_be_standard_output(rnnlm, models, here, command):
    ended = rnnlm(f"{command.format(models.text)} -o -")
    assert ended.code == 1 and "cannot be written to standard output" in ended.err
    assert not list(here.iterdir())

"""`-` is standard input wherever a text is read, and standard output wherever FILE is written."""

import shutil

import pytest

from support.failures import checked_error

pytestmark = pytest.mark.needs(
    "tasks/labelling",
    "tasks/seq2seq",
    "tools/inspection",
    "tools/mixtures",
    "tools/pairs",
    "tools/rescoring",
)

LINES = b"the man had a dog\nthe ship\n"


def told(outcome):
    assert outcome.code == 0, outcome.err
    return outcome.out


@pytest.mark.parametrize("command", ["score", "tag", "classify", "translate"])
def test_a_hyphen_in_place_of_texts_is_read(rnnlm, models, tagger, classifier, translator, command):
    folders = {"score": models.lstm, "tag": tagger.folder, "classify": classifier.folder}
    asked = (command, "-m", folders.get(command, translator.folder))
    piped = told(rnnlm(*asked, "-", stdin=LINES))
    assert piped == told(rnnlm(*asked, "--input", "-", stdin=LINES))
    assert piped == told(rnnlm(*asked, "--", "-", stdin=LINES))
    checked_error(
        rnnlm(*asked, "-", "a word"), 2, "- means standard input, so it must be the only text"
    )
    checked_error(
        rnnlm(*asked, "-", "--input", "x"), 2, "- already means standard input: leave out --input"
    )


def test_gates_of_a_sentence_that_is_read(rnnlm, models):
    asked = ("inspect", "gates", "-m", models.lstm)
    assert told(rnnlm(*asked, "-", stdin=b"the ship\n")) == told(rnnlm(*asked, "the ship"))
    checked_error(
        rnnlm(*asked, "-", stdin=LINES), 2, "this shows a single line, but standard input has 2"
    )


@pytest.mark.parametrize("command", [
    "compare {lstm} {lstm}+unigram --on {}", "tune -m {unigram}+unigram --on {} --overwrite",
    "count {}", "inspect memory -m {lstm} --on {}",
])  # fmt: skip
def test_a_hyphen_for_a_file_is_read(rnnlm, models, here, command):
    (here / "lines").write_bytes(LINES)
    for folder in (models.lstm, models.unigram):
        shutil.copytree(folder, here / folder.name)  # `tune` writes into it
    words = command.format("{}", lstm="tiny", unigram="uni").split()
    from_file = told(rnnlm(*(word.format("lines") for word in words)))
    assert told(rnnlm(*(word.format("-") for word in words), stdin=LINES)) == from_file


NBEST = b"u1\tREF\t\tthe man\nu1\t1\t-3.0\tthe man\nu1\t2\t-4.0\tthe men\n"

PAIRS = "good\tbad\nthe man\tthe zorp\n"


@pytest.fixture
def inputs(here):
    (here / "nbest.tsv").write_bytes(NBEST)
    (here / "pairs.tsv").write_text(PAIRS)
    return here


@pytest.mark.parametrize(("command", "name"), [
    ("score the,man -o", "s.jsonl"), ("rescore --tune nbest.tsv --lowercase -o", "best.txt"),
    ("rescore --tune nbest.tsv --lowercase --nbest-output", "n.jsonl"),
    ("rescore --tune nbest.tsv --lowercase --weights-output", "w.json"),
    ("score --pairs pairs.tsv -o", "p.jsonl"), ("score -m {0} --pairs pairs.tsv -o", "both.jsonl"),
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


@pytest.mark.parametrize("command", [
    "rescore -m {0} --tune nbest.tsv -o - --json",
    "rescore -m {0} --tune nbest.tsv -o - --nbest-output -",
    "score -m {0} --pairs pairs.tsv -o - --json",
])  # fmt: skip
def test_two_results_on_standard_output_are_refused(rnnlm, models, inputs, command):
    ended = rnnlm(*command.format(models.unigram).split())
    assert (ended.code, ended.out) == (2, "")
    assert "standard output can take only one result" in ended.err


@pytest.mark.parametrize("command", ["train {0} --model unigram", "prepare {0}"])
def test_a_folder_cannot_be_standard_output(rnnlm, models, here, command):
    ended = rnnlm(f"{command.format(models.text)} -o -")
    assert ended.code == 1 and "cannot be written to standard output" in ended.err
    assert not list(here.iterdir())

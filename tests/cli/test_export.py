import gzip
import shlex

import pytest

from support.failures import checked_error


@pytest.fixture(scope="module")
def trigrams(models, tmp_path_factory):
    from rnnlm.cli.main import run

    folder = tmp_path_factory.mktemp("export") / "tri"
    assert (
        run(["train", str(models.text), "--model", "ngram", "--set", "order=3", "-o", str(folder)])
        == 0
    )
    return folder


def test_a_model_becomes_an_arpa_file(rnnlm, trigrams, here):
    ended = rnnlm("export", "-m", trigrams, "--arpa", here / "m.arpa")
    assert (ended.code, ended.out, ended.err.splitlines()[-1]) == (
        0,
        "",
        f"written to {here / 'm.arpa'}",
    )
    lines = (here / "m.arpa").read_text().splitlines()
    assert lines[0] == "\\data\\" and lines[-1] == "\\end\\" and "\\3-grams:" in lines


def test_a_dash_is_stdout(rnnlm, trigrams, here):
    rnnlm("export", "-m", trigrams, "--arpa", "m.arpa.gz")
    ended = rnnlm("export", "-m", trigrams, "--arpa", "-")
    assert (
        ended.code == 0 and ended.out == gzip.decompress((here / "m.arpa.gz").read_bytes()).decode()
    )


def test_a_network_is_written_in_compact_form(rnnlm, models, here):
    ended = rnnlm("export", "-m", models.lstm, "--compact", "carried")
    assert ended.code == 0 and ended.err.splitlines()[-1].startswith("written to carried: ")
    assert rnnlm("score", "-m", "carried", "the man").code == 0
    checked_error(
        rnnlm("export", "-m", models.lstm, "--compact", "carried"),
        1,
        "carried already holds a model",
    )
    assert rnnlm("export", "-m", models.lstm, "--compact", "carried", "--overwrite").code == 0


def test_one_thing_is_exported_at_a_time(rnnlm, models, trigrams, here):
    checked_error(
        rnnlm("export", "-m", models.lstm, "--arpa", "m.arpa", "--compact", "carried"),
        2,
        "say what to write",
    )
    checked_error(rnnlm("export", "-m", models.lstm), 2, "say what to write")
    checked_error(
        rnnlm("export", "-m", models.lstm, "--arpa", "m.arpa", "--bits", "8"),
        2,
        "--bits and --test need --compact DIR",
    )
    checked_error(
        rnnlm("export", "-m", models.lstm, "-m", trigrams, "--arpa", "m.arpa"),
        2,
        "rnnlm export takes one model",
    )
    checked_error(
        rnnlm("export", "-m", models.unigram, "--compact", "carried"),
        2,
        "a model of kind unigram has no compact form",
    )


def test_compact_ngrams_work_in_every_command(rnnlm, models, trigrams, here):
    made = rnnlm(
        "export", "-m", trigrams, "--compact", "few", "--bits", "8", "--test", models.valid
    )
    assert made.code == 0 and "(not normalised)" in made.err.splitlines()[-1]
    for command in (
        "generate -m few --num 1", "info few", "doctor few",
        "inspect memory -m few --on {valid} --json", "compare few {trigrams} --on {valid} --resamples 20",
        "score -m few --words 'the man'", "export -m few --arpa few.arpa",
        "export -m few --compact fewer --bits 8",
        "prune -m few -o pruned --threshold 1e-4", "mix few {trigrams} --weights 0.5,0.5 -o mixed",
        "count {text} --tokenizer-from few --extend -o counts",
    ):  # fmt: skip
        named = {"trigrams": trigrams, "text": models.text, "valid": models.valid}
        done = rnnlm(*shlex.split(command.format(**named)))
        assert done.code == 0, (command, done.err)

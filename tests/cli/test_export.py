import gzip

import pytest

from support.failures import checked_error


@pytest.fixture(scope="module")
def trigrams(models, tmp_path_factory):
    from rnnlm.cli.main import run

    folder = tmp_path_factory.mktemp("export") / "tri"
    assert run(f"train {models.text} --model ngram --set order=3 -o {folder}".split()) == 0
    return folder


def test_a_model_becomes_an_arpa_file(rnnlm, trigrams, here):
    ended = rnnlm("export", "-m", trigrams, "--arpa", here / "m.arpa")
    assert ended.code == 0
    assert ended.out == ""
    assert ended.err.splitlines()[-1] == f"written to {here / 'm.arpa'}"
    lines = (here / "m.arpa").read_text().splitlines()
    assert lines[0] == "\\data\\" and lines[-1] == "\\end\\" and "\\3-grams:" in lines


def test_a_dash_is_stdout(rnnlm, trigrams, here):
    rnnlm("export", "-m", trigrams, "--arpa", "m.arpa.gz")
    ended = rnnlm("export", "-m", trigrams, "--arpa", "-")
    assert ended.code == 0
    assert ended.out == gzip.decompress((here / "m.arpa.gz").read_bytes()).decode()


def test_one_thing_is_exported_at_a_time(rnnlm, models, trigrams, here):
    one = "give one of --arpa FILE, --vectors FILE, --hf DIR, --onnx DIR"
    for options, what in (
        ("--arpa m.arpa --vectors m.vec", one), ("", one),
        (f"-m {trigrams} --arpa m.arpa", "rnnlm export takes one model"),
    ):  # fmt: skip
        checked_error(rnnlm(f"export -m {models.lstm} {options}"), 2, what)

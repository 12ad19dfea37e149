import importlib.metadata

import pytest


@pytest.fixture
def bigram(rnnlm, here, corpus_lines):
    (here / "train.txt").write_text("\n".join(corpus_lines[:100]) + "\n", encoding="utf-8")
    assert rnnlm("train", "train.txt", "--model", "ngram", "--order", "2", "-o", "bigram").code == 0
    return here / "bigram"


def test_a_healthy_model_passes_every_check(rnnlm, bigram):
    shown = rnnlm("doctor", bigram)
    assert (shown.code, shown.err) == (0, "")
    header, *rows = (line.split("\t") for line in shown.out.splitlines())
    assert header == ["check", "result", "detail"]
    of_files = ["config", "files", "arrays", "numbers", "tables", "sums"]
    assert [row[0] for row in rows][:6] == of_files
    assert {row[1] for row in rows[:6]} == {"ok"}
    result = rnnlm("doctor", "-m", bigram, "--json").json
    assert result["well"] is True
    details = [check["detail"] for check in result["checks"]]
    assert [row[2] for row in rows] == details and details[5].startswith("all ")


def test_a_damaged_model_ends_in_exit_code_1(rnnlm, bigram):
    weights = next(bigram.glob("weights-*"))
    data = bytearray(weights.read_bytes())
    data[-4] ^= 1
    weights.write_bytes(data)
    shown = rnnlm("doctor", bigram)
    assert shown.code == 1
    assert f"files\tfailed\t{weights.name} has changed" in shown.out
    assert rnnlm("doctor", bigram, "--json").json["well"] is False
    weights.unlink()
    assert f"files\tfailed\t{weights.name} is missing" in rnnlm("doctor", bigram).out


@pytest.mark.parametrize(
    ("command", "is_foreign"), [("rnnlm.cli:main", True), ("rnnlm.cli.main:main", False)]
)
def test_the_rnnlm_of_somebody_else_is_noticed(
    rnnlm, bigram, tmp_path, monkeypatch, command, is_foreign
):
    """PyPI's rnnlm has the same command and import. What starts our own command is ours."""
    info = tmp_path / "site" / "rnnlm-0.1.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: rnnlm\nVersion: 0.1.1\n")
    (info / "entry_points.txt").write_text(f"[console_scripts]\nrnnlm = {command}\n")
    monkeypatch.syspath_prepend(info.parent)
    assert importlib.metadata.version("rnnlm") == "0.1.1"

    shown = rnnlm("doctor", bigram)
    assert shown.code == 0
    assert ("another project called rnnlm" in shown.err) is is_foreign
    assert ("pip uninstall rnnlm" in shown.err) is is_foreign

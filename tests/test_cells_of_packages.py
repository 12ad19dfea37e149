"""A recurrent cell of a package: all that ours can do, and its errors with its name."""

import os
import subprocess
import sys

import pytest

from support.packages import MINGRU, with_mingru
from support.shown import ROOT

CODE = MINGRU.read_text(encoding="utf-8")
SMALL = "--budget 6steps --set hidden_size=8 --set embedding_size=6"


@pytest.fixture
def text(here):
    (here / "a.txt").write_text("a b\nb a b\n" * 40, encoding="utf-8")
    (here / "pairs.tsv").write_text("a b\tb a\nb b\ta a\n" * 40, encoding="utf-8")
    (here / "site").mkdir()
    return here


def test_the_page_shows_the_package():
    assert f"```python\n{CODE}```" in (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    assert len(CODE.splitlines()) <= 40


@pytest.mark.processes
@pytest.mark.needs("tools/inspection", "tools/huggingface", "tools/onnx_export", "tools/grids")
def test_a_cell_of_a_package_is_trained_stored_and_inspected(rnnlm, text):
    with with_mingru(text / "site"):
        for command in (
            f"train a.txt --model mingru {SMALL} --set update_bias=1 --set weight_drop=0.2 -o m",
            f"train a.txt --grid model=gru,mingru {SMALL} -o grid",
            "doctor m", "inspect gates -m m a", "inspect gradients -m m --on a.txt --lags 1",
        ):  # fmt: skip
            outcome = rnnlm(command)
            assert outcome.code == 0, outcome.err
        assert '"right": true' in rnnlm("inspect gradcheck -m m --on a.txt --json").out
        scored = rnnlm("score -m m a").out
        for form in ("--hf", "--onnx"):
            assert "a mingru" in rnnlm(f"export -m m {form} exported").err
        assert "did you mean 'mingru'?" in rnnlm("train a.txt --model mingur").err

    # In another process, with the package and without it.
    words = [sys.executable, "-m", "rnnlm", "score", "-m", "m", "a"]
    with_it = {**os.environ, "PYTHONPATH": str(text / "site")}
    assert subprocess.check_output(words, text=True, env=with_it) == scored
    missing = "error: this model needs the package rnnlm_mingru, which is not installed here"
    assert rnnlm("score -m m a").errors == [missing]


@pytest.mark.needs("tasks/seq2seq")
@pytest.mark.parametrize("options", [
    "--model mingru --set input_feeding=true --set weight_drop=0.1", "--set decoder_model=mingru",
])  # fmt: skip
def test_encoders_and_decoders_have_a_cell_of_a_package(rnnlm, text, options):
    with with_mingru(text / "site"):
        outcome = rnnlm(f"train pairs.tsv --task seq2seq {options} {SMALL} -o m")
        assert outcome.code == 0, outcome.err
        assert rnnlm("translate -m m a").code == 0
        unknown = f"train pairs.tsv --task seq2seq --set decoder_model=mingur {SMALL} -o n"
        assert "unknown cell 'mingur'" in rnnlm(unknown).err


WRONG = [
    ("    def step(", "    def stop(", "NotImplementedError: MinGruCell has no step()"),
    ("return CellStep(h, ", "return CellStep(h[:, 1:], ", "ValueError: step() gives {'h': (2, 7), "),
    ("return CellStep(h, ", "return CellStep(h / 0 * 0, ", "step() gives numbers that are not fin"),
    ("return CellStep(h, ", "return CellStep(h, h, ", "ValueError: step() gives {'h': (2, 8), 'c'"),
    ("return CellStep(", "return dict(h=", "AttributeError: 'dict' object has"),
    ('gates={"update": z, ', "gates={", "ValueError: step() gives {'h': (2, 8)}, where"),
    ("return gate_sizes(2, ", "return {} or (2, ", "AttributeError: 'tuple' object has no attribute"),
    ("return gate_sizes(2, ", "return gate_sizes(2.5, ", "not shapes with a matrix weight_ih"),
    ("return gate_sizes(2, ", "return gate_sizes(3, ", "RuntimeError: The size of tensor a"),
    ("lambda: MinGruCell", "lambda: 5", "TypeError: 5 is no dataclass that derives from Cell"),
]  # fmt: skip


@pytest.mark.parametrize("right, wrong, why", WRONG)
def test_a_wrong_cell_is_blamed_by_name(rnnlm, text, right, wrong, why):
    with with_mingru(text / "site", CODE.replace(right, wrong)):
        outcome = rnnlm(f"train a.txt --model mingru {SMALL} -o m")
    assert outcome.code == 1 and why in outcome.err
    assert outcome.errors[0] == "error: the package rnnlm_mingru: cells['mingru'] cannot be used"

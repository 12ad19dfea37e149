"""The worked examples of CONTRIBUTING.md are added to a copy of the code, as it says, and used
there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TRAIN = "train my.txt --valid my.txt"
USES = {  # what each example is used for, and what that prints
    "rnnlm/recipes/quick.toml": ("train my.txt --recipe quick --dry-run", "recipe quick"),
    "cli/commands/vocabulary.py": ("vocabulary", "</s>\n<unk>\n"),
    "rnnlm/ngram/smoothing/linear.py": (
        f"{TRAIN} -o linear --model ngram --smoothing linear",
        "ppl_token",
    ),
    "rnnlm/neural/outputs/fixnorm.py": (
        f"{TRAIN} -o fixnorm --budget 2steps --set output_layer=fixnorm --set hidden_size=8",
        "ppl_token",
    ),
    "rnnlm/ngram/uniform.py": (f"{TRAIN} -o uniform --model uniform", "ppl_token"),
    "rnnlm/tasks/vowels.py": (f"{TRAIN} -o vowels --task vowels", "valid\t15\t100.00"),
}
USES_OF_TASK = {  # what else a task is used for
    "train": ("train dry.txt --task vowels -o dry", ""),
    "eval": ("eval -m vowels my.txt", "accuracy|data:"),
    "compare": (
        "compare dry vowels --on my.txt --on dry.txt",
        "vowels is better than dry by 75.00 points of accuracy, 95 % interval 55.00 to 90.00",
    ),
    "report": ("report vowels -o page.html", ""),
    "info": ("info vowels", "accuracy 100.00, sentences 15"),
    "doctor": ("doctor vowels", "arrays\tok"),
}
MODELS = ("linear", "fixnorm", "uniform")
SCRIPT = """
import sys
from rnnlm.cli.main import run
for line in sys.argv[1:]:
    print("$", flush=True)
    assert run(line.split()) == 0, line
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Return the output of each use, one after another, and then of `doctor` for the models they
    made."""
    folder = tmp_path_factory.mktemp("contributing")
    copy_of_the_code(folder / "code")
    (folder / "my.txt").write_text("the cat sat on the mat\na dog saw the cat\nthe dog sat\n" * 5)
    (folder / "dry.txt").write_text("my dry fly\n" * 5)
    lines = {name: use for name, (use, _) in (USES | USES_OF_TASK).items()} | {
        name: f"doctor {name}" for name in MODELS
    }
    environment = {**os.environ, "PYTHONPATH": str(folder / "code"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, *lines.values()]
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stdout[-500:] + ended.stderr[-2000:]
    found = dict(zip(lines, ended.stdout.split("$\n")[1:], strict=True))
    return found | {"page": (folder / "page.html").read_text(encoding="utf-8")}


def copy_of_the_code(folder: Path) -> None:
    """Copy the code with the examples added: their files written, their entries put into the
    registries."""
    for name in ("rnnlm", "cli"):  # with what is compiled, which holds for what stays as it is
        shutil.copytree(ROOT / name, folder / name)
    for name, code in re.findall(r"^```\w+ (\S+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        (folder / name).write_text(code, encoding="utf-8")
    for entry, where, anchor, name in re.findall(
        r"`([^`]+)` (after|above) `([^`]+)` in `([^`]+)`", TEXT
    ):
        code = (folder / name).read_text(encoding="utf-8")
        assert code.count(anchor) == 1, f"{anchor} in {name}"
        before = re.search(rf"^( *){re.escape(anchor)}", code, re.MULTILINE)
        added = anchor + entry if where == "after" else f"{entry}\n{before[1]}{anchor}"
        (folder / name).write_text(code.replace(anchor, added), encoding="utf-8")
    (folder / "cli").rename(folder / "rnnlm" / "cli")
    for name in ("corpora", "checkpoints"):
        (folder / "rnnlm" / name).symlink_to(ROOT / name)


@pytest.mark.parametrize("name", USES)
def test_an_example_works(printed, name):
    assert USES[name][1] in printed[name]


@pytest.mark.parametrize("model", MODELS)
def test_example_models_are_complete_and_sum_to_one(printed, model):
    assert re.search(r"sum.*\tok\t|sum.*\tpassed\t", printed[model]), printed[model]


@pytest.mark.parametrize("use", USES_OF_TASK)
def test_commands_know_the_example_task(printed, use):
    assert USES_OF_TASK[use][1] in printed[use]


def test_a_report_shows_the_example_task(printed):
    assert "accuracy" in printed["page"] and "100.00" in printed["page"]


def test_every_example_is_used_on_two_screen_pages():
    assert re.findall(r"^```\w+ (\S+)$", TEXT, re.MULTILINE) == list(USES)
    # Forty lines of these are the task, which is all that one needs: no protocol to read beside it.
    assert len(TEXT.splitlines()) <= 105

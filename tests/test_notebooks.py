"""The notebooks in docs/notebooks are stored clean, and run.

In the suite one of them runs as a plain program, with three steps and a small text. With `-m soak`
all of them run whole, in a kernel, with one thread and with two, and print what is stored, as
pages do (support/shown.py). A tag of a cell, such as `within 5%`, gives the difference allowed;
`varies` is for times, and for words that another rounding changes.
"""

import json
import re
import shutil
from pathlib import Path

import pytest

from rnnlm import corpora
from support.shown import Allowed, differing_line

pytestmark = pytest.mark.processes

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
# What makes a notebook quick, wherever it is written.
SMALL = {r'budget="[^"]*"': 'budget="3steps"', r"positions=\d+": "positions=5"}
OF_A_MACHINE = re.compile(r"(?<![\w./])/(?:home|root|work|tmp|opt|usr|var|Users|private)/|[A-Z]:\\")

each_notebook = pytest.mark.parametrize("name", NAMES)


def notebook(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))


def text_of(field: str | list[str]) -> str:
    """Return a text of a notebook, which may be stored as a list of lines."""
    return field if isinstance(field, str) else "".join(field)


def cells(name: str, kind: str) -> list[dict]:
    return [cell for cell in notebook(name)["cells"] if cell["cell_type"] == kind]


def printed(cell: dict) -> str:
    """Return the text that a cell has printed, and that of its results."""
    outputs = [each.get("text") or each["data"]["text/plain"] for each in cell["outputs"]]
    return "\n".join(map(text_of, outputs))


def made_small(code: str) -> str:
    for pattern, replacement in SMALL.items():
        code = re.sub(pattern, replacement, code)
    return code


@each_notebook
def test_what_is_stored_was_run_once_and_is_clean(name):
    counts = []
    for cell in cells(name, "code"):
        counts.append(cell["execution_count"])
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr"
        assert not OF_A_MACHINE.search(json.dumps(cell))
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_a_notebook_runs_as_a_plain_program(here, monkeypatch, capsys):
    for part in ("train", "valid", "test"):
        lines = corpora.part("english", part).read_text(encoding="utf-8").splitlines(True)
        small = here / "corpora" / "english" / f"{part}.txt"
        small.parent.mkdir(parents=True, exist_ok=True)
        small.write_text("".join(lines[:80]), encoding="utf-8")
    monkeypatch.setattr(corpora, "FOLDER", here / "corpora")
    monkeypatch.setenv("MPLBACKEND", "agg")
    code = "\n".join(text_of(cell["source"]) for cell in cells("first-model", "code"))
    exec(compile(made_small(code), "first-model", "exec"), {"__name__": "notebook"})
    assert "perplexity" in capsys.readouterr().out
    assert (here / "checkpoints" / "first" / "config.json").is_file()


@pytest.mark.soak
@pytest.mark.parametrize("threads", [1, 2])
@each_notebook
def test_notebooks_run_as_their_readers_run_them(tmp_path, monkeypatch, name, threads):
    """Nothing is made small; they run from their folder and print what is stored."""
    reason = "install the extra `notebooks`: pip install -e '.[notebooks]'"
    client = pytest.importorskip("nbclient", reason=reason)
    nbformat = pytest.importorskip("nbformat", reason=reason)
    pytest.importorskip("ipykernel", reason=reason)
    for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "jupyter"))
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))

    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(FOLDER / f"{name}.ipynb", folder)
    found = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    nbformat.validate(found)
    where = {"metadata": {"path": str(folder)}}
    client.NotebookClient(found, resources=where).execute()
    ran = [cell for cell in found.cells if cell.cell_type == "code"]
    for stored, cell in zip(cells(name, "code"), ran, strict=True):
        assert cell.execution_count
        assert [text for text in cell.outputs if text.get("name") == "stderr"] == []
        tags = " ".join(stored["metadata"].get("tags", []))
        if "varies" not in tags:
            line = differing_line(printed(stored), printed(cell), Allowed.by(tags))
            assert line is None, f"stored is\n{line}\n\nprinted was\n{printed(cell)}"

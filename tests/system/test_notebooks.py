"""The notebooks in docs/notebooks: what is stored of them is small and clean, and they run.

In the suite one of them runs as a plain program, with three steps and a small text. With `-m soak`
all of them run in a kernel, with few steps.
"""

import json
import re
from pathlib import Path

import pytest

import rnnlm
from rnnlm import corpora

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
# What makes a notebook quick, wherever it is written.
SMALL = {r'budget="[^"]*"': 'budget="3steps"', r"positions=\d+": "positions=5"}
OF_A_MACHINE = re.compile(r"(?<![\w./])/(?:home|root|work|tmp|opt|usr|var|Users|private)/|[A-Z]:\\")
LARGEST = 300_000  # bytes

each_notebook = pytest.mark.parametrize("name", NAMES)


def notebook(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))


def text_of(field: str | list[str]) -> str:
    """Return a text of a notebook, which may be stored as a list of lines."""
    return field if isinstance(field, str) else "".join(field)


def cells(name: str, kind: str) -> list[dict]:
    return [cell for cell in notebook(name)["cells"] if cell["cell_type"] == kind]


def made_small(code: str) -> str:
    for pattern, replacement in SMALL.items():
        code = re.sub(pattern, replacement, code)
    return code


def test_there_are_four_and_pages_name_them():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert len(NAMES) == 4
    assert [name for name in NAMES if f"(notebooks/{name}.ipynb)" not in PAGE] == []
    assert [name for name in NAMES if f"(notebooks/{name}.ipynb)" not in index] == []


@each_notebook
def test_notebooks_are_valid_and_small(name):
    found = notebook(name)
    assert (FOLDER / f"{name}.ipynb").stat().st_size < LARGEST
    assert found["nbformat"] == 4 and found["nbformat_minor"] >= 5
    assert found["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in found["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in found["cells"]:
        assert cell["cell_type"] in ("markdown", "code") and text_of(cell["source"]).strip()


@each_notebook
def test_outputs_are_complete_and_clean(name):
    counts = []
    for cell in cells(name, "code"):
        counts.append(cell["execution_count"])
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr"
        assert not OF_A_MACHINE.search(json.dumps(cell))
    assert counts == list(range(1, len(counts) + 1))  # executed once, from top to bottom


@each_notebook
def test_notebooks_open_with_what_their_reader_wants(name):
    first = text_of(notebook(name)["cells"][0]["source"]).split("\n\n")
    assert first[0].startswith("# ") and first[1].startswith("You ")


@each_notebook
def test_links_of_notebooks_lead_somewhere(name):
    text = "\n".join(text_of(cell["source"]) for cell in cells(name, "markdown"))
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert targets
    assert [target for target in targets if not (FOLDER / target).is_file()] == []


@each_notebook
def test_names_in_notebooks_are_public(name):
    text = "\n".join(text_of(cell["source"]) for cell in notebook(name)["cells"])
    assert set(re.findall(r"\brnnlm\.(\w+)", text)) <= {*rnnlm.__all__, "inspection"}


def test_a_notebook_runs_as_a_plain_program(tmp_path, monkeypatch, capsys):
    for part in ("train", "valid", "test"):
        lines = corpora.part("english", part).read_text(encoding="utf-8").splitlines(True)
        small = tmp_path / "corpora" / "english" / f"{part}.txt"
        small.parent.mkdir(parents=True, exist_ok=True)
        small.write_text("".join(lines[:80]), encoding="utf-8")
    monkeypatch.setattr(corpora, "FOLDER", tmp_path / "corpora")
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    code = "\n".join(text_of(cell["source"]) for cell in cells("first-model", "code"))
    exec(compile(made_small(code), "first-model", "exec"), {"__name__": "notebook"})
    assert "perplexity" in capsys.readouterr().out
    assert (tmp_path / "checkpoints" / "first" / "config.json").is_file()


@pytest.mark.soak
@each_notebook
def test_notebooks_run_in_a_kernel(tmp_path, monkeypatch, name):
    reason = "install the extra `notebooks`: pip install -e '.[notebooks]'"
    client = pytest.importorskip("nbclient", reason=reason)
    nbformat = pytest.importorskip("nbformat", reason=reason)
    pytest.importorskip("ipykernel", reason=reason)
    for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "jupyter"))

    found = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(found)
    for cell in found.cells:
        if cell.cell_type == "code":
            cell.source = made_small(cell.source)
    where = {"metadata": {"path": str(tmp_path)}}
    client.NotebookClient(found, timeout=600, kernel_name="python3", resources=where).execute()
    for cell in found.cells:
        if cell.cell_type == "code":
            assert cell.execution_count

"""What CONTRIBUTING.md asks for before a commit: `ruff` and `mypy` find nothing."""

import ast
import inspect
import re
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest

import rnnlm

ROOT = Path(__file__).parents[2]
FOLDERS = ("rnnlm", "cli", "tests", "corpora", "checkpoints", "docs/conf.py", "docs/site")


def run(tool: str, *arguments: str) -> str:
    """Run the tool on the tree, and return its output; "" if it finds nothing."""
    if find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed: pip install -e '.[test]'")
    done = subprocess.run(
        [sys.executable, "-m", tool, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stdout + done.stderr if done.returncode else ""


def test_ruff_finds_nothing():
    assert run("ruff", "check", "--no-cache", "--quiet", *FOLDERS) == ""


def test_files_are_formatted():
    assert run("ruff", "format", "--no-cache", "--check", "--quiet", *FOLDERS) == ""


def test_types_are_right_and_wrong_ones_seen(type_check):
    """Those of support/typed_models.py, too, where each model is a `LanguageModel`; so mypy would
    notice a model that is none. It looks at files that have changed since it last ran in this
    checkout."""
    assert type_check.checked == [
        "rnnlm",
        "cli",
        "tests/support/typed_models.py",
        "tests/support/typed_program.py",
    ]
    first, *rest = type_check.findings()
    assert "wrong.py:6: error: Incompatible return value type" in first, first
    assert not [line for line in rest if ": error: " in line], rest


@pytest.mark.soak
def test_pyright_accepts_a_program_of_a_user():
    """At its standard strictness; `pip install -e '.[types]'` brings it."""
    assert find_spec("pyright"), "pyright is not installed: pip install -e '.[types]'"
    program = "tests/support/typed_program.py"
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, program],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_public_signature_says_any():
    """`Array` is the one name behind which either numpy's or torch's arrays are."""
    found = []
    for name in rnnlm.__all__:
        value = getattr(rnnlm, name)
        found += [f"{name}: {each}" for each in vague_parts(value)]
    assert found == []


def vague_parts(value):
    """Yield the parts of a public function or class whose annotations say Any. Records of JSON
    may."""
    functions = {}
    if inspect.isfunction(value):
        functions[value.__name__] = inspect.unwrap(value)
    if inspect.isclass(value):
        for name, part in vars(value).items():
            function = part.fget if isinstance(part, property) else part
            if inspect.isfunction(function) and not name.startswith("_"):
                functions[name] = function
    for name, function in functions.items():
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        [definition] = (node for node in tree.body if isinstance(node, ast.FunctionDef))
        given = definition.args
        arguments = [*given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        annotations = [definition.returns, *(each.annotation for each in arguments if each)]
        said = " ".join(ast.unparse(each) for each in annotations if each is not None)
        if re.search(r"\bAny\b", re.sub(r"(dict|Mapping)\[str, Any\]", "", said)):
            yield name


def test_gpu_assertions_run_on_the_cpu_first():
    """The mark `gpu` stands in one place, where the CPU stands beside it: no assertion is met by a
    GPU first."""
    texts = {
        file: file.read_text("utf-8")
        for file in (ROOT / "tests").rglob("*.py")
        if file != Path(__file__)
    }
    marked = [file for file, text in texts.items() if "pytest.mark.gpu" in text]
    assert marked == [ROOT / "tests" / "support" / "devices.py"]
    lists = [line for text in texts.values() for line in text.splitlines() if " CUDA]" in line]
    assert lists and all(line.split('"cpu",')[1:] == [" CUDA])"] for line in lists)

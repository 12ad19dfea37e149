"""The documentation site is built as CONTRIBUTING.md says, without a warning, and has a page of
each kind."""

import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import rnnlm
from rnnlm.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.soak, pytest.mark.system]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site in a folder of its own."""
    pytest.importorskip("sphinx", reason="pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "docs", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900
    )
    assert ended.returncode == 0 and not ended.stderr, ended.stderr[-3000:]
    return folder


def page(site: Path, name: str) -> str:
    return (site / f"{name}.html").read_text(encoding="utf-8")


def test_the_guide_names_this_command():
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "-e '.[docs]' && .venv/bin/sphinx-build -W docs build/site`" in guide


def test_every_source_becomes_a_page(site):
    docs = ROOT / "docs"
    sources = [*docs.rglob("*.md"), *docs.glob("notebooks/*.ipynb")]
    names = [path.relative_to(docs).with_suffix("") for path in sources]
    assert [name for name in names if not (site / f"{name}.html").is_file()] == []
    assert (site / "search.html").is_file() and (site / "searchindex.js").is_file()


def test_the_reference_has_all_public_names(site):
    inventory = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    listed = re.findall(r"^rnnlm\.(\w+) py:", zlib.decompress(inventory).decode(), re.MULTILINE)
    assert {*listed} == {*rnnlm.__all__} - {"__version__"}

    # So are the names of types that the page of contents explains.
    pages = "".join(path.read_text("utf-8") for path in (site / "site" / "python").iterdir())
    contents = (ROOT / "docs" / "site" / "python" / "index.md").read_text(encoding="utf-8")
    table = contents.split("|---|---|\n")[1].split("\n\n")[0]
    for row in table.splitlines():
        for name in re.findall(r"`(\w+)`", row.split(" | ")[0]):
            assert f'<span class="pre">{name}</span>' in pages, name
    text = page(site, "site/python/models")
    assert "with_words" in text and "TextError" in text and "``" not in text


def test_the_reference_has_all_commands(site):
    pages = "".join(path.read_text("utf-8") for path in (site / "site" / "commands").iterdir())
    headings = re.findall(r"<h\d>rnnlm ([a-z]+)<", pages)
    assert sorted(headings) == sorted(COMMANDS)
    assert "rnnlm inspect gates" in pages and "--learning-rate" in pages


def test_pictures_and_readers_are_there(site):
    assert page(site, "site/gallery").count("<img ") == len(
        list((ROOT / "docs/pictures").iterdir())
    )
    assert 'href="../../reading-experiments.html"' in page(site, "site/readers/experiment")


def test_nothing_of_this_machine_is_shown(site):
    """No page names the folder of the checkout, or an object by its address."""
    pages = {path: path.read_text("utf-8") for path in site.rglob("*.html")}
    shown = [path.name for path, text in pages.items() if str(ROOT) in text or " at 0x" in text]
    assert shown == []

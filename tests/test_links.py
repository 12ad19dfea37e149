"""Every link on a page, to a file or to a heading, leads somewhere, and files that it names exist."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = ("*.md", "docs/**/*.md", "docs/**/*.ipynb", "corpora/*/README.md", "checkpoints/*.md")
PAGES = sorted(page for place in PLACES for page in ROOT.glob(place))
MOST_PAGES = 21  # in docs/: one page a subject
FENCE = re.compile(r"^(```+)(?:.*?)^\1$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
NAMED_FILE = re.compile(r"`((?:rnnlm|cli|tests|docs)/[\w./-]*)`")
HEADING = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)


def text_of(page: Path) -> str:
    """Return the text of a page without its code; of a notebook, the text between the code."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        sources = [cell["source"] for cell in cells if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(source) for source in sources)
    return FENCE.sub("", text)


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    anchors = set()
    repeated: Counter[str] = Counter()
    for heading in HEADING.findall(text_of(page)):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = repeated[anchor]
        anchors.add(f"{anchor}-{number}" if number else anchor)
        repeated[anchor] += 1
    return anchors


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    dead = []
    for path, anchor in LINK.findall(CODE.sub("", text_of(page))):
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            dead.append(f"{path}#{anchor}" if anchor else path)
    assert dead == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_a_page_names_exist(page):
    named = NAMED_FILE.findall(text_of(ROOT / page))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_pages_are_few_and_the_first_one_lists_them():
    docs = ROOT / "docs"
    pages = set(docs.glob("*.md"))
    assert len(pages) <= MOST_PAGES
    listed = {docs / path for path, _ in LINK.findall(text_of(docs / "index.md"))}
    assert pages - {docs / "index.md"} <= listed


def test_readme_is_short():
    """A stranger reads what it is, for whom, two commands and three results."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 700
    assert len((ROOT / "docs" / "recipes.md").read_text(encoding="utf-8").split()) <= 2500

"""The sources of the documentation site, checked without Sphinx: what it lists, what it shows, and
how docstrings and helps are rewritten for it."""

import importlib.util
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Annotated

import click
import pytest
from msgspec import Meta

import rnnlm
from rnnlm.cli.help_sections import Command, section
from rnnlm.config import Checked
from rnnlm.inspection.gates import inspect_gates

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SITE = DOCS / "site"


def imported() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_sources", SITE / "sources.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sources = imported()


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def listed_in_contents(page: Path) -> set[Path]:
    """Return the pages that the tables of contents of a page name."""
    found: set[Path] = set()
    for block in re.findall(
        r"^```\{toctree\}\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL
    ):
        for line in block.splitlines():
            line = re.sub(r".*<(.*)>", r"\1", line)  # a page with a title of its own
            if line and not line.startswith(":"):
                found.update(page.parent.glob(f"{line}.md"), page.parent.glob(f"{line}.ipynb"))
    return found


# ---- What the site lists.


def test_every_page_is_in_a_table_of_contents():
    contents = [DOCS / "index.md", SITE / "python" / "index.md", SITE / "commands" / "index.md"]
    listed = set().union(*map(listed_in_contents, contents))
    pages = {*DOCS.rglob("*.md"), *(DOCS / "notebooks").glob("*.ipynb")}
    assert listed == pages - {DOCS / "index.md"}


@pytest.mark.parametrize(
    "folder, directive, groups",
    [
        ("python", "public-names", sources.public_names()),
        ("commands", "commands", sources.commands()),
    ],
)
def test_every_group_is_on_one_page(folder, directive, groups):
    pages = "".join(text_of(page) for page in (SITE / folder).glob("*.md"))
    shown = re.findall(rf"^```\{{{directive}\}} (.*)$", pages, re.MULTILINE)
    assert sorted(shown) == sorted(groups)


def test_the_reference_names_all_that_is_public():
    names = [name for group in sources.public_names().values() for name in group]
    directives = "\n".join(sources.autodoc_lines(names)).partition(sources.PARTS)[0]
    shown = re.findall(
        r"^\.\. auto(?:function|class|exception|data):: rnnlm\.(\w+)$", directives, re.MULTILINE
    )
    assert sorted(shown) == sorted({*rnnlm.__all__} - {"__version__"})


def test_what_public_functions_return_is_documented():
    parts = {cls.__name__: owner for cls, owner in sources.parts_of_results().items()}
    assert parts["Sample"] == "Model" and parts["WordScore"] == "SentenceScore"
    assert parts["GatesInspection"] == parts["LayerActivity"] == "Model"
    assert "Records" in parts and not {*parts} & ({*rnnlm.__all__} | sources.INTERNAL)
    lines = sources.autodoc_lines(["Model"])
    at = lines.index(".. autoclass:: rnnlm.tasks.labels.results.ClassifiedTexts")
    assert lines[0] == ".. autoclass:: rnnlm.Model" and "show-inheritance" in lines[at + 1]


# ---- What pages show.


def blocks_in(text: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def linked_from(page: Path) -> list[Path]:
    links = re.findall(r"\]\(([^)#\s]+\.md)", text_of(page))
    return [(page.parent / link).resolve() for link in links]


def test_every_picture_is_shown_with_its_command():
    """In the gallery: a block of commands stands right before each picture."""
    gallery = text_of(SITE / "gallery.md")
    shown = re.findall(r"^```sh\nrnnlm [^`]+\n```\n\n!\[[^]]+\]\((\S+)\)$", gallery, re.MULTILINE)
    there = sorted((DOCS / "pictures").iterdir())
    assert sorted((SITE / picture).resolve() for picture in shown) == there
    assert gallery.count("![") == len(there)


@pytest.mark.parametrize(
    "page", [SITE / "gallery.md", *(SITE / "readers").glob("*.md")], ids=lambda page: page.stem
)
def test_commands_are_those_of_linked_pages(page):
    """Those are run by test_docs.py."""
    linked = "".join(map(text_of, linked_from(page)))
    commands = "".join(blocks_in(text_of(page))).splitlines()
    assert commands and [line for line in commands if line not in linked] == []


def test_every_reader_is_led_to_pages():
    readers = sorted((SITE / "readers").glob("*.md"))
    assert [page.stem for page in readers] == [
        "course", "data", "decoder", "experiment", "service",
    ]  # fmt: skip
    index = linked_from(DOCS / "index.md")
    for page in readers:
        assert page in index
        assert text_of(page).split("\n\n")[1].startswith("You ")
        assert len({*linked_from(page)} & {*DOCS.glob("*.md")}) >= 6


# ---- Docstrings and signatures.


@dataclass(frozen=True)
class SmallSettings(Checked):
    """Settings to try. size: of it; many
    are too many.

    Raises:
        SettingsError: too many. UsageError: too few; see
            elsewhere.
    """

    size: Annotated[int, Meta(ge=1)] = 2
    name: Annotated[str | None, Meta(description="what `--name` says")] = None
    _hidden: int = 0


def trying(first: "list[int]", *, other: Annotated[int, "note"] = 3, **more: object) -> "int":
    """Try it. Nothing is: hidden.

    first, other: the numbers. unknown: another one.

    Raises:
        As :func:`all`.
    """
    return other


def test_fields_and_errors_become_lists():
    lines = (SmallSettings.__doc__ or "").splitlines()
    assert sources.in_lists([lines[0], *map(str.strip, lines[1:])], SmallSettings) == [
        "Settings to try.",
        "",
        ":Fields:",
        "    * **name** -- what ``--name``\\  says",
        "    * **size** -- of it; many are too many.",
        ":raises SettingsError: too many.",
        ":raises UsageError: too few; see elsewhere.",
        "",
    ]


def test_arguments_become_a_list():
    lines = [line.strip() for line in (trying.__doc__ or "").splitlines()]
    assert sources.in_lists(lines, trying) == [
        "Try it. Nothing is: hidden.",
        "",
        ":Parameters:",
        "    * **first, other** -- the numbers.",
        "    * **unknown** -- another one.",
        ":Raises: as :func:`all`.",
        "",
    ]


def test_a_section_of_arguments_stays_one():
    lines = ["Try.", "", "Args:", "    first: a list", "        of numbers.", "    other: one."]
    assert sources.in_lists(lines, trying)[2:] == [
        ":Parameters:", "    * **first** -- a list of numbers.", "    * **other** -- one.", "",
    ]  # fmt: skip


def test_signatures_are_those_of_the_code():
    assert sources.signature_in_code(trying) == (
        "(first: list[int], *, other: int=3, **more: object)",
        "int",
    )
    assert sources.signature_in_code(SmallSettings) == (
        "(size: int = 2, name: str | None = None)", "",
    )  # fmt: skip
    assert sources.signature_in_code(rnnlm.LanguageModel) == ("", "")
    assert sources.signature_in_code(len) is None
    shown, _ = sources.signature_in_code(inspect_gates)
    assert shown.startswith("(model: LanguageModel | LabelModel | str | Path, sentence: str, *")
    shown, _ = sources.signature_in_code(rnnlm.plot_curves)
    assert "by: Literal['steps', 'tokens', 'epochs', 'seconds']='steps'" in shown


@dataclass(frozen=True, kw_only=True)
class Named:
    """Fields by name."""

    made: list = field(default_factory=list)
    needed: int = field(repr=False)


def test_fields_by_name_come_after_a_star():
    assert sources.signature_in_code(Named) == ("(*, made: list = ..., needed: int)", "")


# ---- Commands.


def test_options_are_below_their_titles():

    @click.command(cls=Command)
    @click.option("--plain", is_flag=True, help="Not *marked*.")
    @section("First", click.option("-n", "--num", metavar="N", help="See `x` and --plain."))
    def command(plain: bool, num: str) -> None:
        """Do it."""

    lines = [line for line in sources.options_by_title(command) if line]
    assert lines == [
        ".. rubric:: First",
        "   :class: options",
        ".. option:: -n N, --num N",
        "   See ``x``\\  and ``--plain``\\ .",
        ".. rubric:: Other options",
        "   :class: options",
        ".. option:: --plain",
        "   Not \\*marked\\*.",
    ]


def test_examples_in_helps_are_code():
    lines = ["Do it.", "", "| rnnlm do", "| rnnlm do --well", "", "Or --not.", ""]
    assert sources.examples_in_code(lines) == [
        "Do it.", "", ".. code-block:: none", "", "   rnnlm do", "   rnnlm do --well", "",
        "Or ``--not``\\ .", "",
    ]  # fmt: skip


def test_files_at_the_root_are_pages():
    page = sources.page_text("site/contributing", "")
    assert page.startswith("# Contributing\n") and "](../install.md#devices)" in page
    assert "](../site/changelog.md)" in page and "](docs/" not in page
    assert sources.page_text("x", "[a](../CONTRIBUTING.md)") == "[a](site/contributing.md)"

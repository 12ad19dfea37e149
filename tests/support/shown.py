"""What README.md and docs/ show of results, and how it is held.

A block of commands marked `<!-- compared -->` prints what the page shows behind it: a fence without
a language, a comment `<!-- printed ... -->` that readers don't see, or both. `soak` in the mark is
for commands that take long. A line is shown as it is printed; of a printed table, a page may show
some rows, and some columns under their names. `within 0.5` and `within 3%` are differences allowed,
where another processor's rounding changes what is learned. `fails` is for a command that ends with
exit code 1, such as a run that diverges. `<!-- run, soak -->` stands before commands that only make
what others need. `needs minicons` in the mark is for what runs only where this package is
installed, and `<!-- this page needs transformers -->` for all blocks of a page.

Other numbers have a mark on the line before their paragraph, list, table or fence that says where
they come from: `<!-- numbers: measured 2026-11-25, AMD EPYC, two cores -->`, `from Khandelwal et
al. 2018`, or `chosen`; `<!-- numbers of this section: ... -->` holds up to the next heading,
`numbers of this page` where no other is nearer.

    python tests/support/shown.py docs/inspect.md FOLDER [WORD]

runs the compared commands of a page in that folder, and rewrites what it shows; with WORD, only the
blocks whose code has it.
"""

import contextlib
import io
import itertools
import math
import re
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rnnlm.cli.main import run

ROOT = Path(__file__).parents[2]
# docs/index.md has a link to every page
INDEX = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
LISTED = dict.fromkeys(re.findall(r"\]\(([\w-]+\.md)(?:#[\w-]+)?\)", INDEX))
PAGES = ["README.md", "docs/index.md", *(f"docs/{name}" for name in LISTED)]
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+(?:e[-+]?\d+)?|e[-+]?\d+)")
FILES = re.compile(r"^<!-- file: ([\w.-]+) -->\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS = re.compile(r"^<!--.* needs (\w+)", re.MULTILINE)
PAGE_NEEDS = re.compile(r"^<!-- this page needs \w+", re.MULTILINE)
WITHIN = re.compile(r"within ([\d.]+)(%?)")


# ---- The blocks of a page.


@dataclass(frozen=True)
class Block:
    """A fenced block: the line of text before it, its language, and what is shown behind it."""

    before: str
    language: str
    code: str
    shown: tuple[str, ...] = ()

    @property
    def is_compared(self) -> bool:
        return self.before.startswith("<!-- compared")

    @property
    def is_run(self) -> bool:
        return self.before.startswith(("<!-- compared", "<!-- run"))

    @property
    def exit_code(self) -> int:
        return 1 if ", fails" in self.before else 0

    @property
    def is_soak(self) -> bool:
        return self.is_run and "soak" in self.before


FENCE = re.compile(r"^([^\n]*)\n+```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(
    r"\n+```\n(?P<fence>.*?)^```$|\n+<!-- printed\n(?P<comment>.*?)^-->$", re.MULTILINE | re.DOTALL
)


def shown_after(text: str, at: int) -> Iterator[re.Match[str]]:
    """Yield what follows a fence that ends at `at`: fences without a language, hidden output."""
    while found := SHOWN.match(text, at):
        yield found
        at = found.end()


def blocks_of(text: str) -> list[Block]:
    """Return the fenced blocks of a page in their order."""
    blocks = []
    for fence in FENCE.finditer(text):
        before, language, code = fence.groups()
        shown = tuple(part_of(found) for found in shown_after(text, fence.end()))
        blocks.append(Block(before.strip(), language, code.strip(), shown))
    return blocks


def runnable_blocks(text: str) -> list[Block]:
    """Return the blocks of a page that need no package which is not installed."""
    of_page = "\n".join(PAGE_NEEDS.findall(text))
    return [
        block
        for block in blocks_of(text)
        if all(find_spec(name) for name in NEEDS.findall(f"{of_page}\n{block.before}"))
    ]


def part_of(found: re.Match[str]) -> str:
    return (found["fence"] or found["comment"] or "").strip("\n")


def commands(code: str) -> list[list[str]]:
    """Split an sh block into simple commands, as words; leave pipes and redirections."""
    parts: list[list[str]] = []
    for line in code.replace("\\\n", " ").splitlines():
        parts.append([])
        for word in shlex.split(line, comments=True):
            if word == "&&":
                parts.append([])
            else:
                parts[-1].append(word)
    return [part for part in parts if part]


def overwriting(arguments: list[str]) -> list[str]:
    """Make a command that saves a model replace the one that another page made."""
    return [*arguments, "--overwrite"] if arguments[0] in ("train", "mix") else arguments


def printed_by(block: Block) -> str:
    """Run a block. Return what its commands print: the results, and behind them the notes."""
    printed, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
        if block.language == "python":
            exec(compile(block.code, "page", "exec"), {"__name__": "page"})
        else:
            for words in commands(block.code):
                ended = run(overwriting(words[1:]))
                assert ended == block.exit_code, f"{shlex.join(words)}\n{said.getvalue()}"
    return f"{printed.getvalue()}\n{said.getvalue()}"


def written_files(text: str) -> None:
    """Write the files whose content a page gives into the current folder."""
    for name, content in FILES.findall(text):
        Path(name).write_text(content, encoding="utf-8")


# ---- Is what is shown what was printed?


@dataclass(frozen=True)
class Allowed:
    """The difference allowed between a number shown and a number printed."""

    absolute: float = 0.02
    relative: float = 1e-3

    @classmethod
    def by(cls, mark: str) -> "Allowed":
        within = WITHIN.search(mark)
        if within is None:
            return cls()
        if within[2]:
            return cls(relative=float(within[1]) / 100)
        return cls(absolute=float(within[1]))

    def between(self, shown: str, printed: str) -> bool:
        if self.absolute == math.inf:
            return True
        one, two = value_of(shown), value_of(printed)
        # what is shown is rounded: 5e-05 of 5.4e-05
        allowed = max(self.absolute if abs(one) >= 1e-2 else 0, self.relative * abs(two))
        return abs(one - two) <= allowed + half_of_last_place(shown)


def value_of(number: str) -> float:
    return float(number.replace(",", ""))


def half_of_last_place(number: str) -> float:
    """Return the largest difference between a number as it is written and what it is rounded of."""
    mantissa, _, exponent = number.replace(",", "").lower().partition("e")
    places = len(mantissa.partition(".")[2])
    return 0.5 * 10.0 ** (int(exponent or 0) - places)


def says_the_same(line: str, other: str, allowed: Allowed | None = None) -> bool:
    """Return whether two lines have the same words and integers and close decimals."""
    allowed = allowed or Allowed()
    one, two = (re.sub(r"model:[0-9a-f]+", "", " ".join(each.split())) for each in (line, other))
    if NUMBER.sub("#", one) != NUMBER.sub("#", two):
        return False
    pairs = zip(NUMBER.findall(one), NUMBER.findall(two), strict=True)
    return all(allowed.between(shown, printed) for shown, printed in pairs)


def column_of(name: str, cells: list[str], allowed: Allowed | None) -> int | None:
    """Return the first cell that is the same; with `allowed`, the nearest that says the same."""
    if name in cells:
        return cells.index(name)
    alike = [at for at, cell in enumerate(cells) if allowed and says_the_same(name, cell, allowed)]
    return min(alike, key=lambda at: distance(name, cells[at]), default=None)


def distance(cell: str, other: str) -> float:
    """Return by how much the numbers of two cells differ, in all."""
    pairs = zip(NUMBER.findall(cell), NUMBER.findall(other), strict=True)
    return sum(abs(value_of(one) - value_of(two)) for one, two in pairs)


def cells_of(line: str) -> list[str]:
    """Return the cells of a line of a table, which two blanks or a tab separate."""
    return [" ".join(cell.split()) for cell in re.split(r"\t|\s{2,}", line.strip())]


class Printed:
    """What commands printed, walked through from its top."""

    def __init__(self, text: str):
        self.lines = text.splitlines()
        self.at = 0
        self.columns: list[int] = []  # of the current table, those that are shown
        self.width = 0
        self.is_named = False  # whether its first line has names, not numbers

    def match(self, line: str, allowed: Allowed) -> list[str] | None:
        """Go behind the next line that says the same as `line`: as a row of the current table, as
        a whole, or as names of columns. Return its cells, or those shown; None if there is none."""
        for at in range(self.at, len(self.lines)):
            row = self.row_at(at)
            if row is None:
                break
            if says_the_same("  ".join(cells_of(line)), "  ".join(row), allowed):
                self.at = at + 1
                return row
        for at in range(self.at, len(self.lines)):
            if says_the_same(line, self.lines[at], allowed):
                self.at, self.columns = at + 1, []
                return cells_of(self.lines[at])
        return self.names_like(line, allowed)

    def names_like(self, line: str, allowed: Allowed) -> list[str] | None:
        """Go behind the next line that has the cells of `line` among its own. Numbers may differ
        where no names say which column they are of."""
        names = cells_of(line)
        tolerance = None if self.is_named else allowed
        for at in range(self.at, len(self.lines)):
            cells = self.lines[at].split("\t")
            columns = [column_of(name, cells, tolerance) for name in names]
            if len(names) > 1 and None not in columns and len({*columns}) == len(names):
                self.columns = [column for column in columns if column is not None]
                self.width = len(cells)
                self.is_named = not any(map(NUMBER.search, names))
                self.at = at + 1
                return self.row_at(at)
        return None

    def row_at(self, at: int) -> list[str] | None:
        """Return what is shown of a row of the current table; None where the table has ended."""
        cells = self.lines[at].split("\t")
        if not self.columns or len(cells) != self.width:
            return None
        return [" ".join(cells[column].split()) for column in self.columns]

    def rows(self) -> Iterator[list[str]]:
        """Yield what is shown of all rows that are left of the current table."""
        while self.at < len(self.lines) and (row := self.row_at(self.at)) is not None:
            self.at += 1
            yield row


def differing_line(shown: str, printed: str, allowed: Allowed) -> str | None:
    """Return the first line shown that was not printed, in this order."""
    walk = Printed(printed)
    for line in shown.splitlines():
        if not line.strip():
            walk.is_named = False  # a table ends
        elif walk.match(line, allowed) is None:
            return line
    return None


# ---- A page is measured again.


def renewed(shown: str, printed: str) -> str:
    """Return what a page shows with the numbers that were printed. A table of which only the names
    of columns are shown gets all rows. A line that has nothing like it is kept, and complained of."""
    walk = Printed(printed)
    rows: list[list[str]] = []
    lines = shown.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        cells = walk.match(line, Allowed(math.inf)) if line.strip() else None
        if line.strip() and cells is None:
            print(f"nothing like: {line}", file=sys.stderr)
        rows.append(cells or [line])
        if cells and walk.columns and not following.strip() and not NUMBER.search(line):
            rows.extend(walk.rows())
    return "\n".join(aligned(rows))


def aligned(rows: list[list[str]]) -> Iterator[str]:
    """Yield lines of text. Neighbouring rows of as many cells are a table."""
    for width, group in itertools.groupby(rows, len):
        table = list(group)
        if width == 1:
            yield from (row[0] for row in table)
            continue
        widths = [max(len(row[column]) for row in table) for column in range(width)]
        right = [
            all(re.match(r"[-+]?\d|-$", row[column]) for row in table[1:])
            for column in range(width)
        ]
        for row in table:
            cells = zip(row, widths, right, strict=True)
            yield "  ".join(
                cell.rjust(size) if is_right else cell.ljust(size) for cell, size, is_right in cells
            ).rstrip()


def measure_again(page: Path, folder: Path, word: str = "") -> None:
    """Run the commands that a page is held by, block by block, and rewrite what it shows."""
    (folder / "docs" / "pictures").mkdir(parents=True, exist_ok=True)
    corpora_of_checkout = folder / "corpora"
    if not corpora_of_checkout.exists():
        corpora_of_checkout.symlink_to(ROOT / "corpora")
    text = page.read_text(encoding="utf-8")
    with contextlib.chdir(folder):
        written_files(text)

    for block in blocks_of(text):
        if not block.is_run or word not in block.code:
            continue

        # Read the page after the run, which may take long: somebody may have edited it meanwhile.
        began = time.perf_counter()
        with contextlib.chdir(folder):
            printed = printed_by(block)
        print(f"{time.perf_counter() - began:.0f} s: {block.code.splitlines()[0]}", file=sys.stderr)
        text = page.read_text(encoding="utf-8")
        (fence,) = [each for each in FENCE.finditer(text) if each[3].strip() == block.code]
        for found in list(shown_after(text, fence.end())):
            is_fence = found["fence"] is not None
            new = renewed(part_of(found), printed)
            before, after = ("```\n", "\n```") if is_fence else ("<!-- printed\n", "\n-->")
            text = text.replace(found[0].strip("\n"), f"{before}{new}{after}", 1)
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    measure_again(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), *sys.argv[3:])

"""Pages of HTML: self-contained, which is XML, too; no script, nothing fetched. All text from
outside is escaped."""

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from rnnlm.errors import UsageError, number, visible
from rnnlm.files import outputs
from rnnlm.files.compression import without_suffix
from rnnlm.files.writing import STANDARD_OUTPUT

SUFFIXES = (".html", ".htm", ".xhtml", "")


@dataclass(frozen=True)
class Plot:
    """A plot with what it shows, in words: title, and what to know."""

    title: str
    note: str
    svg: str


def check(path: Path, overwrite: bool = False, what: str = "a report") -> None:
    """Make sure that a page can be made and written to `path`, before time goes into it. what: what
    it is of, for messages.

    Raises:
        UsageError: its name is that of something else than HTML. OutputError: it cannot be written
            there.
    """
    outputs.check_file(path, overwrite)
    suffix = Path(without_suffix(str(path))).suffix
    if suffix.lower() not in SUFFIXES or path == STANDARD_OUTPUT:
        raise UsageError(
            f"{what} cannot be written to {path}",
            "the report is a page of HTML",
            "name a FILE.html, or FILE.html.gz",
        )
    import matplotlib  # noqa: F401 where it is not installed, say so before time goes into a page


def write(path: Path, page: str, what: str = "a report") -> None:
    """Write a page, whole or not at all.

    Raises:
        UsageError, OutputError: as :func:`check`, but a file that is there is replaced.
    """
    check(path, overwrite=True, what=what)
    outputs.save_file(path, [page.encode("utf-8", "backslashreplace")])


def render(template: str, **values: object) -> str:
    """The page that `template`, of the folder templates, makes of these values."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rnnlm.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": _number,
        "signed": _signed,
        "percent": _percent,
        "clean": visible,
    }
    return environment.get_template(template).render(
        version=importlib.metadata.version("rnnlm"), **values
    )


def _number(value: float | None, digits: int = 2) -> str:
    if value is None:
        return "\u2013"
    return f"{value:,}" if isinstance(value, int) else number(value, digits)


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:+,.{digits}f}".replace("-", "\u2212")


def _percent(ratio: float) -> str:
    """A ratio as the change it is."""
    return f"{ratio - 1:+.1%}".replace("-", "\u2212")

"""Write self-contained pages of HTML that are also XML: no script, nothing fetched. All text
from outside is escaped."""

from dataclasses import dataclass
from pathlib import Path

from rnnlm.amounts import amount
from rnnlm.errors import UsageError, visible
from rnnlm.evaluation import plotting
from rnnlm.storage.files import outputs
from rnnlm.storage.files.compression import without_suffix
from rnnlm.storage.files.writing import STANDARD_OUTPUT
from rnnlm.version import __version__

SUFFIXES = (".html", ".htm", ".xhtml", "")
SIZE = (5.0, 3.5)  # inches of a plot, so that a phone shows letters of ten pixels


@dataclass(frozen=True)
class Plot:
    """A plot with a title and a note for its reader."""

    title: str
    note: str
    svg: str


def check(path: Path, overwrite: bool = False, what: str = "a report") -> None:
    """Make sure that a page can be made and written to `path`, before any work is done. what: its
    name in messages."""
    outputs.check_file(path, overwrite)
    suffix = Path(without_suffix(str(path))).suffix
    if suffix.lower() not in SUFFIXES or path == STANDARD_OUTPUT:
        raise UsageError(
            f"{what} cannot be written to {path}",
            "the report is an HTML page",
            "name a FILE.html, or FILE.html.gz",
        )
    # Where these are not installed, say so before time goes into a page.
    import jinja2  # noqa: F401

    plotting.imported_matplotlib()


def write(path: Path, page: str, what: str = "a report") -> None:
    """Write a page, whole or not at all."""
    check(path, overwrite=True, what=what)
    outputs.save_file(path, [page.encode("utf-8", "backslashreplace")])


def render(template: str, **values: object) -> str:
    """Fill `template`, of the folder templates, with these values."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rnnlm.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": amount, "clean": visible}
    return environment.get_template(template).render(version=__version__, **values)

"""A comparison as one page: self-contained HTML with SVG plots, no script, nothing fetched; made to be read and passed on."""

import importlib.metadata
from dataclasses import fields
from pathlib import Path

from rnnlm.errors import UsageError, visible
from rnnlm.evaluation.calibration import MOST_TOKENS as CALIBRATION_TOKENS
from rnnlm.evaluation.comparison.comparison import Comparison
from rnnlm.evaluation.comparison.plots import plots
from rnnlm.evaluation.signature import Signature
from rnnlm.files import writing
from rnnlm.files.compression import without_suffix

__all__ = ["CALIBRATION_TOKENS", "check", "render", "write"]

SUFFIXES = (".html", ".htm", ".xhtml", "")
TEMPLATE = "comparison.html"


def check(path: Path, overwrite: bool = False) -> None:
    """Make sure that a report can be made and written to `path`, before time goes into it.

    Raises:
        UsageError: its name is that of something else than HTML. OutputError: it cannot be written there.
    """
    writing.check_file(path, overwrite)
    suffix = Path(without_suffix(str(path))).suffix
    if suffix.lower() not in SUFFIXES or path == writing.STANDARD_OUTPUT:
        raise UsageError(f"a comparison cannot be written to {path}", "the report is a page of HTML", "name a FILE.html, or FILE.html.gz")


def write(path: Path, comparison: Comparison) -> None:
    """Write the report, whole or not at all.

    Raises:
        UsageError, OutputError: as :func:`check`, but a file that is there is replaced.
    """
    check(path, overwrite=True)
    writing.save_file(path, [render(comparison).encode("utf-8", "backslashreplace")])


def render(comparison: Comparison) -> str:
    """The report as HTML, which is XML, too. All text from outside is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rnnlm.evaluation.comparison"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": _number, "signed": _signed, "percent": _percent, "clean": visible}
    signatures = [Signature.parse(model.evaluation.signature) for model in comparison.models]
    parts = [(part, [getattr(signature, part) for signature in signatures]) for part in (field.name for field in fields(Signature))]
    return environment.get_template(TEMPLATE).render(
        comparison=comparison, names=[model.name for model in comparison.models], parts=parts, plots=plots(comparison),
        version=importlib.metadata.version("rnnlm"),
    )  # fmt: skip


def _number(value: float | None, digits: int = 2) -> str:
    if value is None:
        return "\u2013"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}" if abs(value) < 1e9 else f"{value:.4g}"


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:+,.{digits}f}".replace("-", "\u2212")


def _percent(ratio: float) -> str:
    """A ratio as the change it is."""
    return f"{ratio - 1:+.1%}".replace("-", "\u2212")

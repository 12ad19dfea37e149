"""A comparison as one page: self-contained HTML with SVG plots, no script, nothing fetched; made to be read and passed on."""

from dataclasses import fields
from pathlib import Path

from rnnlm.evaluation import pages
from rnnlm.evaluation.calibration import MOST_TOKENS as CALIBRATION_TOKENS
from rnnlm.evaluation.comparison.comparison import Comparison
from rnnlm.evaluation.comparison.plots import plots
from rnnlm.evaluation.signature import Signature

__all__ = ["CALIBRATION_TOKENS", "check", "render", "write"]

WHAT = "a comparison"


def check(path: Path, overwrite: bool = False) -> None:
    """Make sure that a report can be made and written to `path`, before time goes into it.

    Raises:
        UsageError: its name is that of something else than HTML. OutputError: it cannot be written there.
    """
    pages.check(path, overwrite, WHAT)


def write(path: Path, comparison: Comparison) -> None:
    """Write the report, whole or not at all.

    Raises:
        UsageError, OutputError: as :func:`check`, but a file that is there is replaced.
    """
    pages.check(path, overwrite=True, what=WHAT)
    pages.write(path, render(comparison), WHAT)


def render(comparison: Comparison) -> str:
    """The report as HTML, which is XML, too. All text from outside is escaped."""
    signatures = [Signature.parse(model.evaluation.signature) for model in comparison.models]
    parts = [(part, [getattr(signature, part) for signature in signatures]) for part in (field.name for field in fields(Signature))]
    names = [model.name for model in comparison.models]
    return pages.render("comparison.html", comparison=comparison, names=names, parts=parts, plots=plots(comparison))

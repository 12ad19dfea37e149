"""The table of recipes: what each aims at, what it reached, how far apart the two are, and the time it took.

`rnnlm recipes` prints it, and docs/recipes.md holds it; a test compares the two.
"""

from dataclasses import asdict, dataclass
from functools import cache
from statistics import fmean
from typing import Any

from rnnlm.recipes.recipe import Figure, Measured, Recipe, load, names, short_count, speed_of, time_of

_MARKS = {"PTB valid": "", "PTB test": "test", "WikiText-2 valid": "WT2", "bundled valid": "demo"}
_UNITS = {"bits per character": "bpc", "% accuracy": "%", "F1": "F1", "% words wrong": "WER", "BLEU": "BLEU"}
NONE = "-"


@dataclass(frozen=True)
class Line:
    """One recipe, each cell in as few words as fit 80 columns.

    distance: of our figure from the published one, relative to that. time: to our figure on CPU cores, or an estimate of the whole.
    gpu: tokens per second of training on a GPU, or the minutes of a whole run where no speed was measured.
    """

    recipe: str
    summary: str
    published: str
    ours: str
    distance: str
    time: str
    gpu: str

    def cells(self) -> list[str]:
        return list(asdict(self).values())


def lines() -> list[Line]:
    """Every recipe, by name."""
    return [line_of(load(name)) for name in names()]


def line_of(recipe: Recipe) -> Line:
    """One recipe as it stands in the table."""
    published = recipe.published[0] if recipe.published else None
    return Line(recipe.name, recipe.summary, shown(published), shown(recipe.measured), _distance(recipe), _time(recipe), _gpu(recipe))


def page_cells(recipe: Recipe) -> list[str]:
    """One recipe as a row of docs/recipes.md: options of the command, published, source, ours, distance, time, of a run that was cut short
    beside that of the whole one, then speed and time on a GPU."""
    facts, line = recipe.to_dict(), line_of(recipe)
    ours = facts["measured"] if recipe.measured else NONE
    published = facts["published"] if recipe.published else NONE
    time = line.time
    if recipe.cpu_minutes and recipe.measured and recipe.measured.was_cut_short:
        time += f" of ~{time_of(recipe.cpu_minutes)}"
    return [f"`{recipe.options_of_figure()}`", published, recipe.source or NONE, ours, line.distance, time, _gpu_in_full(recipe)]


def record(recipe: Recipe) -> dict[str, Any]:
    """All of a recipe for JSON, and the distance: as it is shown, and as a share."""
    found = distance(recipe)
    return recipe.to_dict() | {"off_by": None if found is None else _distance(recipe), "distance": None if found is None else found[0]}


def shown(figure: Figure | None) -> str:
    """A figure with what it is of: 120.7, 92.3 test, 68.6 WT2, 1.38 bpc. *: of other settings than the recipe's; …: of a shorter run."""
    if figure is None:
        return NONE
    mark = _UNITS.get(figure.unit, _MARKS.get(figure.on, figure.on))
    if isinstance(figure, Measured):
        differs = "*" * figure.has_other_settings + "…" * figure.was_cut_short
    else:
        differs = ""
    return f"{figure.value}{differs} {mark}".rstrip()


def distance(recipe: Recipe) -> tuple[float, bool] | None:
    """How far our figure lies from the published one, as a share of that, and whether that is estimated.

    The published one may be of PTB's test text alone, where ours, as always, is of the validation text. It is then multiplied by
    :func:`valid_over_test`. None where the two figures are not of the same kind or data.
    """
    if recipe.measured is None or not recipe.published:
        return None
    ours, theirs = recipe.measured, recipe.published[0]
    if ours.unit != theirs.unit:
        return None
    if ours.on == theirs.on:
        return ours.value / theirs.value - 1, False
    if (ours.on, theirs.on, ours.unit) == ("PTB valid", "PTB test", ""):
        return ours.value / (theirs.value * valid_over_test()) - 1, True
    return None


@cache
def valid_over_test() -> float:
    """The mean ratio of validation to test perplexity over all published pairs of PTB that the recipes name; about 1.04."""
    pairs = [{figure.on: figure.value for figure in load(name).published if not figure.unit} for name in names()]
    return fmean(pair["PTB valid"] / pair["PTB test"] for pair in pairs if {"PTB valid", "PTB test"} <= pair.keys())


def _distance(recipe: Recipe) -> str:
    if (found := distance(recipe)) is None:
        return NONE
    share, is_estimated = found
    digits = 1 if abs(share) < 0.0995 else 0
    return f"{'~' if is_estimated else ''}{100 * share:+.{digits}f}%"


def _time(recipe: Recipe) -> str:
    measured = recipe.measured
    if measured and measured.minutes:
        return time_of(measured.minutes) + (f"/{measured.cores}" if measured.cores != 2 else "")
    return "~" * recipe.cpu_is_estimated + time_of(recipe.cpu_minutes) if recipe.cpu_minutes else NONE


def _gpu(recipe: Recipe) -> str:
    fastest = recipe.fastest_on_gpu()
    if fastest is not None:
        return f"{short_count(fastest.tokens_per_second)}/s"
    return time_of(recipe.gpu_run.minutes) if recipe.gpu_run else NONE


def _gpu_in_full(recipe: Recipe) -> str:
    """Name the speed and the time of the whole run: `412k tokens/s, 4.1 min`."""
    fastest, parts = recipe.fastest_on_gpu(), []
    if fastest is not None:
        parts.append(speed_of(fastest.tokens_per_second))
    if recipe.gpu_run:
        parts.append(time_of(recipe.gpu_run.minutes))
    return ", ".join(parts) or NONE

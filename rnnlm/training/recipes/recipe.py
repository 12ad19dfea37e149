"""Recipes: named settings, one TOML file each in this folder, with the published result that it
aims at and the one that it reached.

A file holds its settings flat, then a table [about].
"""

import tomllib
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from statistics import fmean
from typing import Any

from rnnlm.errors import SettingsError, nearest

# The texts to train and validate on, by the first word of the data that a result was measured on.
# PTB is the Penn Treebank as prepared by Mikolov.
_TEXTS = {
    "PTB": "ptb.train.txt --valid ptb.valid.txt ",
    "WikiText-2": "wiki.train.tokens --valid wiki.valid.tokens --blank-lines keep ",
    "bundled": "",
    "EWT": "en_ewt-ud-train.conllu --valid en_ewt-ud-dev.conllu ",
    "CoNLL-2003": "eng.train --valid eng.testa ",
    "ATIS": "atis/train.tsv --valid atis/valid.tsv ",
    "SNIPS": "snips/train.tsv --valid snips/valid.tsv ",
    "SST-2": "phrases-and-sentences.tsv --valid sentences-dev.tsv ",
    "Tatoeba": "train.tsv --valid valid.tsv ",
    "CMUdict": "train.tsv --valid valid.tsv ",
}


NO_RECIPE = "none"  # asked for like a recipe: every setting keeps its default


@dataclass(frozen=True)
class RecipeResult:
    """A result on a text: a perplexity, or a value in its unit. The first word of `on` names the
    data."""

    on: str  # PTB valid
    value: float
    unit: str = ""  # bits per character, % accuracy, F1, % words wrong; "" for a perplexity

    def __str__(self) -> str:
        return f"{self.on} {self.value} {self.unit}".rstrip()


@dataclass(frozen=True)
class MeasuredResult(RecipeResult):
    """A result that we measured."""

    minutes: float | None = None  # the time it took, validations included
    cores: int = 2  # of a CPU
    # used instead of the recipe's, as --set takes them
    settings: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def was_cut_short(self) -> bool:
        """Whether the run had a smaller budget than the recipe's."""
        return "budget" in self.settings

    @property
    def has_other_settings(self) -> bool:
        """Whether the run differed from the recipe in more than its budget."""
        return bool(self.settings.keys() - {"budget"})

    def __str__(self) -> str:
        text = super().__str__()
        if self.minutes:
            text += f" after {time_of(self.minutes)} on {_cores(self.cores)}"
        given = [f"{name}={value}" for name, value in self.settings.items() if name != "budget"]
        if given:
            text += f" ({', '.join(given)})"
        if self.note:
            text += f"; {self.note}"
        return text


@dataclass(frozen=True)
class Recipe:
    """Settings by name, and notes on them for people."""

    name: str
    settings: dict[str, Any]
    summary: str  # its purpose, in three words
    description: str = ""
    published: tuple[RecipeResult, ...] = ()  # its aim
    published_note: str = ""
    source: str = ""  # of the published result and of the settings
    differs: str = ""  # where the recipe departs from the source, and why ours is better or worse
    measured: MeasuredResult | None = None
    # a whole run on two cores, on the text that the results or the note name
    cpu_minutes: float | None = None
    cpu_is_estimated: bool = True
    cpu_note: str = ""
    # steps that its learning rate is for: with others, or another width, it follows from them
    rate_steps: int | None = None
    one_pass_rate: float | None = None  # the learning rate for that many steps over new text
    learns_pairs: bool = False  # of lines, from a table or two files
    texts: str = ""  # of the result, as a command names them, if _TEXTS has them not

    def command(self) -> str:
        """Return the command that trains it on a person's own text, or on the bundled one."""
        results = self._results()
        if results and results[0].on.startswith("bundled"):
            return f"rnnlm train --recipe {self.name}"
        file = "my.tsv" if self.learns_pairs else "my.txt"
        return f"rnnlm train {file} --recipe {self.name}"

    def command_of_figure(self) -> str | None:
        """Return the command that repeats our result, or tries for the published one; None where
        there is neither."""
        results = self._results()
        if not results:
            return None
        text = self.texts or _TEXTS[results[0].on.split()[0]].strip()
        return " ".join(filter(None, ["rnnlm train", text, self.options_of_figure()]))

    def options_of_figure(self) -> str:
        """Return the options of that command, after the texts."""
        settings = self.measured.settings if self.measured else {}
        options = [
            f"--budget {value}" if name == "budget" else f"--set {name}={value}"
            for name, value in settings.items()
        ]
        return " ".join([f"--recipe {self.name}", *options])

    def _whole_run(self) -> str:
        """Return the time of a whole run on a CPU, in words: estimated, or the time of the run that
        gave our result."""
        if self.cpu_minutes is not None:
            estimated = "estimated: " if self.cpu_is_estimated else ""
            return f"{estimated}{time_of(self.cpu_minutes)} on two cores {self.cpu_note}".rstrip()
        run = self.measured
        if run and run.minutes and not run.settings:
            return f"{time_of(run.minutes)} on {_cores(run.cores)} {self.cpu_note}".rstrip()
        return "not measured"

    def _results(self) -> list[RecipeResult]:
        """Return our result, if there is one, then the published ones."""
        return list(filter(None, [self.measured, *self.published]))

    def to_dict(self) -> dict[str, Any]:
        """Return all of it for JSON: results and times in words, then as numbers."""
        results = ", ".join(map(str, self.published))
        published = "; ".join(filter(None, [results, self.published_note]))
        return {
            "name": self.name,
            "settings": self.settings,
            "summary": self.summary,
            "description": self.description or self.summary,
            "published": published or "none",
            "source": self.source,
            "differs": self.differs,
            "measured": str(self.measured) if self.measured else "not measured",
            "cpu_time": self._whole_run(),
            "command": self.command(),
            "command_of_figure": self.command_of_figure(),
            "published_figures": list(map(_facts, self.published)),
            "measured_figure": _facts(self.measured),
            "cpu_minutes": self.cpu_minutes,
        }


def _facts(value: RecipeResult | None) -> dict[str, Any] | None:
    return None if value is None else asdict(value)


def _cores(count: int) -> str:
    return {1: "one core", 2: "two cores"}.get(count, f"{count} cores")


def time_of(minutes: float) -> str:
    """Return minutes in words: 3.5 min, 14 h, 21 d."""
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    if minutes <= 90:
        return f"{minutes:g} min"
    hours = minutes / 60
    return f"{hours:.2g} h" if hours < 48 else f"{hours / 24:.2g} d"


@cache
def names() -> tuple[str, ...]:
    """Return the names of all recipes, sorted."""
    files = [entry.name for entry in resources.files(__package__).iterdir()]
    return tuple(sorted(file.removesuffix(".toml") for file in files if file.endswith(".toml")))


@cache
def load(name: str) -> Recipe:
    """Return the recipe called `name`; raise SettingsError where there is none."""
    if name not in names():
        raise SettingsError(f"unknown recipe {name!r}", hint=nearest(name, names()))
    file = resources.files(__package__) / f"{name}.toml"
    return parse(name, file.read_text(encoding="utf-8"))


def parse(name: str, text: str) -> Recipe:
    """Return the recipe called `name` from the text of its file."""
    settings = tomllib.loads(text)
    about = settings.pop("about")

    # Tables of [about] become results; all else is a word or a number as it is.
    published = tuple(RecipeResult(**result) for result in about.pop("published", ()))
    measured = MeasuredResult(**about.pop("measured")) if "measured" in about else None
    return Recipe(name, settings, published=published, measured=measured, **about)


# ---- The table of recipes: the published result, ours, how far apart the two are, and the time
# that ours took.
#
# `rnnlm list recipes` prints it, and docs/recipes.md holds it; a test compares the two.

_MARKS = {"PTB valid": "", "PTB test": "test", "WikiText-2 valid": "WT2", "bundled valid": "demo"}
_UNITS = {
    "bits per character": "bpc",
    "% accuracy": "%",
    "F1": "F1",
    "% words wrong": "WER",
    "BLEU": "BLEU",
}
NONE = "-"


@dataclass(frozen=True)
class RecipeRow:
    """One recipe, each cell in as few words as fit 80 columns."""

    recipe: str
    summary: str
    published: str
    ours: str
    distance: str  # of our result from the published one, relative to it
    time: str  # to our result on CPU cores, or an estimate of a whole run

    def cells(self) -> list[str]:
        return list(asdict(self).values())


def recipe_rows() -> list[RecipeRow]:
    """Return the line of every recipe, by name."""
    return [recipe_row(load(name)) for name in names()]


def recipe_row(recipe: Recipe) -> RecipeRow:
    """Return the line of one recipe."""
    published = recipe.published[0] if recipe.published else None
    return RecipeRow(
        recipe.name,
        recipe.summary,
        shown(published),
        shown(recipe.measured),
        _distance(recipe),
        _time(recipe),
    )


def record(recipe: Recipe) -> dict[str, Any]:
    """Return all of a recipe for JSON, and the distance: as it is shown, and as a share."""
    measured_distance = distance(recipe)
    if measured_distance is None:
        return recipe.to_dict() | {"off_by": None, "distance": None}
    return recipe.to_dict() | {"off_by": _distance(recipe), "distance": measured_distance[0]}


def shown(result: RecipeResult | None) -> str:
    """Return a result with its unit or text: 120.7, 92.3 test, 68.6 WT2, 1.38 bpc.

    `*` marks one of other settings than the recipe's, `…` one of a shorter run.
    """
    if result is None:
        return NONE
    differs = ""
    if isinstance(result, MeasuredResult):
        differs = "*" * result.has_other_settings + "…" * result.was_cut_short
    mark = _UNITS.get(result.unit, _MARKS.get(result.on, result.on))
    return f"{result.value}{differs} {mark}".rstrip()


def distance(recipe: Recipe) -> tuple[float, bool] | None:
    """Return how far our result is from the published one, as a share of that, and whether this is
    estimated. Return None where the two differ in kind or data, or where our run had a smaller
    budget than the recipe's.

    A published result may be for PTB's test text alone, while ours is always for the validation
    text. It is then multiplied by :func:`valid_over_test`.
    """
    if recipe.measured is None or not recipe.published or recipe.measured.was_cut_short:
        return None
    ours = recipe.measured
    theirs = recipe.published[0]
    if ours.unit != theirs.unit:
        return None
    if ours.on == theirs.on:
        return ours.value / theirs.value - 1, False
    if (ours.on, theirs.on, ours.unit) == ("PTB valid", "PTB test", ""):
        return ours.value / (theirs.value * valid_over_test()) - 1, True
    return None


@cache
def valid_over_test() -> float:
    """Return the mean ratio of validation to test perplexity over all published pairs of PTB that
    the recipes name; about 1.04."""
    ratios = []
    for name in names():
        results = [result for result in load(name).published if not result.unit]
        values = {result.on: result.value for result in results}
        if "PTB valid" in values and "PTB test" in values:
            ratios.append(values["PTB valid"] / values["PTB test"])
    return fmean(ratios)


def _distance(recipe: Recipe) -> str:
    measured_distance = distance(recipe)
    if measured_distance is None:
        return NONE
    share, is_estimated = measured_distance
    # Two digits are enough; 9.95 % would be shown as 10.0 %.
    digits = 1 if abs(share) < 0.0995 else 0
    return f"{'~' * is_estimated}{100 * share:+z.{digits}f}%"


def _time(recipe: Recipe) -> str:
    measured = recipe.measured
    if measured and measured.minutes:
        time = time_of(measured.minutes)
        # Two cores are the rule, so only other numbers are named.
        return time if measured.cores == 2 else f"{time}/{measured.cores}"
    if recipe.cpu_minutes:
        return "~" * recipe.cpu_is_estimated + time_of(recipe.cpu_minutes)
    return NONE

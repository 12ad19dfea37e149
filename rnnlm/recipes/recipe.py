"""Recipes: named settings, one TOML file each beside this one, with what it aims at and what it reached.

A file holds its settings flat, then a table [about].
"""

import tomllib
from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import Any

from rnnlm.errors import SettingsError, nearest

# What to train, validate and test on, by the first word of a figure's text; PTB is the Penn Treebank as prepared by Mikolov.
_TEXTS = {
    "PTB": "ptb.train.txt --valid ptb.valid.txt ",
    "WikiText-2": "wiki.train.tokens --valid wiki.valid.tokens --keep-blank-lines ",
    "bundled": "",
    "EWT": "en_ewt-ud-train.conllu --valid en_ewt-ud-dev.conllu ",
    "CoNLL-2003": "eng.train --valid eng.testa ",
    "ATIS": "atis/train.tsv --valid atis/valid.tsv ",
    "SNIPS": "snips/train.tsv --valid snips/valid.tsv ",
    "SST-2": "phrases-and-sentences.txt --valid sentences-dev.txt ",
    "Multi30k": "train.de --target train.en --valid valid.de --valid-target valid.en ",
    "Tatoeba": "train.tsv --valid valid.tsv ",
    "CMUdict": "train.letters --labels train.phones --valid valid.letters --valid-labels valid.phones ",
}


@dataclass(frozen=True)
class Figure:
    """A perplexity of a text, or what its unit says, of which the first word names the data."""

    on: str  # PTB valid
    value: float
    unit: str = ""  # bits per character, % accuracy, F1, % words wrong; of perplexities none

    def __str__(self) -> str:
        return f"{self.on} {self.value} {self.unit}".rstrip()


@dataclass(frozen=True)
class Measured(Figure):
    """A figure of ours."""

    minutes: float | None = None  # that it took, validations included
    cores: int = 2  # of a CPU
    settings: dict[str, Any] = field(default_factory=dict)  # in the place of the recipe's, as --set takes them
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
        given = [f"{name}={value}" for name, value in self.settings.items() if name != "budget"]
        after = f" after {time_of(self.minutes)} on {_cores(self.cores)}" if self.minutes else ""
        return super().__str__() + after + (f" ({', '.join(given)})" if given else "") + (f"; {self.note}" if self.note else "")


@dataclass(frozen=True)
class GpuSpeed:
    """Training speed on one card, as `.ci/gpu record` writes it."""

    card: str  # as torch names it
    precision: str
    tokens_per_second: float
    ratio_plain: float | None = None  # our speed over that of torch's own loop in the same run
    text: str = "bundled"

    def __str__(self) -> str:
        beside = ""
        if self.ratio_plain is not None:
            beside = f", {self.ratio_plain:g} times that of torch's own loop"
        return f"{speed_of(self.tokens_per_second)} in {self.precision} on {self.card} ({self.text}){beside}"


@dataclass(frozen=True, kw_only=True)
class GpuRun(Figure):
    """What a whole run reached on one card, as `.ci/gpu record` writes it."""

    card: str
    minutes: float  # that it took, validations included
    note: str = ""

    def __str__(self) -> str:
        note = f"; {self.note}" if self.note else ""
        return f"{time_of(self.minutes)} on {self.card}: {super().__str__()}{note}"


@dataclass(frozen=True)
class Recipe:
    """Settings by name, and what a person should know of them."""

    name: str
    settings: dict[str, Any]
    summary: str  # what for, in three words
    description: str = ""
    published: tuple[Figure, ...] = ()  # what it aims at
    published_note: str = ""
    source: str = ""  # of the published figure and of the settings
    differs: str = ""  # where the recipe is not the source's, and why ours is better or worse
    measured: Measured | None = None
    cpu_minutes: float | None = None  # of all of it on two cores, on the text that the figures or the note name
    cpu_is_estimated: bool = True
    cpu_note: str = ""
    gpu: tuple[GpuSpeed, ...] = ()
    gpu_run: GpuRun | None = None
    uses_gpu: bool = True

    def command(self) -> str:
        """What trains it on a text of one's own."""
        figures = self._figures()
        file = "my.tsv" if self.settings.get("task") == "seq2seq" else "my.txt"
        own = "" if figures and figures[0].on.startswith("bundled") else f"{file} "
        return f"rnnlm train {own}--recipe {self.name}"

    def command_of_figure(self) -> str | None:
        """What repeats our figure, or tries for the published one; None where there is neither."""
        if not (figures := self._figures()):
            return None
        text = _TEXTS[figures[0].on.split()[0]]
        if self.settings.get("task") == "seq2seq":  # what others learn as labels
            text = text.replace("labels", "target")
        return f"rnnlm train {text}{self.options_of_figure()}"

    def options_of_figure(self) -> str:
        """What follows the texts in that command."""
        settings = self.measured.settings if self.measured else {}
        given = [f"--budget {value}" if name == "budget" else f"--set {name}={value}" for name, value in settings.items()]
        return " ".join([f"--recipe {self.name}", *given])

    def _whole_run(self) -> str:
        """The time of all of it on a CPU, in words: estimated, or that of the run that gave our figure."""
        if self.cpu_minutes is not None:
            estimated = "estimated: " if self.cpu_is_estimated else ""
            return f"{estimated}{time_of(self.cpu_minutes)} on two cores {self.cpu_note}".rstrip()
        if self.measured and self.measured.minutes and not self.measured.settings:
            return f"{time_of(self.measured.minutes)} on {_cores(self.measured.cores)} {self.cpu_note}".rstrip()
        return "not measured"

    def _run_on_gpu(self) -> str:
        """Describe the whole run on a GPU."""
        if not self.uses_gpu:
            return "uses none"
        return str(self.gpu_run) if self.gpu_run else "not measured"

    def fastest_on_gpu(self) -> GpuSpeed | None:
        """Return the highest speed on any card, in any precision."""
        return max(self.gpu, key=lambda speed: speed.tokens_per_second, default=None)

    def _figures(self) -> list[Figure]:
        return [*([self.measured] if self.measured else []), *self.published]

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON: figures and times in words, then as numbers."""
        published = "; ".join(filter(None, [", ".join(map(str, self.published)), self.published_note]))
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
            "gpu_time": self._run_on_gpu(),
            "gpu_speed": "; ".join(map(str, self.gpu)),
            "command": self.command(),
            "command_of_figure": self.command_of_figure(),
            "published_figures": [asdict(figure) for figure in self.published],
            "measured_figure": asdict(self.measured) if self.measured else None,
            "cpu_minutes": self.cpu_minutes,
            "gpu_speeds": [asdict(speed) for speed in self.gpu],
            "gpu_run": asdict(self.gpu_run) if self.gpu_run else None,
        }


def _cores(count: int) -> str:
    return {1: "one core", 2: "two cores"}.get(count, f"{count} cores")


def time_of(minutes: float) -> str:
    """Minutes for people: 3.5 min, 14 h, 21 d."""
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    if minutes <= 90:
        return f"{minutes:g} min"
    hours = minutes / 60
    return f"{hours:.2g} h" if hours < 48 else f"{hours / 24:.2g} d"


def speed_of(tokens_per_second: float) -> str:
    """Tokens per second for people: 950 tokens/s, 412k tokens/s, 1.2M tokens/s."""
    return f"{short_count(tokens_per_second)} tokens/s"


def short_count(count: float) -> str:
    """Round a count to three digits: 950, 412k, 1.2M."""
    rounded = float(f"{count:.3g}")
    if rounded >= 1e6:
        return f"{rounded / 1e6:g}M"
    if rounded >= 1e3:
        return f"{rounded / 1e3:g}k"
    return f"{rounded:g}"


def names() -> list[str]:
    """All recipes, sorted."""
    return sorted(entry.name.removesuffix(".toml") for entry in resources.files(__package__).iterdir() if entry.name.endswith(".toml"))


def load(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        SettingsError: there is none of that name.
    """
    if name not in names():
        raise SettingsError(f"unknown recipe {name!r}", hint=nearest(name, names()))
    return parse(name, (resources.files(__package__) / f"{name}.toml").read_text(encoding="utf-8"))


def parse(name: str, text: str) -> Recipe:
    """Read the recipe called `name` from the text of its file."""
    settings = tomllib.loads(text)
    about = settings.pop("about")

    # Tables of [about] become figures; all else is a word or a number as it is.
    published = tuple(Figure(**figure) for figure in about.pop("published", ()))
    gpu = tuple(GpuSpeed(**speed) for speed in about.pop("gpu", ()))
    measured = Measured(**about.pop("measured")) if "measured" in about else None
    gpu_run = GpuRun(**about.pop("gpu_run")) if "gpu_run" in about else None
    return Recipe(name, settings, published=published, measured=measured, gpu=gpu, gpu_run=gpu_run, **about)

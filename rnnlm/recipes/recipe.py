"""Recipes: named settings, one TOML file each beside this one, with what it aims at and what it reached.

A file holds its settings flat, then a table [about].
"""

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from rnnlm.errors import SettingsError, nearest


@dataclass(frozen=True)
class Recipe:
    """Settings by name, and what a person should know of them. Figures are perplexities unless they say otherwise."""

    name: str
    settings: dict[str, Any]
    description: str
    published: str = "none"  # the figure it aims at
    source: str = ""  # of the published figure and of the settings
    measured: str = "not measured"
    cpu_time: str = "not measured"  # on two cores, on the text that `measured` or `published` names
    gpu_time: str = "not measured"


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
    settings = tomllib.loads((resources.files(__package__) / f"{name}.toml").read_text(encoding="utf-8"))
    about = settings.pop("about")
    return Recipe(name, settings, **about)

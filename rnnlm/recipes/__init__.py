"""Recipes: named settings, one flat TOML file each beside this one. `description` says what it is for."""

from importlib import resources
from typing import Any

from rnnlm.config import read_toml
from rnnlm.errors import SettingsError, nearest


def names() -> list[str]:
    """All recipes, sorted."""
    return sorted(entry.name.removesuffix(".toml") for entry in resources.files(__name__).iterdir() if entry.name.endswith(".toml"))


def load(name: str) -> tuple[str, dict[str, Any]]:
    """(description, settings) of a recipe.

    Raises:
        SettingsError: there is none of that name.
    """
    if name not in names():
        raise SettingsError(f"unknown recipe {name!r}", way_out=nearest(name, names()))
    with resources.as_file(resources.files(__name__) / f"{name}.toml") as path:
        table = read_toml(path)
    return table.pop("description"), table

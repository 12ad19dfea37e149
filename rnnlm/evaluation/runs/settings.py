"""The settings of a model with their origin: the default, its recipe, or what was asked for."""

from collections.abc import Iterator
from typing import Any

from rnnlm.config import as_text, resolve
from rnnlm.errors import SettingsError
from rnnlm.models import card, registry
from rnnlm.models.manifest import Manifest
from rnnlm.recipes import recipe as recipes
from rnnlm.text.lines import TextSettings
from rnnlm.text.tokenizers import TokenizerSettings

DEFAULT, ASKED = "default", "asked for"


def settings_with_origin(manifest: Manifest) -> list[tuple[str, str, str]]:
    """(name, value, origin) of each setting, those that are no defaults first. A model's folder does not keep who set what: a value that is
    the recipe's counts as its, else one that is the default's as default, and others were asked for, by a file or on the command line."""
    found = list(_told(card.settings_of(manifest), _defaults(manifest), *_recipe(manifest)))
    return sorted(found, key=lambda row: row[2] == DEFAULT)


def _told(settings: dict[str, Any], defaults: dict[str, Any], recipe: str, of_recipe: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name, value in settings.items():
        if name == "model":
            continue
        is_of_recipe = name in of_recipe and as_text(of_recipe[name]) == as_text(value)
        is_default = name in defaults and defaults[name] == value
        yield name, as_text(value), f"recipe {recipe}" if is_of_recipe else DEFAULT if is_default else ASKED


def _defaults(manifest: Manifest) -> dict[str, Any]:
    kind = registry.kind_of(manifest.model, manifest.task)
    classes = dict.fromkeys([*kind.settings_classes(), *kind.text_settings, TextSettings, TokenizerSettings])
    return resolve(classes, []).values


def _recipe(manifest: Manifest) -> tuple[str, dict[str, Any]]:
    """The name and the settings of a model's recipe; no settings where it is not known any more."""
    name = manifest.training.get("recipe")
    if not isinstance(name, str):
        return "", {}
    try:
        return name, recipes.load(name).settings
    except SettingsError:
        return name, {}

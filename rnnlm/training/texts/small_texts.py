"""Settings for small texts, in steps with names: lines, page, pages, chapter.

Defaults and recipes are made for texts with hundreds of steps in an epoch. An epoch of a page of
text is a single step by them, so the budget is over before anything is learned, a third of what is
learned is dropped again, and patience ends at the first bump. The recipes of small texts are files
in `rnnlm/training/recipes/sizes`: each is for texts of fewer than its `batches` of the usual size.
"""

import math
import tomllib
from functools import cache
from importlib import resources
from typing import Any

import rnnlm.corpora as corpora
from rnnlm import registry
from rnnlm.config import Budget, ResolvedSettings
from rnnlm.errors import keyword, notice
from rnnlm.lm.neural.training.settings import OptimizationSettings
from rnnlm.text.tokenizer_settings import LIMITED
from rnnlm.training.request import FittingData, TrainingRequest

FEW = 20  # lines to validate on


NAMES = ("lines", "page", "pages", "chapter")  # of the recipes, the one of the smallest texts first


def text_of(name: str) -> str:
    """Return the file of the recipe called `name`."""
    file = resources.files("rnnlm.training.recipes") / "sizes" / f"{name}.toml"
    return file.read_text(encoding="utf-8")


@cache
def sizes() -> dict[str, dict[str, Any]]:
    """Return the recipes of small texts by name, the one of the smallest first."""
    return {name: tomllib.loads(text_of(name)) for name in NAMES}


def follow_size(name: str, resolved: ResolvedSettings, data: FittingData) -> ResolvedSettings:
    """Return settings that suit a small text, by the recipe called `name`."""
    usual = resolved.values
    size = dict(sizes()[name])
    at_most, by_heart = size.pop("at_most"), size.pop("by_heart")

    # A run that validates on its own text learns it by heart. Unknown words, and a rate that suits
    # new text, matter in others.
    of_kind: dict[str, Any] = {}
    if data.valid is None or data.valid.lines_hash == data.train.lines_hash:
        kinds = by_heart.get(usual.get("task", registry.LANGUAGE_MODEL), {})
        of_kind = kinds.get(usual["model"], {})
        at_most = at_most | {"unknown_words": by_heart["unknown_words"]}

    # What a kind of network needs may go beyond the limits.
    limited = {setting: min(limit, usual.get(setting, 0)) for setting, limit in at_most.items()}
    values = size | limited | of_kind | _validations(resolved, data, size)

    # Time and steps that a recipe gives are used up.
    if Budget.parse(usual["budget"]).epochs is None:
        del values["budget"]
    return resolved.with_layer(f"recipe {name}", _free(resolved, values), is_recipe=True)


def notice_small_validation_text(
    data: FittingData, resolved: ResolvedSettings, holds_out: bool
) -> None:
    """Send a notice if few lines were held out for validation, which chooses among the weights of
    a network."""
    if holds_out and data.valid is not None and data.valid.sentences < FEW:
        count = data.valid.sentences
        lines = "a single line is" if count == 1 else f"a part of only {count} lines is"
        choice = ", and chooses the weights that are kept" if "budget" in resolved.values else ""
        notice(
            f"{lines} held out for validation{choice}: "
            + keyword("valid", "FILE")
            + " names a larger text"
        )


def keep_rare_words(
    request: TrainingRequest, resolved: ResolvedSettings, examples: int
) -> ResolvedSettings:
    """Return settings by which words seen once are words, if there are few examples: most of their
    words are, and as unknown ones all would be alike."""
    name = recipe_for(request, resolved, examples, 0)
    if name is None or resolved.values["tokenizer"] not in LIMITED:
        return resolved
    values = _free(resolved, {"min_count": 1})
    return resolved.with_layer(f"recipe {name}", values, is_recipe=True)


def recipe_for(
    request: TrainingRequest, resolved: ResolvedSettings, sentences: int, tokens: int
) -> str | None:
    """Return the name of the recipe for a training text of this size; None for a large text, or a
    bundled corpus."""
    # Pages quote results of bundled corpora, which are known by their names and their files.
    usual, named = resolved.values, corpora.names()
    is_bundled = all(name in named or corpora.title(name) != name for name in request.text)
    if is_bundled or "batch_rows" not in usual:
        return None

    # Batches in one epoch.
    pieces = tokens / usual["bptt_tokens"] if "bptt_tokens" in usual else sentences
    batches = pieces / usual["batch_rows"]
    return next((name for name, size in sizes().items() if batches < size["batches"]), None)


def _validations(
    resolved: ResolvedSettings, data: FittingData, size: dict[str, Any]
) -> dict[str, Any]:
    """Return how often to validate, by which metric, and when a run ends early."""
    usual = resolved.values
    kept = {name: usual.get(name) for name in ("validate_every_steps", "patience")}
    if data.valid is None:
        return kept | {"criterion": usual.get("criterion")}
    if resolved.make(OptimizationSettings).follows_validations:
        return kept
    if Budget.parse(usual["budget"]).seconds is not None:
        return kept | {"patience": None}

    # Passes over a larger text for validation would take most of the time.
    shares = data.valid.tokens / max(1, data.train.tokens)
    every = math.ceil(size["validate_every_steps"] * max(1, shares))
    is_every_free = "min_validations" in resolved.free
    values: dict[str, Any] = {"validate_every_steps": every if is_every_free else None}
    # Accuracy may be 0 for a while, which is no reason to stop.
    if size.get("criterion", usual.get("criterion", "loss")) != "loss":
        values["patience"] = usual["patience"]
    return values


def _free(resolved: ResolvedSettings, values: dict[str, Any]) -> dict[str, Any]:
    """Return those values that differ, of settings that the model has and nobody set."""
    return {
        name: value
        for name, value in values.items()
        if name in resolved.free and value != resolved.values[name]
    }

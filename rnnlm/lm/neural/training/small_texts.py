"""Settings for small texts, in steps with names: lines, page, pages, chapter.

Defaults and recipes are made for texts with hundreds of steps in an epoch. An epoch of a page of
text is a single step by them, so the budget is over before anything is learned, a third of what is
learned is dropped again, and patience ends at the first bump. The recipes of small texts are files
in the folder `sizes`: each is for texts of fewer than its `batches` of the usual size.
"""

import math
import tomllib
from functools import cache
from importlib import resources
from typing import Any

from rnnlm import registry
from rnnlm.amounts import plural
from rnnlm.config import Budget, ResolvedSettings
from rnnlm.interface import FittingData
from rnnlm.lm.neural.training.settings import OptimizationSettings
from rnnlm.lm.neural.training.sizing import WIDTHS
from rnnlm.text.tokenizer_settings import LIMITED

NAMES = ("lines", "page", "pages", "chapter")  # of the recipes, the one of the smallest texts first


def text_of(name: str) -> str:
    """Return the file of the recipe called `name`."""
    file = resources.files("rnnlm.lm.neural.training") / "sizes" / f"{name}.toml"
    return file.read_text(encoding="utf-8")


@cache
def sizes() -> dict[str, dict[str, Any]]:
    """Return the recipes of small texts by name, the one of the smallest first."""
    return {name: tomllib.loads(text_of(name)) for name in NAMES}


def follow_size(name: str, resolved: ResolvedSettings, data: FittingData) -> ResolvedSettings:
    """Return settings that suit a small text, by the recipe called `name`."""
    usual, given = resolved.usual, resolved.values
    task, model = given.get("task", registry.LANGUAGE_MODEL), given["model"]
    size = dict(sizes()[name])
    at_most = size.pop("at_most")
    by_heart, new_text = size.pop("by_heart"), size.pop("new_text")

    # A run that validates on its own text learns it by heart. Unknown words, and a rate and widths
    # that suit new text, matter in others.
    of_kind: dict[str, Any] = {}
    widths: dict[str, int] = new_text.get(task, {}).get(model, {})
    if data.valid is None or data.valid.lines_hash == data.train.lines_hash:
        of_kind = by_heart.get(task, {}).get(model, {})
        at_most = at_most | {"unknown_words": by_heart["unknown_words"]}
        widths = {}

    # What a kind of network needs may go beyond the limits.
    limited = {setting: min(limit, usual.get(setting, 0)) for setting, limit in at_most.items()}
    values = limited | size | of_kind | _validations(resolved, data, size)

    # Time and steps that a recipe gives are used up.
    if Budget.parse(usual["budget"]).epochs is None:
        del values["budget"]
    by = f"recipe {name}"
    examples = plural(data.train.sentences, registry.task(task).example)
    why = f"{examples}, {data.train.tokens:,} tokens"
    narrow = {setting: min(limit, usual[setting]) for setting, limit in widths.items()}
    resolved = resolved.choose(by, why, narrow, together=WIDTHS)
    return resolved.choose(by, why, values)


def keep_rare_words(resolved: ResolvedSettings, examples: int) -> ResolvedSettings:
    """Return settings by which words seen once are words, if there are few examples: most of their
    words are, and as unknown ones all would be alike."""
    name = recipe_for(resolved, examples, 0)
    if name is None or resolved.values["tokenizer"] not in LIMITED:
        return resolved
    task = registry.task(resolved.values["task"])
    return resolved.choose(f"recipe {name}", plural(examples, task.example), {"min_count": 1})


def recipe_for(resolved: ResolvedSettings, sentences: int, tokens: int) -> str | None:
    """Return the name of the recipe for a training text of this size; None for a large text."""
    usual = resolved.usual
    if "batch_rows" not in usual:
        return None

    # Batches in one epoch.
    pieces = tokens / usual["bptt_tokens"] if "bptt_tokens" in usual else sentences
    batches = pieces / usual["batch_rows"]
    return next((name for name, size in sizes().items() if batches < size["batches"]), None)


def _validations(
    resolved: ResolvedSettings, data: FittingData, size: dict[str, Any]
) -> dict[str, Any]:
    """Return how often to validate, by which metric, and when a run ends early."""
    usual = resolved.usual
    kept = {name: usual.get(name) for name in ("validate_every_steps", "patience")}
    if data.valid is None:
        return kept | {"criterion": usual.get("criterion")}
    if resolved.make(OptimizationSettings).follows_validations:
        return kept
    if Budget.parse(resolved.values["budget"]).seconds is not None:
        return kept | {"patience": None}

    # Passes over a larger text for validation would take most of the time.
    shares = data.valid.tokens / max(1, data.train.tokens)
    every = math.ceil(size["validate_every_steps"] * max(1, shares))
    is_every_free = "min_validations" in resolved.free
    values: dict[str, Any] = {"validate_every_steps": every if is_every_free else None}
    # Accuracy may be 0 for a while, which is no reason to stop.
    if size.get("criterion", resolved.values.get("criterion", "loss")) != "loss":
        values["patience"] = usual["patience"]
    return values

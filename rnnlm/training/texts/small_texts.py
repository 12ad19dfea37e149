"""Choose settings by the size of a text, unless they are set.

Defaults and recipes are made for texts with hundreds of steps in an epoch. An epoch of a page of
text is a single step by them, so the budget is over before anything is learned, a third of the
learned weights is dropped again, and patience ends at the first bump. A text is small if it has
fewer than STEPS_OF_EPOCH usual batches; its share is their number relative to that, and settings
follow from that share. From a share of 1 on nothing changes.
"""

import math
from collections.abc import Mapping
from typing import Any

import rnnlm.corpora as corpora
from rnnlm.amounts import plural
from rnnlm.config import Budget, ResolvedSettings
from rnnlm.errors import keyword, notice
from rnnlm.lm.neural.settings import Cell, InputSettings
from rnnlm.lm.neural.training.settings import OptimizationSettings
from rnnlm.text.tokenizer_settings import LIMITED
from rnnlm.training.request import FittingData, TrainingRequest

STEPS_OF_EPOCH = 20
LEAST_STEPS = 500  # of a run
LEAST_WINDOWS = 4  # of each stream
VALIDATIONS, PATIENCE = 40, 10  # of a run, and how many of them without improvement end it
VALIDATED_SHARE = 0.2  # of the tokens that are trained on: a pass over one costs half a step
WARMUP_STEPS, MOST_WARMUP = 30, 0.1
LEAST_UNKNOWN = 0.05  # share of the words seen once
FEW = 20  # lines to validate on
FEW_EXAMPLES = STEPS_OF_EPOCH * OptimizationSettings.batch_rows  # with labels


def follow_size(
    request: TrainingRequest, resolved: ResolvedSettings, data: FittingData
) -> ResolvedSettings:
    """Return settings that suit a small text; for a large one, or a bundled corpus, as they are."""
    usual = resolved.values
    share = _share(resolved, data)
    if share >= 1 or _is_bundled(request):
        return resolved
    tokens = data.train.tokens
    values: dict[str, Any] = {}

    # Small batches of short windows, so that an epoch has several steps.
    values["batch_rows"] = max(1, int(usual["batch_rows"] * share))
    if "bptt_tokens" in usual:
        values["bptt_tokens"] = min(usual["bptt_tokens"], -(-tokens // LEAST_WINDOWS))

    # Settings that keep a network from learning a text by heart are for larger texts. They come
    # late, by the square of the share.
    late = share**2
    for name, value in usual.items():
        if name.startswith("dropout_") or name in ("weight_drop", "label_smoothing"):
            values[name] = round(value * late, 3)

    # Unknown words, and a rate that suits new text, matter where other text validates.
    is_by_heart = data.valid is None or data.valid.lines_hash == data.train.lines_hash
    if is_by_heart and "bptt_tokens" in usual:
        least = min(LEAST_UNKNOWN, usual["unknown_words"])
        values["unknown_words"] = round(max(least, usual["unknown_words"] * late), 3)
    if is_by_heart and usual["optimizer"] in ("adam", "adamw"):
        rate = _rate_of_few_lines(resolved)
        values["learning_rate"] = round(rate + (usual["learning_rate"] - rate) * late, 6)

    # The length of the run, and times that are counted in shares of it.
    values = _free(resolved, values)
    now = {**usual, **values}
    in_epoch = _steps_in_epoch(now, data)
    budget = Budget.parse(usual["budget"])
    steps = budget.steps
    if budget.epochs:
        steps = math.ceil(budget.epochs * in_epoch)
        least = LEAST_STEPS * getattr(resolved.classes[0], "steps_of_few_lines", 1)
        if _is_free(resolved, "budget") and steps < least:
            steps = least
            values["budget"] = f"{steps}steps"
    values |= _free(resolved, _validations(resolved, data, steps, tokens / in_epoch))
    return resolved.with_found(f"the text's size: {_in_words(data, usual)}", values)


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
    has_counts = resolved.values["tokenizer"] in LIMITED
    if examples >= FEW_EXAMPLES or not has_counts or _is_bundled(request):
        return resolved
    values = _free(resolved, {"min_count": 1})
    return resolved.with_found(f"the text's size: {plural(examples, 'line')}", values)


def _is_bundled(request: TrainingRequest) -> bool:
    """Return whether the text is a bundled corpus, by name or by file: pages quote results."""
    named = corpora.names()
    return all(name in named or corpora.title(name) != name for name in request.text)


def _share(resolved: ResolvedSettings, data: FittingData) -> float:
    """Return how much of STEPS_OF_EPOCH usual batches the text has."""
    usual = resolved.values
    if "batch_rows" not in usual:
        return 1.0
    pieces = float(data.train.sentences)
    if "bptt_tokens" in usual:
        pieces = data.train.tokens / usual["bptt_tokens"]
    return pieces / (STEPS_OF_EPOCH * usual["batch_rows"])


def _rate_of_few_lines(resolved: ResolvedSettings) -> float:
    """Return the learning rate by which a network learns a few lines by heart."""
    rate: float = resolved.values["learning_rate"]
    is_decoder = "attention" in resolved.values
    for settings in resolved.classes:
        if issubclass(settings, InputSettings):
            rate *= settings.rate_of_few_lines
        elif issubclass(settings, Cell) and is_decoder:
            rate *= settings.rate_of_few_pairs
    return rate


def _steps_in_epoch(values: Mapping[str, Any], data: FittingData) -> int:
    rows = values["batch_rows"]
    if "bptt_tokens" in values:
        return -(-data.train.tokens // (rows * values["bptt_tokens"]))
    return -(-data.train.sentences // rows)


def _validations(
    resolved: ResolvedSettings, data: FittingData, steps: int | None, tokens_of_step: float
) -> dict[str, Any]:
    """Return when a run of so many steps validates, by which unit, and when it ends early; steps:
    None if time ends it."""
    usual = resolved.values
    values: dict[str, Any] = {}
    if steps is not None:
        warmup = min(MOST_WARMUP, WARMUP_STEPS / steps)
        values["warmup"] = round(max(usual["warmup"], warmup), 3)
    if data.valid is None:
        return values
    if usual.get("criterion") == "auto" and data.valid.sentences < FEW:
        values["criterion"] = "loss"
    if resolved.make(OptimizationSettings).follows_validations:
        return values
    if steps is None:
        values["patience"] = None
        return values
    affordable = data.valid.tokens / (VALIDATED_SHARE * tokens_of_step)
    if _is_free(resolved, "min_validations"):
        values["validate_every_steps"] = math.ceil(max(steps / VALIDATIONS, affordable))
    if values.get("criterion", usual.get("criterion", "loss")) == "loss":
        values["patience"] = PATIENCE
    return values


def _free(resolved: ResolvedSettings, values: dict[str, Any]) -> dict[str, Any]:
    """Return those values that differ, of settings that are not set."""
    return {
        name: value
        for name, value in values.items()
        if _is_free(resolved, name) and value != resolved.values[name]
    }


def _is_free(resolved: ResolvedSettings, name: str) -> bool:
    """Return whether a setting is a default, or from a bundled recipe."""
    origin = resolved.origins[name]
    return origin == "default" or origin.startswith("recipe ")


def _in_words(data: FittingData, usual: Mapping[str, Any]) -> str:
    """Return the size of the text, in the units that a network reads."""
    if "bptt_tokens" in usual:
        return plural(data.train.tokens, "token")
    return plural(data.train.sentences, "line")

"""Describe a model from its folder alone: all that is known, or the lines that matter."""

import dataclasses
import shlex
from collections.abc import Collection, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from rnnlm import registry
from rnnlm.amounts import amount, plural
from rnnlm.choices import said, taken_choices
from rnnlm.config import as_text
from rnnlm.errors import ModelError
from rnnlm.evaluation.metrics import Evaluation, stored_evaluations
from rnnlm.lm.base import loading, stored_model
from rnnlm.storage import model_folder
from rnnlm.text.lines import TextSettings
from rnnlm.text.prepared import prepared_text
from rnnlm.text.prepared.index import is_prepared
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.training import card

MOST_PARTS, MOST_RESULTS = 4, 2  # that a summary names
MOST_ORDERS, MOST_VALUES = 6, 5  # of an estimator's results, and of each order


def describe(name: str) -> dict[str, Any]:
    """Return kind, size, settings, tokenizer, training and metrics of the model called `name`, or
    of a prepared text its counts. No weights are read.

    Raises:
        ModelError: there is none, or its config.json or index.json is damaged.
    """
    if is_prepared(name):
        return prepared_text.describe(Path(name))
    folder = loading.find(name)
    return _described(folder, model_folder.read_manifest(folder))


def _described(folder: Path, manifest: model_folder.Manifest) -> dict[str, Any]:
    kind, codec, shapes = stored_model.content(folder, manifest)
    tokenizer: Any = codec  # of some tasks with labels, or with another tokenizer
    described = registry.task(kind.task).describe(codec)
    sizes = {name: entry.bytes for name, entry in manifest.files.items()}
    return {
        "task": kind.task,
        **described.fields,
        "folder": str(folder),
        "model": manifest.model,
        "about": kind.about,
        "fingerprint": manifest.fingerprint,
        "hash": "unchecked" if model_folder.is_unchecked(manifest) else "checked when it is loaded",
        "format_version": manifest.format_version,
        "parameters": loading.count_parameters(shapes),
        "bytes": sum(sizes.values()),
        "vocabulary_size": tokenizer.size,
        "tokenizer": f"{tokenizer.name}:{tokenizer.fingerprint}",
        "parts": list(map(dataclasses.asdict, manifest.parts)),
        "step": manifest.step,
        "made_by": manifest.made_by and dataclasses.asdict(manifest.made_by),
        "training": {key: value for key, value in manifest.training.items() if key != "identity"},
        "results": manifest.results,
        "settings": card.settings_of(manifest),
        "files": sizes,
    }


def summary(name: str) -> list[tuple[str, str]]:
    """Return the lines of :func:`describe` that matter, 20 at most, as (name, text): kind, size,
    texts, settings that differ from the recipe, tokenizer, metrics with their signatures, and how
    to use it."""
    try:
        if is_prepared(name):
            return list(_prepared_text(name, prepared_text.describe(Path(name))))
        return list(_model(name, loading.find(name)))
    except (AttributeError, KeyError, TypeError, ValueError):
        # A run or a tool has written something of another form there.
        raise ModelError(
            f"the description of {name} is damaged",
            hint=f"rnnlm info {shlex.quote(name)} --all shows it anyway",
        ) from None


def _model(name: str, folder: Path) -> Iterator[tuple[str, str]]:
    # Its kind and place.
    manifest = model_folder.read_manifest(folder)
    about = _described(folder, manifest)
    is_demo = folder == loading.SHIPPED == loading.find("demo")
    called = "demo" if is_demo else shlex.quote(name)
    yield "model", f"{about['model']}: {about['about']}"
    yield "folder", about["folder"]
    on_disk = f"{amount(about['bytes'], unit='bytes')} in {plural(len(manifest.files), 'file')}"
    yield "size", f"{about['parameters']:,} parameters, {on_disk}"
    yield "fingerprint", f"{manifest.fingerprint}; hash: {about['hash']}"

    # How it was made, how good it is, and how to use it.
    yield from _origin(folder, manifest)
    lines = said(taken_choices(manifest.training), is_whole=True)
    if lines:
        yield "chosen", "; ".join(line.removeprefix("chosen ") for line in lines)
    yield from _run(manifest)
    again = card.way_to_repeat(manifest)
    if again:
        yield "about the same run", again
    if manifest.made_by:
        command = manifest.made_by.command
        yield "made by", f"{manifest.made_by}: {command}" if command else str(manifest.made_by)
    yield from _results(stored_evaluations(manifest))
    for command in registry.task(manifest.task).usage:
        yield "use it", command.format(name=called)


def _origin(folder: Path, manifest: model_folder.Manifest) -> Iterator[tuple[str, str]]:
    """Yield the facts of the model card about texts, parts and tokenizer; of a combination of many
    parts the first ones."""
    source = manifest.training.get("imported_from")
    if source:
        yield "imported from", source
    codec = stored_model.content(folder, manifest)[1]
    facts = {label: value.replace("`", "") for label, value in card.facts(manifest, codec)}

    # The settings that differ from the recipe, or else from the defaults.
    tokenizers = registry.task(manifest.task).describe(codec).tokenizers
    of_tokenizers = card.tokenizer_settings(manifest, tokenizers).values()
    differing = _differing(manifest, set(chain.from_iterable(of_tokenizers)))
    recipe = manifest.training.get("recipe")
    if recipe:
        facts["recipe"] = "; ".join([recipe, *differing])
    elif differing:
        facts["settings"] = "; ".join(differing)

    parts = [label for label in facts if label.startswith("part ")]
    omitted = {"step", "seconds", "model", *parts[MOST_PARTS:]}
    for label, value in facts.items():
        if label not in omitted and value != "-":
            yield label, value
    if len(parts) > MOST_PARTS:
        yield "more parts", f"{len(parts) - MOST_PARTS:,}"


def _run(manifest: model_folder.Manifest) -> Iterator[tuple[str, str]]:
    """Yield how far a network was trained, and how long it took."""
    training = manifest.training
    seconds = f"{training['seconds']:,} s" if "seconds" in training else ""
    if not manifest.kind.trains_in_steps:
        yield from _estimated(training.get("estimated", {}))
        if seconds:
            yield "took", seconds
        return
    of = "so far: its run has not ended"
    if "stopped" in training:
        of = f"of {training['steps']:,}, ended: {training['stopped']}"
    # The models that it started from took time, too, which is not known here.
    before = [training[name] for name in card.STARTS if name in training]
    if seconds and before:
        seconds += f" after the training of {' and '.join(before)}"
    yield "training", ", ".join(filter(None, [f"best at step {manifest.step:,} {of}", seconds]))


def _differing(manifest: model_folder.Manifest, shown: Collection[str]) -> list[str]:
    """Return the settings that were set to other values than the recipe's, or the defaults, except
    for those `shown` elsewhere, and the place of all settings."""
    source = "recipe" if manifest.training.get("recipe") else "default"
    settings = []
    for change in card.settings_by_hand(manifest):
        setting = f"{change.name}={as_text(change.value)}"
        if setting not in shown:
            settings.append(f"{setting} ({source}: {as_text(change.was)})")
    differs = f"differs in: {', '.join(settings)}" if settings else ""
    if card.has_run(manifest) and not card.is_recorded(manifest):
        differs = "what differs was not recorded"
    return list(filter(None, [differs, card.where_all_are(manifest)]))


def _estimated(estimates: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the results of the estimator of an n-gram model, such as discounts: all orders in one
    line, the lowest order first."""
    by_order: dict[str, list[str]] = {}
    for name, value in estimates.items():
        quantity, of_order, _ = name.partition(" of order ")
        if of_order:
            by_order.setdefault(quantity, []).append(_values(value))
        else:
            yield name, _values(value)
    for quantity, orders in by_order.items():
        shown = orders[:MOST_ORDERS]
        if len(orders) > MOST_ORDERS:
            shown.append("...")
        yield f"{quantity} by order", " / ".join(shown)


def _values(value: float | list[float] | dict[str, float]) -> str:
    """Write a number, a list of numbers, or numbers by name."""
    if isinstance(value, dict):
        shown = [f"{key}: {number:.4g}" for key, number in value.items()]
    elif isinstance(value, list):
        shown = [f"{number:.4g}" for number in value]
    else:
        shown = [f"{value:.4g}"]
    if len(shown) > MOST_VALUES:
        shown[MOST_VALUES:] = ["..."]
    return ", ".join(shown)


def _results(evaluations: dict[str, Evaluation]) -> Iterator[tuple[str, str]]:
    for text, evaluation in list(evaluations.items())[-MOST_RESULTS:]:
        for column in evaluation.column_names:
            text_line = evaluation.line(column)
            if len(evaluation.column_names) > 1:
                text_line = f"{column}: {text_line}"
            # Other texts come from `rnnlm eval`, which may have any name.
            if text in ("valid", "test"):
                yield text, text_line
            else:
                yield "result", f"{text}: {text_line}"
            yield "signature", evaluation.main_of(column).signature


def _prepared_text(name: str, about: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the lines of a prepared text, which is no model."""
    # Its content.
    counts, sample = about["counts"], about["vocabulary of"]
    yield "prepared text", about["prepared text"]
    yield "folder", about["folder"]
    yield "text", card.first_names(about["text"] or []).replace("`", "")
    tokenizer = f"{about['tokenizer']}, V = {about['vocabulary_size']:,}"
    settings_of_tokenizer = card.not_defaults(about["settings"], TokenizerSettings)
    yield "tokenizer", ", ".join([tokenizer, *settings_of_tokenizer])
    if sample:
        yield "vocabulary of", f"{sample['how']}, {amount(sample['bytes'], unit='bytes')}"
    sizes = [f"{counts[key]:,} {key}" for key in ("lines", "words", "tokens", "bytes")]
    yield "counts", ", ".join(sizes)
    yield "unknown", f"{counts['oov_words']:,} words, {counts['oov_tokens']:,} tokens"

    # How it is read and used.
    settings = card.not_defaults(about["settings"], TextSettings)
    if settings:
        yield "read with", " ".join(settings)
    yield "hash", f"{about['lines_hash']}, of its lines"
    yield "files", f"{about['shards']:,}, {amount(about['file_bytes'], unit='bytes')}"
    yield "use it", f"rnnlm train {shlex.quote(name)}"

"""What a model folder says of its model: its card (README.md) for people who find it later, all
that is known (`rnnlm info --all`), or the lines that matter. No weights are read."""

import dataclasses
import json
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from rnnlm import registry
from rnnlm.amounts import amount, plural
from rnnlm.choices import (
    THE_DATA,
    THE_MACHINE,
    THE_VALIDATIONS,
    repeatable,
    said,
    stored_choices,
    stored_given,
    taken_choices,
)
from rnnlm.config import MACHINE, Budget, Choice, as_text, resolve
from rnnlm.errors import ModelError, first_of, visible
from rnnlm.evaluation.metrics import Evaluation, stored_evaluations
from rnnlm.interface import Task, Tokenizer
from rnnlm.lm.base import loading, stored_model
from rnnlm.storage import model_folder
from rnnlm.storage.files import writing as safe_files
from rnnlm.storage.manifest import PART_ADAPTATIONS, Manifest, is_prepared
from rnnlm.text.lines import TextSettings
from rnnlm.text.prepared import prepared_text
from rnnlm.text.tokenizer_settings import TokenizerSettings

# Models that a run may start from, by their names in the stored training.
STARTS = ("init_from", "init_encoder_from", "init_decoder_from")
# A larger share of a text's lines than this in the training text: its metrics are not held out.
MUCH_OVERLAP = 0.2
# Settings that describe a model's structure: always shown.
_STRUCTURE = (
    "order",
    "smoothing",
    "quantize",
    "layers",
    "layer_sizes",
    "embedding_size",
    "hidden_size",
)
_OF_TARGET = "target_"  # begins the names of settings of the target's tokenizer
# Stored with models that no run has made: nothing is known of how, or they have parts instead.
_WITHOUT_RUN = {"imported_from", "joined", "mixed"}


def write(folder: Path, manifest: Manifest, tokenizer: Tokenizer) -> None:
    """Write or replace the card of the model in `folder`."""
    with safe_files.writing(folder):
        card = text(folder.resolve().name, manifest, tokenizer)
        safe_files.replace_file(folder / "README.md", card.encode("utf-8", "backslashreplace"))


def text(name: str, manifest: Manifest, tokenizer: Tokenizer, usage: str | None = None) -> str:
    """Return the card as Markdown. For an exported model, `usage` is Markdown on how other programs
    use it; without it, the card has the commands of rnnlm."""
    task = registry.task(manifest.task)
    title = task.singular[0].upper() + task.singular[1:]
    lines = [f"# {name}", ""]
    lines += [f"{title} of kind `{manifest.model}`, {_origin(manifest.training)}.", ""]

    # A table of facts, whose header row is empty, then a table of the metrics.
    lines += ["| | |", "|---|---|"]
    lines += [f"| {label} | {value} |" for label, value in facts(manifest, tokenizer)]
    lines += ["", *_numbers(task, stored_evaluations(manifest))]

    if manifest.made_by:
        lines += ["## How it was made", ""]
        if manifest.made_by.command:
            lines += ["```sh", manifest.made_by.command, "```", ""]
        lines += [f"With {manifest.made_by}.", ""]

    # How to use it; an exported model is not stored with all its settings.
    lines += ["## How to use it", ""]
    if usage is None:
        commands = [line.format(name=shlex.quote(name)) for line in task.usage]
        lines += ["```", *commands, "```", "", *_settings(manifest)]
        where = where_all_are(manifest)
        lines += [f"{where[0].upper()}{where[1:]}", ""] if where else []
    else:
        lines += [*usage.splitlines(), "", *_settings(manifest)]
    return "\n".join(map(visible, lines))


def settings_of(manifest: Manifest) -> dict[str, Any]:
    """Return the settings a model was made with. Of one that was imported, or joined of others,
    only its kind, order, layers and tokenizer are known. How the parts of a combination adapt is
    shown with these."""
    if manifest.training.keys() & {"imported_from", "joined"}:
        names = ("order", "quantize", "layers", "hidden_size", "layer_sizes", "tied", "activation")
        known = {name: manifest.settings[name] for name in names if name in manifest.settings}
        return {"model": manifest.model, **known, **manifest.tokenizer}
    settings = dict(manifest.settings)
    settings.pop(PART_ADAPTATIONS, None)
    # Models that were stored without a prior have the only one that there was.
    if settings.get("smoothing") == "additive":
        settings.setdefault("additive_prior", "lower-order")
    return settings


def settings_by_hand(manifest: Manifest) -> list[Choice]:
    """Return the settings that nobody chose for the user and that make a trained model another one
    than its recipe, or the defaults of its kind: set by somebody, or brought by a text or a
    model."""
    training = manifest.training
    declined = {choice.name for choice in stored_choices(training) or () if not choice.is_taken}
    by_hand = []
    for setting in stored_given(training):
        usual = {as_text(setting.was)}
        # A setting of the target's tokenizer that was not given is the source's.
        if setting.was is None and setting.name.startswith(_OF_TARGET):
            usual.add(as_text(manifest.settings.get(setting.name.removeprefix(_OF_TARGET))))
        is_usual = as_text(setting.value) in usual and setting.name not in declined
        is_of_recipe = setting.by.startswith("recipe ")
        if not (is_of_recipe or is_usual or setting.name in MACHINE):
            by_hand.append(setting)
    return by_hand


def way_to_repeat(manifest: Manifest) -> str:
    """Return the options that repeat a run that used up its budget in time; "" for other runs."""
    training, budget = manifest.training, manifest.settings.get("budget")
    has_ended = is_recorded(manifest) and training.get("stopped") == "budget"
    if not has_ended or Budget.parse(str(budget)).seconds is None:
        return ""
    options = [f"--budget {training['steps']}steps"]
    for choice in repeatable(taken_choices(training)):
        options.append(f"--set {choice.name}={as_text(choice.value)}")
    return " ".join(options)


def is_recorded(manifest: Manifest) -> bool:
    """Return whether the origin of its settings is stored, which earlier versions did not do."""
    return "given" in manifest.training


def where_all_are(manifest: Manifest) -> str:
    """Return where all settings of a trained model are; "" for others."""
    count = len(settings_of(manifest))
    return f"all {count} settings: config.json" if has_run(manifest) else ""


def has_run(manifest: Manifest) -> bool:
    """Return whether it was trained, so that its settings say how."""
    return not manifest.training.keys() & _WITHOUT_RUN


def _settings(manifest: Manifest) -> list[str]:
    """Return the section on the settings of a run: those that differ, in TOML for
    `--recipe FILE.toml`."""
    if not has_run(manifest) or not is_recorded(manifest):
        return []

    # Those that differ from the recipe, or the defaults: set by hand, then chosen.
    recipe = manifest.training.get("recipe")
    base, source = f"The defaults of kind `{manifest.model}`", "default"
    if recipe:
        base, source = f"Those of `--recipe {recipe}`", "recipe"
    choices = taken_choices(manifest.training)
    assigned = []
    others = (THE_DATA, THE_MACHINE, THE_VALIDATIONS)
    of_model = [choice for choice in choices if choice.by not in others]
    for setting in [*settings_by_hand(manifest), *of_model]:
        line = f"{setting.name} = {_toml(setting.value)}  # {source}: {_toml(setting.was)}"
        assigned.append(line + (f"; by {setting.by}: {setting.why}" if setting.why else ""))

    lines = ["## Settings", ""]
    if assigned:
        header = [f"recipe = {_toml(recipe)}"] if recipe else []
        lines += [f"{base}, except for:", "", "```toml", *header, *assigned, "```", ""]
    else:
        lines += [f"{base}.", ""]

    # Other data and another machine bring others.
    left = [choice for choice in choices if choice not in of_model]
    for line in said(left, is_whole=True):
        lines += [f"{line[0].upper()}{line[1:]}.", ""]
    again = way_to_repeat(manifest)
    if again:
        lines += [f"About the same run again: `{again}`", ""]
    return lines


def tokenizer_settings(
    manifest: Manifest, tokenizers: Mapping[str, Tokenizer]
) -> dict[str, list[str]]:
    """Return the settings of each tokenizer, by its purpose, that are not the defaults."""
    settings_by_use = {}
    for use, tokenizer in tokenizers.items():
        if use.startswith("target"):
            of_target = not_defaults(tokenizer.to_settings(), TokenizerSettings)
            settings_by_use[use] = [f"{_OF_TARGET}{setting}" for setting in of_target]
        else:
            settings_by_use[use] = not_defaults(manifest.tokenizer, TokenizerSettings)
    return settings_by_use


def not_defaults(stored: Mapping[str, object], settings: type) -> list[str]:
    """Return the settings of this class with another value than the default, as --set takes them.
    The kind of tokenizer is shown by itself."""
    defaults = resolve([settings], []).values
    return [
        f"{name}={as_text(value)}"
        for name, value in stored.items()
        if name in defaults and name != "tokenizer" and value != defaults[name]
    ]


def _origin(training: dict[str, Any]) -> str:
    if "mixed" in training:
        return "mixed with rnnlm"
    if "joined" in training:
        return "joined from n-gram models with rnnlm"
    if "imported_from" in training:
        return f"imported from `{training['imported_from']}`"
    return "trained with rnnlm"


def facts(manifest: Manifest, tokenizer: Any) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of the parts a model is made of and how. Names of people and files are
    between backticks."""
    # Its origin: other models, or texts. Nothing is known of an imported one.
    training = manifest.training
    if "mixed" in training:
        fingerprints = [part.fingerprint for part in manifest.parts]
        yield from _part_facts(training["mixed"], fingerprints, training.get("weights", "unknown"))
    elif "joined" in training:
        fingerprints = [part["fingerprint"] for part in training["joined"]]
        yield from _part_facts(training["joined"], fingerprints, training.get("weights", "unknown"))
    elif "imported_from" not in training:
        yield from _run_facts(training, registry.task(manifest.task).example)

    yield from _structure_facts(manifest, tokenizer)

    # How it was made.
    if "ngrams" in training:
        yield "n-grams by order", " / ".join(f"{count:,}" for count in training["ngrams"])
    if "pruned" in training:
        yield "pruned", ", ".join(f"{key} {value}" for key, value in training["pruned"].items())
    if manifest.kind.trains_in_steps and has_run(manifest):
        yield "step", f"{manifest.step:,}"
    if "seconds" in training:
        yield "seconds", f"{training['seconds']:,}"
    yield "model", f"`{manifest.fingerprint}`"


def _part_facts(
    parts: Sequence[Mapping[str, Any]], fingerprints: Sequence[str], weights: str
) -> Iterator[tuple[str, str]]:
    """Yield the models that a mixture or a joined model was made of, and the origin of their
    `weights`."""
    for number, (part, fingerprint) in enumerate(zip(parts, fingerprints, strict=True), start=1):
        text = f"`{part['model']}`, weight {part['weight']:.4f}, fingerprint `{fingerprint}`"
        if "adaptation" in part:
            text += f", {part['adaptation']}"
        yield f"part {number}", text
    yield "weights", weights


def _run_facts(training: Mapping[str, Any], example: str) -> Iterator[tuple[str, str]]:
    """Yield the recipe and the texts of a run, and the models that it began with."""
    # The training text, and models that the run began with.
    words, lines = training.get("train_words", 0), training.get("train_sentences", 0)
    names = first_names(training.get("text", []))
    text = f"{names}; {plural(words, 'word')}, {plural(lines, example)}"
    yield "recipe", training.get("recipe") or "-"
    yield "training text", f"{text}, hash `{training.get('train_data', '')}`"
    for name in STARTS:
        if name in training:
            yield name.replace("_", " "), f"`{training[name]}`"
    if "contextual" in training:
        yield "contextual language models", first_names(training["contextual"])

    # The validation text, and overlaps that make metrics too good.
    yield "validation", training.get("validation", "none")
    shares = training.get("lines_in_train", {})
    repeated = [f"{name} {share:.0%}" for name, share in shares.items() if share > MUCH_OVERLAP]
    if repeated:
        yield "lines also in the training text", ", ".join(repeated)


def _structure_facts(manifest: Manifest, tokenizer: Any) -> Iterator[tuple[str, str]]:
    """Yield the structure of the model, and its inputs and outputs."""
    stored = settings_of(manifest)
    built = [f"{name}={as_text(stored[name])}" for name in _STRUCTURE if stored.get(name)]
    if built:
        yield "structure", " ".join(built)
    described = registry.task(manifest.task).describe(tokenizer)
    yield from described.facts.items()
    settings_by_use = tokenizer_settings(manifest, described.tokenizers)
    for use, info in described.tokenizers.items():
        name = f"{info.name}, V = {info.size:,}, `{info.fingerprint}`"
        yield use, ", ".join([name, *settings_by_use[use]])


def _numbers(task: Task, evaluations: dict[str, Evaluation]) -> list[str]:
    """Return the metrics of each text, and column of labels, in one table; then their
    signatures."""
    if not evaluations:
        return []
    table = task.evaluation_class.summary_table(evaluations)
    lines = ["## Numbers", "", _row(table.columns), "|---" * len(table.columns) + "|"]
    lines += [*map(_row, table.cells()), ""]
    if table.remark:
        lines += [table.remark, ""]
    lines += ["Signatures:", ""]
    for text, evaluation in evaluations.items():
        for of, signature in evaluation.signatures.items():
            lines.append(f"* {', '.join(filter(None, [text, of]))}: `{signature}`")
    return [*lines, ""]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def first_names(names: list[str]) -> str:
    """Return the first five names, each between backticks, and how many more there are."""
    return first_of([f"`{name}`" for name in names], 5)


def _toml(value: object) -> str:
    # JSON and TOML write texts, numbers and truth values alike.
    return json.dumps("none" if value is None else value, ensure_ascii=False)


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


def _described(folder: Path, manifest: Manifest) -> dict[str, Any]:
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
        "settings": settings_of(manifest),
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
    yield from _origin_facts(folder, manifest)
    lines = said(taken_choices(manifest.training), is_whole=True)
    if lines:
        yield "chosen", "; ".join(line.removeprefix("chosen ") for line in lines)
    yield from _run(manifest)
    again = way_to_repeat(manifest)
    if again:
        yield "about the same run", again
    if manifest.made_by:
        command = manifest.made_by.command
        yield "made by", f"{manifest.made_by}: {command}" if command else str(manifest.made_by)
    yield from _results(stored_evaluations(manifest))
    for command in registry.task(manifest.task).usage:
        yield "use it", command.format(name=called)


def _origin_facts(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield the facts of the model card about texts, parts and tokenizer; of a combination of many
    parts the first ones."""
    source = manifest.training.get("imported_from")
    if source:
        yield "imported from", source
    codec = stored_model.content(folder, manifest)[1]
    lines = {label: value.replace("`", "") for label, value in facts(manifest, codec)}

    # The settings that differ from the recipe, or else from the defaults.
    tokenizers = registry.task(manifest.task).describe(codec).tokenizers
    of_tokenizers = tokenizer_settings(manifest, tokenizers).values()
    differing = _differing(manifest, set(chain.from_iterable(of_tokenizers)))
    recipe = manifest.training.get("recipe")
    if recipe:
        lines["recipe"] = "; ".join([recipe, *differing])
    elif differing:
        lines["settings"] = "; ".join(differing)

    parts = [label for label in lines if label.startswith("part ")]
    omitted = {"step", "seconds", "model", *parts[MOST_PARTS:]}
    for label, value in lines.items():
        if label not in omitted and value != "-":
            yield label, value
    if len(parts) > MOST_PARTS:
        yield "more parts", f"{len(parts) - MOST_PARTS:,}"


def _run(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield how far a network was trained, and how long it took."""
    training = manifest.training
    seconds = f"{training['seconds']:,} s" if "seconds" in training else ""
    if not manifest.kind.trains_in_steps or not has_run(manifest):
        yield from _estimated(training.get("estimated", {}))
        if seconds:
            yield "took", seconds
        return
    of = "so far: its run has not ended"
    if "stopped" in training:
        of = f"of {training['steps']:,}, ended: {training['stopped']}"
    # The models that it started from took time, too, which is not known here.
    before = [training[name] for name in STARTS if name in training]
    if seconds and before:
        seconds += f" after the training of {' and '.join(before)}"
    yield "training", ", ".join(filter(None, [f"best at step {manifest.step:,} {of}", seconds]))


def _differing(manifest: Manifest, shown: Collection[str]) -> list[str]:
    """Return the settings that were set to other values than the recipe's, or the defaults, except
    for those `shown` elsewhere, and the place of all settings."""
    source = "recipe" if manifest.training.get("recipe") else "default"
    settings = []
    for change in settings_by_hand(manifest):
        setting = f"{change.name}={as_text(change.value)}"
        if setting not in shown:
            settings.append(f"{setting} ({source}: {as_text(change.was)})")
    differs = f"differs in: {', '.join(settings)}" if settings else ""
    if has_run(manifest) and not is_recorded(manifest):
        differs = "what differs was not recorded"
    return list(filter(None, [differs, where_all_are(manifest)]))


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
    yield "text", first_names(about["text"] or []).replace("`", "")
    tokenizer = f"{about['tokenizer']}, V = {about['vocabulary_size']:,}"
    settings_of_tokenizer = not_defaults(about["settings"], TokenizerSettings)
    yield "tokenizer", ", ".join([tokenizer, *settings_of_tokenizer])
    if sample:
        yield "vocabulary of", f"{sample['how']}, {amount(sample['bytes'], unit='bytes')}"
    sizes = [f"{counts[key]:,} {key}" for key in ("lines", "words", "tokens", "bytes")]
    yield "counts", ", ".join(sizes)
    yield "unknown", f"{counts['oov_words']:,} words, {counts['oov_tokens']:,} tokens"

    # How it is read and used.
    settings = not_defaults(about["settings"], TextSettings)
    if settings:
        yield "read with", " ".join(settings)
    yield "hash", f"{about['lines_hash']}, of its lines"
    yield "files", f"{about['shards']:,}, {amount(about['file_bytes'], unit='bytes')}"
    yield "use it", f"rnnlm train {shlex.quote(name)}"

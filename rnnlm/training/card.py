"""The model card: README.md of a model folder, for people who find the model later."""

import contextlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnlm import registry
from rnnlm.amounts import plural
from rnnlm.config import SettingsLayer, as_text, names_of, resolve
from rnnlm.errors import SettingsError, first_of, visible
from rnnlm.evaluation.metrics import Evaluation, stored_evaluations
from rnnlm.interface import Task, Tokenizer
from rnnlm.storage.files import writing as safe_files
from rnnlm.storage.manifest import PART_ADAPTATIONS
from rnnlm.storage.model_folder import Manifest
from rnnlm.text.tokenizer_settings import AUTO, TokenizerSettings
from rnnlm.training.recipes import recipe as recipes

# Models that a run may start from, by their names in the stored training.
STARTS = ("init_from", "init_encoder_from", "init_decoder_from")
# A larger share of a text's lines than this in the training text: its metrics are not held out.
MUCH_OVERLAP = 0.2
# Settings that describe a model's structure: always shown.
_STRUCTURE = ("order", "smoothing", "layers", "layer_sizes", "embedding_size", "hidden_size")
_OF_TARGET = "target_"  # begins the names of settings of the target's tokenizer
# Stored with models that no run has made: nothing is known of how, or they have parts instead.
_WITHOUT_RUN = {"imported_from", "joined", "mixed"}
# Settings that make no other model: its kind, which is shown by itself, the machine, and saving.
_NOT_SHOWN = {
    "model",
    "task",
    "device",
    "threads",
    "save_every",
    "keep_checkpoints",
    "rank_timeout",
    "memory",
    "temp",
}


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
    only its kind, order and tokenizer are known. How the parts of a combination adapt is shown with
    these."""
    if manifest.training.keys() & {"imported_from", "joined"}:
        order = manifest.settings.get("order")
        return {"model": manifest.model, "order": order, **manifest.tokenizer}
    settings = dict(manifest.settings)
    settings.pop(PART_ADAPTATIONS, None)
    # Models that were stored without a prior have the only one that there was.
    if settings.get("smoothing") == "additive":
        settings.setdefault("additive_prior", "lower-order")
    return settings


@dataclass(frozen=True)
class ExpectedSettings:
    """The settings that a model's settings are compared with: its recipe's, or the defaults of its
    kind if it has no known recipe."""

    recipe: str | None
    values: Mapping[str, object]
    origins: Mapping[str, str]  # of each value: the recipe, or "default"

    @property
    def source(self) -> str:
        """The name of a value in messages: "recipe: 650"."""
        return "recipe" if self.recipe else "default"


def expected_settings(manifest: Manifest) -> ExpectedSettings:
    """Return the settings that the model's recipe gives, or else the defaults of its kind."""
    classes = registry.kind_of(manifest.model, manifest.task).all_settings
    recipe = manifest.training.get("recipe")
    if isinstance(recipe, str):
        # A recipe that is gone, or that no longer fits the settings, cannot be compared with.
        known = names_of(classes)
        with contextlib.suppress(SettingsError):
            given = recipes.load(recipe).settings
            values = {name: value for name, value in given.items() if name in known}
            resolved = resolve(classes, [SettingsLayer(f"recipe {recipe}", values)])
            return ExpectedSettings(recipe, resolved.values, resolved.origins)
    resolved = resolve(classes, [])
    return ExpectedSettings(None, resolved.values, resolved.origins)


@dataclass(frozen=True)
class ChangedSetting:
    """A setting of a model with another value than the expected one."""

    name: str
    value: object
    expected: object


def changed_settings(manifest: Manifest, expected: ExpectedSettings) -> list[ChangedSetting]:
    """Return the settings that make a trained model another one than expected."""
    changed: list[ChangedSetting] = []
    if not _has_run(manifest):
        return changed
    stored = settings_of(manifest)
    requested = manifest.training.get("identity") or {}
    for name, value in stored.items():
        # The text decides again on settings that were left to it.
        is_left = expected.values.get(name) == requested.get(name) == AUTO
        if is_left or name in _NOT_SHOWN or name not in expected.values:
            continue
        same = {as_text(expected.values[name])}
        # A setting of the target's tokenizer that was not given is the source's.
        if expected.values[name] is None and name.startswith(_OF_TARGET):
            same.add(as_text(stored.get(name.removeprefix(_OF_TARGET))))
        if as_text(value) not in same:
            changed.append(ChangedSetting(name, value, expected.values[name]))
    return changed


def where_all_are(manifest: Manifest) -> str:
    """Return where all settings of a trained model are; "" for others."""
    count = len(settings_of(manifest))
    return f"all {count} settings: config.json" if _has_run(manifest) else ""


def _has_run(manifest: Manifest) -> bool:
    """Return whether it was trained, so that its settings say how."""
    return not manifest.training.keys() & _WITHOUT_RUN


def _settings(manifest: Manifest) -> list[str]:
    """Return the section on the settings of a run: those that differ, in TOML for
    `--recipe FILE.toml`."""
    if not _has_run(manifest):
        return []

    # The settings to compare with: a recipe's, or the defaults.
    expected = expected_settings(manifest)
    base = f"The defaults of kind `{manifest.model}`"
    if expected.recipe:
        base = f"Those of `--recipe {expected.recipe}`"

    lines = ["## Settings", ""]
    changed = changed_settings(manifest, expected)
    if changed:
        lines += [f"{base}, except for:", "", "```toml"]
        if expected.recipe:
            lines.append(f"recipe = {_toml(expected.recipe)}")
        for change in changed:
            setting = f"{change.name} = {_toml(change.value)}"
            lines.append(f"{setting}  # {expected.source}: {_toml(change.expected)}")
        lines += ["```", ""]
    else:
        lines += [f"{base}.", ""]
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
    if manifest.kind.trains_in_steps:
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

"""What a model folder says of its model: its card (README.md) for people who find it later, all
that is known (`rnnlm info --all`), or the lines that matter. No weights are read.

The card and `rnnlm info` show parts of one list, :func:`facts`."""

import dataclasses
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, starmap
from pathlib import Path
from typing import Any, NamedTuple

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
from rnnlm.storage.manifest import PART_ADAPTATIONS, Manifest
from rnnlm.system import quoted
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
_ORIGINS = {
    "mixed": "mixed with rnnlm",
    "joined": "joined from n-gram models with rnnlm",
    "imported_from": "imported from `{imported_from}`",
}


def write(folder: Path, manifest: Manifest, tokenizer: Tokenizer) -> None:
    """Write or replace the card of the model in `folder`."""
    with safe_files.writing(folder):
        card = text(folder.resolve().name, manifest, tokenizer)
        safe_files.replace_file(folder / "README.md", card.encode("utf-8", "backslashreplace"))


def text(name: str, manifest: Manifest, tokenizer: Tokenizer, usage: str | None = None) -> str:
    """Return the card as Markdown. For an exported model, `usage` is Markdown on how other programs
    use it; without it, the card has the commands of rnnlm."""
    task, training = registry.task(manifest.task), manifest.training
    known = (_ORIGINS[key].format(**training) for key in _ORIGINS if key in training)
    origin = next(known, "trained with rnnlm")
    of_card = [fact for fact in facts(manifest, tokenizer) if fact.card]

    made_by = [f"With {manifest.made_by}."] if manifest.made_by else []
    if manifest.made_by and manifest.made_by.command:
        made_by = ["```sh", manifest.made_by.command, "```", "", *made_by]

    # An exported model is not stored with all its settings.
    where = where_all_are(manifest) if usage is None else ""
    if usage is None:
        commands = [line.format(name=quoted(name)) for line in task.usage]
        usage = "\n".join(["```", *commands, "```"])

    # The facts are a table, whose header row is empty.
    lines = [
        f"# {name}",
        "",
        f"{_sentence(task.singular)} of kind `{manifest.model}`, {origin}.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {fact.name} | {fact.card} |" for fact in of_card),
        "",
        *_section("Numbers", _numbers(task, stored_evaluations(manifest))),
        *_section("How it was made", made_by),
        *_section("How to use it", usage.splitlines()),
        *_section("Settings", _settings(manifest)),
        *([_sentence(where), ""] if where else []),
    ]
    return "\n".join(map(visible, lines))


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""] if lines else []


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


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
    training, settings = manifest.training, manifest.settings
    has_ended = is_recorded(manifest) and training.get("stopped") == "budget"
    if not has_ended or Budget.parse(str(settings.get("budget"))).seconds is None:
        return ""
    again = {choice.name: choice.value for choice in repeatable(taken_choices(training))}

    # It validated as its time allowed, and did not lose patience. Another run validates after the
    # steps that this one kept, as seldom as that allows, so that it keeps the same.
    again["patience"] = settings["patience"]
    again["validate_every_steps"] = settings["validate_every_steps"] or manifest.step
    options = [f"--set {name}={as_text(value)}" for name, value in again.items()]
    return " ".join([f"--budget {training['steps']}steps", *options])


def is_recorded(manifest: Manifest) -> bool:
    """Return whether the origin of its settings is stored, which earlier versions did not do."""
    return "given" in manifest.training


def where_all_are(manifest: Manifest) -> str:
    """Return where all settings of a trained model are; "" for others."""
    return f"all {len(settings_of(manifest))} settings: config.json" if has_run(manifest) else ""


def has_run(manifest: Manifest) -> bool:
    """Return whether it was trained, so that its settings say how."""
    return not manifest.training.keys() & _WITHOUT_RUN


def _settings(manifest: Manifest) -> list[str]:
    """Return the section on the settings of a run: those that differ, in TOML for
    `--recipe FILE.toml`."""
    if not has_run(manifest) or not is_recorded(manifest):
        return []

    # Those that differ from the recipe, or the defaults: set by hand, then chosen. Other data and
    # another machine bring others.
    recipe, choices = manifest.training.get("recipe"), taken_choices(manifest.training)
    others = (THE_DATA, THE_MACHINE, THE_VALIDATIONS)
    of_model = [choice for choice in choices if choice.by not in others]
    brought = [choice for choice in choices if choice.by in others]
    assigned = [f"recipe = {_toml(recipe)}"] if recipe else []
    differing = [*settings_by_hand(manifest), *of_model]
    for setting in differing:
        was = f"{_source(manifest)}: {_toml(setting.was)}"
        why = f"; by {setting.by}: {setting.why}" if setting.why else ""
        assigned.append(f"{setting.name} = {_toml(setting.value)}  # {was}{why}")

    base = f"Those of `--recipe {recipe}`" if recipe else f"The defaults of kind `{manifest.model}`"
    lines = [f"{base}, except for:", "", "```toml", *assigned, "```"] if differing else [f"{base}."]
    for line in said(brought, is_whole=True):
        lines += ["", f"{_sentence(line)}."]
    again = way_to_repeat(manifest)
    return [*lines, "", f"About the same run again: `{again}`"] if again else lines


def _source(manifest: Manifest) -> str:
    """Return what settings are compared with."""
    return "recipe" if manifest.training.get("recipe") else "default"


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


class Fact(NamedTuple):
    """What the card says of a model, and what `rnnlm info` does; "": nothing."""

    name: str
    card: str = ""
    info: str = ""


def _both(name: str, text: str) -> Fact:
    """Return a fact for both places. The card has names of people and files between backticks."""
    return Fact(name, text, text.replace("`", ""))


def facts(manifest: Manifest, tokenizer: Any) -> list[Fact]:
    """Return what is known of a model without its files, in the order in which it is shown."""
    # The settings that differ belong to the recipe, if there is one.
    training, task = manifest.training, registry.task(manifest.task)
    described = task.describe(tokenizer)
    of_tokenizers = tokenizer_settings(manifest, described.tokenizers)
    differing = _differing(manifest, set(chain.from_iterable(of_tokenizers.values())))

    # Its origin: other models, or texts. Nothing is known of an imported one.
    origin = [Fact("imported from", info=training.get("imported_from", ""))]
    if training.keys() & {"mixed", "joined"}:
        origin = _part_facts(manifest)
    elif "imported_from" not in training:
        origin = _run_facts(manifest, task.example, differing)

    # Its structure, inputs and outputs.
    stored = settings_of(manifest)
    structure = [f"{name}={as_text(stored[name])}" for name in _STRUCTURE if stored.get(name)]
    tokenizers = {
        use: f"{info.name}, V = {info.size:,}, `{info.fingerprint}`"
        for use, info in described.tokenizers.items()
    }

    # How it was made.
    ngrams = " / ".join(f"{count:,}" for count in training.get("ngrams", []))
    pruned = ", ".join(f"{name} {value}" for name, value in training.get("pruned", {}).items())
    seconds = f"{training['seconds']:,}" if "seconds" in training else ""
    more_parts = len(training.get("mixed", training.get("joined", []))) - MOST_PARTS
    chosen = said(taken_choices(training), is_whole=True)
    made_by = [str(manifest.made_by), manifest.made_by.command] if manifest.made_by else []
    return [
        *origin,
        _both("structure", " ".join(structure)),
        *starmap(_both, described.facts.items()),
        *(_both(use, ", ".join([tokenizers[use], *of_tokenizers[use]])) for use in tokenizers),
        _both("n-grams by order", ngrams),
        _both("pruned", pruned),
        Fact("step", card=f"{manifest.step:,}" if _has_steps(manifest) else ""),
        Fact("seconds", card=seconds),
        Fact("model", card=f"`{manifest.fingerprint}`"),
        Fact("settings", info="" if training.get("recipe") else differing),
        Fact("more parts", info=f"{more_parts:,}" if more_parts > 0 else ""),
        Fact("chosen", info="; ".join(line.removeprefix("chosen ") for line in chosen)),
        *_estimated(training.get("estimated", {})),
        _duration(manifest, f"{seconds} s" if seconds else ""),
        Fact("about the same run", info=way_to_repeat(manifest)),
        Fact("made by", info=": ".join(filter(None, made_by))),
        *_results(stored_evaluations(manifest)),
    ]


def _part_facts(manifest: Manifest) -> list[Fact]:
    """Return the models that a mixture or a joined model was made of, of which `rnnlm info` has the
    first ones, and the origin of their weights."""
    training, facts = manifest.training, []
    joined = training.get("joined", [])
    fingerprints = [part["fingerprint"] for part in joined]
    fingerprints += [part.fingerprint for part in manifest.parts]
    parts = zip(training.get("mixed", joined), fingerprints, strict=True)
    for number, (part, fingerprint) in enumerate(parts, start=1):
        words = [f"`{part['model']}`, weight {part['weight']:.4f}, fingerprint `{fingerprint}`"]
        words += [part["adaptation"]] if "adaptation" in part else []
        facts.append(_both(f"part {number}", ", ".join(words)))
    facts[MOST_PARTS:] = [fact._replace(info="") for fact in facts[MOST_PARTS:]]
    return [*facts, _both("weights", training.get("weights", "unknown"))]


def _run_facts(manifest: Manifest, example: str, differing: str) -> list[Fact]:
    """Return the recipe and the texts of a run, and the models that it began with."""
    training, recipe = manifest.training, manifest.training.get("recipe")
    changed = [recipe, differing] if recipe else []
    words = plural(training.get("train_words", 0), "word")
    lines = plural(training.get("train_sentences", 0), example)
    text = f"{first_names(training.get('text', []))}; {words}, {lines}"
    starts = [(name.replace("_", " "), training[name]) for name in STARTS if name in training]

    # Overlaps make metrics too good.
    shares = training.get("lines_in_train", {})
    repeated = [f"{name} {share:.0%}" for name, share in shares.items() if share > MUCH_OVERLAP]
    return [
        Fact("recipe", recipe or "-", "; ".join(filter(None, changed))),
        _both("training text", f"{text}, hash `{training.get('train_data', '')}`"),
        *(_both(name, f"`{model}`") for name, model in starts),
        _both("contextual language models", first_names(training.get("contextual", []))),
        _both("validation", training.get("validation", "none")),
        _both("lines also in the training text", ", ".join(repeated)),
    ]


def _numbers(task: Task, evaluations: dict[str, Evaluation]) -> list[str]:
    """Return the metrics of each text, and column of labels, in one table; then their
    signatures."""
    if not evaluations:
        return []
    table = task.evaluation_class.summary_table(evaluations)
    head, *rows = [f"| {' | '.join(cells)} |" for cells in (table.columns, *table.cells())]
    remark = [table.remark, ""] if table.remark else []
    lines = [head, "|---" * len(table.columns) + "|", *rows, "", *remark, "Signatures:", ""]
    for text, evaluation in evaluations.items():
        for of, signature in evaluation.signatures.items():
            lines.append(f"* {', '.join(filter(None, [text, of]))}: `{signature}`")
    return lines


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
    form = registry.text_folder(name)
    if form and form.is_text:
        return form.describe(Path(name))
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
        form = registry.text_folder(name)
        if form and form.is_text:
            rows = form.summary(Path(name))
        else:
            rows = list(_model(name, loading.find(name)))
        return [(what, text) for what, text in rows if text]
    except (AttributeError, KeyError, TypeError, ValueError):
        # A run or a tool has written something of another form there.
        raise ModelError(
            f"the description of {name} is damaged",
            hint=f"rnnlm info {quoted(name)} --all shows it anyway",
        ) from None


def _model(name: str, folder: Path) -> list[tuple[str, str]]:
    manifest = model_folder.read_manifest(folder)
    about = _described(folder, manifest)
    tokenizer = stored_model.content(folder, manifest)[1]
    is_demo = folder == loading.SHIPPED == loading.find("demo")
    called = "demo" if is_demo else quoted(name)
    on_disk = f"{amount(about['bytes'], unit='bytes')} in {plural(len(manifest.files), 'file')}"
    return [
        ("model", f"{about['model']}: {about['about']}"),
        ("folder", about["folder"]),
        ("size", f"{about['parameters']:,} parameters, {on_disk}"),
        ("fingerprint", f"{manifest.fingerprint}; hash: {about['hash']}"),
        *((fact.name, fact.info) for fact in facts(manifest, tokenizer)),
        *(("use it", line.format(name=called)) for line in registry.task(manifest.task).usage),
    ]


def _has_steps(manifest: Manifest) -> bool:
    """Return whether it was trained in steps, which its run counted."""
    return manifest.kind.trains_in_steps and has_run(manifest)


def _duration(manifest: Manifest, seconds: str) -> Fact:
    """Return how far a network was trained, and how long the run took."""
    if not _has_steps(manifest):
        return Fact("took", info=seconds)
    training, end = manifest.training, "so far: its run has not ended"
    if "stopped" in training:
        end = f"of {training['steps']:,}, ended: {training['stopped']}"
    # The models that it started from took time, too, which is not known here.
    before = " and ".join(training[name] for name in STARTS if name in training)
    if seconds and before:
        seconds += f" after the training of {before}"
    words = [f"best at step {manifest.step:,} {end}", seconds]
    return Fact("training", info=", ".join(filter(None, words)))


def _differing(manifest: Manifest, shown: Collection[str]) -> str:
    """Return the settings that were set to other values than the recipe's, or the defaults, except
    for those `shown` elsewhere, and the place of all settings."""
    changes = []
    for change in settings_by_hand(manifest):
        setting = f"{change.name}={as_text(change.value)}"
        if setting not in shown:
            changes.append(f"{setting} ({_source(manifest)}: {as_text(change.was)})")
    differs = f"differs in: {', '.join(changes)}" if changes else ""
    if has_run(manifest) and not is_recorded(manifest):
        differs = "what differs was not recorded"
    return "; ".join(filter(None, [differs, where_all_are(manifest)]))


def _estimated(estimates: dict[str, Any]) -> list[Fact]:
    """Return the results of the estimator of an n-gram model, such as discounts: all orders in one
    line, the lowest order first."""
    values_by_name: dict[str, list[str]] = {}
    for name, value in estimates.items():
        quantity, of_order, _ = name.partition(" of order ")
        label = f"{quantity} by order" if of_order else name
        values_by_name.setdefault(label, []).append(_values(value))
    return [
        Fact(label, info=" / ".join(_first(values, MOST_ORDERS)))
        for label, values in values_by_name.items()
    ]


def _values(value: float | list[float] | dict[str, float]) -> str:
    """Write a number, a list of numbers, or numbers by name."""
    if isinstance(value, dict):
        shown = [f"{key}: {number:.4g}" for key, number in value.items()]
    else:
        numbers = value if isinstance(value, list) else [value]
        shown = [f"{number:.4g}" for number in numbers]
    return ", ".join(_first(shown, MOST_VALUES))


def _first(texts: list[str], most: int) -> list[str]:
    return [*texts[:most], "..."] if len(texts) > most else texts


def _results(evaluations: dict[str, Evaluation]) -> Iterator[Fact]:
    for text, evaluation in list(evaluations.items())[-MOST_RESULTS:]:
        # Other texts come from `rnnlm eval`, which may have any name.
        name, words = (text, []) if text in ("valid", "test") else ("result", [text])
        for column in evaluation.column_names:
            of_column = [column] if len(evaluation.column_names) > 1 else []
            yield Fact(name, info=": ".join([*words, *of_column, evaluation.line(column)]))
            yield Fact("signature", info=evaluation.main_of(column).signature)

"""What a person asks `train` for, and all settings that follow: recipe < config file < `--set` <
named flags."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rnnlm.config import Layer, Resolved, as_text, former_defaults, names_of, renamed, resolve
from rnnlm.errors import SettingsError, UsageError, notice
from rnnlm.files.reading import read_toml
from rnnlm.models import loading, model_folder, registry
from rnnlm.recipes import recipe as recipes
from rnnlm.tasks.task import AnyTask
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.training import resume as resuming

# flags of all runs: where a kind of model has no such setting, a notice says so
_GENERAL = {"budget", "device", "precision", "threads", "seed", "save_every"}


@dataclass(frozen=True)
class Request:
    """What a person asks `train` for. Settings: recipe < config file < `extra_layers` < assignments
    (text, `--set`) < named flags."""

    text: tuple[str, ...] = ()  # none: the bundled corpus
    valid: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    recipe: str | None = None
    model: str | None = None
    config: Path | None = None
    assignments: dict[str, str] = field(default_factory=dict)
    flags: dict[str, Any] = field(default_factory=dict)
    # more settings, between the config file and the assignments: those of a grid
    extra_layers: tuple[Layer, ...] = ()
    # none: the default folder in ./checkpoints, or a new one where that holds a finished model
    output: Path | None = None
    overwrite: bool = False
    resume: bool | Literal["auto"] = False  # go on with the run in `output`; auto: if there is one
    tokenizer_from: str | None = None
    init_from: str | None = None
    # of a task: a language model that reads lines from their end
    init_from_reversed: str | None = None
    contextual: tuple[str, ...] = ()  # of a task: language models that are read beside the words
    task: str | None = None  # of TASKS; none: a language model
    labels: tuple[str, ...] = ()  # files of labels beside the text, of a task
    valid_labels: tuple[str, ...] = ()
    test_labels: tuple[str, ...] = ()
    # of seq2seq: for each file of the text one with what is to be written
    target: tuple[str, ...] = ()
    valid_target: tuple[str, ...] = ()  # each of them one reference
    test_target: tuple[str, ...] = ()
    init_encoder_from: str | None = None  # of seq2seq: language models
    init_decoder_from: str | None = None


class Settled(NamedTuple):
    """What a request comes to. recipe: its name; None: none is used."""

    recipe: str | None
    kind: registry.Kind
    resolved: Resolved


def resolve_request(request: Request) -> Settled:
    """Settle the recipe, the kind of model and all settings of a request.

    The layers of settings, later ones win: bundled corpus < recipe < language models to start from
    < config file < grid < `--set` < named flags. A run that is resumed has stored all its settings:
    they stand in the place of the first three.
    """
    _check_recipe_and_model(request)

    # What is said with this very run.
    said = _said_layers(request)
    stored: list[Layer] = []
    if request.resume and request.output is not None:
        stored.append(resuming.settings_layer(request.output))
    chosen = [*stored, *said]

    # The recipe. Where a run is resumed, it gives no more than its name: it may have changed since.
    recipe = _recipe_for(request, chosen)
    from_recipe: list[Layer] = []
    if recipe is not None and not request.resume:
        values = _with_tokenizer(recipes.load(recipe).settings, _topmost(chosen, "tokenizer"))
        from_recipe.append(Layer(f"recipe {recipe}", values))
    chosen = [*from_recipe, *chosen]

    # What is learned, and what suits the text, if that is a bundled corpus.
    task = registry.task(_topmost(chosen, "task") or registry.LANGUAGE_MODEL)
    from_corpus: list[Layer] = []
    if not request.resume:
        suiting = task.suiting(request.text)
        values = _with_tokenizer(suiting, _topmost(chosen, "tokenizer"))
        from_corpus.append(Layer("the bundled corpus", values))

    # The kind of model, and what its weights need if they start as those of language models.
    name = _topmost([*from_corpus, *chosen], "model") or _model_to_start_from(request, task.name)
    kind = registry.trained_kind(str(name or task.usual_model), task.name)
    starts = _starts(request, kind)
    from_starts = [start.layer for start in starts]

    # All layers, the lowest first, without what has no meaning for this kind.
    layers = [*from_corpus, *from_recipe, *from_starts, *stored, *said]
    _check_fields(request, task)
    if "task" not in names_of(kind.all_settings):
        layers = [_without(layer, {"task"}) for layer in layers]
    layers[-1] = _without(layers[-1], _ignored_flags(layers[-1].values, kind))
    _check_names(layers, kind)

    # A run that was stored before a setting came had the default that the setting came with.
    if request.resume:
        layers.insert(0, Layer("the default of that time", former_defaults(kind.all_settings)))

    resolved = resolve(kind.all_settings, layers)
    if request.resume:
        _tell_former_defaults(resolved)
    _check_starts(resolved, starts)
    return Settled(recipe, kind, resolved)


def _tell_former_defaults(resolved: Resolved) -> None:
    """Name the settings in which a run that goes on differs from one that would begin today."""
    for name, former in former_defaults(resolved.classes).items():
        if resolved.values[name] == former and not resolved.is_asked(name):
            notice(
                f"{name} stays {as_text(former)}, with which this run began; a run that begins now "
                f"has {as_text(resolved.defaults[name])}"
            )


def _check_recipe_and_model(request: Request) -> None:
    """Raises UsageError: a recipe is named, and a model of another kind than it makes."""
    if request.recipe and request.model:
        chosen = recipes.load(request.recipe).settings["model"]
        if chosen != request.model:
            raise UsageError(
                f"recipe {request.recipe} is of kind {chosen}, not {request.model}",
                hint="leave one out",
            )


def _said_layers(request: Request) -> list[Layer]:
    """The settings that stand in the request itself, the lowest first."""
    config = read_toml(request.config) if request.config else {}
    flags = dict(request.flags)
    if request.model:
        flags["model"] = request.model
    if request.task:
        flags["task"] = request.task
    layers = [
        Layer(str(request.config or "--config"), config),
        *request.extra_layers,
        Layer("--set", request.assignments, is_text=True),
        Layer("the command line", flags),
    ]
    return [replace(layer, values=renamed(layer.values, layer.origin)) for layer in layers]


def _recipe_for(request: Request, chosen: list[Layer]) -> str | None:
    """The name of the recipe: the one that is asked for, or the usual one of the task."""
    model = _topmost(chosen, "model")
    if model in recipes.names() and model not in registry.KINDS:
        raise SettingsError(
            f"{model} is a recipe, not a kind of model", hint=f"use --recipe {model}"
        )
    if request.recipe:
        return request.recipe
    task = registry.task(_topmost(chosen, "task") or registry.LANGUAGE_MODEL)
    return task.usual_recipe(model, bool(request.text))


def _with_tokenizer(values: dict[str, Any], tokenizer: Any) -> dict[str, Any]:
    """`values` without the settings of their tokenizer, if `tokenizer` asks for another one."""
    if tokenizer in (None, values.get("tokenizer", TokenizerSettings.tokenizer)):
        return values
    of_tokenizers = names_of([TokenizerSettings])
    return {name: value for name, value in values.items() if name not in of_tokenizers}


def _topmost(layers: list[Layer], name: str) -> Any:
    """The value of a setting in the last layer that has it."""
    for layer in reversed(layers):
        if name in layer.values:
            return layer.values[name]
    return None


def _without(layer: Layer, names: set[str]) -> Layer:
    kept = {name: value for name, value in layer.values.items() if name not in names}
    return replace(layer, values=kept)


def _ignored_flags(flags: Mapping[str, Any], kind: registry.Kind) -> set[str]:
    """The general flags that this kind of model has no use for. A notice names each."""
    ignored = (flags.keys() & _GENERAL) - names_of(kind.all_settings)
    for name in ignored:
        notice(
            f"--{name.replace('_', '-')} has no effect on a model of kind {kind.name}: it is "
            "ignored"
        )
    return ignored


# ---- Starting from language models.


@dataclass(frozen=True)
class _Start:
    """What a task's network takes over of the settings of a language model. option: names it."""

    option: str
    layer: Layer


def _model_to_start_from(request: Request, task: str) -> str | None:
    """The kind of the language model that a task's network starts from, if that task has such
    networks."""
    name = request.init_from or request.init_encoder_from or request.init_decoder_from
    if name is None:
        return None
    model = model_folder.read_manifest(loading.find(name)).model
    kinds = registry.kinds_of(task)
    return model if model in kinds else None


def _starts(request: Request, kind: registry.Kind) -> list[_Start]:
    """What a task's network takes over of the settings of language models."""
    if request.resume:
        return []
    return [
        _Start(option, Layer(f"language model {name}", values))
        for option, name, values in registry.task(kind.task).initial_settings(request, kind)
    ]


def _check_starts(resolved: Resolved, starts: list[_Start]) -> None:
    """Raises UsageError: what is asked for differs from what the weights to start from need."""
    origins = {start.layer.origin for start in starts}
    for start in starts:
        for name, value in start.layer.values.items():
            have, origin = resolved.values[name], resolved.origins[name]
            if have == value:
                continue
            hint = f"leave {name} out: it is taken over"
            if origin in origins:
                hint = "start from one of them, or train both with the same settings"
            raise UsageError(
                f"{name} = {as_text(have)} ({origin}) does not fit {start.option}",
                f"it is {as_text(value)} in the {start.layer.origin}",
                hint,
            )


# ---- What a model of this kind does not have.


def _check_fields(request: Request, task: AnyTask) -> None:
    """Raises UsageError: something is asked for that only other tasks have."""
    tasks = registry.all_tasks()
    of_some = frozenset[str]().union(*(each.request_fields for each in tasks))
    lacking = of_some - task.request_fields
    for each in fields(request):
        if each.name in lacking and getattr(request, each.name):
            others = [other.name for other in tasks if each.name in other.request_fields]
            raise task.refusal_of_field(each.name, others)


def _check_names(layers: list[Layer], kind: registry.Kind) -> None:
    """Raises SettingsError: a setting belongs to another kind of model, or to another task."""
    known = names_of(kind.all_settings)
    for layer in layers:
        for name in layer.values:
            if name not in known:
                _check_owners(name, layer.origin, kind)


def _check_owners(name: str, origin: str, kind: registry.Kind) -> None:
    """Raises SettingsError: other kinds of models than this one have a setting of that name."""
    others = [other for other in (*registry.KINDS.values(), *registry.TASK_KINDS) if other.fitting]
    owners = [other for other in others if name in names_of(other.all_settings)]
    alike = [name for name, other in registry.kinds_of(kind.task).items() if other in owners]
    if alike:
        raise SettingsError(
            f"a model of kind {kind.name} has no setting {name!r} ({origin})",
            f"it belongs to: {', '.join(alike)}",
            f"add --model {alike[0]}",
        )
    if owners:
        tasks = [registry.task(name) for name in dict.fromkeys(each.task for each in owners)]
        raise registry.task(kind.task).refusal_of_setting(name, origin, tasks)

"""What a person asks `train` for, and all settings that follow: recipe < config file < `--set` <
named flags."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Literal

import rnnlm.corpora as corpora
from rnnlm.config import Layer, Resolved, as_text, renamed, resolve
from rnnlm.errors import SettingsError, UsageError, notice
from rnnlm.files.reading import read_toml
from rnnlm.models import loading, model_folder, registry
from rnnlm.recipes import recipe as recipes
from rnnlm.text.tokenizers import TokenizerSettings
from rnnlm.training import resume as resuming

_OF_LABELS = ("tagging", "classification")
OF_TASKS = {  # what only the requests for some tasks have
    "init_from": (registry.LANGUAGE_MODEL, *_OF_LABELS),
    "init_from_reversed": (*_OF_LABELS, "seq2seq"),
    **dict.fromkeys(("contextual", "labels", "valid_labels", "test_labels"), _OF_LABELS),
    **dict.fromkeys(
        ("target", "valid_target", "test_target", "init_encoder_from", "init_decoder_from"),
        ("seq2seq",),
    ),
}
DEMO_CORPUS, DEMO_RECIPE, DEFAULT_RECIPE = corpora.USUAL[registry.LANGUAGE_MODEL], "demo", "lstm"


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


def resolve_request(request: Request) -> tuple[str | None, registry.Kind, Resolved]:
    """The recipe's name, the kind of model and all settings of a request.

    Raises:
        SettingsError: something is unknown or not valid.
    """
    if request.recipe and request.model:
        chosen = recipes.load(request.recipe).settings["model"]
        if chosen != request.model:
            raise UsageError(
                f"recipe {request.recipe} is of kind {chosen}, not {request.model}",
                hint="leave one out",
            )
    own = _own_layers(request)
    if request.resume and request.output is not None:
        own = [resuming.settings_layer(request.output), *own]
    named = _topmost(own, "model")
    is_task = _topmost(own, "task") not in (None, registry.LANGUAGE_MODEL)
    recipe = request.recipe or (named if named in recipes.names() and not is_task else None)
    if recipe is None and named is None and not is_task:
        recipe = DEFAULT_RECIPE if request.text else DEMO_RECIPE
    if named in recipes.names() and named not in registry.KINDS:
        raise SettingsError(
            f"{named} is a recipe, not a kind of model", hint=f"use --recipe {named}"
        )
    if request.resume:  # a run has all its settings; its recipe may have others by now
        layers = own
    else:
        layers = [*_recipe_layer(recipe, _topmost(own, "tokenizer")), *own]
    task = _topmost(layers, "task") or registry.LANGUAGE_MODEL
    if not request.resume:
        layers = [
            Layer(
                "the bundled corpus",
                _with_tokenizer(corpora.suiting(task, request.text), _topmost(layers, "tokenizer")),
            ),
            *layers,
        ]
    kind = registry.trained_kind(
        str(_topmost(layers, "model") or _model_to_start_from(request, task) or DEFAULT_RECIPE),
        task,
    )
    start = _settings_to_start_from(request, kind)
    layers = [*layers[: len(layers) - len(own)], *(layer for _, layer in start), *own]
    if kind.task == registry.LANGUAGE_MODEL:
        _check_no_labels(request)
        layers = [
            replace(
                layer,
                values={name: value for name, value in layer.values.items() if name != "task"},
            )
            for layer in layers
        ]
    classes = (*kind.settings_classes(), *kind.text_settings)
    layers[-1] = Layer(layers[-1].origin, _applicable(layers[-1].values, classes, kind))
    _check_names(layers, classes, kind)
    resolved = resolve(classes, layers)
    _check_start(resolved, start)
    return recipe, kind, resolved


def _model_to_start_from(request: Request, task: str) -> str | None:
    """The kind of the language model that a task's network starts from, if that task has such
    networks."""
    name = request.init_from or request.init_encoder_from or request.init_decoder_from
    if name is None or task == registry.LANGUAGE_MODEL:
        return None
    model = model_folder.read_manifest(loading.find(name)).model
    return (
        model if model in {kind.name for kind in registry.TASK_KINDS if kind.task == task} else None
    )


def _settings_to_start_from(request: Request, kind: registry.Kind) -> list[tuple[str, Layer]]:
    """What a task's network takes over of the settings of language models, above those of a recipe,
    each with the option that names it."""
    if request.resume or kind.task == registry.LANGUAGE_MODEL:
        return []
    return [
        (option, Layer(f"language model {name}", values))
        for option, name, values in kind.initial_settings(request, kind)
    ]


def _check_start(resolved: Resolved, start: list[tuple[str, Layer]]) -> None:
    """Raises UsageError: what is asked for differs from what the weights to start from need."""
    for option, layer, name, value in (
        (*each, *item) for each in start for item in each[1].values.items()
    ):
        if resolved.values[name] != value:
            what = (
                f"{name} = {as_text(resolved.values[name])} ({resolved.origins[name]}) "
                f"does not fit {option}"
            )
            is_theirs = resolved.origins[name] in {each.origin for _, each in start}
            hint = (
                "start from one of them, or train both with the same settings"
                if is_theirs
                else f"leave {name} out: it is taken over"
            )
            raise UsageError(what, f"it is {as_text(value)} in the {layer.origin}", hint)


def _check_no_labels(request: Request) -> None:
    given = next(
        (name for name in ("labels", "valid_labels", "test_labels") if getattr(request, name)), None
    )
    if given:
        raise UsageError(
            f"--{given.replace('_', '-')} is of no use to a language model",
            "it learns no labels",
            "add --task tagging",
        )


def _check_names(layers: list[Layer], classes: tuple[type[Any], ...], kind: registry.Kind) -> None:
    """Names the model, or the task, that an unknown setting belongs to, if there is one."""
    known = {name for cls in classes for name in cls.__dataclass_fields__}
    for name, origin in [
        (name, layer.origin) for layer in layers for name in layer.values if name not in known
    ]:
        owners = [
            other
            for other in (*registry.KINDS.values(), *registry.TASK_KINDS)
            if other.fitting and _has(other, name)
        ]
        alike = [other.name for other in owners if other.task == kind.task]
        if alike:
            what = f"a model of kind {kind.name} has no setting {name!r} ({origin})"
            raise SettingsError(
                what, f"it belongs to: {', '.join(alike)}", f"add --model {alike[0]}"
            )
        if owners:
            whose = (
                f"a model for {kind.task}" if kind.task in registry.TASKS else "a language model"
            )
            why, hint = resolve_name("rnnlm.tasks.refusals:of_setting")(
                name, list(dict.fromkeys(other.task for other in owners))
            )
            raise SettingsError(f"{whose} has no setting {name!r} ({origin})", why, hint)


def _has(kind: registry.Kind, name: str) -> bool:
    """Whether there is a setting of that name, of the network, its training, or how its own task's
    data are read."""
    return any(
        name in cls.__dataclass_fields__ for cls in (*kind.settings_classes(), *kind.text_settings)
    )


def _own_layers(request: Request) -> list[Layer]:
    """What the request itself sets: config file < `--set` < named flags."""
    flags = {
        **request.flags,
        **{
            name: value
            for name, value in (("model", request.model), ("task", request.task))
            if value
        },
    }
    layers = [
        Layer(
            str(request.config or "--config"), read_toml(request.config) if request.config else {}
        ),
        *request.extra_layers,
        Layer("--set", request.assignments, is_text=True),
        Layer("the command line", flags),
    ]
    return [replace(layer, values=renamed(layer.values, layer.origin)) for layer in layers]


def _recipe_layer(recipe: str | None, tokenizer: Any) -> list[Layer]:
    """A recipe's settings. tokenizer: the kind that is asked for, if any."""
    return (
        []
        if recipe is None
        else [Layer(f"recipe {recipe}", _with_tokenizer(recipes.load(recipe).settings, tokenizer))]
    )


def _with_tokenizer(values: dict[str, Any], tokenizer: Any) -> dict[str, Any]:
    """Settings, without those of a tokenizer of another kind than `tokenizer`, if that is asked
    for: these go with theirs."""
    if tokenizer in (None, values.get("tokenizer", TokenizerSettings.tokenizer)):
        return values
    return {
        name: value
        for name, value in values.items()
        if name not in TokenizerSettings.__dataclass_fields__
    }


def _topmost(layers: list[Layer], name: str) -> Any:
    """The value of setting `name` in the last layer that has it."""
    return next((layer.values[name] for layer in reversed(layers) if name in layer.values), None)


def _applicable(
    flags: Mapping[str, Any], classes: tuple[type[Any], ...], kind: registry.Kind
) -> dict[str, Any]:
    """The named flags this kind of model has; a notice names general ones that it lacks."""
    known = {name for cls in classes for name in cls.__dataclass_fields__}
    general = {"budget", "device", "precision", "threads", "seed", "save_every"}
    for name in flags.keys() - known:
        if name in general:
            notice(
                f"--{name.replace('_', '-')} has no effect on a model of kind {kind.name}: it "
                "is ignored"
            )
    return {name: value for name, value in flags.items() if name in known or name not in general}

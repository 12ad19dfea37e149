"""Resolve the settings of a request to `train`."""

import itertools
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import rnnlm.corpora as corpora
from rnnlm import registry
from rnnlm.checks import check_no_dataset, items_of
from rnnlm.config import (
    RECIPE,
    ResolvedSettings,
    SettingsLayer,
    as_text,
    names_of,
    resolve,
    within,
    without_unmet,
)
from rnnlm.errors import SettingsError, UsageError, joined_message, keyword, notice
from rnnlm.interface import Task
from rnnlm.lm.base import loading
from rnnlm.storage import model_folder
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.training.card import STARTS
from rnnlm.training.recipes import recipe as recipes
from rnnlm.training.request import TrainingRequest

# Flags of all runs: a kind of model without such a setting ignores them, and a notice says so.
_GENERAL = {"budget", "device", "precision", "threads", "seed", "save_every"}


class ForeignSettingError(SettingsError):
    """A setting of the layer `origin` belongs to other kinds of models."""

    def __init__(self, origin: str, what: str, why: str, hint: str) -> None:
        super().__init__(what, why, hint)
        self.origin = origin


class ResolvedRequest(NamedTuple):
    """A request made definite."""

    recipe: str | None  # its name; None: none is used
    kind: registry.Kind
    resolved: ResolvedSettings


def resolve_request(request: TrainingRequest) -> ResolvedRequest:
    """Settle the recipe, the kind of model and all settings of a request.

    The layers of settings, later ones win: bundled corpus < recipe < language models to start from
    < recipe file < grid < `--set` < named flags.
    """
    if request.text and request.counts is not None:
        raise UsageError(
            keyword("counts") + " and a text cannot be combined",
            "the model is made of one or the other",
            "leave one of them out",
        )

    # What the request sets itself; below that, the recipe.
    requested = request.layers
    asked = values_of(requested)
    recipe = _recipe_for(request, asked)
    from_recipe = {} if recipe is None else recipes.load(recipe).settings
    from_recipe = _with_tokenizer(from_recipe, asked.get("tokenizer"))
    chosen = {**from_recipe, **asked}

    # The task, and the settings that a bundled corpus recommends.
    task = registry.task(chosen.get("task") or registry.LANGUAGE_MODEL)
    from_corpus = _with_tokenizer(_settings_of_corpus(request, task), chosen.get("tokenizer"))
    chosen = {**from_corpus, **chosen}

    # The kind of model, and the settings that its weights need if they come from language models.
    name = chosen.get("model") or _model_to_start_from(request, task.name)
    kind = registry.trained_kind(str(name or registry.USUAL_MODEL), task.name)
    inherited = _inherited_settings(request, kind)
    above = [*inherited.values(), *requested]

    # Leave out the recipe's settings that do not suit the others.
    from_recipe = _without_unchosen(from_recipe, above, kind)
    if request.init_from or values_of(above).get("characters"):  # which bring vectors, or need none
        from_recipe.pop("embeddings", None)
    layer_of_recipe = SettingsLayer(f"recipe {recipe}", from_recipe, is_recipe=True)

    # All layers, the lowest first. Drop or refuse values without a setting of this kind.
    layers = [SettingsLayer("the bundled corpus", from_corpus), layer_of_recipe, *above]
    _check_fields(request, task)
    idle = {"task"} - names_of(kind.all_settings)
    layers = [_without(layer, idle) for layer in layers]
    layers[-1] = _without(layers[-1], _ignored_flags(layers[-1].values, kind))
    _check_names(layers, kind)

    resolved = resolve(kind.all_settings, layers, [field.name for field in fields(request)])
    if not (request.recipe or request.from_file or request.init_from):
        resolved = replace(resolved, free=resolved.free | {RECIPE})
    _check_inherited(resolved, inherited, task.extended_settings)
    if request.recipe:
        _notice_replaced(layer_of_recipe, inherited.values())
    return ResolvedRequest(recipe, kind, resolved)


def _settings_of_corpus(request: TrainingRequest, task: Task) -> dict[str, Any]:
    """Return the columns of a bundled corpus of pairs and the settings of its network. A file of
    its name comes first."""
    name = request.text[0] if request.text else task.usual_corpus
    corpus = corpora.paired(name)
    if corpus is None or task.name not in corpus.tasks or Path(name).is_file():
        return {}
    return {"column": corpus.column, "target_column": corpus.target_column, **corpus.settings}


def _recipe_for(request: TrainingRequest, asked: Mapping[str, Any]) -> str | None:
    """Return the name of the recipe asked for, or else the task's usual one."""
    model = asked.get("model")
    if model in recipes.names() and model not in registry.kinds_of():
        raise SettingsError(
            f"{model} is a recipe, not a kind of model", hint="use " + keyword("recipe", model)
        )
    if request.recipe:
        return None if request.recipe == recipes.NO_RECIPE else request.recipe
    task = registry.task(asked.get("task") or registry.LANGUAGE_MODEL)
    # The recipe of the kind to start from, unless the default ones are of that kind.
    started = _model_to_start_from(request, task.name)
    if started != registry.USUAL_MODEL:
        model = model or started
    return task.usual_recipe(model, not request.takes_bundled)


def _with_tokenizer(values: Mapping[str, Any], tokenizer: Any) -> dict[str, Any]:
    """Drop the tokenizer settings from `values` if `tokenizer` is another tokenizer than theirs."""
    if tokenizer in (None, values.get("tokenizer", TokenizerSettings.tokenizer)):
        return dict(values)
    return without_names(values, names_of([TokenizerSettings]))


def _without_unchosen(
    values: dict[str, Any], above: list[SettingsLayer], kind: registry.Kind
) -> dict[str, Any]:
    """Drop the settings of a recipe that need a choice which the layers above it make otherwise,
    such as its samples with `--set loss=full`, or its gates with `--set model=rnn`."""
    if values.get("model", kind.name) != kind.name and kind.trains_in_steps:
        known = {"task", *names_of(kind.all_settings)}
        values = {name: value for name, value in values.items() if name in known}
    return without_unmet(values, above, kind.all_settings)


def values_of(layers: Iterable[SettingsLayer]) -> dict[str, Any]:
    """Return each value in the last layer that has it, as it was given."""
    return dict(itertools.chain.from_iterable(layer.values.items() for layer in layers))


def _without(layer: SettingsLayer, names: set[str]) -> SettingsLayer:
    return replace(layer, values=without_names(layer.values, names))


def without_names(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return the values whose names are not among `names`."""
    return {name: value for name, value in values.items() if name not in names}


def _ignored_flags(flags: Mapping[str, Any], kind: registry.Kind) -> set[str]:
    """Return the general flags that this kind of model has no setting for, and send a notice
    that names them."""
    ignored = (flags.keys() & _GENERAL) - names_of(kind.all_settings)
    if ignored:
        options = joined_message(", ", map(keyword, sorted(ignored)))
        notice(f"ignored, without effect on a model of kind {kind.name}: " + options)
    return ignored


# ---- Starting from language models.


def _model_to_start_from(request: TrainingRequest, task: str) -> str | None:
    """Return the kind of the language model that a network starts from, if it is a network and the
    task has that kind, too."""
    name = request.init_from or request.init_encoder_from or request.init_decoder_from
    if name is None:
        return None
    manifest = model_folder.read_manifest(loading.find(name))
    is_network = manifest.kind.trains_in_steps and manifest.model in registry.kinds_of(task)
    return manifest.model if is_network else None


def _inherited_settings(request: TrainingRequest, kind: registry.Kind) -> dict[str, SettingsLayer]:
    """Return the settings that a network takes over from language models, by the option that names
    the model."""
    if not any(getattr(request, name) for name in STARTS):
        return {}
    return {
        option: SettingsLayer(f"language model {name}", values)
        for option, name, values in registry.task(kind.task).initial_settings(request, kind)
    }


def _check_inherited(
    resolved: ResolvedSettings, inherited: Mapping[str, SettingsLayer], extended: frozenset[str]
) -> None:
    """Refuse settings that do not fit the weights to start from. extended: those in which a network
    may differ, as its further layers are new."""
    origins = {layer.origin for layer in inherited.values()}
    for option, layer in inherited.items():
        for name, value in layer.values.items():
            have = resolved.values[name]
            if have == value or name in extended:
                continue
            origin = resolved.origins[name]
            hint = f"leave {name} out: it is copied"
            if origin in origins:
                hint = "start from one of them, or train both with the same settings"
            message = f"{name} = {as_text(have)}{within(origin)} does not fit " + keyword(option)
            raise UsageError(message, f"it is {as_text(value)} in the {layer.origin}", hint)


def _notice_replaced(recipe: SettingsLayer, inherited: Iterable[SettingsLayer]) -> None:
    """Tell which settings of a recipe that somebody named the models to start from replace."""
    for model in inherited:
        replaced = [
            f"{name} = {as_text(value)}"
            for name, value in recipe.values.items()
            if model.values.get(name, value) != value
        ]
        if replaced:
            notice(
                f"without effect: {', '.join(replaced)}{within(recipe.origin)}; the settings of "
                f"the {model.origin} count"
            )


# ---- Settings that a model of this kind does not have.


def _check_fields(request: TrainingRequest, task: Task) -> None:
    """Refuse fields of the request that only other tasks have."""
    tasks = registry.all_tasks()
    of_tasks = frozenset[str]().union(*(known_task.request_fields for known_task in tasks))
    lacking = of_tasks - task.request_fields

    # Name the first in the order of the fields, and the tasks that have it. Some fields name a
    # model to start from: other tasks have other fields for that.
    for field in fields(request):
        if field.name not in lacking or not getattr(request, field.name):
            continue
        others = [
            known_task.name for known_task in tasks if field.name in known_task.request_fields
        ]
        hint = "leave it out, or use " + keyword("task", others[0])
        if field.name in STARTS:
            starts = [keyword(name) for name in STARTS if name in task.request_fields]
            hint = "use " + joined_message(" or ", starts)
        raise UsageError(
            keyword(field.name) + " needs " + keyword("task") + f" {' or '.join(others)}",
            f"the task is {task.name}",
            hint,
        )


def _check_names(layers: list[SettingsLayer], kind: registry.Kind) -> None:
    """Refuse settings that belong to another kind of model, or to another task."""
    known = names_of(kind.all_settings)
    for layer in layers:
        for name in layer.values:
            if name not in known:
                _check_owners(name, layer.origin, kind)


def _check_owners(name: str, origin: str, kind: registry.Kind) -> None:
    """Refuse a setting that other kinds of models have. A name that none has is reported later."""
    kinds = registry.all_kinds()
    owners = [known for known in kinds if known.is_trained and name in names_of(known.all_settings)]

    # Kinds of the same task come first: --model chooses one of them.
    alike = [
        label for label, known_kind in registry.kinds_of(kind.task).items() if known_kind in owners
    ]
    if alike:
        message = f"a model of kind {kind.name} has no setting {name!r}{within(origin)}"
        why = f"it belongs to: {', '.join(alike)}"
        raise ForeignSettingError(origin, message, why, "add " + keyword("model", alike[0]))
    if owners:
        tasks = list(dict.fromkeys(owner.task for owner in owners))
        why = f"it belongs to models for {' and '.join(tasks)}"
        if name == "bidirectional":  # which language models alone do not have
            why = "it would see the words it has to predict"
        raise ForeignSettingError(
            origin,
            f"{registry.task(kind.task).singular} has no setting {name!r}{within(origin)}",
            why,
            "leave it out, or use " + keyword("task", tasks[0]),
        )


# ---- The request that keywords from Python make.

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
_SEVERAL = {"valid", "test", "target", "valid_target", "test_target", "contextual"}


def request_of(text: Paths | None, request: dict[str, Any]) -> TrainingRequest:
    """Return the request that the text and the keywords of :func:`train` make."""
    texts = () if text is None else _paths(text, "text")
    if text is not None and not texts:
        raise UsageError(
            "no text is given",
            "the list of texts is empty",
            "name a file, or leave text out for the bundled corpus",
        )

    # Keywords that are no fields of a request are settings.
    known = {
        name: request.pop(name) for name in TrainingRequest.__dataclass_fields__ if name in request
    }
    known = {name: value for name, value in known.items() if value is not None}
    flags = {**known.pop("flags", {}), **request}

    for name in known.keys() & _SEVERAL:
        known[name] = _paths(known[name], name)
    for name in known.keys() & {"counts", "recipe", "tokenizer_from", *STARTS}:
        known[name] = os.fspath(known[name])
    if "output" in known:
        known["output"] = Path(known["output"])
    return TrainingRequest(text=texts, flags=flags, **known)


def _paths(given: Paths, name: str) -> tuple[str, ...]:
    """Return one path or several as strings."""
    if isinstance(given, (str, os.PathLike)):
        return (os.fspath(given),)
    check_no_dataset(given, name)
    return tuple(os.fspath(path) for path in items_of(given, (str, os.PathLike), name))

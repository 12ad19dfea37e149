"""What is asked of `train`, made definite: settings resolved, texts read and encoded, the way to the output free."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm import loading, model_folder, recipes, registry, resuming, training_state
from rnnlm.config import Layer, Resolved, describe, read_toml, resolve
from rnnlm.corpus import Report, Text, TextSettings, silent
from rnnlm.encoding import PreEncoded, TrainingData
from rnnlm.errors import SettingsError, UsageError, notice
from rnnlm.events import TrainingState
from rnnlm.sources import SourceSettings
from rnnlm.tokenizers import TokenizerSettings
from rnnlm.training_texts import DEMO_CORPUS, HoldoutSettings, held_out_share, texts_of

DEMO_RECIPE, DEFAULT_RECIPE = "demo", "lstm"


@dataclass(frozen=True)
class Request:
    """What a person asks `train` for. Settings: recipe < config file < assignments (text, `--set`) < named flags."""

    text: tuple[str, ...] = ()  # none: the bundled corpus
    valid: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    recipe: str | None = None
    model: str | None = None
    config: Path | None = None
    assignments: dict[str, str] = field(default_factory=dict)
    flags: dict[str, Any] = field(default_factory=dict)
    output: Path | None = None  # none: a new folder in ./checkpoints
    overwrite: bool = False
    resume: bool = False  # go on with the run in `output`
    tokenizer_from: str | None = None
    init_from: str | None = None


@dataclass(frozen=True)
class Plan:
    """A request made definite: every setting with its origin, the texts encoded, where the model goes."""

    request: Request
    recipe: str | None
    kind: registry.Kind
    resolved: Resolved
    data: TrainingData
    initial: dict[str, np.ndarray] | TrainingState | None  # weights to start from, or where a run goes on
    test: Text | PreEncoded | None
    valid: Text | PreEncoded | None
    valid_is: str  # what the validation text is, in words
    output: Path

    def describe(self) -> list[tuple[str, Any, str, str]]:
        """(name, value, origin, description) of every setting."""
        about = {name: text for cls in self.resolved.classes for name, text in describe(cls).items()}
        return [(name, value, self.resolved.origins[name], about[name]) for name, value in self.resolved.values.items()]

    def parameters(self) -> int | None:
        """How many numbers the model has; nothing is allocated. None where only counting tells."""
        shapes = self.kind.array_shapes(self.resolved.values, self.data.tokenizer)
        return None if shapes is None else sum(math.prod(shape) for _, shape in shapes.values())


def plan(request: Request, report: Report = silent) -> Plan:
    """Resolve the settings, read and encode the texts, make sure the model can be written. `report` hears how far reading is.

    Raises:
        RnnlmError: the request contradicts itself, a text cannot be read, the folder cannot be written, the device is
            not here: all that can be known before hours go into training.
    """
    if request.resume:
        request = _of_the_run(request)
    recipe, kind, resolved = settle(request)
    _tell_without_effect(resolved)
    kind.check(resolved, has_valid=bool(request.valid or not request.text or held_out_share(kind, resolved)))
    name = DEMO_CORPUS if recipe == DEMO_RECIPE else recipe or kind.name  # the model shipped is called demo
    output = request.output or _fresh_folder(name)
    model_folder.check_output(output, request.overwrite or request.resume)
    texts = texts_of(request, resolved, kind, report)
    data = texts.data
    if request.resume:
        initial = resuming.state_of(output, resuming.run_of(recipe, resolved, data))
    else:
        initial = _initial_weights(request, kind, resolved, data)
    return Plan(request, recipe, kind, resolved, data, initial, texts.test, texts.valid, texts.valid_is, output)


def settle(request: Request) -> tuple[str | None, registry.Kind, Resolved]:
    """The recipe's name, the kind of model and all settings of a request.

    Raises:
        SettingsError: something is unknown or not valid.
    """
    if request.recipe and request.model:
        chosen = recipes.load(request.recipe).settings["model"]
        if chosen != request.model:
            raise UsageError(f"recipe {request.recipe} is of kind {chosen}, not {request.model}", way_out="leave one of them out")
    own = _own_layers(request)
    if request.resume:
        own = [resuming.settings_layer(request.output), *own]
    named = _topmost(own, "model")
    recipe = request.recipe or (named if named in recipes.names() else None)
    if recipe is None and named is None:
        recipe = DEFAULT_RECIPE if request.text else DEMO_RECIPE
    if named in recipes.names() and named not in registry.KINDS:
        raise SettingsError(f"{named} is a recipe, not a kind of model", way_out=f"use --recipe {named}")
    layers = [*_recipe_layer(recipe, _topmost(own, "tokenizer")), *own]
    kind = registry.trained_kind(str(_topmost(layers, "model")))
    classes = (*kind.settings_classes(), TokenizerSettings, TextSettings, SourceSettings, HoldoutSettings)
    layers[-1] = Layer(layers[-1].origin, _applicable(layers[-1].values, classes, kind))
    _check_names(layers, classes, kind)
    return recipe, kind, resolve(classes, layers)


def _tell_without_effect(resolved: Resolved) -> None:
    """A width that was asked for, where a recipe gives one for each layer."""
    asked = {name for name, origin in resolved.origins.items() if origin in ("--set", "the command line")}
    if resolved.values.get("layer_sizes") and "hidden_size" in asked and "layer_sizes" not in asked:
        sizes = resolved.values["layer_sizes"]
        notice(f"hidden_size has no effect: layer_sizes = {sizes} names the width of each layer; set that, or layer_sizes=none")


def _of_the_run(request: Request) -> Request:
    """A request to go on with the run in its folder, whose tokenizer and recipe are that run's."""
    if request.output is None:
        raise UsageError("--resume needs the folder of the run", way_out="name it with -o DIR")
    if request.overwrite or request.init_from:
        other = "--overwrite" if request.overwrite else "--init-from"
        raise UsageError(f"--resume and {other} contradict each other", "one goes on with a run, the other begins one", f"leave {other} out to go on")
    run = training_state.load_run(request.output)
    return replace(request, recipe=request.recipe or run.recipe, tokenizer_from=request.tokenizer_from or str(request.output))


def _check_names(layers: list[Layer], classes: tuple[type, ...], kind: registry.Kind) -> None:
    """Names the model that an unknown setting belongs to, if there is one."""
    known = {name for cls in classes for name in cls.__dataclass_fields__}
    for name, origin in [(name, layer.origin) for layer in layers for name in layer.values if name not in known]:
        owners = [
            other.name for other in registry.KINDS.values()
            if other.fitting and any(name in cls.__dataclass_fields__ for cls in other.settings_classes())
        ]  # fmt: skip
        if owners:
            what = f"a model of kind {kind.name} has no setting {name!r} ({origin})"
            raise SettingsError(what, f"it belongs to: {', '.join(owners)}", f"add --model {owners[0]}")


def _own_layers(request: Request) -> list[Layer]:
    """What the request itself sets: config file < `--set` < named flags."""
    flags = {**request.flags, **({"model": request.model} if request.model else {})}
    return [
        Layer(str(request.config or "--config"), read_toml(request.config) if request.config else {}),
        Layer("--set", request.assignments, is_text=True),
        Layer("the command line", flags),
    ]


def _recipe_layer(recipe: str | None, tokenizer: Any) -> list[Layer]:
    """A recipe's settings; those of its tokenizer go with it, and are left out where another one is asked for."""
    if recipe is None:
        return []
    values = recipes.load(recipe).settings
    if tokenizer not in (None, values.get("tokenizer", TokenizerSettings.tokenizer)):
        values = {name: value for name, value in values.items() if name not in TokenizerSettings.__dataclass_fields__}
    return [Layer(f"recipe {recipe}", values)]


def _topmost(layers: list[Layer], name: str) -> Any:
    """The value of setting `name` in the last layer that has it."""
    return next((layer.values[name] for layer in reversed(layers) if name in layer.values), None)


def _initial_weights(
    request: Request, kind: registry.Kind, resolved: Resolved, data: TrainingData
) -> dict[str, np.ndarray] | None:
    """The weights of `--init-from`, if they fit."""
    if request.init_from is None:
        return None
    model, manifest = model_folder.load(loading.find(request.init_from), "cpu")
    arrays = model.to_arrays()
    shapes = kind.array_shapes(resolved.values, data.tokenizer)
    if shapes is None:
        raise UsageError(f"--init-from: a model of kind {kind.name} is counted, it has no weights to start from")
    found = {name: tuple(array.shape) for name, array in arrays.items()}
    wanted = {name: shape for name, (_, shape) in shapes.items()}
    differing = [name for name in sorted({*found, *wanted}) if found.get(name) != wanted.get(name)]
    why = ""
    if manifest.model != kind.name:
        why = f"it is of kind {manifest.model}, not {kind.name}"
    elif model.tokenizer.fingerprint != data.tokenizer.fingerprint:
        why = "its tokenizer is another one"
    elif differing:
        name = differing[0]
        why = f"{name} has the shape {found.get(name)} there, {wanted.get(name)} here"
    if why:
        way_out = f"use its settings, and --tokenizer-from {request.init_from}"
        raise UsageError(f"--init-from {request.init_from}: its weights do not fit", why, way_out)
    return arrays


def _applicable(flags: dict[str, Any], classes: tuple[type, ...], kind: registry.Kind) -> dict[str, Any]:
    """The named flags this kind of model has; of the general ones it lacks, a word is said."""
    known = {name for cls in classes for name in cls.__dataclass_fields__}
    general = {"budget", "device", "precision", "threads", "seed"}
    for name in flags.keys() - known:
        if name in general:
            notice(f"--{name} means nothing to a model of kind {kind.name}: it is ignored")
    return {name: value for name, value in flags.items() if name in known or name not in general}


def _fresh_folder(name: str) -> Path:
    """./checkpoints/NAME, or NAME-2, NAME-3, ... where that is taken."""
    folder = Path("checkpoints") / name
    number = 2
    while folder.is_file() or (folder.exists() and any(folder.iterdir())):
        folder = Path("checkpoints") / f"{name}-{number}"
        number += 1
    return folder

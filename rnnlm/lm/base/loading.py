"""Open a model by path or name, or take one that is loaded already.

Five functions go from a model, or its name, to a name or folder. :func:`find` looks for the folder;
:func:`short_name` returns the name that finds it; :func:`base_folder` also takes the name of an
adapted model, NAME+KIND. :func:`name_of` returns the name and refuses a model that was made in
memory; :func:`name_if_saved` returns None for it. :func:`distinct_names` names several models.
"""

import functools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

import rnnlm.checkpoints as shipped_models
from rnnlm import registry, satellites
from rnnlm.amounts import plural
from rnnlm.checks import check_path, several
from rnnlm.errors import ModelError, UsageError, keyword, nearest, notice
from rnnlm.interface import Device, LanguageModel, Shapes, Tokenizer, core_of
from rnnlm.lm.base import stored_model
from rnnlm.storage import model_folder
from rnnlm.storage.files.file_types import without_suffix
from rnnlm.storage.manifest import CONFIG, Manifest, part_folders, read_manifest
from rnnlm.system import quoted

# A model that scores lines, or the name of one.
ScoringModel = LanguageModel | registry.LabelModel | str | Path

CHECKPOINTS = Path("checkpoints")  # where runs save, in the working folder
SHIPPED = shipped_models.FOLDER / "demo"


def load(name: str | Path = SHIPPED, device: str | Device = "auto") -> LanguageModel:
    """Load the model in a folder, or by its name in ./checkpoints or among the shipped models;
    without a name the shipped one, an LSTM of the bundled corpus. NAME+KIND is the model NAME with
    adaptation to the text it reads, unless a folder has exactly that name.

    Raises:
        ModelError: the model does not exist or is damaged.
        UsageError: this adaptation is not available for the model.
        DeviceError: `device` is not available.
    """
    check_path(name, "load: the name")
    base, kind = without_adaptation(os.fspath(name))
    folder = find(base)
    if kind:
        registry.check_is_language_model(task_of(folder), base)
    model, manifest = stored_model.load(folder, device)
    tell_unfinished(base, manifest)
    if not kind:
        return model
    adapted = satellites.by_name("adaptations", kind)[kind].load()
    return adapted(model, kind, folder)


def load_if_named(
    model: ScoringModel, device: str | Device = "auto"
) -> LanguageModel | registry.LabelModel:
    """Return a model of any task itself, or load the one of that name as :func:`load` does, each
    time."""
    return load(model, device) if isinstance(model, (str, os.PathLike)) else core_of(model)


def model_for(command: str, model: ScoringModel, device: str | Device = "auto") -> Any:
    """Return a model itself, or load the one of that name, for a command such as "tag"; refuse
    models of tasks that it does nothing with."""
    registry.check_use(command, task_of(model), name_if_saved(model))
    return load_if_named(model, device)


def language_model_of(
    model: LanguageModel | str | Path, device: str | Device = "auto"
) -> LanguageModel:
    """Return a language model itself, or load the one of that name; refuse models of other
    tasks."""
    registry.check_is_language_model(task_of(model), name_if_saved(model))
    return cast(LanguageModel, load_if_named(model, device))


def scoring_model_of(model: ScoringModel, device: str | Device = "auto") -> LanguageModel:
    """Return the model that gives the probabilities of lines: the language model itself, or of that
    name; of an encoder-decoder its decoder, which begins each line in the state of its source."""
    loaded = model_for("score", model, device)
    return cast(LanguageModel, getattr(loaded, "decoder", loaded))


def name_if_saved(model: LanguageModel | registry.LabelModel | str | Path) -> str | None:
    """Return the name or folder of a model, for messages; None if it was made in memory."""
    if isinstance(model, (str, os.PathLike)):
        return str(model)
    origin = origin_of(model)
    return None if origin is None else str(origin[0])


# ---- Attributes of a model beside its protocol. A user's own model need not have any of them.


def origin_of(model: LanguageModel | registry.LabelModel) -> tuple[str, str] | None:
    """Return the folder that a model was loaded from, and the device that was asked for; None if it
    was made in memory."""
    return getattr(core_of(model), "origin", None)


# Arrays that a network has beside its weights: orders of words, tables to draw words from, means.
_NOT_TRAINED = frozenset(
    {"order_V", "starts_C", "parent_M", "keep_V", "alias_V", "running_mean", "running_var"}
)


def count_parameters(shapes: Shapes) -> int:
    """Return the number of parameters of a model whose arrays have these shapes: the numbers in its
    weights, or in its tables of counts."""
    return sum(
        math.prod(shape)
        for name, (_, shape) in shapes.items()
        if name.rpartition(".")[2] not in _NOT_TRAINED
    )


def parameters_of(model: LanguageModel | registry.LabelModel) -> int:
    """Return the number of parameters of a model, as :func:`count_parameters` counts them."""
    arrays: dict[str, np.ndarray] = cast(LanguageModel, core_of(model)).to_arrays()
    return count_parameters({name: ("", array.shape) for name, array in arrays.items()})


def kind_of(model: LanguageModel | registry.LabelModel) -> str:
    """Return the kind of a model, as in config.json. One without a kind is taken to give
    probabilities of next words, as n-grams do, and nothing else."""
    return str(getattr(core_of(model), "model_kind", "ngram"))


def fingerprint_in_signature(model: LanguageModel | registry.LabelModel) -> str:
    """Return the model's fingerprint as signatures have it; "unsaved" if it has none."""
    return core_of(model).fingerprint or "unsaved"


def identity_of(model: LanguageModel | registry.LabelModel) -> str:
    """Return everything that the scores of a model depend on: its fingerprint, and its adaptation
    to the text with all settings, if it adapts."""
    adaptation = getattr(model, "adaptation", "none")
    fingerprint = fingerprint_in_signature(model)
    return fingerprint if adaptation == "none" else f"{fingerprint} {adaptation}"


def window_of(model: LanguageModel | registry.LabelModel) -> str:
    """Return the largest number of tokens that a model reads at once, as signatures have it, with
    the symbol that it reads before a text if this is not the boundary; "" if it has no such
    limit."""
    core = core_of(model)
    parts = (str(getattr(core, "window", "") or ""), getattr(core, "begin", ""))
    return ",".join(filter(None, parts))


def task_of(model: LanguageModel | registry.LabelModel | str | Path) -> str:
    """Return the name of the task of a model, or of the model of that name."""
    if not isinstance(model, (str, os.PathLike)):
        return str(getattr(core_of(model), "task", registry.LANGUAGE_MODEL))
    return read_manifest(base_folder(model)).task


def models_by_name(
    models: Mapping[str, ScoringModel] | Sequence[ScoringModel],
) -> dict[str, LanguageModel]:
    """Return the models that score lines, by name; load those that are given by name. models: by
    the names to use, or a list of models and names to load."""
    if not isinstance(models, Mapping):
        called: dict[str, ScoringModel] = {}
        for place, model in enumerate(several(models, "models"), start=1):
            name = name_if_saved(model) or f"model {place}"
            # The last part of a loaded model's folder is enough where no other one has it.
            short = name if isinstance(model, (str, os.PathLike)) else Path(name).name
            called[name if short in called else short] = model
        models = called
    return {name: scoring_model_of(model) for name, model in models.items()}


def tell_unfinished(name: str | Path, manifest: Manifest) -> None:
    """Send a notice if the training run of the model called `name` did not finish."""
    if not manifest.is_unfinished:
        return
    how = {
        None: "is unfinished: it was interrupted, or is still running",
        "request": "was stopped before its end",
        "diverged": "diverged",
    }
    stopped = manifest.training.get("stopped")
    notice(
        f"the training run of {name} {how.get(stopped, f'ended early: {stopped}')}; "
        f"this is its best model, of step {manifest.step:,}"
    )


def without_adaptation(name: str) -> tuple[str, str | None]:
    """Return NAME and KIND of NAME+KIND; `name` itself and None if it names no kind of adaptation,
    or a folder has exactly that name."""
    base, _, kind = name.rpartition("+")
    is_adapted = bool(base) and kind in satellites.by_name("adaptations", kind)
    if not is_adapted or any(map(model_folder.is_model, _places(name))):
        return name, None
    return base, kind


def base_folder(name: str | Path) -> Path:
    """Return the folder of the model called NAME, also of NAME+KIND."""
    return find(without_adaptation(os.fspath(name))[0])


def load_tokenizer(name: str | Path) -> Tokenizer:
    """Load the tokenizer of a model, a prepared text or counts, and nothing else.

    Args:
        name: Model, named as for :func:`load`, or folder of a prepared text or of counts.

    Raises:
        ModelError: The model does not exist or is damaged.
    """
    check_path(name, "load_tokenizer: the name")
    folder = find_tokenizer(name)
    form = registry.text_folder(folder)
    if form:
        return form.tokenizer(folder)
    library = registry.library_of(os.fspath(name))
    if library:
        return library.tokenizer(folder)
    return stored_model.load_tokenizer(folder, model_folder.read_manifest(folder))


def find_tokenizer(name: str | Path) -> Path:
    """Return the folder that :func:`load_tokenizer` reads; one of another library need not hold a
    model."""
    library = registry.library_of(os.fspath(name))
    if library:
        return library.folder(os.fspath(name), needs_model=False)
    return Path(name) if registry.text_folder(name) else find(name)


def load_codec(name: str | Path) -> Any:
    """Load the codec of a model given as for :func:`load`: its tokenizer, or the object that holds
    it."""
    if registry.text_folder(name) or registry.library_of(os.fspath(name)):
        return load_tokenizer(name)
    folder = find(name)
    return stored_model.content(folder, model_folder.read_manifest(folder))[1]


def find(name: LanguageModel | str | Path) -> Path:
    """Return the folder of a model given by path, or by name: in ./checkpoints, then among those
    shipped; or of one that was loaded. `my` is the only model in ./checkpoints whose name begins
    with `my-`. PREFIX:NAME is a model of another library."""
    name = name_of(name)
    library = registry.library_of(name)
    if library:
        return library.folder(name)
    for place in _places(name):
        if model_folder.is_model(place):
            return place

    # The name of a text refers to the model trained on it.
    of_text = sorted(folder for folder in saved_here() if folder.name.startswith(f"{name}-"))
    if len(of_text) == 1:
        return of_text[0]
    if of_text:
        raise ModelError(
            f"{name} is ambiguous",
            f"models with that prefix: {', '.join(folder.name for folder in of_text)}",
            "name one of them in full",
        )
    raise _not_found(name)


def short_name(folder: Path) -> str:
    """Return the shortest name by which `-m` finds the model in a folder."""
    try:
        is_enough = find(folder.name).samefile(folder)
    except (ModelError, OSError):
        is_enough = False
    return folder.name if is_enough else str(folder)


def saved_here() -> list[Path]:
    """Return the folders of the models in ./checkpoints."""
    if not CHECKPOINTS.is_dir():
        return []
    return [folder for folder in CHECKPOINTS.iterdir() if model_folder.is_model(folder)]


def _not_found(name: str) -> ModelError:
    """Build a "model not found" error with a hint at names that could be meant."""
    is_path = Path(name).name != name
    missing = f"no model at {name}" if is_path else f"no model named {name!r}"

    # A file or folder of that name that is no model.
    if Path(without_suffix(name)).suffix == ".arpa" and os.path.isfile(name):
        target = Path(without_suffix(name)).stem
        return ModelError(
            f"{name} is an ARPA file, not the folder of a model",
            hint=f"import it: rnnlm import {quoted(name)} -o {quoted(target)}",
        )
    if os.path.exists(name):
        model_folder.read_manifest(Path(name))  # its error says which part is missing

    # NAME+KIND where the model NAME exists: the kind is unknown, or this command does not adapt.
    base, _, kind = name.rpartition("+")
    if base and any(map(model_folder.is_model, _places(base))):
        adaptations = satellites.by_name("adaptations", kind)
        if kind in adaptations:
            return ModelError(
                missing,
                f"only eval, score, generate, compare and mix support adaptation {kind!r}",
                f"use {base} alone",
            )
        return ModelError(missing, f"there is no adaptation {kind!r}", nearest(kind, adaptations))

    # A model of another program, or a name that is spelled wrong.
    known = {folder.name for folder in [*filter(model_folder.is_model, shipped()), *saved_here()]}
    hint = f"available models: {', '.join(sorted(known))}" if known else "train one: rnnlm train"
    return ModelError(missing, "there is no such folder" if is_path else "", hint)


def name_of(model: LanguageModel | str | Path) -> str:
    """Return the name that a model is given by, or the folder that it was loaded from; refuse one
    that was made in memory."""
    name = name_if_saved(model)
    if name is None:
        raise UsageError(
            "this model has no folder",
            "it was made in memory, or adapts another model",
            "give the name of a saved model",
        )
    return name


def distinct_names(models: Sequence[ScoringModel], names: Sequence[str] | None = None) -> list[str]:
    """Return a different name for each model: the last part of its folder, or as many parts as
    distinguish it from the others."""
    if names is not None and len(names) != len(models):
        raise UsageError(
            f"{plural(len(names), 'name')} for {plural(len(models), 'model')}",
            hint="give one for each",
        )
    of_models = (
        name_if_saved(model) or f"model {number}" for number, model in enumerate(models, start=1)
    )
    given = list(names or of_models)

    # Names that the caller chose stay as they are; paths are cut to their distinct parts.
    if names is None:
        parts = [os.path.normpath(name).split(os.sep) for name in given]
        deepest = max(map(len, parts), default=0)
        for depth in range(1, 1 + deepest):
            short = [os.sep.join(components[-depth:]) for components in parts]
            if len(set(short)) == len(short):
                return short

    # Number the names that occur more than once.
    unique = []
    for place, name in enumerate(given):
        if given.count(name) > 1:
            name = f"{name} ({given[: place + 1].count(name)})"
        unique.append(name)
    return unique


def _places(name: str) -> list[Path]:
    """Return the folders that a model of that name may be in, first choice first."""
    path = Path(name)
    if path.name != name:
        return [path]
    return [path, CHECKPOINTS / name, *(folder for folder in shipped() if folder.name == name)]


def shipped() -> list[Path]:
    """Return the folders of the models that come with rnnlm."""
    return [shipped_models.FOLDER / name for name in shipped_models.NAMES]


# ---- Whether a text is held out: numbers measured on the text that a model was trained on flatter
# that model.


def warn_if_trained_on(lines_hash: str, folders: Mapping[str, Path], what: str) -> None:
    """Send a notice that names the models, each in its folder, that were trained on the text with
    this hash. what: the use of the text: "weights", "settings"."""
    names = [name for name, folder in folders.items() if _was_trained_on(folder, lines_hash)]
    if not names:
        return
    were, them = ("was", "it") if len(names) == 1 else ("were", "them")
    notice(
        f"{' and '.join(names)} {were} trained on this very text: {what} found on it flatter "
        f"{them}; use held-out text"
    )


def _was_trained_on(folder: Path, lines_hash: str) -> bool:
    """Return whether the model there, or one that it is made of, was trained on this text."""
    manifest = read_manifest(folder)
    parts = part_folders(folder, manifest)
    is_own = manifest.training.get("train_data") == lines_hash
    return is_own or any(_was_trained_on(part, lines_hash) for part in parts)


# ---- The model when none is named: the one trained last in ./checkpoints, else the shipped one.


@dataclass(frozen=True)
class Default:
    """The model of a command that names none. trained: when it was saved, in seconds since 1970;
    None: it is the shipped one."""

    folder: Path
    trained: float | None = None


def default_model(command: str, needs: registry.Needs = registry.ANYTHING) -> Default:
    """Return the model that a command takes where none is named: the newest one that it can use.

    command: as after `rnnlm`, "score".
    """
    # A checkout has the shipped models in ./checkpoints, too.
    of_rnnlm = {folder.resolve() for folder in shipped()}
    saved = [
        ((folder / CONFIG).stat().st_mtime, folder)
        for folder in saved_here()
        if folder.resolve() not in of_rnnlm
    ]
    for trained, folder in sorted(saved, reverse=True):
        if _is_usable(folder, command, needs):
            return Default(folder, trained)
    if _suits(read_manifest(SHIPPED), command, needs):
        return Default(SHIPPED)
    raise UsageError(
        "no model is given, and there is no suitable one here",
        f"rnnlm {command} can use no finished model in ./checkpoints",
        "name one with "
        + keyword("model", "MODEL")
        + f", or train one: {_training(command, needs)}",
    )


def _is_usable(folder: Path, command: str, needs: registry.Needs) -> bool:
    """Return whether a folder holds the model of a finished training run, with all its files, that
    a command can use."""
    try:
        manifest = read_manifest(folder)
        sizes = {name: (folder / name).stat().st_size for name in manifest.files}
        is_whole = all(sizes[name] == entry.bytes for name, entry in manifest.files.items())
        is_trained = "train_data" in manifest.training and not manifest.is_unfinished
        return is_whole and is_trained and _suits(manifest, command, needs)
    except (ModelError, OSError):
        return False


def _suits(manifest: Manifest, command: str, needs: registry.Needs) -> bool:
    return registry.can_use(command, manifest.task, manifest.model, needs)


def _training(command: str, needs: registry.Needs) -> str:
    """Return a command line that trains a model that a command can use."""
    for learned in registry.all_tasks():
        kinds = registry.kinds_of(learned.name)
        usable = [kind for kind in kinds if registry.can_use(command, learned.name, kind, needs)]
        if usable:
            model = "" if registry.USUAL_MODEL in usable else f"--model {usable[0]}"
            return " ".join(filter(None, ["rnnlm train TEXT", learned.option, model]))
    return "rnnlm train TEXT"


# ---- Models that several processes load.


@dataclass(frozen=True)
class NamedModel:
    """A model that processes load by its name. label: what results call it. name: its folder, or
    the folder with the adaptation after a plus. fingerprint: the fingerprint it must have."""

    label: str
    name: str
    fingerprint: str

    @classmethod
    def of(cls, label: str, name: str, model: LanguageModel) -> "NamedModel":
        """Return what other processes load the model by that was loaded here by this name."""
        base, kind = without_adaptation(name)
        # Processes in other folders find a model by its absolute path.
        absolute = f"{find(base).absolute()}{f'+{kind}' if kind else ''}"
        return cls(label, absolute, identity_of(model))


@functools.lru_cache(maxsize=1)
def load_all(models: tuple[NamedModel, ...], device: str) -> tuple[LanguageModel, ...]:
    """Load the models of a run, once in each process, which keeps the models of the last run alone.
    ModelError: there is another model of that name."""
    loaded = []
    for named in models:
        loaded.append(scoring_model_of(named.name, device))
        fingerprint = identity_of(loaded[-1])
        if fingerprint != named.fingerprint:
            raise ModelError(
                f"a worker finds another model in {named.name}",
                f"its fingerprint is {fingerprint} there, {named.fingerprint} here",
                "all workers must see the same folder; it must not change while they work",
            )
    return tuple(loaded)

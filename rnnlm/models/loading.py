"""Opening a model by path or name: the door most callers come through."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import rnnlm.checkpoints as shipped_models
from rnnlm.checks import several
from rnnlm.errors import ArgumentTypeError, ModelError, UsageError, given, nearest, notice
from rnnlm.files.compression import without_suffix
from rnnlm.interface import Device, LanguageModel, Tokenizer, answers_of
from rnnlm.models import model_folder, registry
from rnnlm.models.manifest import Manifest, part_folders, read_manifest
from rnnlm.models.registry import LabelModel
from rnnlm.text.prepared import prepared_text
from rnnlm.text.prepared.index import is_prepared, read_index

# of those that score lines, or the name of one
ScoringModel = LanguageModel | LabelModel | str | Path

# what names of well-known models on the Hugging Face hub begin with
_FAMILIES_OF_THE_HUB = (
    "bert", "bloom", "distil", "falcon", "gemma", "gpt", "llama", "mistral", "opt-", "phi-",
    "pythia", "qwen", "roberta", "t5",
)  # fmt: skip
SHIPPED = shipped_models.FOLDER / "demo"


def load(name: str | Path = SHIPPED, device: str | Device = "auto") -> LanguageModel:
    """The model in a folder, or of that name in ./checkpoints or among those shipped; without a
    name the shipped one, an LSTM of the bundled corpus. NAME+KIND is the model NAME adapting itself
    to what it reads, unless a folder has exactly that name.

    Raises:
        ModelError: there is none, or it is damaged. UsageError: it cannot adapt itself so.
            DeviceError: `device` is not available.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise ArgumentTypeError(f"load: the name must be a str or a path, not {given(name)}")
    base, kind = without_adaptation(str(name))
    if kind:
        return load_adapted(base, kind, device=device)
    model, manifest = model_folder.load(find(base), device)
    tell_unfinished(base, manifest)
    return model


def model_of(model: LanguageModel | str | Path, device: str | Device = "auto") -> LanguageModel:
    """The model itself, or the one of that name as :func:`load` opens it, anew each time.

    Raises:
        As :func:`load`.
    """
    return cast(LanguageModel, opened(model, device))


def opened(model: ScoringModel, device: str | Device = "auto") -> LanguageModel | LabelModel:
    """The same of a model of any task.

    Raises:
        As :func:`load`.
    """
    return load(model, device) if isinstance(model, (str, os.PathLike)) else model


def language_model_of(
    model: LanguageModel | str | Path, device: str | Device = "auto"
) -> LanguageModel:
    """The same, which must be a language model.

    Raises:
        As :func:`load`. UsageError: it is a model of another task, and gives no probabilities of
            text.
    """
    registry.check_is_language_model(task_of(model), called(model))
    return model_of(model, device)


def scoring_model_of(model: ScoringModel, device: str | Device = "auto") -> LanguageModel:
    """What gives the probabilities of lines: the language model itself, or as :func:`load` opens
    it; of an encoder-decoder its decoder, which begins each in the state of its source.

    Raises:
        As :func:`load`. UsageError: it is a model of labels.
    """
    registry.check_use("score", task_of(model), called(model))
    found = opened(model, device)
    return answers_of(found).decoder or cast(LanguageModel, found)


def called(model: LanguageModel | LabelModel | str | Path) -> str | None:
    """The name or folder of a model; None of one that was made in memory."""
    if isinstance(model, (str, os.PathLike)):
        return str(model)
    origin = answers_of(model).origin
    return None if origin is None else str(origin[0])


def fingerprint_in_signature(model: LanguageModel | LabelModel) -> str:
    """What signatures call a model: its fingerprint, with `,weights` where it vouches for these
    alone; "unsaved" where it has none."""
    return (model.fingerprint or "unsaved") + (
        ",weights" if answers_of(model).is_weights_only else ""
    )


def task_of(model: LanguageModel | LabelModel | str | Path) -> str:
    """What a model, or the one of that name, was trained for: "language-model", "tagging" or
    "classification".

    Raises:
        ModelError: there is none of that name, or its config.json is damaged.
    """
    if not isinstance(model, (str, os.PathLike)):
        return answers_of(model).task
    return read_manifest(folder_of(model)).task


def models_by_name(
    models: Mapping[str, ScoringModel] | Sequence[str | Path],
) -> dict[str, LanguageModel]:
    """What scores lines with models by a name for each, themselves or to be loaded; of a list, each
    by the name that it is loaded by.

    Raises:
        As :func:`scoring_model_of`.
    """
    if not isinstance(models, Mapping):
        models = {str(name): name for name in several(models, "models")}
    return {name: scoring_model_of(model) for name, model in models.items()}


def load_adapted(
    name: str | Path,
    kind: str,
    given: Mapping[str, Any] | None = None,
    device: str | Device = "auto",
) -> LanguageModel:
    """The model called `name`, adapting itself with the settings tuned for it, or by default;
    `given` ones come first.

    kind: "unigram", a cache of words; "cache", the neural cache; "dynamic", dynamic evaluation.

    Raises:
        UsageError: there is no such kind, or the model cannot be adapted so, as those of other
            tasks. SettingsError: a given setting is unknown or not valid. ModelError: there is no
            such model, or what was tuned for it is damaged. DeviceError: `device` is not available.
    """
    adapted = registry.adapter(kind, given)
    folder = find(name)
    registry.check_use("tune", task_of(folder), str(name))
    model, manifest = model_folder.load(folder, device)
    tell_unfinished(name, manifest)
    return adapted(model, folder)


def tell_unfinished(name: str | Path, manifest: Manifest) -> None:
    """Tell the caller when the training run of the model called `name` did not come to its end."""
    if not manifest.is_unfinished:
        return
    how = {
        None: "has not ended: it was cut off, or still goes on",
        "request": "was stopped before its end",
        "diverged": "diverged",
    }
    stopped = manifest.training.get("stopped")
    notice(
        f"the training run of {name} {how.get(stopped, f'ended early: {stopped}')}; "
        f"this is its best model, of step {manifest.step:,}"
    )


def without_adaptation(name: str) -> tuple[str, str | None]:
    """NAME and KIND of NAME+KIND; `name` itself and None where it names no kind of adaptation, or a
    folder has exactly that name."""
    base, _, kind = name.rpartition("+")
    if (
        not base
        or kind not in registry.ADAPTATIONS
        or any(model_folder.is_model(place) for place in _places(name))
    ):
        return name, None
    return base, kind


def folder_of(name: str | Path) -> Path:
    """The folder of the model called NAME, also of NAME+KIND.

    Raises:
        ModelError: there is none.
    """
    return find(without_adaptation(str(name))[0])


def load_tokenizer(name: str | Path) -> Tokenizer:
    """The tokenizer of a model given as for :func:`load`, or of a prepared text; nothing else is
    read.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    if is_prepared(name):
        return prepared_text.load_tokenizer(Path(name), read_index(Path(name)))
    folder = find(name)
    return model_folder.load_tokenizer(folder, model_folder.read_manifest(folder))


def load_codec(name: str | Path) -> Any:
    """What encodes the data of a model given as for :func:`load`: its tokenizer, of a task with
    what the model writes.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    if is_prepared(name):
        return load_tokenizer(name)
    folder = find(name)
    return model_folder.content(folder, model_folder.read_manifest(folder))[1]


def find(name: LanguageModel | str | Path) -> Path:
    """The folder of a model given by path, or by name: in ./checkpoints, then among those shipped;
    or of one that was loaded.

    Raises:
        ModelError: there is none. UsageError: the model was not loaded from a folder.
    """
    name = name_of(name)
    for place in _places(name):
        if model_folder.is_model(place):
            return place
    if Path(without_suffix(name)).suffix == ".arpa" and os.path.isfile(name):
        target = Path(without_suffix(name)).stem
        raise ModelError(
            f"{name} is an ARPA file, not the folder of a model",
            hint=f"import it: rnnlm import {shlex.quote(name)} -o {shlex.quote(target)}",
        )
    if os.path.exists(name):
        model_folder.read_manifest(Path(name))
    mine = Path("checkpoints").iterdir() if Path("checkpoints").is_dir() else ()
    known = {folder.name for folder in (*mine, *shipped()) if model_folder.is_model(folder)}
    hint = f"there are: {', '.join(sorted(known))}" if known else "train one: rnnlm train"
    base, _, kind = name.rpartition("+")
    if base and any(model_folder.is_model(place) for place in _places(base)):
        if kind in registry.ADAPTATIONS:
            why = f"only eval, score, generate, compare and mix adapt {base} by {kind!r}"
            raise ModelError(f"no model at {name}", why, f"name {base} alone here")
        raise ModelError(
            f"no model at {name}",
            f"{base} does not adapt itself by {kind!r}",
            nearest(kind, registry.ADAPTATIONS),
        )
    if Path(name).name.lower().startswith(_FAMILIES_OF_THE_HUB):
        why = "it looks like a name on the Hugging Face hub, and rnnlm reads its own models alone"
        hint = f"score the text with that model's own program, or train one here; {hint}"
        raise ModelError(f"no model at {name}", why, hint)
    raise ModelError(f"no model at {name}", "there is no such folder", hint)


def name_of(model: LanguageModel | str | Path) -> str:
    """The name that a model is given by, or the folder that it was loaded from.

    Raises:
        UsageError: it was not loaded from a folder.
    """
    if (name := called(model)) is None:
        raise UsageError(
            "this model has no folder",
            "it was made in memory, or adapts another one",
            "give the name of a saved model",
        )
    return name


def _places(name: str) -> list[Path]:
    """The folders that a model of that name may be in, first choice first."""
    path = Path(name)
    if path.name != name:
        return [path]
    return [
        path,
        Path("checkpoints") / name,
        *(folder for folder in shipped() if folder.name == name),
    ]


def shipped() -> list[Path]:
    """The folders of the models that come with rnnlm."""
    return [shipped_models.FOLDER / name for name in shipped_models.NAMES]


# ---- Whether a text is held out: what is found on the very text that a model was trained on
# flatters that model.


def warn_if_trained_on(lines_hash: str, folders: Mapping[str, Path], found: str) -> None:
    """Send a notice that names those of the models, each in its folder, that were trained on the
    text of that hash.

    found: what is looked for on the text: "weights", "settings".
    """
    if names := [name for name, folder in folders.items() if _was_trained_on(folder, lines_hash)]:
        one = "it" if len(names) == 1 else "them"
        notice(
            f"this is the very text that {' and '.join(names)} "
            f"{'was' if len(names) == 1 else 'were'} trained on: "
            f"{found} found there flatter {one}; use held-out text"
        )


def _was_trained_on(folder: Path, lines_hash: str) -> bool:
    """Whether the model there was, or one that it is made of."""
    manifest = read_manifest(folder)
    parts = part_folders(folder, manifest)
    return manifest.training.get("train_data") == lines_hash or any(
        _was_trained_on(part, lines_hash) for part in parts
    )

"""Choose the model when none is named: the one trained last in ./checkpoints, else the shipped
one."""

from dataclasses import dataclass
from pathlib import Path

from rnnlm import registry
from rnnlm.errors import ModelError, UsageError, keyword
from rnnlm.lm.base import loading
from rnnlm.storage.manifest import CONFIG, Manifest, read_manifest


@dataclass(frozen=True)
class Default:
    """The model of a command that names none. trained: when it was saved, in seconds since 1970;
    None: it is the shipped one."""

    folder: Path
    trained: float | None = None


def default_model(command: str, need: str = "") -> Default:
    """Return the model that a command takes where none is named: the newest one that it can use.

    command: as after `rnnlm`, "score". need: the ability that the model must have (`Kind.has`).
    """
    # A checkout has the shipped models in ./checkpoints, too.
    shipped = {folder.resolve() for folder in loading.shipped()}
    saved: list[tuple[float, Path]] = []
    for folder in loading.saved_here():
        if folder.resolve() not in shipped:
            saved.append(((folder / CONFIG).stat().st_mtime, folder))
    for trained, folder in sorted(saved, reverse=True):
        if _is_usable(folder, command, need):
            return Default(folder, trained)
    if _suits(read_manifest(loading.SHIPPED), command, need):
        return Default(loading.SHIPPED)
    raise UsageError(
        "no model is given, and there is no suitable one here",
        f"rnnlm {command} can use no finished model in ./checkpoints",
        "name one with "
        + keyword("model", "MODEL")
        + f", or train one: {_training(command, need)}",
    )


def _is_usable(folder: Path, command: str, need: str) -> bool:
    """Return whether a folder holds the model of a finished training run, with all its files, that
    a command can use."""
    try:
        manifest = read_manifest(folder)
        for name, entry in manifest.files.items():
            if (folder / name).stat().st_size != entry.bytes:
                return False
        is_trained = "train_data" in manifest.training and not manifest.is_unfinished
        return is_trained and _suits(manifest, command, need)
    except (ModelError, OSError):
        return False


def _suits(manifest: Manifest, command: str, need: str) -> bool:
    return registry.can_use(command, manifest.task, manifest.model, need)


def _training(command: str, need: str) -> str:
    """Return a command line that trains a model that a command can use."""
    words = ["rnnlm train TEXT"]
    for learned in registry.all_tasks():
        kinds = []
        for kind in registry.kinds_of(learned.name):
            if registry.can_use(command, learned.name, kind, need):
                kinds.append(kind)
        if kinds:
            words.append(learned.option)
            if registry.USUAL_MODEL not in kinds:
                words.append(f"--model {kinds[0]}")
            break
    return " ".join(filter(None, words))

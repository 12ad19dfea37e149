"""What a model is saved from: its tokenizer and arrays; and the models that a combination is made of.

Those are referred to by path and fingerprint, or bundled: copied into the combination's folder.

A bundle's copies are `part-1`, `part-2`, ... under the combination's folder. A copied model is never changed: where the name is taken by
another model, the fingerprint is added to it, so that what was there works until config.json names the new ones.
"""

import contextlib
import dataclasses
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnlm.errors import ModelError, UsageError
from rnnlm.files.writing import UNFINISHED, replace_file
from rnnlm.interface import Tokenizer
from rnnlm.models.manifest import COMPANION, CONFIG, DATA, Manifest, PartEntry, damaged_files, is_model, read_manifest, write_manifest

COPY = re.compile(r"part-\d+(-[0-9a-f]{12})?")
CARD = "README.md"
PART_ADAPTATIONS = (
    "adaptations"  # a setting of a combination: one entry for each part, null where it does not adapt; absent where none does
)
PIECE = 1 << 24  # bytes copied at a time


@dataclass(frozen=True)
class ModelArrays:
    """The tokenizer and the arrays of a model: all that saving one asks for."""

    tokenizer: Tokenizer
    arrays: dict[str, np.ndarray]

    def to_arrays(self) -> dict[str, np.ndarray]:
        return self.arrays


def referenced(folder: Path, sources: Sequence[Path]) -> list[PartEntry]:
    """The parts of the combination in `folder`, left where they are.

    Raises:
        ModelError: one is no model. UsageError: `folder` is one of them, or of the models that they are made of.
    """
    for source in sources:
        if folder.resolve() in _all_folders(source):
            what = f"the mixture cannot replace {folder}, which it would be made of"
            raise UsageError(what, hint="choose another folder with -o, or copy its parts with --bundle")
    return [PartEntry(_path_from(folder, source), read_manifest(source).fingerprint) for source in sources]


def bundled(folder: Path, sources: Sequence[Path]) -> list[PartEntry]:
    """The parts of the combination in `folder`, copied there, with all that they are made of.

    Raises:
        ModelError: one is no model, or damaged. OSError: a copy cannot be written.
    """
    entries = []
    for number, source in enumerate(sources, start=1):
        manifest = read_manifest(source)
        if damaged := damaged_files(source, manifest):
            raise ModelError(f"the model at {source} is damaged", f"{damaged[0]} is missing or has changed", "see rnnlm doctor")
        name = f"part-{number}"
        if os.path.lexists(folder / name) and not _is_copy(folder / name, manifest):
            name += f"-{manifest.fingerprint}"
        if not _is_copy(folder / name, manifest):
            _copy(source, folder / name, manifest)
        _copy_companions(source, folder / name)
        entries.append(PartEntry(name, manifest.fingerprint))
    return entries


def part_folders(folder: Path, manifest: Manifest) -> list[Path]:
    """Where the parts of the combination in `folder` lie, each being the model that was put in.

    Raises:
        ModelError: one is missing, or is another model now.
    """
    return [_checked(folder, number, part) for number, part in enumerate(manifest.parts, start=1)]


def _checked(folder: Path, number: int, part: PartEntry) -> Path:
    path = Path(os.path.normpath(folder.resolve() / part.path))
    hint = f"bring the model {part.fingerprint} back to {path}, or mix again (rnnlm mix); --bundle keeps copies of the parts"
    if not is_model(path):
        raise ModelError(f"part {number} of the mixture at {folder} is missing", f"there is no model at {path}", hint)
    found = read_manifest(path).fingerprint
    if found != part.fingerprint:
        why = f"the model at {path} is {found} now, it was {part.fingerprint} when it was put in"
        raise ModelError(f"part {number} of the mixture at {folder} has changed", why, hint)
    return path


def is_ours(name: str) -> bool:
    """Whether a folder's entry of that name is something we write before config.json is there."""
    return bool(DATA.fullmatch(name) or COPY.fullmatch(name)) or name == CONFIG + UNFINISHED


def remove_unnamed(folder: Path) -> None:
    """Delete the copies of parts in `folder` that config.json, as it stands now, does not name; a user's own files stay."""
    try:
        named = {part.path for part in read_manifest(folder).parts} if is_model(folder) else set()
        names = {
            entry.name for entry in folder.iterdir() if COPY.fullmatch(entry.name) and not entry.is_symlink()
        }  # what a link leads to is not ours
    except (ModelError, OSError):  # one that we cannot read: better leave all
        return
    for name in names - named:
        _remove(folder / name)


def _path_from(folder: Path, source: Path) -> str:
    try:
        return Path(os.path.relpath(source.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on another drive
        return source.resolve().as_posix()


def _all_folders(folder: Path) -> set[Path]:
    """`folder`, and those of all the models that it is made of."""
    nested = (_all_folders(part) for part in part_folders(folder, read_manifest(folder)))
    return {folder.resolve()}.union(*nested)


def _is_copy(folder: Path, manifest: Manifest) -> bool:
    """Whether `folder` holds the model of that manifest, whole, with nothing that lies elsewhere."""
    with contextlib.suppress(ModelError):
        found = read_manifest(folder)
        parts = part_folders(folder, found)
        is_inside = all(path.parent == folder.resolve() for path in parts)
        is_whole = found.fingerprint == manifest.fingerprint and not damaged_files(folder, found)
        return is_inside and is_whole and all(_is_copy(path, read_manifest(path)) for path in parts)
    return False


def _copy(source: Path, target: Path, manifest: Manifest) -> None:
    """A copy of the model; its config.json comes last."""
    target.mkdir(parents=True, exist_ok=True)
    for name in manifest.files:
        _copy_file(source / name, target / name)
    with contextlib.suppress(FileNotFoundError):
        _copy_file(source / CARD, target / CARD)
    parts = bundled(target, part_folders(source, manifest))
    write_manifest(target, dataclasses.replace(manifest, parts=parts))


def _copy_companions(source: Path, target: Path) -> None:
    """Copy what is kept beside the model for adapting it."""
    for path in source.iterdir():
        if COMPANION.fullmatch(path.name):
            _copy_file(path, target / path.name)


def _copy_file(source: Path, target: Path) -> None:
    with open(source, "rb") as stream:
        replace_file(target, iter(lambda: stream.read(PIECE), b""))


def _remove(folder: Path) -> None:
    """Delete what `_copy` may have written into `folder`, and it itself when nothing else is there."""
    with contextlib.suppress(OSError):
        for entry in sorted(folder.iterdir()):
            name = entry.name.removesuffix(UNFINISHED)
            if COPY.fullmatch(entry.name) and not entry.is_symlink():
                _remove(entry)
            elif DATA.fullmatch(name) or COMPANION.fullmatch(name) or name in (CONFIG, CARD):
                entry.unlink()
        folder.rmdir()

"""config.json of a model folder: what the model is, and each file and each other model that it is made of, with hashes."""

import dataclasses
import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from rnnlm.config import renamed
from rnnlm.errors import ModelError, shown
from rnnlm.files import writing
from rnnlm.files.reading import read_json
from rnnlm.files.writing import UNFINISHED, FileEntry, replace_file
from rnnlm.models.registry import LANGUAGE_MODEL, TASKS

FORMAT_VERSION = 1
CONFIG = "config.json"
HINT = "bring the file back from a copy, or make the model anew; rnnlm doctor names all that is damaged"
DATA = re.compile(  # what we write beside config.json; other files are the user's
    r"(weights-\d{8,}(-part\d+)?(-[0-9a-f]{8})?\.safetensors|vocab(-[0-9a-f]{8})?\.txt|"
    r"tokenizer(-[0-9a-f]{8})?\.model|labels(-[0-9a-f]{8})?\.json)"
    rf"({re.escape(UNFINISHED)})?"
)
COMPANION = re.compile(r"adapt-[a-z]+\.(json|safetensors)")  # what is kept beside a model for adapting it


@dataclass(frozen=True)
class PartEntry:
    """A model that a combination is made of. path: its folder, relative to the combination's own folder where that is possible."""

    path: str
    fingerprint: str


@dataclass(frozen=True)
class Manifest:
    """The content of config.json."""

    model: str
    family: str
    settings: dict[str, Any]
    tokenizer: dict[str, Any]
    files: dict[str, FileEntry]
    step: int = 0
    training: dict[str, Any] = field(default_factory=dict)  # texts, counts, command, seconds
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    parts: list[PartEntry] = field(default_factory=list)
    format_version: int = FORMAT_VERSION

    @property
    def task(self) -> str:
        """What the model was trained for: "language-model", or one of the registry's TASKS."""
        return str(self.settings.get("task", LANGUAGE_MODEL))

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits over the hashes of the model's files, over what its tokenizer rewrites, and over its direction; of a
        combination also over its settings and parts, wherever these lie."""
        hashed = sorted(f"{entry.role}:{entry.sha256}" for entry in self.files.values())
        hashed += [f"{name}={value}" for name in ("normalise", "remove_punctuation", "reversed") if (value := self.tokenizer.get(name))]
        if self.parts:
            hashed += [json.dumps(self.settings, sort_keys=True), *(f"part:{part.fingerprint}" for part in self.parts)]
        return hashlib.sha256("\n".join(hashed).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def read_manifest(folder: Path) -> Manifest:
    """config.json of a model folder, checked.

    Raises:
        ModelError: there is none, it is damaged, of a newer format, or names files outside the folder.
    """
    path = folder / CONFIG
    if not folder.exists():
        raise ModelError(f"no model at {folder}", "there is no such folder")
    if not folder.is_dir():
        raise ModelError(f"no model at {folder}", "it is a file, not a model folder")
    if not path.is_file():
        inner = sorted(str(each.parent) for each in folder.glob(f"*/{CONFIG}"))
        hint = f"name one of the models in it: {', '.join(inner[:3])}{', ...' if inner[3:] else ''}" if inner else ""
        raise ModelError(f"no model at {folder}", f"the folder holds no {CONFIG}", hint)
    damaged = f"the model at {folder} is damaged"
    manifest = read_json(path, Manifest, ModelError, damaged, newest=(f"the model at {folder}", FORMAT_VERSION))
    for name in manifest.files:
        if name != os.path.basename(name) or name in ("", ".", ".."):
            raise ModelError(damaged, f"{CONFIG} names a file outside the folder: {name!r}")
    if manifest.task not in (LANGUAGE_MODEL, *TASKS):
        raise ModelError(damaged, f"{shown(manifest.task)} is not a task")
    return dataclasses.replace(manifest, settings=renamed(manifest.settings))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace config.json, at once: from here on the folder holds this model.

    Raises:
        OSError: it cannot be written.
    """
    data = json.dumps(msgspec.to_builtins(manifest), indent=2, ensure_ascii=False, allow_nan=False)
    replace_file(folder / CONFIG, data.encode("utf-8", "backslashreplace") + b"\n")  # a file's name may be no UTF-8


def damaged_files(folder: Path, manifest: Manifest) -> list[str]:
    """Files that cannot be read or whose SHA-256 is not the one recorded."""
    return [name for name, entry in manifest.files.items() if writing.sha256(folder / name) != entry.sha256]


def check_hash(path: Path, entry: FileEntry, sha256: str) -> None:
    """Whether a file of a model, which has the hash `sha256`, is the one that was written.

    Raises:
        ModelError: it is not.
    """
    if sha256 != entry.sha256:
        raise ModelError(f"{path.name} has changed", "its SHA-256 is not the one recorded", HINT)


def is_model(folder: Path) -> bool:
    return os.path.isfile(folder / CONFIG)

"""Read and write config.json of a model folder: the description of the model, and each file and
each other model that it is made of, with hashes."""

import contextlib
import itertools
import json
import math
import os
import re
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np

from rnnlm.errors import ModelError, OutputError, UsageError, first_of, keyword, shown
from rnnlm.interface import Tokenizer
from rnnlm.registry import LANGUAGE_MODEL, Kind, is_task, kind_of, libraries
from rnnlm.satellites import check_package, package_of, removed
from rnnlm.storage.files.folder import FolderFiles
from rnnlm.storage.files.reading import as_type, read_json
from rnnlm.storage.files.writing import FileEntry, digest, replace_file, whole_name, write_facts
from rnnlm.version import MadeBy

FORMAT_VERSION = 1
QUANTISED_FORMAT = 2  # n-grams as codes: rnnlm 0.1 cannot read them
CONFIG = "config.json"
HINT = "restore the file from a copy, or rebuild the model; rnnlm doctor lists all damage"
DATA = re.compile(  # our files beside config.json; other files are the user's
    r"(weights-\d{8,}(-[0-9a-f]{8})?\.safetensors|vocab(-[0-9a-f]{8})?\.txt|"
    r"tokenizer(-ids)?(-[0-9a-f]{8})?\.(model|json)|labels(-[0-9a-f]{8})?\.json)"
)
REWRITING = ("normalise", "remove_punctuation")  # settings of a tokenizer that change its text
# The ways in which finished training runs ended.
ENDED = ("budget", "early", "complete")
# A mixture may name one small folder again and again, level below level, and each of its parts
# costs memory and reads every text. People mix two to ten models, and seldom mix mixtures.
MOST_PARTS = 64  # of a mixture in all, parts of its parts included
DEEPEST = 4  # mixtures of mixtures of mixtures ...
MOST_LISTED = 64  # files of a model, and entries of any list in its settings: 64 parts that adapt
# Files beside a model for its adaptation.
COMPANION = re.compile(r"adapt-[a-z]+\.(json|safetensors|journal)")


@dataclass(frozen=True)
class PartEntry:
    """A model that a combination is made of. path: its folder, relative to the combination's folder
    where that is possible."""

    path: str
    fingerprint: str


class PartFacts(TypedDict):
    """A model that another was made of, as the card shows it; a part of a mixture may adapt."""

    model: str
    weight: float
    adaptation: NotRequired[str]


class JoinedPart(PartFacts):
    """An n-gram model that was joined with others."""

    fingerprint: str


class RunFacts(TypedDict, total=False):
    """The facts of a training run that other commands compute with, or print; there are more.

    package: that of somebody else that has this kind of model, or a cell of it."""

    package: str
    stopped: str | None
    recipe: str | None
    train_data: str | None
    valid_data: str | None
    validation: str
    identity: dict[str, Any]
    steps: int
    seconds: float
    tokens_read: int
    train_tokens: int
    train_words: int
    train_sentences: int
    text: list[str]
    lines_in_train: dict[str, float]
    init_from: str
    init_encoder_from: str
    init_decoder_from: str
    contextual: list[str]
    mixed: list[PartFacts]
    joined: list[JoinedPart]
    weights: str
    imported_from: str
    ngrams: list[int]
    pruned: dict[str, Any]


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
    made_by: MadeBy | None = field(default=None, compare=False)
    format_version: int = FORMAT_VERSION

    @property
    def task(self) -> str:
        """The task that the model was trained for: "language-model", or another of the registry's
        TASKS."""
        return str(self.settings.get("task", LANGUAGE_MODEL))

    @property
    def kind(self) -> Kind:
        """The kind of the model, from the registry."""
        check_package(self.training.get("package"))
        return kind_of(self.model, self.task)

    @property
    def is_unfinished(self) -> bool:
        """Whether it comes from a training run that has not finished.

        The run was stopped, killed or diverged, or is still running.
        """
        return "train_data" in self.training and self.training.get("stopped") not in ENDED

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits over the hashes of the model's files, and over its tokenizer's
        rewriting; of a combination also over its settings and parts, wherever these lie."""
        hashed = sorted(f"{entry.role}:{entry.sha256}" for entry in self.files.values())
        rewriting = {name: self.tokenizer.get(name) for name in REWRITING}
        hashed += [f"{name}={value}" for name, value in rewriting.items() if value]
        if self.parts:
            hashed.append(json.dumps(self.settings, sort_keys=True))
            hashed += [f"part:{part.fingerprint}" for part in self.parts]
        return digest(["\n".join(hashed).encode("utf-8", "surrogatepass")])[:12]


def read_manifest(folder: Path) -> Manifest:
    """Read config.json of a model folder, and check it."""
    # Another library may store a model in a file, not in a folder.
    described = _described(folder) if folder.is_file() else None
    if described is not None:
        return described

    # A folder of models is often named instead of one of them.
    path = folder / CONFIG
    if not folder.exists():
        raise ModelError(f"no model at {folder}", "there is no such folder")
    if not folder.is_dir():
        raise ModelError(f"no model at {folder}", "it is a file, not a model folder")
    if not path.is_file():
        inner = sorted(str(config_path.parent) for config_path in folder.glob(f"*/{CONFIG}"))
        hint = f"name one of the models in it: {first_of(inner)}" if inner else ""
        raise ModelError(f"no model at {folder}", f"the folder holds no {CONFIG}", hint)

    # Nothing outside the folder is read.
    damaged = f"the model at {folder} is damaged"
    try:
        manifest = read_json(
            path, Manifest, ModelError, damaged, hint=HINT,
            format=(f"the model at {folder}", QUANTISED_FORMAT), has_hash=True,
        )  # fmt: skip
    except ModelError:
        # Other libraries have a config.json, too.
        described = _described(folder)
        if described is None:
            raise
        return described
    for name in manifest.files:
        if name != os.path.basename(name) or name in ("", ".", ".."):
            raise ModelError(damaged, f"{CONFIG} names a file outside the folder: {name!r}")
    try:
        as_type(manifest.training, RunFacts)
    except ValueError as error:
        raise ModelError(damaged, f"{CONFIG}: training: {error}", HINT) from None
    for what, listed in _lists_of(manifest):
        if len(listed) > MOST_LISTED:
            raise ModelError(
                damaged, f"{CONFIG} lists {len(listed):,} {what}, of {MOST_LISTED} at most", HINT
            )
    if not is_task(manifest.task):
        gone = removed("tasks", manifest.task, f"the model at {folder}")
        raise gone or ModelError(damaged, f"{shown(manifest.task)} is not a task")
    return manifest


def _lists_of(manifest: Manifest) -> Iterator[tuple[str, Sized]]:
    """Yield all lists that say how a model is made, each with its items."""
    yield "files", manifest.files
    yield "parts", manifest.parts
    for settings in (manifest.settings, manifest.tokenizer):
        for name, value in settings.items():
            if isinstance(value, list | dict):
                yield f"entries of {shown(name)}", value


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace config.json, at once: from here on the folder holds this model."""
    of_cells = [package_of("cells", value) for value in manifest.settings.values()]
    of_kind = package_of("kinds", manifest.model, manifest.task)
    package = next(filter(None, [of_kind, *of_cells]), None)
    if package:
        manifest = replace(manifest, training={**manifest.training, "package": package})
    write_facts(folder / CONFIG, manifest, indent=2)


def files_of(folder: Path) -> FolderFiles:
    """Return the files of the model in a folder, to be checked."""
    return FolderFiles(folder, f"the model at {folder} is damaged", HINT)


def file_faults(folder: Path, manifest: Manifest, most_hashed: float = math.inf) -> list[str]:
    """Return the faults of the files of a model. Files of more than `most_hashed` bytes are not
    hashed."""
    files = files_of(folder)
    faults = (
        files.fault(name, entry.bytes, entry.sha256 if entry.bytes <= most_hashed else None)
        for name, entry in manifest.files.items()
    )
    return list(filter(None, faults))


def is_model(folder: Path) -> bool:
    """Return whether there is a model in a folder, or one of another library in a file."""
    is_in_file = os.path.isfile(folder) and _described(folder) is not None
    return is_in_file or os.path.isfile(folder / CONFIG)


def _described(folder: Path) -> Manifest | None:
    """Return the description of a model of another library."""
    descriptions = (library.manifest(folder) for library in libraries())
    return next((manifest for manifest in descriptions if manifest is not None), None)


# ---- The parts that a model is saved from: its tokenizer and arrays; and the models that a
# combination is made of.
#
# Those are referred to by path and fingerprint, or bundled: copied into the combination's folder.
#
# A bundle's copies are `part-1`, `part-2`, ... under the combination's folder. A copied model is
# never changed: where the name is taken by another model, the fingerprint is added to it, so that
# the old copies work until config.json names the new ones.

COPY = re.compile(r"part-\d+(-[0-9a-f]{12})?")
CARD = "README.md"
# A setting of a combination: one entry for each part, null where it does not adapt; absent where
# none does.
PART_ADAPTATIONS = "adaptations"
PIECE = 1 << 24  # bytes copied at a time


@dataclass(frozen=True)
class ModelArrays:
    """The tokenizer and the arrays of a model: all that saving one asks for."""

    tokenizer: Tokenizer
    arrays: dict[str, np.ndarray]

    def to_arrays(self) -> dict[str, np.ndarray]:
        return self.arrays


def referenced(folder: Path, sources: Sequence[Path]) -> list[PartEntry]:
    """Return the parts of the combination in `folder`, left where they are."""
    for source in sources:
        if folder.resolve() in _all_folders(source):
            raise UsageError(
                f"the combination cannot replace {folder}, which is one of its parts",
                hint="choose another folder with "
                + keyword("output")
                + ", or copy its parts with "
                + keyword("bundle", True),
            )
    return [
        PartEntry(_path_from(folder, source), read_manifest(source).fingerprint)
        for source in sources
    ]


def bundled(folder: Path, sources: Sequence[Path]) -> list[PartEntry]:
    """Copy the parts of the combination in `folder` there, with all that they are made of."""
    entries = []
    for number, source in enumerate(sources, start=1):
        # Refuse a part that cannot be copied whole.
        manifest = read_manifest(source)
        if manifest.kind.library:
            raise UsageError(
                f"{source} cannot be copied into the combination",
                "another library stores it",
                "leave " + keyword("bundle") + " out: the combination then refers to it",
            )
        faults = file_faults(source, manifest)
        if faults:
            raise files_of(source).error(faults[0])

        # Use an existing copy again; another model of that name keeps its place.
        name = f"part-{number}"
        if os.path.lexists(folder / name) and not _is_copy(folder / name, manifest):
            name += f"-{manifest.fingerprint}"
        if not _is_copy(folder / name, manifest):
            _copy(source, folder / name, manifest)
        for path in source.iterdir():
            if COMPANION.fullmatch(path.name):
                _copy_file(path, folder / name / path.name)
        entries.append(PartEntry(name, manifest.fingerprint))
    return entries


def part_folders(folder: Path, manifest: Manifest) -> list[Path]:
    """Return the folders of the parts of the combination in `folder`, each of which has to be the
    model that was put in."""
    check_number(f"the combination at {folder}", _parts_there(folder, manifest))
    return [_checked(folder, number, part) for number, part in enumerate(manifest.parts, start=1)]


def check_number(what: str, parts: Sequence[Path]) -> None:
    """Refuse a mixture of `parts` that has more than MOST_PARTS in all, or more than DEEPEST
    mixtures within each other. A part that is named twice counts twice, with its own parts.

    what: the mixture, for the message.
    """
    hint = "mix fewer models at a time"
    total, level = 0, list(parts)
    for _ in range(DEEPEST):
        total += len(level)
        if total > MOST_PARTS:
            raise ModelError(
                f"{what} has too many parts",
                f"it has {total:,} or more, with the parts of its parts; {MOST_PARTS} at most",
                hint,
            )
        below = (_parts_there(part, read_manifest(part)) for part in level)
        level = list(itertools.chain.from_iterable(below))
    if level:
        raise ModelError(
            f"{what} is nested too deep",
            f"its parts are nested more than {DEEPEST} levels deep",
            hint,
        )


def _parts_there(folder: Path, manifest: Manifest) -> list[Path]:
    """Return the folders of the parts that are as they were when they were put in."""
    folders = []
    for part in manifest.parts:
        path = _place(folder, part)
        if is_model(path) and read_manifest(path).fingerprint == part.fingerprint:
            folders.append(path)
    return folders


def _place(folder: Path, part: PartEntry) -> Path:
    return Path(os.path.normpath(folder.resolve() / part.path))


def _checked(folder: Path, number: int, part: PartEntry) -> Path:
    path = _place(folder, part)
    hint = (
        f"restore the model {part.fingerprint} at {path}, or combine the models again; "
        + keyword("bundle", True)
        + " keeps copies of the parts"
    )
    if not is_model(path):
        raise ModelError(
            f"part {number} of the combination at {folder} is missing",
            f"there is no model at {path}",
            hint,
        )
    fingerprint = read_manifest(path).fingerprint
    if fingerprint != part.fingerprint:
        raise ModelError(
            f"part {number} of the combination at {folder} has changed",
            f"the model at {path} is now {fingerprint}; it was {part.fingerprint} when they were "
            "combined",
            hint,
        )
    return path


def is_ours(name: str) -> bool:
    """Return whether a folder's entry of that name is something we write before config.json is
    there."""
    return is_data(name) or bool(COPY.fullmatch(name)) or name != whole_name(name) == CONFIG


def is_data(name: str) -> bool:
    """Return whether a folder's entry of that name holds a model's arrays, tokenizer or labels, or
    was to hold them when it is finished."""
    return bool(DATA.fullmatch(whole_name(name)))


def is_unfinished(name: str) -> bool:
    """Return whether a folder's entry of that name was to become a file of a model, or one kept
    beside it."""
    whole = whole_name(name)
    is_beside = whole in (CONFIG, CARD) or bool(COMPANION.fullmatch(whole))
    return whole != name and (is_beside or is_data(name))


def remove_unnamed(folder: Path) -> None:
    """Delete the copies of parts in `folder` that config.json does not name now; a user's files
    stay."""
    try:
        parts = read_manifest(folder).parts if is_model(folder) else []
        entries = list(folder.iterdir())
    except (ModelError, OSError):
        return  # leave all: the model's own files are not known
    named = {part.path for part in parts}
    for entry in entries:
        # The model that a link leads to is not ours.
        if COPY.fullmatch(entry.name) and not entry.is_symlink() and entry.name not in named:
            _remove(entry)


def _path_from(folder: Path, source: Path) -> str:
    try:
        return Path(os.path.relpath(source.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on another drive
        return source.resolve().as_posix()


def _all_folders(folder: Path) -> set[Path]:
    """Return `folder`, and the folders of all the models that it is made of."""
    parts = part_folders(folder, read_manifest(folder))
    return {folder.resolve()}.union(*map(_all_folders, parts))


def _is_copy(folder: Path, manifest: Manifest) -> bool:
    """Return whether `folder` holds the model of that manifest, whole, with all its parts."""
    if folder.is_symlink():
        return False
    with contextlib.suppress(ModelError):
        copied = read_manifest(folder)
        parts = part_folders(folder, copied)
        is_inside = all(path.parent == folder.resolve() for path in parts)
        is_whole = copied.fingerprint == manifest.fingerprint and not file_faults(folder, copied)
        return is_inside and is_whole and all(_is_copy(path, read_manifest(path)) for path in parts)
    return False


def _copy(source: Path, target: Path, manifest: Manifest) -> None:
    """Copy the model; its config.json comes last."""
    if target.is_symlink():
        raise OutputError(
            f"cannot write to {target}",
            "it is a link, and rnnlm does not write through links",
            "remove the link",
        )
    target.mkdir(parents=True, exist_ok=True)
    for name in manifest.files:
        _copy_file(source / name, target / name)
    with contextlib.suppress(FileNotFoundError):
        _copy_file(source / CARD, target / CARD)
    copies = bundled(target, part_folders(source, manifest))
    write_manifest(target, replace(manifest, parts=copies))


def _copy_file(source: Path, target: Path) -> None:
    with open(source, "rb") as stream:
        replace_file(target, iter(lambda: stream.read(PIECE), b""))


def _remove(folder: Path) -> None:
    """Delete the files that `_copy` may have written into `folder`, and the folder if nothing else
    is there."""
    with contextlib.suppress(OSError):
        for entry in sorted(folder.iterdir()):
            name = whole_name(entry.name)
            if COPY.fullmatch(entry.name) and not entry.is_symlink():
                _remove(entry)
            elif DATA.fullmatch(name) or COMPANION.fullmatch(name) or name in (CONFIG, CARD):
                entry.unlink()
        folder.rmdir()

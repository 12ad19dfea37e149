"""A model on disk: saved so that a reader sees the old or the new one, never half; loaded without running any code.

Files are written under new names and fsynced, then config.json is replaced atomically, then old files go. config.json
names each file that belongs to the model with its length and SHA-256; everything else in the folder is a companion.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rnnlm import array_files, registry, safe_files, tokenizers
from rnnlm.arrays import drop_pages
from rnnlm.errors import ModelError, OutputError, SettingsError
from rnnlm.interface import LanguageModel, Shapes, Tokenizer
from rnnlm.safe_files import UNFINISHED, replace_file, writing

FORMAT_VERSION = 1
CONFIG = "config.json"
LARGEST_CONFIG = 16 << 20
_DATA = re.compile(  # what we write beside config.json; other files are the user's
    r"(weights-\d{8,}(-[0-9a-f]{8})?\.safetensors|vocab(-[0-9a-f]{8})?\.txt|tokenizer(-[0-9a-f]{8})?\.model)"
    rf"({re.escape(UNFINISHED)})?"
)


@dataclass(frozen=True)
class FileEntry:
    """One file that belongs to the model. role: `weights`, or the tokenizer's name for it."""

    role: str
    bytes: int
    sha256: str


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
    format_version: int = FORMAT_VERSION

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits over the hashes of the model's files."""
        hashes = sorted(f"{entry.role}:{entry.sha256}" for entry in self.files.values())
        return hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:12]


def save(folder: Path, model: LanguageModel, name: str, settings: dict[str, Any], step: int, training: dict[str, Any]) -> Manifest:
    """Write `model` (of the registry's kind `name`) into `folder`, replacing the model that is there.

    Raises:
        OutputError: it cannot be written; what was there before is whole.
    """
    contents = {("weights", f"weights-{step:08d}.safetensors"): list(array_files.chunks(model.to_arrays()))}
    contents |= {(role, role): [data] for role, data in model.tokenizer.to_files().items()}
    files: dict[str, FileEntry] = {}
    family = registry.kind_of(name).family
    with writing(folder):
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            for (role, wanted), pieces in contents.items():
                digest = safe_files.digest(_in_passing(pieces))
                path = folder / wanted
                found = safe_files.sha256(path)
                if found != digest and path.exists():  # a file is immutable once named
                    path = path.with_stem(f"{path.stem}-{digest[:8]}")
                    found = safe_files.sha256(path)
                files[path.name] = FileEntry(role, sum(map(len, pieces)), digest)
                if found != digest:
                    replace_file(path, _in_passing(pieces))
            manifest = Manifest(name, family, settings, model.tokenizer.to_settings(), files, step, training)
            _replace_config(folder, manifest)
        except BaseException:
            _remove_unnamed(folder, files)
            with contextlib.suppress(OSError):
                if is_new:
                    folder.rmdir()
            raise
        _remove_unnamed(folder, (entry.name for entry in folder.iterdir() if _DATA.fullmatch(entry.name)))
    return manifest


def save_results(
    folder: Path, manifest: Manifest, results: dict[str, dict[str, Any]], training: dict[str, Any]
) -> Manifest:
    """The same model with its evaluation `results` and facts of its training."""
    manifest = dataclasses.replace(manifest, results=results, training=training)
    with writing(folder):
        _replace_config(folder, manifest)
    return manifest


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
        raise ModelError(f"no model at {folder}", f"the folder holds no {CONFIG}")
    if path.stat().st_size > LARGEST_CONFIG:
        raise ModelError(f"the model at {folder} is damaged", f"{CONFIG} is larger than {LARGEST_CONFIG} bytes")
    try:
        content = json.loads(path.read_bytes())
        version = content.get("format_version") if isinstance(content, dict) else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ModelError(
                f"the model at {folder} has format {version}", f"this rnnlm reads up to {FORMAT_VERSION}", "upgrade rnnlm"
            )
        manifest = msgspec.convert(content, Manifest)
    except OSError as error:
        raise ModelError(f"cannot read {path}", error.strerror or str(error)) from None
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or not of this form
        raise ModelError(f"the model at {folder} is damaged", f"{CONFIG}: {error}") from None
    for name in manifest.files:
        if name != os.path.basename(name) or name in ("", ".", ".."):
            raise ModelError(f"the model at {folder} is damaged", f"{CONFIG} names a file outside the folder: {name!r}")
    return manifest


def load(folder: Path, device: str = "auto") -> tuple[LanguageModel, Manifest]:
    """The model in `folder`, on `device`. Lengths, names, types and shapes are checked before anything is allocated.

    Raises:
        ModelError: it is missing, damaged, or not what its settings imply. DeviceError: the device is not here.
    """
    manifest = read_manifest(folder)
    try:
        kind, tokenizer, shapes = content(folder, manifest)
        with _naming(folder):
            arrays = _read_arrays(_file(folder, manifest, "weights"), shapes, kind.mapped)
    except ModelError:
        if read_manifest(folder) == manifest:
            raise
        return load(folder, device)  # the model was replaced while we read
    try:
        return kind.from_arrays(manifest.settings, tokenizer, arrays, device, manifest.fingerprint), manifest
    except ModelError as error:  # and no SettingsError: a wrong device is not the folder's fault
        with _naming(folder):
            raise error


def content(folder: Path, manifest: Manifest) -> tuple[registry.Kind, Tokenizer, Shapes]:
    """Kind, tokenizer and the arrays' types and shapes of the model in `folder`; no weights are read.

    Raises:
        ModelError: its settings are not valid, or its files are missing or damaged.
    """
    with _naming(folder):
        kind = registry.kind_of(manifest.model)
        tokenizer = tokenizers.load(manifest.tokenizer, _tokenizer_files(folder, manifest))
        shapes = kind.array_shapes(manifest.settings, tokenizer)
        if shapes is None:  # only the file tells
            shapes = kind.array_shapes(manifest.settings, tokenizer, array_files.shapes(_file(folder, manifest, "weights")))
        return kind, tokenizer, shapes


@contextlib.contextmanager
def _naming(folder: Path) -> Iterator[None]:
    """Turns what is wrong with a model's content into a ModelError that names its folder."""
    try:
        yield
    except (ModelError, SettingsError) as error:
        if isinstance(error, ModelError) and str(folder) in error.what:
            raise
        why = ": ".join(part for part in (error.what, error.why) if part)
        raise ModelError(f"the model at {folder} is damaged", why, error.way_out) from None


def damaged_files(folder: Path, manifest: Manifest) -> list[str]:
    """Files that cannot be read or whose SHA-256 is not the one recorded."""
    return [name for name, entry in manifest.files.items() if safe_files.sha256(folder / name) != entry.sha256]


def is_model(folder: Path) -> bool:
    return os.path.isfile(folder / CONFIG)


def check_output(folder: Path, overwrite: bool) -> None:
    """Make sure a model can be written to `folder`, before hours go into it.

    Raises:
        OutputError: a model is there already, something else is, or it cannot be written.
    """
    with writing(folder):
        if os.path.lexists(folder) and not folder.is_dir():
            raise OutputError(f"cannot write a model to {folder}", "it is a file")
        if is_model(folder) and not overwrite:
            raise OutputError(
                f"{folder} holds a model already", way_out="choose another folder with -o, or replace it with --overwrite"
            )
        names = sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []
        if names and not is_model(folder) and not _is_cut_off(names):
            raise OutputError(f"{folder} is not empty and holds no model", f"it has {names[0]}", "choose another folder with -o")
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryFile(dir=there):  # can we write here? Nothing stays
            pass


def _is_cut_off(names: list[str]) -> bool:
    """Whether a folder of these files is what our own writing leaves when it is killed before config.json: weights come first."""
    ours = all(_DATA.fullmatch(name) or name == CONFIG + UNFINISHED for name in names)
    return ours and any(name.startswith("weights-") for name in names)


def _replace_config(folder: Path, manifest: Manifest) -> None:
    data = json.dumps(msgspec.to_builtins(manifest), indent=2, ensure_ascii=False, allow_nan=False)
    replace_file(folder / CONFIG, data.encode("utf-8", "backslashreplace") + b"\n")  # a file's name may be no UTF-8


def _remove_unnamed(folder: Path, names: Iterable[str]) -> None:
    """Delete those of the files `names` that config.json, as it stands now, does not name."""
    named = set()
    if is_model(folder):
        try:
            named = set(read_manifest(folder).files)
        except ModelError:  # one that we cannot read: better leave all
            return
    for name in set(names) - named:
        with contextlib.suppress(OSError):
            (folder / name).unlink()


def _in_passing(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """The pieces; what is mapped leaves memory when it has been used."""
    for piece in pieces:
        yield piece
        if isinstance(piece, memoryview):
            drop_pages(piece)


def _file(folder: Path, manifest: Manifest, role: str) -> Path:
    """The path of the file with that role, its length checked."""
    for name, entry in manifest.files.items():
        if entry.role == role:
            path = folder / name
            if os.path.islink(path) or not os.path.isfile(path):
                raise ModelError(f"the model at {folder} is damaged", f"{name} is missing, or no plain file")
            if (found := os.path.getsize(path)) != entry.bytes:
                raise ModelError(f"the model at {folder} is damaged", f"{name} has {found} bytes instead of {entry.bytes}")
            return path
    raise ModelError(f"the model at {folder} is damaged", f"{CONFIG} names no {role}")


def _tokenizer_files(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    roles = [entry.role for entry in manifest.files.values() if entry.role != "weights"]
    try:
        return {role: _file(folder, manifest, role).read_bytes() for role in roles}
    except OSError as error:
        raise ModelError(f"cannot read the model at {folder}", error.strerror or str(error)) from None


def _read_arrays(path: Path, shapes: Shapes, stay_mapped: bool) -> dict[str, np.ndarray]:
    """The arrays of a file, if they are those of `shapes`: mapped, or read and seen to be numbers."""
    arrays = array_files.mapped(path)
    array_files.check_shapes(arrays, shapes)
    if stay_mapped:
        return arrays
    for name, array in arrays.items():
        if np.isnan(array).any():
            raise ModelError("the weights are not all numbers", f"array {name!r} holds NaN", "train it anew")
    return {name: np.array(array) for name, array in arrays.items()}

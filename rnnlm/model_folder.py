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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rnnlm import registry, tokenizers
from rnnlm.errors import ModelError, OutputError
from rnnlm.interface import LanguageModel, Tokenizer

FORMAT_VERSION = 1
CONFIG = "config.json"
LARGEST_CONFIG = 16 << 20
_OURS = re.compile(r"(weights|vocab|tokenizer)[\w.-]*\.(safetensors|txt|model)(\.new)?|config\.json(\.new)?|metrics\.jsonl|README\.md")


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
    from safetensors.numpy import save as to_safetensors

    weights = to_safetensors({key: np.ascontiguousarray(value) for key, value in model.to_arrays().items()})
    contents = {("weights", f"weights-{step:08d}.safetensors"): weights}
    contents |= {(role, role): data for role, data in model.tokenizer.to_files().items()}
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        files = {}
        for (role, wanted), data in contents.items():
            digest = hashlib.sha256(data).hexdigest()
            stored = _write_once(folder, wanted, data, digest)
            files[stored] = FileEntry(role, len(data), digest)
        kind = registry.kind_of(name)
        manifest = Manifest(name, kind.family, settings, model.tokenizer.to_settings(), files, step, training)
        _replace_config(folder, manifest)
        _remove_old(folder, manifest)
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
        kind = registry.kind_of(manifest.model)
        tokenizer = load_tokenizer(folder, manifest)
        shapes = kind.array_shapes(manifest.settings, tokenizer.size)
        arrays = _read_arrays(_file(folder, manifest, "weights"), shapes)
        return kind.from_arrays(manifest.settings, tokenizer, arrays, device, manifest.fingerprint), manifest
    except ModelError as error:
        if str(folder) in error.what:
            raise
        raise ModelError(f"the model at {folder} is damaged", f"{error.what}: {error.why}", error.way_out) from None


def load_tokenizer(folder: Path, manifest: Manifest) -> Tokenizer:
    """The tokenizer of the model in `folder`.

    Raises:
        ModelError: its files are missing or damaged.
    """
    return tokenizers.load(manifest.tokenizer, _tokenizer_files(folder, manifest))


def damaged_files(folder: Path, manifest: Manifest) -> list[str]:
    """Files whose SHA-256 is not the one recorded."""
    damaged = []
    for name, entry in manifest.files.items():
        with open(folder / name, "rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != entry.sha256:
                damaged.append(name)
    return damaged


def is_model(folder: Path) -> bool:
    return (folder / CONFIG).is_file()


def check_output(folder: Path, overwrite: bool) -> None:
    """Make sure a model can be written to `folder`, before hours go into it.

    Raises:
        OutputError: a model is there already, something else is, or it cannot be written.
    """
    with writing(folder):
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"cannot write a model to {folder}", "it is a file")
        if is_model(folder) and not overwrite:
            raise OutputError(
                f"{folder} holds a model already", way_out="choose another folder with -o, or replace it with --overwrite"
            )
        foreign = [entry.name for entry in folder.iterdir() if not _OURS.fullmatch(entry.name)] if folder.exists() else []
        if foreign and not is_model(folder):
            raise OutputError(
                f"{folder} is not empty and holds no model", f"it has {foreign[0]}", "choose another folder with -o"
            )
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / "config.json.new"
        probe.write_bytes(b"{}")
        probe.unlink()


@contextlib.contextmanager
def writing(folder: Path):
    """Turns the errors of writing into an OutputError that names the folder."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write to {folder}", error.strerror or str(error), "make space or choose another folder with -o"
        ) from None


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` under a new name, fsync, and put it in the place of `path`."""
    new = path.with_name(path.name + ".new")
    try:
        _write_synced(new, data)
        os.replace(new, path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _write_once(folder: Path, wanted: str, data: bytes, digest: str) -> str:
    """Write `data` as `wanted`, or under a name with its hash where `wanted` has other content; the name used."""
    path = folder / wanted
    if path.exists():
        if path.stat().st_size == len(data) and hashlib.sha256(path.read_bytes()).hexdigest() == digest:
            return wanted
        path = folder / f"{path.stem}-{digest[:8]}{path.suffix}"
    replace_file(path, data)
    return path.name


def _replace_config(folder: Path, manifest: Manifest) -> None:
    data = json.dumps(msgspec.to_builtins(manifest), indent=2, ensure_ascii=False, allow_nan=False)
    replace_file(folder / CONFIG, data.encode("utf-8") + b"\n")


def _remove_old(folder: Path, manifest: Manifest) -> None:
    """Files of earlier models or of writes that were cut off."""
    keep = {*manifest.files, CONFIG, "README.md", "metrics.jsonl"}
    for entry in folder.iterdir():
        if entry.name not in keep and entry.is_file() and _OURS.fullmatch(entry.name):
            entry.unlink(missing_ok=True)


def _write_synced(path: Path, data: bytes) -> None:
    with open(path, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _file(folder: Path, manifest: Manifest, role: str) -> Path:
    """The path of the file with that role, its length checked."""
    for name, entry in manifest.files.items():
        if entry.role == role:
            path = folder / name
            if path.is_symlink() or not path.is_file():
                raise ModelError(f"the model at {folder} is damaged", f"{name} is missing")
            if path.stat().st_size != entry.bytes:
                why = f"{name} has {path.stat().st_size} bytes instead of {entry.bytes}"
                raise ModelError(f"the model at {folder} is damaged", why)
            return path
    raise ModelError(f"the model at {folder} is damaged", f"{CONFIG} names no {role}")


def _tokenizer_files(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    roles = [entry.role for entry in manifest.files.values() if entry.role != "weights"]
    try:
        return {role: _file(folder, manifest, role).read_bytes() for role in roles}
    except OSError as error:
        raise ModelError(f"cannot read the model at {folder}", error.strerror or str(error)) from None


def _read_arrays(path: Path, shapes: dict[str, tuple[str, tuple[int, ...]]]) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, if they are exactly those of `shapes`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stored:
            names = set(stored.keys())
            if names != set(shapes):
                odd = sorted(names ^ set(shapes))[0]
                raise ModelError("the weights do not fit the settings", f"array {odd!r} is missing or unknown")
            for name, (kind, shape) in shapes.items():
                part = stored.get_slice(name)
                found = part.get_dtype(), tuple(part.get_shape())
                if found != (kind, shape):
                    why = f"array {name!r} is {found[0]} {found[1]}, the settings imply {kind} {shape}"
                    raise ModelError("the weights do not fit the settings", why)
            return {name: stored.get_tensor(name) for name in shapes}
    except (SafetensorError, OSError) as error:
        raise ModelError("the weights cannot be read", str(error)) from None


def find(name: str) -> Path:
    """The folder of a model given by path, or by name: in ./checkpoints, then among those shipped.

    Raises:
        ModelError: there is none.
    """
    from rnnlm import checkpoints

    path = Path(name)
    candidates = [path]
    if path.name == name:
        candidates += [Path("checkpoints") / name, checkpoints.FOLDER / name]
    for candidate in candidates:
        if is_model(candidate):
            return candidate
    if path.exists():
        read_manifest(path)
    known = [folder.name for base in (Path("checkpoints"), checkpoints.FOLDER) if base.is_dir() for folder in base.iterdir() if is_model(folder)]
    hint = f"there are: {', '.join(sorted(set(known)))}" if known else "train one: rnnlm train"
    raise ModelError(f"no model at {name}", "there is no such folder", hint)

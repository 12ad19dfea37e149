"""What a row of the tables says, and how the files it needs are made."""

import bz2
import gzip
import hashlib
import json
import lzma
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from rnnlm.files import tensors
from support.saved_models import sealed

Maker = Callable[[Path, Mapping[str, Path]], None]  # (where, the models by name)
TINY = "--set hidden_size=8 --set embedding_size=8 --precision fp32 --budget 2steps"


@dataclass(frozen=True)
class Bad:
    """One bad input. command: as typed in a shell, {NAME} standing for a model or text that is
    there; what: how its error begins, None: it is no error (code 0), and what is shown must be
    harmless. files: by name, their content or what makes them. keeps: whether the folder must be
    the same afterwards, which it need not where all goes well."""

    name: str
    command: str
    what: str | None = ""
    files: Mapping[str, bytes | Maker] = field(default_factory=dict)
    code: int = 1
    stdin: bytes = b""
    keeps: bool = True

    def make(self, folder: Path, models: Mapping[str, Path]) -> None:
        for name, content in self.files.items():
            if isinstance(content, bytes):
                (folder / name).write_bytes(content)
            else:
                content(folder / name, models)


def usage(name: str, command: str, what: str = "", files: Mapping[str, bytes | Maker] = {}) -> Bad:
    """Return a case in which the request itself is wrong."""
    return Bad(name, command, what, files, code=2)


def fine(name: str, command: str, files: Mapping[str, bytes | Maker] = {}) -> Bad:
    """Return a case that is odd, but no error."""
    return Bad(name, command, None, files, code=0)


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


COMPRESS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zst}


def repeated(piece: bytes, times: int, suffix: str) -> bytes:
    """Return a small compressed file of much text: one member, stream or frame after another."""
    return COMPRESS[suffix](piece) * times


def large(make: Callable[[], bytes]) -> Maker:
    """Make a large file only when it is needed, as it takes a moment."""
    return lambda path, models: path.write_bytes(make()) and None


def folder(**files: bytes) -> Maker:
    """Make a folder of these files; __ in a name becomes /."""

    def make(path: Path, models: Mapping[str, Path]) -> None:
        for name, content in files.items():
            place = path / name.replace("__", "/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)

    return make


def copy(name: str) -> Maker:
    """Make a copy of a model."""
    return lambda path, models: shutil.copytree(models[name], path, symlinks=True) and None


def model(name: str, *damages: Callable[[Path], None]) -> Maker:
    """Make a damaged copy of a model."""

    def make(path: Path, models: Mapping[str, Path]) -> None:
        shutil.copytree(models[name], path)
        for damage in damages:
            damage(path)

    return make


def weights_file(folder: Path) -> Path:
    return next(folder.glob("weights-*.safetensors"))


def config(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Change config.json, and seal its settings again. `change` edits its content, or
    returns another."""

    def damage(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_bytes())
        content = sealed(change(content) or content)
        (folder / "config.json").write_text(json.dumps(content))

    return damage


def edited(
    name: str, change: Callable[[bytes], bytes], in_config: bool = True
) -> Callable[[Path], None]:
    """Change the bytes of a file ("weights": whatever its step). in_config: config.json gets their
    new length and hash."""

    def damage(folder: Path) -> None:
        path = weights_file(folder) if name == "weights" else folder / name
        path.write_bytes(change(path.read_bytes()))
        if in_config:
            recorded(folder, path.name)

    return damage


def recorded(folder: Path, name: str) -> None:
    """Enter the current length and hash of a file in config.json, as the maker of a hostile model
    would."""

    def enter(content: dict[str, Any]) -> None:
        if name in content.get("files", {}):
            data = (folder / name).read_bytes()
            content["files"][name].update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    config(enter)(folder)


def header(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Change the header of the weights' safetensors file."""

    def edit(data: bytes) -> bytes:
        size = int.from_bytes(data[:8], "little")
        entries = json.loads(data[8 : 8 + size])
        entries = change(entries) or entries
        text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
        return len(text).to_bytes(8, "little") + text + data[8 + size :]

    return edited("weights", edit)


def arrays(change: Callable[[dict[str, np.ndarray]], Any]) -> Callable[[Path], None]:
    """Change the arrays of the weights, in a file that stays well-formed."""

    def damage(folder: Path) -> None:
        path = weights_file(folder)
        found = {name: np.array(array) for name, array in tensors.mapped(path).items()}
        found = change(found) or found
        path.write_bytes(b"".join(tensors.chunks(found)))
        recorded(folder, path.name)

    return damage

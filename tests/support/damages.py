"""Damages to a model's folder, as functions of the folder. What config.json says of lengths, hashes
and its own seal is right afterwards unless that is the damage: so does the maker of a hostile
model."""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm.storage.files import tensors
from support.saved_models import edit_config, weights_file
from support.systems import need

Damage = Callable[[Path], Any]


class _Bomb:
    """Unpickled, it would leave a file behind."""

    def __reduce__(self):
        return (open, ("hacked", "w"))


PICKLE = pickle.dumps(_Bomb())


def place(folder: Path, name: str) -> Path:
    """Return the path of a file; "weights" is that of the last step."""
    return weights_file(folder) if name == "weights" else folder / name


def write(name: str, content: bytes) -> Damage:
    return lambda folder: place(folder, name).write_bytes(content)


def cut(name: str, size: int) -> Damage:
    """Leave that many bytes of a file, or all but the last -`size`."""
    return lambda folder: write(name, place(folder, name).read_bytes()[:size])(folder)


def remove(name: str) -> Damage:
    return lambda folder: place(folder, name).unlink()


def link(name: str, target: str = "") -> Damage:
    """Replace a file by a link to `target`, or by one to itself, moved out of the folder."""

    def damage(folder: Path) -> None:
        need("links")
        path = place(folder, name)
        moved = path.rename(folder.parent / "elsewhere")
        path.symlink_to(target or moved)

    return damage


def config(change: Callable[[dict], Any] = dict, **values: Any) -> Damage:
    """Change config.json: set these values, then apply `change`."""

    def edit(content: dict) -> None:
        content.update(values)
        change(content)

    return lambda folder: edit_config(folder, edit)


def edited(name: str, change: Callable[[bytes], bytes]) -> Damage:
    """Change the bytes of a file, and what config.json says of it."""

    def damage(folder: Path) -> None:
        path = place(folder, name)
        path.write_bytes(change(path.read_bytes()))
        recorded(folder, path.name)

    return damage


def recorded(folder: Path, name: str) -> None:
    """Enter the current length and hash of a file in config.json."""
    data = (folder / name).read_bytes()
    entry = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    edit_config(folder, lambda content: content["files"][name].update(entry))


def arrays(change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Damage:
    """Change the arrays of the weights, in a file that stays well-formed."""

    def damage(folder: Path) -> None:
        path = weights_file(folder)
        weights = {name: np.array(array) for name, array in tensors.mapped(path).items()}
        path.write_bytes(b"".join(tensors.chunks(change(weights))))
        recorded(folder, path.name)

    return damage


def first_array(change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    """Change the first array of floating-point numbers."""

    def change_first(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        name = next(name for name, array in weights.items() if array.dtype.kind == "f")
        return {**weights, name: change(weights[name])}

    return arrays(change_first)


def filled(value: float) -> Damage:
    return first_array(lambda array: np.full_like(array, value))

"""Arrays in 16 or 8 bits, divided over files of bounded size: for carrying models about, at half the bytes or a quarter.

bfloat16 is the upper half of a float32: eight bits of mantissa are kept, rounded to nearest, ties to even. With 8 bits, each row of a
matrix is whole numbers from -127 to 127 times a scale of its own, NAME@scale (symmetric, per channel: Krishnamoorthi 2018, section
2.1); vectors stay bfloat16. An array that is larger than a file is cut along its first axis; its pieces are named NAME#0, NAME#1, ...
"""

from collections.abc import Iterator, Mapping

import numpy as np

from rnnlm.errors import ModelError
from rnnlm.files.tensor_files import BF16

MOST_BYTES = 14_900_000  # of the arrays of a file, which stays below 15 MB with its header
CUT = "#"
SCALE = "@scale"
LONGEST_NUMBER = 9  # digits, of a piece
LARGEST_WHOLE = 127  # of 8 bits, symmetric


def rounded(array: np.ndarray) -> np.ndarray:
    """float32 as bfloat16; arrays of other types as they are."""
    if array.dtype != np.float32:
        return array
    bits = np.ascontiguousarray(array).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).view(BF16).reshape(array.shape)


def widened(array: np.ndarray) -> np.ndarray:
    """bfloat16 as float32, exactly; arrays of other types as they are."""
    if array.dtype != BF16:
        return array
    return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def scaled(name: str, array: np.ndarray) -> dict[str, np.ndarray]:
    """A float32 matrix as whole numbers and the scale of each row; other arrays rounded."""
    if array.dtype != np.float32 or array.ndim < 2:
        return {name: rounded(array)}
    rows = array.reshape(len(array), -1)
    scale = np.abs(rows).max(axis=1, initial=0.0) / LARGEST_WHOLE
    wholes = np.rint(rows / np.where(scale > 0, scale, 1)[:, None]).astype(np.int8)
    return {name: wholes.reshape(array.shape), name + SCALE: scale.astype(np.float32)}


def divided(arrays: Mapping[str, np.ndarray], bits: int = 16, most_bytes: int = MOST_BYTES) -> list[dict[str, np.ndarray]]:
    """The arrays in 16 or 8 bits, file by file: as few as hold them in order of size."""
    small: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        small |= scaled(name, array) if bits == 8 else {name: rounded(array)}
    files: list[dict[str, np.ndarray]] = []
    room: list[int] = []
    pieces = [piece for name, array in small.items() for piece in _pieces(name, array, most_bytes)]
    for name, piece in sorted(pieces, key=lambda each: -each[1].nbytes):
        at = next((at for at, left in enumerate(room) if piece.nbytes <= left), None)
        if at is None:
            files.append({})
            room.append(most_bytes)
            at = -1
        files[at][name] = piece
        room[at] -= piece.nbytes
    return files or [{}]


def joined(files: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of files that :func:`divided` made, or of one with whole arrays; in float32 again.

    Raises:
        ModelError: an array appears twice, or pieces or scales do not fit.
    """
    found: dict[str, dict[int, np.ndarray]] = {}
    for name, array in (each for arrays in files for each in arrays.items()):
        whole, cut, number = name.rpartition(CUT)
        whole, at = (whole, int(number)) if cut and number.isdecimal() and len(number) <= LONGEST_NUMBER else (name, -1)
        if at in found.setdefault(whole, {}):
            raise ModelError("the weights cannot be read", f"array {name!r} appears twice")
        found[whole][at] = array
    return _multiplied({name: _whole(name, pieces) for name, pieces in found.items()})


def _multiplied(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Whole numbers times their scales, as float32; other arrays as they are."""
    for name in [name for name in arrays if name.endswith(SCALE)]:
        scale, wholes = arrays.pop(name), arrays.get(name.removesuffix(SCALE))
        if wholes is None or wholes.dtype != np.int8 or scale.dtype != np.float32 or scale.shape != wholes.shape[:1]:
            raise ModelError("the weights cannot be read", f"array {name!r} is not the scale of another array")
        arrays[name.removesuffix(SCALE)] = wholes * scale.reshape(-1, *[1] * (wholes.ndim - 1))
    return arrays


def _pieces(name: str, array: np.ndarray, most_bytes: int) -> Iterator[tuple[str, np.ndarray]]:
    if array.nbytes <= most_bytes or array.ndim == 0:
        yield name, array
        return
    rows = max(1, most_bytes // (array.nbytes // len(array)))
    for number, start in enumerate(range(0, len(array), rows)):
        yield f"{name}{CUT}{number}", array[start : start + rows]


def _whole(name: str, pieces: dict[int, np.ndarray]) -> np.ndarray:
    if pieces.keys() == {-1}:
        return widened(pieces[-1])
    if pieces.keys() != set(range(len(pieces))):
        raise ModelError("the weights cannot be read", f"a piece of array {name!r} is missing")
    try:
        return widened(np.concatenate([pieces[number] for number in range(len(pieces))]))
    except (ValueError, TypeError):
        raise ModelError("the weights cannot be read", f"the pieces of array {name!r} do not fit together") from None

"""Arrays in 16 or 8 bits: models at half their bytes, or a quarter.

bfloat16 is the upper half of a float32: eight bits of mantissa are kept, rounded to nearest, ties to even. With 8 bits, each row of a
matrix is whole numbers from -127 to 127 times a scale of its own, NAME@scale (symmetric, per channel: Krishnamoorthi 2018, section
2.1); vectors stay bfloat16. Earlier versions divided arrays over several files, and cut large ones along their first axis into pieces
named NAME#0, NAME#1, ...; these are still read.
"""

from collections.abc import Mapping

import numpy as np

from rnnlm.errors import ModelError
from rnnlm.files.tensor_files import BF16

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


def compacted(arrays: Mapping[str, np.ndarray], bits: int) -> dict[str, np.ndarray]:
    """The arrays in 16 or 8 bits."""
    small: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        small |= scaled(name, array) if bits == 8 else {name: rounded(array)}
    return small


def joined(files: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of the files of a model, compact or not; in float32 again.

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


def _whole(name: str, pieces: dict[int, np.ndarray]) -> np.ndarray:
    if pieces.keys() == {-1}:
        return widened(pieces[-1])
    if pieces.keys() != set(range(len(pieces))):
        raise ModelError("the weights cannot be read", f"a piece of array {name!r} is missing")
    try:
        return widened(np.concatenate([pieces[number] for number in range(len(pieces))]))
    except (ValueError, TypeError):
        raise ModelError("the weights cannot be read", f"the pieces of array {name!r} do not fit together") from None

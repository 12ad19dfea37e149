"""Convert between numpy arrays and arrays on a model's device: the only place that does.

torch is imported only once an array of torch is at hand.
"""

import math
import mmap
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rnnlm.errors import ArgumentTypeError, given
from rnnlm.interface import Array


def as_numpy(values: Array) -> np.ndarray:
    """Convert an array to a NumPy array of the same shape and type in main memory.

    A NumPy array is returned unchanged. A torch tensor is detached, and copied if it cannot be
    viewed.

    Args:
        values: A NumPy array or torch tensor, such as the results of a model's `score` and
            `predict`.

    Returns:
        The array, in main memory.

    Raises:
        ArgumentTypeError: `values` is of another type.
    """
    if isinstance(values, np.ndarray):
        return values
    if not hasattr(values, "detach"):
        raise ArgumentTypeError(f"values must be a numpy or torch array, not {given(values)}")
    return values.detach().cpu().numpy()


def as_array_of(values: object, reference: Array) -> Array:
    """Return `values` as the array type of `reference`, on its device."""
    if not isinstance(reference, np.ndarray):
        import torch

        return torch.as_tensor(values, device=reference.device)
    return as_numpy(values) if hasattr(values, "detach") else np.asarray(values)


def blocks(length: int, size: int) -> Iterator[slice]:
    """Yield the slices that cut so many places into blocks of `size`; the last may be smaller."""
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


def mixed(logprob: Array, share: Array, weight: float) -> Array:
    """Return log((1 - weight) exp(logprob) + weight share) in nats. `share` is a probability.

    The result is an array of the type that :func:`same_dtype` gives both.
    """
    # A share of zero is no error: its logarithm is minus infinity, which adds nothing.
    logprob, share = same_dtype([logprob, share])
    xp = library(logprob)
    with np.errstate(divide="ignore"):
        return xp.logaddexp(logprob + math.log1p(-weight), xp.log(weight * share))


def with_prefix(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return `arrays` with `prefix` before each name, as part of a larger collection."""
    return {prefix + name: array for name, array in arrays.items()}


def strip_prefix(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays whose names begin with `prefix`, without it: undo :func:`with_prefix`."""
    names = [name for name in arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): arrays[name] for name in names}


def same_dtype(values: Sequence[Array]) -> list[Array]:
    """Return `values` as arrays of one type: the type of the first tensor, on its device, or
    float64 if all are NumPy arrays."""
    reference = next((value for value in values if not isinstance(value, np.ndarray)), None)
    if reference is None:
        return [value.astype(np.float64, copy=False) for value in values]
    import torch

    def as_tensor(value: Array) -> Array:
        # torch warns of arrays that it could not write to
        if isinstance(value, np.ndarray):
            value = np.require(value, requirements="W")
        return torch.as_tensor(value, dtype=reference.dtype, device=reference.device)

    return list(map(as_tensor, values))


def library(values: Array) -> Any:
    """Return numpy or torch, whichever the array `values` belongs to. Many functions (exp, where,
    logaddexp) have the same name in both."""
    if isinstance(values, np.ndarray):
        return np
    import torch

    return torch


def mapping_of(array: object) -> mmap.mmap | None:
    """Return the mapped file that an array is a part of; None: it is in memory."""
    # A view knows only the object that it was made from, so go back to the map itself.
    owner: Any = array
    while isinstance(owner, (np.ndarray, memoryview)):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    return owner if isinstance(owner, mmap.mmap) else None


def drop_pages(array: object) -> None:
    """Let the system drop the pages of a mapped array, or file, from memory; they are read again
    when needed. Other arrays are left alone."""
    mapping = array if isinstance(array, mmap.mmap) else mapping_of(array)
    if mapping is not None and sys.platform != "win32":
        mapping.madvise(mmap.MADV_DONTNEED)

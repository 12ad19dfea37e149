"""The only doors between numpy arrays and the arrays of a model's own device. Never imports torch
itself."""

import math
import mmap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnlm.errors import ArgumentTypeError, given
from rnnlm.interface import Array


def as_numpy(values: Array) -> np.ndarray:
    """`values`, an array of numpy or torch such as a model's `score` and `predict` give, as a numpy
    array of the same shape and type on the host: itself where it is one, else a copy or a view,
    without gradients. Waits for the device.

    Raises:
        ArgumentTypeError (a TypeError): it is neither.
    """
    if isinstance(values, np.ndarray):
        return values
    if not hasattr(values, "detach"):
        raise ArgumentTypeError(f"values must be an array of numpy or torch, not {given(values)}")
    return values.detach().cpu().numpy()


def total(values: Array) -> float:
    """The sum of `values` in float64, taken on the device."""
    if isinstance(values, np.ndarray):
        return float(values.sum(dtype=np.float64))
    return float(values.double().sum())


def as_array_of(values: object, reference: Array) -> Array:
    """`values` as the array type of `reference`, on its device."""
    if isinstance(reference, np.ndarray):
        return as_numpy(values) if hasattr(values, "detach") else np.asarray(values)
    import torch

    return torch.as_tensor(values, device=reference.device)


def mixed(logprob: Array, share: Array, weight: float) -> Array:
    """log((1 - weight) exp(logprob) + weight share), nats, as :func:`same_dtype` makes arrays of
    both; `share` is a probability."""
    logprob, share = same_dtype([logprob, share])
    xp = library(logprob)
    with np.errstate(divide="ignore"):
        return xp.logaddexp(logprob + math.log1p(-weight), xp.log(weight * share))


def with_prefix(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """`arrays` with the names that they have as a part of more: `prefix` before each."""
    return {prefix + name: array for name, array in arrays.items()}


def strip_prefix(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """What :func:`with_prefix` was given, out of all of `arrays`."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def same_dtype(values: Sequence[Array]) -> list[Array]:
    """`values` as arrays of one type: that of the first that is no numpy array, on its device;
    float64 where all are numpy's."""
    reference = next((each for each in values if not isinstance(each, np.ndarray)), None)
    if reference is None:
        return [each.astype(np.float64, copy=False) for each in values]
    import torch

    writable = [
        np.require(each, requirements="W") if isinstance(each, np.ndarray) else each
        for each in values
    ]
    return [
        torch.as_tensor(each, dtype=reference.dtype, device=reference.device) for each in writable
    ]


def library(values: Array) -> Any:
    """numpy or torch: the library whose array `values` is. Many functions (exp, where, logaddexp)
    have one name in both."""
    if isinstance(values, np.ndarray):
        return np
    import torch

    return torch


def drop_pages(array: np.ndarray | memoryview) -> None:
    """What of a mapped array is in memory may leave it, to be read again when needed. Does nothing
    to other arrays."""
    owner: Any = array
    while isinstance(owner, (np.ndarray, memoryview)):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)

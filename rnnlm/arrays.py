"""The only doors between numpy arrays and the arrays of a model's own device. Never imports torch itself."""

import math
import mmap
from typing import Any

import numpy as np

from rnnlm.interface import Array


def as_numpy(values: Array) -> np.ndarray:
    """`values` as a numpy array on the host; waits for the device."""
    if isinstance(values, np.ndarray):
        return values
    return values.detach().cpu().numpy()


def total(values: Array) -> float:
    """The sum of `values` in float64, taken on the device."""
    if isinstance(values, np.ndarray):
        return float(values.sum(dtype=np.float64))
    return float(values.double().sum())


def like(values: Any, reference: Array) -> Array:
    """`values` as the array type of `reference`, on its device."""
    if isinstance(reference, np.ndarray):
        return as_numpy(values) if hasattr(values, "detach") else np.asarray(values)
    import torch

    return torch.as_tensor(values, device=reference.device)


def mixed(logprob: Array, share: Array, weight: float) -> Array:
    """log((1 - weight) exp(logprob) + weight share), nats, in the type of `logprob`; `share` is a probability."""
    if isinstance(logprob, np.ndarray):
        with np.errstate(divide="ignore"):
            return np.logaddexp(logprob + math.log1p(-weight), np.log(weight * share)).astype(logprob.dtype)
    import torch

    share = torch.as_tensor(share, device=logprob.device).to(logprob.dtype)
    return torch.logaddexp(logprob + math.log1p(-weight), (weight * share).log())


def drop_pages(array: np.ndarray | memoryview) -> None:
    """What of a mapped array is in memory may leave it, to be read again when needed. Does nothing to other arrays."""
    owner: Any = array
    while isinstance(owner, (np.ndarray, memoryview)):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)

"""The states of all that random numbers are drawn from, as tensors: torch's generators, and those that python and numpy share.

Training itself draws from torch's, and from numpy generators of its own that are made anew each epoch; what is built on it may use others.
"""

import random

import numpy as np
import torch
from torch import Tensor

KINDS = ("cpu", "python", "numpy", "cuda")
PLACES = 624  # words of a Mersenne twister's state


def begin(seed: int) -> None:
    """All draw from `seed` on: so two runs have the same states at the same step."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # it takes no larger one


def taken(device: torch.device) -> dict[str, Tensor]:
    """Of each of :data:`KINDS`, cuda where that is the `device`; of one kind, all have one shape."""
    _, words, normal = random.getstate()
    _, key, *numpy_place = np.random.get_state()
    states = {
        "cpu": torch.get_rng_state(),
        "python": _numbers(*words, normal is not None, normal or 0.0),
        "numpy": _numbers(*key, *numpy_place),
    }
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def put_back(states: dict[str, Tensor], device: torch.device) -> None:
    """Draw on from `states`; where another than cpu is missing (of another device, or an earlier version), what there is stays.

    Raises:
        KeyError, TypeError, ValueError, RuntimeError: they are none.
    """
    torch.set_rng_state(states["cpu"])
    if "python" in states:
        *words, has_normal, normal = states["python"].tolist()
        random.setstate((3, tuple(int(word) for word in words), normal if has_normal else None))
    if "numpy" in states:
        *key, place, has_normal, normal = states["numpy"].tolist()
        if not 0 <= place <= PLACES:
            raise ValueError(f"numpy's random state is at {place}")
        np.random.set_state(("MT19937", np.array(key, np.float64).astype(np.uint32), int(place), int(has_normal), normal))
    if "cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


def _numbers(*numbers: float) -> Tensor:
    """As float64, which holds words of 32 bits exactly."""
    return torch.from_numpy(np.array(numbers, np.float64))

"""Which cells of a batch of texts hold words, and which are padding."""

import torch
from torch import Tensor


def is_word(T: int, lengths_B: Tensor) -> Tensor:
    """Whether each of T places of each row is one of its first `lengths_B`: (T, B) bool."""
    return torch.arange(T, device=lengths_B.device).unsqueeze(1) < lengths_B

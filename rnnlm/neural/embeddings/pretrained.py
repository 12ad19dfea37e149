"""Word vectors made elsewhere, put into a network."""

import torch
from torch import Tensor

from rnnlm.text.vector_files import FoundVectors


def load_vectors(weight_VE: Tensor, found: FoundVectors) -> None:
    """Write the vectors into their rows; other rows stay as they are."""
    with torch.no_grad():
        ids_K, values_KE = (torch.from_numpy(array).to(weight_VE.device) for array in (found.ids_K, found.values_KE))
        weight_VE.index_copy_(0, ids_K, values_KE.to(weight_VE.dtype))

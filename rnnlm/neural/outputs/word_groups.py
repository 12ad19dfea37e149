"""The vocabulary in descending count, cut into groups of neighbours: clusters of the adaptive softmax, classes.

A token's rank is its place in that order; a group is a run of ranks.
"""

import torch
from torch import Tensor

from rnnlm.errors import ModelError


def order_by_count(counts_V: Tensor) -> Tensor:
    """The tokens in descending count, equal counts in ascending id: rank to id, (V,) int32."""
    return torch.argsort(counts_V, descending=True, stable=True).int()


def ranks(order_V: Tensor) -> Tensor:
    """Id to rank, (V,) int64: the inverse of an order.

    Raises:
        ModelError: it is not a permutation.
    """
    sorted_V, rank_V = torch.sort(order_V.long())
    if not torch.equal(sorted_V, torch.arange(len(order_V), device=order_V.device)):
        raise ModelError("the output layer's order of words is damaged", "it is not a permutation of the vocabulary")
    return rank_V


def picks_rows(features_NE: Tensor) -> bool:
    """Whether a group is computed for its own rows alone: where the host need not wait for a device to count them."""
    return features_NE.device.type == "cpu"


def rows_by_group(group_N: Tensor, groups: int) -> tuple[Tensor, list[int]]:
    """The rows sorted by group, and how many rows each of the groups 0 ... `groups` has. Where :func:`picks_rows`."""
    counts = torch.bincount(group_N, minlength=groups + 1).tolist()
    return torch.argsort(group_N, stable=True), counts

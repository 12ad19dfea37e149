"""Huffman's binary tree over the vocabulary (Huffman 1952): the rarer a word, the longer its path from the root.

Nodes are numbered: words 0 ... V-1, inner nodes V ... 2V-2 in the order in which they are joined, so that a parent has
a larger number than its children and the root is the last.
"""

import heapq
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnlm.errors import ModelError

DEEPEST = 100  # a Huffman tree over counts below 2^64 has at most log 2^64 / log 1.618 = 93 levels


def huffman(counts: list[int]) -> tuple[list[int], list[int]]:
    """Each node's parent (2V - 2 of them: the root has none) and each node's count (2V - 1), for whole-numbered counts.

    Equal counts are joined in the order of their numbers, so the tree is the same everywhere.
    """
    counts, parents = list(counts), [0] * (2 * len(counts) - 2)
    heap = list(zip(counts, range(len(counts)), strict=True))
    heapq.heapify(heap)
    while len(heap) > 1:
        (a, left), (b, right) = heapq.heappop(heap), heapq.heappop(heap)
        parents[left] = parents[right] = node = len(counts)
        counts.append(a + b)
        heapq.heappush(heap, (a + b, node))
    return parents, counts


@dataclass(frozen=True)
class Paths:
    """The ways from the root to the words, D the longest; inner nodes are numbered from 0 here.

    inner_VD: inner nodes of each word's path, bottom up, int32, 0 where it has ended. sign_VD: int8, +1 where the path goes
    on to a node's first child, -1 to the second, 0 where it has ended. order_M: all nodes but the root, by depth;
    levels: how many of them each depth has. sign_M: each node's own sign.
    """

    inner_VD: Tensor
    sign_VD: Tensor
    sign_M: Tensor
    order_M: Tensor
    levels: tuple[int, ...]


def paths(parent_M: Tensor) -> Paths:
    """The paths of a tree of M + 1 nodes, given each node's parent; all words climb at once, a level at a time.

    Raises:
        ModelError: it is not a binary tree whose parents have larger numbers than their children, or no Huffman tree.
    """
    M, V = len(parent_M), len(parent_M) // 2 + 1
    node_M, parent_M = torch.arange(M, device=parent_M.device), parent_M.long()
    sorted_M, order_M = torch.sort(parent_M, stable=True)
    if not torch.equal(sorted_M, V + node_M // 2) or not bool((parent_M > node_M).all()):
        raise ModelError("the output layer's tree is damaged", "it is not a binary tree over the vocabulary")
    sign_M = torch.empty_like(parent_M)
    sign_M[order_M] = 1 - 2 * (node_M % 2)  # of two children in a row, the first is the one with the smaller number
    root, climbing = M, torch.arange(M, device=parent_M.device)
    depth_M, inner, signs = torch.zeros_like(parent_M), [], []
    parent_of, sign_of = torch.cat([parent_M, parent_M.new_tensor([root])]), torch.cat([sign_M, sign_M.new_zeros(1)])
    while bool((climbing != root).any()):
        depth_M += climbing != root
        above = parent_of[climbing]
        inner.append(torch.where(climbing[:V] == root, 0, above[:V] - V).int())
        signs.append(sign_of[climbing[:V]].to(torch.int8))
        climbing = above
        if len(inner) > DEEPEST:  # the tables of a chain would fill the memory
            raise ModelError("the output layer's tree is damaged", "it is deeper than any Huffman tree")
    return Paths(
        torch.stack(inner, dim=1), torch.stack(signs, dim=1), sign_M, torch.argsort(depth_M, stable=True),
        tuple(torch.bincount(depth_M)[1:].tolist()),
    )  # fmt: skip

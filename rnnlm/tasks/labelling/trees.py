"""Binary trees over the words of texts as numbers, and the order in which a network computes the
nodes of a batch of them: all nodes of one height at once.

Shapes: T words and N = 2 T - 1 nodes of a text (the longest, where there are several), B texts, C
nodes in all texts. Nodes are numbered as in :class:`rnnlm.tasks.labelling.formats.example.Tree`.
"""

import functools
from collections.abc import Sequence

import numpy as np

from rnnlm.tasks.labelling.formats.example import Tree

# Rows of a tree's array. side: 0 the left child, 1 the right one; given: the height of the parent
ROWS = 4
PARENT, SIDE, HEIGHT, GIVEN = range(ROWS)


def nodes_of(words: Sequence[str]) -> np.ndarray:
    """Return parent, side, height and height of the parent of each node, (4, N), -1 where the root
    has none: of the tree over the words if they have one, else of a balanced one. Without words
    there is one node."""
    if isinstance(words, Tree):
        return _nodes(len(words), words.children)
    return balanced(max(1, len(words)))


@functools.lru_cache(maxsize=1024)
def balanced(words: int) -> np.ndarray:
    """Return the nodes of a balanced tree, as :func:`nodes_of` does: neighbours are joined in
    pairs, then these, up to the root (Shi et al. 2018 find that such trees do about as well)."""
    children: list[tuple[int, int]] = []
    nodes = list(range(words))
    while len(nodes) > 1:
        pairs = list(zip(nodes[::2], nodes[1::2], strict=False))
        above = range(words + len(children), words + len(children) + len(pairs))
        children += pairs
        nodes = [*above, *nodes[2 * len(pairs) :]]
    nodes_4N = _nodes(words, children)
    nodes_4N.setflags(write=False)  # all texts of that length share it
    return nodes_4N


def _nodes(words: int, children: Sequence[tuple[int, int]]) -> np.ndarray:
    heights = [0] * words
    for left, right in children:
        heights.append(1 + max(heights[left], heights[right]))
    nodes_4N = np.full((ROWS, len(heights)), -1, dtype=np.int64)
    nodes_4N[HEIGHT] = heights
    for side, of_side in enumerate(zip(*children, strict=True)):
        nodes_4N[PARENT, of_side] = np.arange(words, len(heights))
        nodes_4N[SIDE, of_side] = side
        nodes_4N[GIVEN, of_side] = heights[words:]
    return nodes_4N


def spans(nodes_4N: np.ndarray) -> list[tuple[int, int]]:
    """Return the first word of each node of a tree, and the one after its last."""
    first_N, end_N = np.arange(nodes_4N.shape[1]), np.arange(1, 1 + nodes_4N.shape[1])
    # Children come before their parents.
    for number, (parent, side, _, _) in enumerate(nodes_4N.T[:-1].tolist()):
        bound_N = end_N if side else first_N
        bound_N[parent] = bound_N[number]
    return list(zip(first_N.tolist(), end_N.tolist(), strict=True))


def plan(
    nodes_MB: np.ndarray,
) -> tuple[np.ndarray, list[list[tuple[int, int]]], np.ndarray, np.ndarray]:
    """Plan the computation of a batch of trees: return words, pieces, children, nodes.

    nodes_MB: the rows of the trees' arrays, M = 4 N, -1 in padding. words: the place in (T, B),
    flattened, of each leaf's word. pieces: of each height, how many nodes have their parents at
    which height (-1: roots); the nodes of a height lie in this order. children: for all heights
    above the leaves, end to end, the rows of left and right child of each node, among those that
    the lower heights give to this one. nodes: the row of each node of (N, B), flattened, in the
    order of computation.

    Each node is copied once, to its parent, so that time and memory grow with the number of nodes,
    however deep the trees are.

    For the tree ((a b) c) alone, nodes 0 to 2 are its words, 3 is (a b) and 4 the root. The order
    is a, b, c, (a b), root. pieces: the leaves give 2 nodes to height 1 and 1 to height 2, (a b)
    gives 1 to height 2, the root is a root: [[(1, 2), (2, 1)], [(2, 1)], [(-1, 1)]]. Height 1 gets
    a and b, height 2 gets c and (a b), in the order in which they were computed: children are
    0, 1 of (a b), and 1, 0 of the root, whose left child is (a b).
    """
    B = nodes_MB.shape[1]
    parent_X, side_X, height_X, given_X = nodes_MB.reshape(ROWS, -1)  # X = N B
    parent_X = parent_X * B + np.arange(len(parent_X)) % B

    # The order of computation: by height, within a height by that of the parent.
    order_C = np.lexsort((given_X, height_X))[np.count_nonzero(height_X < 0) :]
    row_X = np.zeros(len(parent_X), dtype=np.int64)
    row_X[order_C] = np.arange(len(order_C))
    steps_2C = np.stack([height_X[order_C], given_X[order_C]])
    steps, counts = np.unique(steps_2C, axis=1, return_counts=True)
    pieces: list[list[tuple[int, int]]] = [[] for _ in range(height_X.max() + 1)]
    for height, given, count in zip(*steps.tolist(), counts.tolist(), strict=True):
        pieces[height].append((given, count))

    # The nodes that a height is given lie in the order of their computation. Roots come first.
    child_C = order_C[np.argsort(given_X[order_C], kind="stable")][B:]
    begins_G = np.searchsorted(given_X[child_C], np.arange(len(pieces)))
    child_X2 = np.zeros((len(parent_X), 2), dtype=np.int64)
    child_X2[parent_X[child_C], side_X[child_C]] = (
        np.arange(len(child_C)) - begins_G[given_X[child_C]]
    )
    leaves_C, inner_C = np.split(order_C, [np.count_nonzero(height_X == 0)])
    return leaves_C, pieces, child_X2[inner_C].ravel(), row_X

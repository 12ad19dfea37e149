"""Hierarchical softmax by an example worked out; Huffman's tree: optimal, or damaged."""

import numpy as np
import pytest
import torch

from rnnlm.errors import ModelError
from rnnlm.lm.neural.outputs.classes import HierarchicalSoftmax, huffman, paths
from support.output_layers import make


def test_a_words_probability_is_its_paths_decisions():
    layer = HierarchicalSoftmax(3, 2)
    # the root decides between word 0 and the node that decides between 1 and 2
    layer.arrange(torch.tensor([5, 1, 1]))
    layer.prepare()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -1.0], [0.5, 2.0]]))
        layer.bias.copy_(torch.tensor([0.1, -0.3]))
    h = torch.tensor([[0.7, 0.2]])
    lower, root = torch.sigmoid(torch.tensor([0.7 - 0.2 + 0.1, 0.35 + 0.4 - 0.3])).tolist()
    first = layer.sign_M[0].item()  # which child of the root word 0 is
    p_0 = root if first == 1 else 1 - root
    expected = torch.tensor([[p_0, (1 - p_0) * lower, (1 - p_0) * (1 - lower)]])
    torch.testing.assert_close(layer.predict(h).exp(), expected)
    torch.testing.assert_close(layer.score(h.expand(3, 2), torch.arange(3)).exp(), expected[0])


def test_only_nodes_on_the_targets_paths_get_gradients():
    layer = make("hierarchical", 50)
    layer.loss(torch.randn(1, 6), torch.tensor([7])).backward()
    on_path = set(layer.inner_VD[7][layer.sign_VD[7] != 0].tolist())
    assert set(layer.weight.grad.abs().sum(dim=1).nonzero()[:, 0].tolist()) == on_path
    assert len(on_path) < 12


def lengths(counts):
    parents, _ = huffman(counts)
    return (paths(torch.tensor(parents)).sign_VD != 0).sum(dim=1).tolist()


def least_cost(counts):
    """Return the sum of all joined counts, the length of all codes, by sorting each time."""
    counts, cost = sorted(counts), 0
    while len(counts) > 1:
        joined = counts[0] + counts[1]
        cost += joined
        counts = sorted([*counts[2:], joined])
    return cost


def test_trees_code_lengths_and_paths_by_hand():
    assert huffman([3, 1, 1]) == ([4, 3, 3, 4], [3, 1, 1, 2, 5])
    assert huffman([1, 1]) == ([2, 2], [1, 1, 2])
    assert lengths([45, 13, 12, 16, 9, 5]) == [1, 3, 3, 3, 4, 4]  # Cormen et al., figure 16.3
    # the root's children: word 0 and the node above words 1 and 2
    found = paths(torch.tensor([4, 3, 3, 4]))
    assert found.inner_VD.tolist() == [[1, 0], [0, 1], [0, 1]]
    assert found.sign_VD.tolist() == [[1, 0], [1, -1], [-1, -1]]
    assert found.sign_M.tolist() == [1, 1, -1, -1]
    assert found.order_M.tolist() == [0, 3, 1, 2] and found.levels == (2, 2)


@pytest.mark.parametrize("size", [2, 3, 11, 200])
def test_codes_are_complete_distinct_and_shortest(size):
    counts = np.random.default_rng(size).zipf(1.5, size).clip(max=10**6).tolist()
    length = np.array(lengths(counts))
    assert (0.5**length).sum() == 1
    assert (length * counts).sum() == least_cost(counts)
    p = np.array(counts) / sum(counts)
    assert -(p * np.log2(p)).sum() <= (p * length).sum() < -(p * np.log2(p)).sum() + 1
    found = paths(torch.tensor(huffman(counts)[0]))
    assert len(torch.cat([found.inner_VD, found.sign_VD], dim=1).unique(dim=0)) == size


def test_the_largest_counts_make_no_too_deep_tree_and_a_chain_is_an_error():
    fibonacci = [1, 1]
    while fibonacci[-1] < 2**63:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    assert max(lengths(fibonacci)) == len(fibonacci) - 1
    size = 300
    parents = [size, *range(size, 2 * size - 1), *range(size + 1, 2 * size - 1)]
    with pytest.raises(ModelError, match="deeper than any Huffman tree"):
        paths(torch.tensor(parents))


@pytest.mark.parametrize("parents", [[4, 4, 4, 4], [3, 4, 4, 3], [3, 3, 9, 9], [-1, 3, 3, 4]])
def test_what_is_no_tree_is_an_error(parents):
    with pytest.raises(ModelError, match="not a binary tree"):
        paths(torch.tensor(parents, dtype=torch.int32))

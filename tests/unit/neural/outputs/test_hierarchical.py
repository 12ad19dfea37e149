"""Hierarchical softmax: a worked example, and its cost."""

import pytest
import torch

from rnnlm.errors import ModelError
from rnnlm.neural.outputs.hierarchical import HierarchicalSoftmax
from support.output_layers import make


def test_a_word_is_as_likely_as_the_decisions_on_its_path():
    layer = HierarchicalSoftmax(3, 2)
    layer.arrange(torch.tensor([5, 1, 1]))  # the root decides between word 0 and the node that decides between 1 and 2
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
    target = torch.tensor([7])
    layer.loss(torch.randn(1, 6), target).backward()
    on_path = set(layer.inner_VD[7][layer.sign_VD[7] != 0].tolist())
    assert set(layer.weight.grad.abs().sum(dim=1).nonzero()[:, 0].tolist()) == on_path
    assert len(on_path) < 12


def test_a_damaged_tree_is_an_error():
    layer = make("hierarchical", 11)
    layer.parent_M[0] = 3
    with pytest.raises(ModelError, match="tree is damaged"):
        layer.prepare()

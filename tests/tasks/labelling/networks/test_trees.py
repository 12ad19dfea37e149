"""Recursive networks: a batch by heights against a plain recursion, and deep trees."""

import math

import numpy as np
import pytest
import torch

from rnnlm.errors import RnnlmWarning, TextError
from rnnlm.lm.neural.initialisation import start_weights
from rnnlm.tasks.labelling import trees
from rnnlm.tasks.labelling.batches import batch_tensors, label_tensors
from rnnlm.tasks.labelling.data import TEXT, Codec, LabelColumn, encode_examples, encode_texts
from rnnlm.tasks.labelling.formats.example import Example, LabelledText
from rnnlm.tasks.labelling.formats.trees import parse
from rnnlm.tasks.labelling.model import TaskModel
from rnnlm.tasks.labelling.networks.network import TaskNetwork
from rnnlm.tasks.labelling.settings import network_settings
from rnnlm.tasks.labelling.splitting import split_text
from rnnlm.tasks.labelling.tagging import classify
from rnnlm.tasks.labelling.weights import array_shapes
from rnnlm.text import tokenizers
from rnnlm.text.lines import Block
from rnnlm.text.tokenizer_settings import TokenizerSettings

LINES = (
    "(x (y a) (z (y b) (x c)))", "(y (x (y (x d) (z a)) b) (z (x c) (y (x a) (y e))))", "(z a)",
    "(x (z (z (z a) (y b)) (x c)) (x d))", "(y (x e) (y d))",
)  # fmt: skip
CPU = torch.device("cpu")


def texts(*lines):
    """Return trees as labelled examples."""
    found = enumerate(parse(line, "here") for line in lines)
    examples = [Example(tree, (), (tree.labels[-1],), number, "here") for number, tree in found]
    return LabelledText(tuple(examples), (), ("label",), "trees")


def make(composition, tokenizer="word", node_loss="all", **settings):
    """Return a network in float64 with large random weights, and its codec."""
    torch.manual_seed(3)
    form = {"tokenizer": tokenizer, "min_count": 1}
    words = tokenizers.train(TokenizerSettings(**form), [Block(["a b c d e"], [])])
    codec = Codec(words, (LabelColumn("label", TEXT, ("x", "y", "z")),), node_loss=node_loss)
    settings = {"hidden_size": 4, "embedding_size": 3, "composition": composition, **settings}
    shape = network_settings("classification", "recursive", **settings)
    network = TaskNetwork(shape, codec).double().eval()
    start_weights(shape, network.encoder.matrices(), (), network.encoder.input.weight)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(-0.8, 0.8)
    return network, codec


def loss(network, codec, text, order=None):
    """Return the loss of a batch."""
    data = encode_examples(codec, text, text)
    chosen = np.arange(len(text.examples)) if order is None else np.array(order)
    inputs = batch_tensors(data.words_encoded, chosen, CPU)
    return network.losses(network(inputs), label_tensors(data, chosen, CPU))[0]


def plain_loss(network, codec, text):
    """Return the loss by a recursion from the root, node by node."""
    encoder, head = network.encoder, network.heads[0]
    column = codec.columns[0]
    total = 0.0
    for example in text.examples:
        tree, T = example.words, len(example.words)

        def vector(node, tree=tree, T=T):
            nonlocal total
            if node < T:
                ids = torch.tensor(encode_texts(codec, [[tree[node]]]).ids).long()
                v = encoder.leaf(encoder.input.weight[ids].mean(0))
            else:
                left, right = tree.children[node - T]
                pair = torch.cat([vector(left), vector(right)])
                a = encoder.compose.weight @ pair + encoder.compose.bias
                if isinstance(encoder.tensor, torch.nn.Linear):
                    slices = encoder.tensor.weight.view(len(a), len(pair), len(pair))
                    a = a + torch.stack([pair @ slice @ pair for slice in slices])
                v = a.tanh()
            label = tree.labels[node]
            is_learned = codec.node_loss == "all" or node == 2 * T - 2
            if label and is_learned:
                logits = head.output.weight @ v + head.output.bias
                total = total - logits.log_softmax(0)[column.ids[label]]
            return v

        vector(2 * T - 2)
    return total


@pytest.mark.parametrize("composition", ["matrix", "tensor"])
@pytest.mark.parametrize("tokenizer, node_loss", [("word", "all"), ("word", "root"),
                                                  ("char", "all")])  # fmt: skip
def test_loss_and_gradients_equal_a_plain_recursion(composition, tokenizer, node_loss):
    network, codec = make(composition, tokenizer, node_loss)
    gradients = []
    for function in (loss, plain_loss):
        network.zero_grad()
        value = function(network, codec, texts(*LINES, "(x (y ab) (z ba))"))
        value.backward()
        gradients.append([value.detach(), *(each.grad for each in network.parameters())])
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    # A permuted batch gives the same.
    order = [5, 2, 0, 4, 1, 3]
    value = loss(network, codec, texts(*LINES, "(x (y ab) (z ba))"), order)
    torch.testing.assert_close(value.detach(), gradients[0][0], rtol=1e-12, atol=0)


@pytest.mark.parametrize("composition, below, root", [
    # tanh(0.4 * 0.5 - 0.6 * 0.25 + 0.1), then with it tanh(0.4 * 0.148885 + 0.6 + 0.1)
    ("matrix", 0.15, 0.7595540),
    # and [a; b]' [[1, 0.5], [0, -1]] [a; b] = a a + a b / 2 - b b
    ("tensor", 0.275, 0.0134133),
])  # fmt: skip
@pytest.mark.parametrize("leaf_map", [False, True])
def test_numbers_of_a_tree_of_three_words(composition, below, root, leaf_map):
    network, codec = make(composition, hidden_size=1, embedding_size=1, leaf_map=leaf_map)
    encoder = network.encoder
    with torch.no_grad():
        # Leaves are 0.5, -0.25 and 1: the words' vectors, or 0.5 x + 0.1 of them.
        words = (0.8, -0.7, 1.8) if leaf_map else (0.5, -0.25, 1.0)
        if isinstance(encoder.leaf, torch.nn.Linear):
            encoder.leaf.weight.fill_(0.5)
            encoder.leaf.bias.fill_(0.1)
        for id, value in zip(encode_texts(codec, ["abc"]).ids, words, strict=True):
            encoder.input.weight[id] = value
        encoder.compose.weight[:] = torch.tensor([[0.4, 0.6]])
        encoder.compose.bias.fill_(0.1)
        if isinstance(encoder.tensor, torch.nn.Linear):
            encoder.tensor.weight[:] = torch.tensor([[1.0, 0.5], [0.0, -1.0]])
    encoded = encode_texts(codec, [parse("(x (y (z a) (x b)) (y c))", "here")])
    nodes_NBH = network(batch_tensors(encoded, np.array([0]), CPU)).nodes_NBH
    expected = [0.5, -0.25, 1.0, math.tanh(below), math.tanh(root)]
    np.testing.assert_allclose(nodes_NBH.flatten().tolist(), expected, atol=1e-6)


def test_leaves_are_mapped_unless_a_model_is_older_or_of_one_width():
    _, codec = make("matrix")
    stored = {"task": "classification", "model": "recursive", "composition": "matrix"}
    narrow = {**stored, "embedding_size": 3, "hidden_size": 4}
    equal = {**stored, "embedding_size": 4, "hidden_size": 4}
    for settings, is_mapped in (
        (narrow, True),
        (equal, False),
        ({**equal, "leaf_map": True}, True),
        ({**narrow, "leaf_map": False}, True),
        ({**equal, "leaf_map": None}, True),
        ({**equal, "leaf_map": None, "composition": "tensor"}, False),  # which would learn late
    ):
        assert ("encoder.leaf.weight" in array_shapes(settings, codec)) is is_mapped
    assert network_settings("classification", "recursive").leaf_map is None


@pytest.mark.parametrize("batch_norm", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_a_tree_5000_deep_is_computed_and_learned_from(batch_norm):
    line = "(x (y a) " * 5000 + "(z b)" + ")" * 5000
    network, codec = make("matrix", hidden_size=2, batch_norm=batch_norm)
    value = loss(network.train(), codec, texts(line, LINES[0]))
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(network.encoder.compose.weight.grad).all()


def test_words_read_as_labels_and_labels_of_single_words_are_named():
    _, codec = make("matrix")
    codec.details["format"] = "trees"
    with pytest.warns(RnnlmWarning, match="'b' is read as the label .* a space after the bracket"):
        assert split_text(codec, "((z a) (b c))") == ("a", "c")
    assert split_text(codec, "((z a) ( b c))") == ("a", "b", "c")
    with pytest.warns(RnnlmWarning, match=r"'\(z a\)' is read as the word 'a' with a label"):
        assert split_text(codec, " (z a) ") == ("a",)
    for damaged in ("(z (b a)", "(z(x a) (y b)"):
        with pytest.raises(TextError, match="this bracket is not closed"):
            split_text(codec, damaged)


@pytest.mark.parametrize("text", [
    "(a b) c d", "(a b) c (d)", "(a (b) c) d", "(z a b)", "(b c)", "( z a )", "(z)", "(z a) (z b)",
    "(b (z a)", "(z", "(", "()", ")(", "a (z b)",
])  # fmt: skip
def test_a_text_that_begins_with_a_bracket_is_no_tree(text):
    _, codec = make("matrix")
    codec.details["format"] = "trees"
    assert split_text(codec, text) == tuple(text.split())
    [found] = classify(TaskModel(make("matrix")[0].float(), codec), [text])
    assert found.label in ("x", "y", "z")


def test_words_without_brackets_have_a_balanced_tree():
    nodes_4N = trees.nodes_of(["a", "b", "c", "d", "e"])
    # ((a b) (c d)) e
    assert nodes_4N[trees.PARENT].tolist() == [5, 5, 6, 6, 8, 7, 7, 8, -1]
    assert nodes_4N[trees.SIDE, :8].tolist() == [0, 1, 0, 1, 1, 0, 1, 0]
    assert nodes_4N[trees.HEIGHT].tolist() == [0, 0, 0, 0, 0, 1, 1, 2, 3]
    assert nodes_4N[trees.GIVEN].tolist() == [1, 1, 1, 1, 3, 2, 2, 3, -1]
    assert trees.spans(nodes_4N)[5:] == [(0, 2), (2, 4), (0, 4), (0, 5)]
    for words in (1, 2, 64, 100):
        assert trees.balanced(words)[trees.HEIGHT].max() == math.ceil(math.log2(words))
    assert trees.nodes_of([]).tolist() == [[-1], [-1], [0], [-1]]

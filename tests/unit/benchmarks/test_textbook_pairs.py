"""The loop to compare encoder-decoders with trains the same network."""

import pytest
import torch

from rnnlm.benchmarks.textbook import TextbookPairs, are_pairs_in_torch, make_pairs_loop, mean_loss
from rnnlm.tasks.seq2seq.settings import Seq2SeqFittingSettings, network_settings
from support.tiny_seq2seq import SOURCE, TARGET, batch, tiny_network

FORMS = [
    {}, {"input_feeding": True},
    {"input_feeding": True, "layers": 2, "decoder_layers": 2, "tied_embeddings": None},
    {"attention": "dot", "decoder_hidden_size": None, "bidirectional": False},
    {"attention": None, "tied_embeddings": None, "layers": 1},
]  # fmt: skip


def tensors():
    given = batch(padding=0)
    return given.sources_SB, given.lengths_B.unsqueeze(0), given.inputs_TB, given.targets_TB


def as_theirs(ours):
    """Make a network of the tutorials with the weights of ours."""
    theirs = TextbookPairs(ours.settings, SOURCE.size, TARGET.size).double()
    directions = [("", "layers")]
    if ours.settings.bidirectional:
        directions = [("", "onwards"), ("_reverse", "backwards")]

    with torch.no_grad():
        # The encoder and the decoder.
        theirs.source_embedding.weight.copy_(ours.source_words.weight)
        theirs.target_embedding.weight.copy_(ours.target_words.weight)
        for ending, place in directions:
            for number, layer in enumerate(getattr(ours.encoder.body, place)):
                copy_layer(layer, theirs.encoder, f"_l{number}{ending}")
        for layer, cell in zip(ours.decoder.body.layers, theirs.cells, strict=True):
            copy_layer(layer, cell, "")

        # What connects the two, and the output.
        theirs.bridge.load_state_dict(ours.bridge.maps.state_dict())
        if ours.settings.attention:
            theirs.combination.load_state_dict(ours.decoder.combination.state_dict())
        if ours.settings.attention == "general":
            theirs.query.weight.copy_(ours.decoder.attention.key.weight.t())
        theirs.output.bias.copy_(ours.output.bias)
        if not ours.settings.tied_embeddings:
            theirs.output.weight.copy_(ours.output.weight)
    return theirs


def copy_layer(layer, theirs, ending):
    for name in ("weight_ih", "weight_hh", "bias_ih"):
        getattr(theirs, name + ending).copy_(getattr(layer, name))
    getattr(theirs, f"bias_hh{ending}").zero_()


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_its_loss_and_gradients_are_ours(form, smoothing):
    ours = tiny_network(**form)
    assert are_pairs_in_torch(ours.settings, Seq2SeqFittingSettings())
    theirs = as_theirs(ours)
    expected = ours.loss(*batch().tensors, label_smoothing=smoothing)
    found = mean_loss(theirs, tensors(), smoothing, "fp32")
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)
    expected.backward()
    found.backward()
    encoder = ours.encoder.body.onwards if ours.settings.bidirectional else ours.encoder.body.layers
    pairs = [
        (theirs.encoder.weight_hh_l0, encoder[0].weight_hh),
        (theirs.cells[0].weight_ih, ours.decoder.body.layers[0].weight_ih),
        (theirs.source_embedding.weight, ours.source_words.weight),
    ]
    for weight, other in pairs:
        torch.testing.assert_close(weight.grad, other.grad.to_dense(), atol=1e-5, rtol=1e-4)


def test_textbook_weights_equal_ours_except_second_biases():
    ours = tiny_network(input_feeding=True)
    theirs = as_theirs(ours)
    second = sum(p.numel() for name, p in theirs.named_parameters() if "bias_hh" in name)
    assert sum(p.numel() for p in theirs.parameters()) - second == sum(
        p.numel() for p in ours.parameters()
    )


@pytest.mark.parametrize("settings, expected", [
    ({}, True), ({"attention": "additive"}, False), ({"bridge": "mean"}, False),
    ({"tied_embeddings": "all"}, False),
    ({"layers": 2}, False), ({"decoder_model": "gru"}, False), ({"peepholes": True}, False),
    ({"attention": None}, True),
    ({"attention": None, "decoder_hidden_size": 64}, False),
    ({"layers": 2, "decoder_layers": 2, "connections": "residual"}, False),
])  # fmt: skip
def test_only_what_tutorials_have_is_compared_with(settings, expected):
    shape = network_settings("lstm", embedding_size=16, hidden_size=8, **settings)
    assert are_pairs_in_torch(shape, Seq2SeqFittingSettings()) == expected
    assert not are_pairs_in_torch(shape, Seq2SeqFittingSettings(own_words=0.5))


def test_textbook_network_learns_and_counts_both_sides_tokens():
    torch.manual_seed(1)
    settings = network_settings(
        "lstm",
        embedding_size=16,
        hidden_size=16,
        input_feeding=True,
        dropout_input=0.0,
        dropout_output=0.0,
    )
    network = TextbookPairs(settings, SOURCE.size, TARGET.size)
    fitting = Seq2SeqFittingSettings(learning_rate=0.05, label_smoothing=0.0)
    loop = make_pairs_loop(network, fitting, [tensors()] * 2, "fp32", torch.device("cpu"))
    given = batch(padding=0)
    for _ in range(25):
        assert loop() == 2 * (int(given.lengths_B.sum()) + int((given.targets_TB >= 0).sum()))
    assert mean_loss(network.eval(), tensors(), 0.0, "fp32").item() < 0.2

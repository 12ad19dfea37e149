"""One vector of a text: pooling, bags and filters against the formulas, and padding."""

import pytest
import torch

from rnnlm.lm.neural.initialisation import start_weights
from rnnlm.tasks.labelling.networks.network import Pooling, WordEncoder, make_text_encoder
from rnnlm.tasks.labelling.settings import network_settings
from support.tiny_models import make_tokenizer

LENGTHS = [5, 1, 3]
SMALL = {"embedding_size": 4, "hidden_size": 3}
POOLINGS = ["last", "mean", "max", "sum", "attention"]


class PooledEncoder(WordEncoder):
    """Recurrent layers, and one vector of what they make of the words."""

    def __init__(self, settings, tokenizer):
        super().__init__(settings, tokenizer)
        self.pooling = Pooling(settings)

    def forward(self, inputs_TB, lengths_B):
        return self.pooling(super().forward(inputs_TB, lengths_B), lengths_B)


def make(model, dtype=torch.float64, **settings):
    torch.manual_seed(5)
    shape = network_settings("classification", model, **{**SMALL, **settings})
    kind = make_text_encoder if model in ("bag", "cnn") else PooledEncoder
    encoder = kind(shape, make_tokenizer(["the cat sat", "on a mat"]).spelling()).to(dtype)
    start_weights(shape, encoder.matrices(), (), encoder.input.weight)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.uniform_(-0.8, 0.8)
    return encoder.eval()


def texts(lengths=LENGTHS):
    generator = torch.Generator().manual_seed(1)
    ids_TB = torch.randint(0, 8, (max(lengths), len(lengths)), generator=generator)
    return ids_TB, torch.tensor(lengths)


@pytest.mark.parametrize("kind", POOLINGS)
def test_pooling_equals_the_formulas_worked_out_by_hand(kind):
    own = {"hidden_size": 2, "sentence_pooling": kind}
    pooling = Pooling(network_settings("classification", "lstm", **own)).double()
    torch.manual_seed(2)
    features_TBH, lengths_B = torch.randn(5, 3, 4, dtype=torch.float64), torch.tensor(LENGTHS)
    if kind == "attention":
        means = [features_TBH[:length, row].mean(0) for row, length in enumerate(LENGTHS)]
        begins_BH = pooling(features_TBH, lengths_B)
        torch.testing.assert_close(begins_BH, torch.stack(means))
        pooling.query.data = torch.tensor([1.0, -0.5, 0.25, 2.0], dtype=torch.float64)
    found_BH = pooling(features_TBH, lengths_B)
    for row, length in enumerate(LENGTHS):
        words = features_TBH[:length, row]
        expected = {
            "last": lambda words: torch.cat([words[-1, :2], words[0, 2:]]),
            "mean": lambda words: sum(words) / len(words),
            "max": lambda words: torch.stack([max(unit) for unit in words.T]),
            "sum": sum,
            "attention": lambda words: sum(
                (p := (words @ pooling.query).exp())[t] / p.sum() * words[t]
                for t in range(len(words))
            ),
        }[kind](words)
        torch.testing.assert_close(found_BH[row], expected)


def test_dense_layers_keep_last_states_of_each_direction():
    given = {"embedding_size": 2, "layers": 2, "layer_sizes": "1,3", "connections": "dense"}
    settings = network_settings("classification", "lstm", sentence_pooling="last", **given)
    features_TBH = torch.stack([torch.full((1, settings.output_width), float(t)) for t in range(4)])
    found = Pooling(settings)(features_TBH, torch.tensor([3]))
    # word, forward and backward below, forward and backward above
    assert found.tolist() == [[2, 2, 2, 0, 2, 2, 2, 0, 0, 0]]


@pytest.mark.parametrize("activation, f", [("tanh", torch.tanh), ("relu", torch.relu)])
def test_bags_are_means_of_words_and_layers(activation, f):
    encoder = make("bag", layers=2, activation=activation)
    ids_TB, lengths_B = texts()
    for row, (length, found) in enumerate(zip(LENGTHS, encoder(ids_TB, lengths_B), strict=True)):
        y = sum(encoder.input.weight[id] for id in ids_TB[:length, row]) / length
        for layer in encoder.layers:
            y = f(layer.weight @ y + layer.bias)
        torch.testing.assert_close(found, y)


def test_a_cnn_takes_each_filters_maximum_with_padding():
    encoder = make("cnn", filter_widths="2,4")
    ids_TB, lengths_B = texts()
    found_BF, zero = encoder(ids_TB, lengths_B), torch.zeros(4, dtype=torch.float64)
    for row, length in enumerate(LENGTHS):
        expected = []
        for w, linear in zip((2, 4), encoder.filters, strict=True):
            beside = [zero] * (w - 1)
            words = [*beside, *encoder.input.weight[ids_TB[:length, row]], *beside]
            windows = [torch.cat(words[p : p + w]) for p in range(length + w - 1)]
            places = [linear.weight @ window + linear.bias for window in windows]
            expected.append(torch.stack(places).amax(0).relu())
        torch.testing.assert_close(found_BF[row], torch.cat(expected))

"""Features of words: both directions against one-way layers run by hand, padding, gradients."""

import pytest
import torch

from rnnlm.lm.neural.initialisation import start_weights
from rnnlm.lm.neural.layers.layers import RecurrentStack, first_state, mirror, mirror_places
from rnnlm.tasks.labelling.networks.network import WordEncoder
from rnnlm.tasks.labelling.settings import network_settings
from support.networks import network_settings as language_model_settings
from support.tiny_models import make_tokenizer

TEXT = ["the cat sat on the mat", "a dog"]
MODELS = ["rnn", "gru", "lstm", "qrnn"]
NO_DROPOUT = {f"dropout_{at}": 0.0 for at in ("embedding", "input", "between", "output")}
SMALL = {"embedding_size": 5, "hidden_size": 4, **NO_DROPOUT}
OF_CHARACTERS = {
    "cnn": {"character_size": 3, "character_filters": "2,3,2"},
    "lstm": {"character_size": 3, "character_hidden_size": 3}, None: {},
}  # fmt: skip
SHAPES = [
    {"layers": 1}, {"layers": 2, "layer_sizes": "4,3"}, {"layers": 2, "connections": "residual"},
    {"layers": 3, "connections": "highway"},
    {"layers": 3, "connections": "dense", "layer_sizes": "4,2,3"},
]  # fmt: skip
LENGTHS = [6, 1, 4, 2]


def make_encoder(model, dtype=torch.float32, characters="cnn", **settings):
    torch.manual_seed(4)
    settings = {**SMALL, **OF_CHARACTERS[characters], **settings}
    shape = network_settings("tagging", model, characters=characters, unknown_words=0.0, **settings)
    encoder = WordEncoder(shape, make_tokenizer(TEXT).spelling()).to(dtype)
    start_weights(shape, encoder.matrices(), (), encoder.input.weight)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.uniform_(-0.6, 0.6)
    return encoder


def ids_of(lengths=LENGTHS, padding=-1):
    """Return ids of known and unseen words, padded with `padding`."""
    generator = torch.Generator().manual_seed(1)
    ids_TB = torch.randint(0, 8, (max(lengths), len(lengths)), generator=generator)
    for row, length in enumerate(lengths):
        ids_TB[length:, row] = padding
    return ids_TB


def by_hand(encoder, ids_T):
    """Run each direction's layers alone over one text, reversed for the backward one."""
    body, connections = encoder.body, encoder.settings.connections
    x_TE = encoder.input(ids_T.unsqueeze(1))
    for number, (onwards, backwards) in enumerate(zip(body.onwards, body.backwards, strict=True)):
        read_TH = onwards(x_TE, first_state(onwards, x_TE))[0]
        back_TH = backwards(x_TE.flip(0), first_state(backwards, x_TE))[0].flip(0)
        y_TH = torch.cat([read_TH, back_TH], dim=2)
        if connections == "dense":
            y_TH = torch.cat([x_TE, y_TH], dim=2)
        elif number and connections == "residual":
            y_TH = x_TE + y_TH
        elif number and connections == "highway":
            t_TH = torch.sigmoid(body.highways[number - 1](x_TE))
            y_TH = t_TH * y_TH + (1 - t_TH) * x_TE
        x_TE = y_TH
    return x_TE[:, 0]


@pytest.mark.parametrize("model, shape", [
    *(("lstm", shape) for shape in SHAPES), *((each, SHAPES[1]) for each in MODELS),
], ids=str)  # fmt: skip
def test_a_bidirectional_network_equals_two_run_by_hand(model, shape):
    encoder = make_encoder(model, torch.float64, **shape)
    ids_TB = ids_of()
    y_TBH = encoder(ids_TB, torch.tensor(LENGTHS))
    assert y_TBH.shape == (6, 4, encoder.width)
    for row, length in enumerate(LENGTHS):
        expected_TH = by_hand(encoder, ids_TB[:length, row])
        torch.testing.assert_close(y_TBH[:length, row], expected_TH, rtol=0, atol=1e-12)
        assert not y_TBH[length:, row].any()


def test_forward_only_it_is_a_language_models_stack():
    encoder = make_encoder("lstm", layers=2, bidirectional=False)
    shape = {"characters": "cnn", "characters_beside": True, **OF_CHARACTERS["cnn"], **SMALL}
    model = RecurrentStack(language_model_settings("lstm", layers=2, **shape))
    model.load_state_dict(encoder.body.state_dict())
    ids_TB = ids_of([5, 5])
    state = tuple(torch.zeros(places, 2, width) for places, width in model.state_shapes())
    found_TBH = encoder(ids_TB, torch.tensor([5, 5]))
    torch.testing.assert_close(found_TBH, model(encoder.input(ids_TB), state)[0])


@pytest.mark.parametrize("model", ["lstm", "qrnn"])
def test_gradients_ignore_padding_and_the_batch(model):
    encoder = make_encoder(model, torch.float64, layers=2, characters=None)
    rows = [ids_of()[:length, row : row + 1] for row, length in enumerate(LENGTHS)]
    encoder(ids_of(padding=7), torch.tensor(LENGTHS)).square().sum().backward()
    together = [parameter.grad for parameter in encoder.parameters()]
    encoder.zero_grad()
    sum(encoder(row, torch.tensor([len(row)])).square().sum() for row in rows).backward()
    for found, parameter in zip(together, encoder.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad)


def test_rows_are_reversed_within_their_lengths():
    x_TBE = torch.arange(8.0, dtype=torch.float64).view(4, 2, 1).requires_grad_()
    places_N = mirror_places(4, torch.tensor([4, 2]))
    assert mirror(x_TBE, places_N)[..., 0].T.tolist() == [[6, 4, 2, 0], [3, 1, 5, 7]]
    assert torch.autograd.gradcheck(lambda x: mirror(x, places_N).sin(), (x_TBE,))


def test_dropout_is_for_training_and_locked_per_row():
    encoder = make_encoder("gru", dropout_output=0.5, locked_dropout=True)
    ids_TB, lengths_B = ids_of([6, 6]), torch.tensor([6, 6])
    is_dropped_TBH = encoder(ids_TB, lengths_B) == 0
    assert 0 < is_dropped_TBH[0].sum() < is_dropped_TBH[0].numel()
    assert torch.equal(is_dropped_TBH.any(0), is_dropped_TBH.all(0))
    encoder.eval()
    assert encoder(ids_TB, lengths_B).all()
    assert torch.equal(encoder(ids_TB, lengths_B), encoder(ids_TB, lengths_B))

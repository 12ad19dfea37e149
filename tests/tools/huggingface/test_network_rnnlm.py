"""The network of an exported folder, in torch alone, computes what ours does."""

import json
from types import SimpleNamespace

import pytest
import torch

from rnnlm.errors import RnnlmWarning, UsageError
from rnnlm.lm.base.loading import load
from rnnlm.lm.neural.network import make_network
from rnnlm.lm.neural.trained_network import NeuralLanguageModel, portable_network
from rnnlm.tools.huggingface import export, network_rnnlm
from support.model_cases import SPELLED, VARIANTS
from support.networks import network_settings
from support.tiny_models import LINES, halves_model, make_tokenizer

OTHER_OUTPUTS = {"adaptive", "class", "hierarchical"}
CASES = [
    (name, settings)
    for name in network_rnnlm.LAYERS
    for settings in VARIANTS[name]
    if settings.get("output_layer") not in OTHER_OUTPUTS
    and not settings.keys() & {"optimizer", "ema_decay", "layer_norm"}
] + [(name, settings) for name, settings in SPELLED if name in ("lstm", "gru")]


def make_model(name, **settings):
    """Return a network in which no weight is zero."""
    torch.manual_seed(4)
    tokenizer = make_tokenizer(LINES)
    if "characters" in settings:
        tokenizer = tokenizer.spelling()
    sizes = {"embedding_size": 5, "hidden_size": 7}
    network = make_network(network_settings(name, **{**sizes, **settings}), tokenizer).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(std=0.5)
    return NeuralLanguageModel(network, tokenizer)


def exported(model):
    """Return the network that an exported folder of the model would hold."""
    network = portable_network(model, takes_mixtures=True)
    config = json.loads(json.dumps(export.config_of(network, model.tokenizer)))
    made = network_rnnlm.RecurrentNetwork(SimpleNamespace(**config)).eval()
    weights = {name: torch.from_numpy(array) for name, array in export.weights_of(network).items()}
    if network.is_tied:
        weights["output.weight"] = weights["embedding.weight"]
    made.load_state_dict(weights)
    return made


def logprobs(network, ids_BT, mask_BT=None, state=None):
    top_BTF, state, _ = network(network.embedding(ids_BT), mask_BT, state)
    return torch.log_softmax(network.logits(top_BTF), dim=2), state


@pytest.mark.parametrize(("name", "settings"), CASES)
@pytest.mark.filterwarnings("ignore:.*are read as <unk>")
@torch.no_grad()
def test_it_computes_what_the_model_does(name, settings):
    model = make_model(name, **settings)
    network = exported(model)
    ids_BT = torch.randint(model.tokenizer.size, (3, 6))
    ours, _ = model.predict(ids_BT.numpy(), model.initial_state(3))
    torch.testing.assert_close(logprobs(network, ids_BT)[0], ours, rtol=1e-5, atol=1e-5)
    # Rows of 6, 4 and 1 tokens, with padding before, behind, or on both sides.
    for shifts in ((0, 2, 5), (0, 0, 0), (0, 1, 3)):
        mask_BT, padded_BT = torch.zeros(3, 6, dtype=torch.int64), torch.zeros_like(ids_BT)
        for row, (start, length) in enumerate(zip(shifts, (6, 4, 1), strict=True)):
            mask_BT[row, start : start + length] = 1
            padded_BT[row, start : start + length] = ids_BT[row, :length]
        theirs, after = logprobs(network, padded_BT, mask_BT)
        for row, (start, length) in enumerate(zip(shifts, (6, 4, 1), strict=True)):
            part = theirs[row, start : start + length]
            torch.testing.assert_close(part, ours[row, :length], rtol=1e-5, atol=1e-5)
            _, alone = logprobs(network, ids_BT[row : row + 1, :length])
            for part_BH, alone_1H in zip(after, alone, strict=True):
                torch.testing.assert_close(part_BH[row : row + 1], alone_1H)
    # Step by step; a state is a value.
    state = None
    for t in range(6):
        step, after = logprobs(network, ids_BT[:, t : t + 1], state=state)
        again, _ = logprobs(network, ids_BT[:, t : t + 1], state=state)
        torch.testing.assert_close(step[:, 0], ours[:, t], rtol=1e-5, atol=1e-5)
        assert torch.equal(step, again)
        state = after


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_under_autocast_it_computes_nearly_the_same(name):
    network, ids_BT = exported(make_model(name)), torch.tensor([[1, 2, 3, 4]])
    exact, _ = logprobs(network, ids_BT)
    with torch.autocast("cpu", torch.bfloat16):
        rounded, _ = logprobs(network, ids_BT)
    rounded.sum().backward()
    assert 0 < (rounded - exact).abs().max() < 0.1


def test_rows_of_padding_alone_leave_the_state():
    network = exported(make_model("lstm"))
    ids_BT = torch.ones(2, 3, dtype=torch.int64)
    before = tuple(torch.randn_like(part) for part in network.initial_state(2))
    _, after = logprobs(network, ids_BT, torch.zeros_like(ids_BT), before)
    assert all(map(torch.equal, before, after))


@pytest.mark.parametrize(("name", "settings", "why"), [
    ("unigram", {}, "a model of kind unigram is not a network"),
    ("jordan", {}, "a model of kind jordan has no recurrent layers"),
    ("ffnn", {}, "a model of kind ffnn has no recurrent layers"),
    ("lstm", {"output_layer": "class"}, "its output layer is class"),
])  # fmt: skip
def test_what_cannot_be_exported_says_why(name, settings, why):
    model = halves_model() if name == "unigram" else make_model(name, **settings)
    with pytest.raises(UsageError, match=why):
        portable_network(model)


def test_unseen_words_are_not_spelled():
    with pytest.warns(RnnlmWarning, match="unseen words are read as <unk>"):
        portable_network(make_model("gru", characters="cnn"))


@pytest.mark.filterwarnings("ignore:.*default settings")
def test_a_model_that_adapts_cannot_be_exported():
    with pytest.raises(UsageError, match="it adapts to what it reads"):
        portable_network(load("demo+cache", "cpu"))

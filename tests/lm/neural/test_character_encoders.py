"""Words from their characters against the equations in numpy and finite differences."""

import numpy as np
import pytest
import torch

from reference import characters as reference
from rnnlm.lm.neural.words import CharacterCNN, CharacterLSTM, Highway
from support.networks import network_settings

CASES = [
    ("cnn", {"character_filters": "4,5,6", "character_highways": 2}),
    ("cnn", {"character_filters": "0,3,0,0,2", "character_highways": 0}),
    ("cnn", {}), ("lstm", {"character_hidden_size": 6}),
    ("cnn", {"character_filters": "4,0,5", "character_highways": 1, "character_overhang": True}),
]  # fmt: skip
READERS = {"cnn": CharacterCNN, "lstm": CharacterLSTM}
ALPHABET = 12
WORDS = [[0, 5, 1], [0, 7, 6, 5, 11, 1], [0, 3, 1], [0, *range(5, 12), *range(5, 12), 1], [0, 1]]


def make(characters, options):
    torch.manual_seed(5)
    asked = {"character_size": 4, "init_range": 0.8, **options}
    settings = network_settings("lstm", characters=characters, **asked)
    return READERS[characters](settings, ALPHABET).double(), settings


def padded(words, width=0):
    width = width or max(map(len, words))
    return torch.tensor([word + [-1] * (width - len(word)) for word in words], dtype=torch.int32)


def expected(module, settings, word):
    weights = {name: value.numpy() for name, value in module.state_dict().items()}
    if settings.characters == "lstm":
        return reference.lstm(weights, word)
    return reference.cnn(weights, word, settings.character_highways, settings.character_overhang)


@pytest.mark.parametrize("characters, options", CASES)
def test_forward_equals_the_equations_and_nearly_so_in_bf16(characters, options):
    module, settings = make(characters, options)
    y_NF = module(padded(WORDS)).detach().numpy()
    assert y_NF.shape == (len(WORDS), settings.input_width)
    by_hand = [expected(module, settings, word) for word in WORDS]
    np.testing.assert_allclose(y_NF, by_hand, atol=1e-12)
    module, _ = make(characters, options)
    module = module.float()
    exact = module(padded(WORDS))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = module(padded(WORDS))
        rough.float().sum().backward()
    assert rough.isfinite().all()
    torch.testing.assert_close(rough.float(), exact, rtol=0, atol=0.05)


@pytest.mark.parametrize("characters, options", CASES[:2] + CASES[3:])
def test_gradients_equal_finite_differences(characters, options):
    module, _ = make(characters, {**options, "character_size": 2})
    names, values = zip(*module.named_parameters(), strict=True)
    read = padded(WORDS[:3] + [[0, 5, 7, 7, 1]])

    def forward(*values):
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), (read,))

    assert torch.autograd.gradcheck(forward, values, fast_mode=True)


@pytest.mark.parametrize("characters, options", CASES)
@pytest.mark.parametrize("width", [16, 17, 65])
def test_padding_has_no_influence(characters, options, width):
    module, _ = make(characters, options)
    together = module(padded(WORDS, width))
    together.sum().backward()
    gradients = {name: value.grad.clone() for name, value in module.named_parameters()}
    module.zero_grad()
    alone = torch.cat([module(padded([word])) for word in WORDS])
    alone.sum().backward()
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)
    for name, value in module.named_parameters():
        torch.testing.assert_close(gradients[name], value.grad, rtol=0, atol=1e-10, msg=name)


def test_filters_find_short_endings_behind_any_stem():
    """Filters of width 3 that know the last character and the mark of the end."""
    options = {"character_filters": "0,0,1", "character_highways": 0, "character_overhang": True}
    module, _ = make("cnn", options)
    filters, vectors = module.filters["3"], module.vectors.weight
    with torch.no_grad():
        for value in (filters.weight, filters.bias, vectors):
            value.zero_()
        vectors[1, 0], vectors[7, 1], vectors[8:, :2] = 1.0, 1.0, -5.0
        # character 7, then the end
        filters.weight[0, 3] = filters.weight[0, 1] = 1.0
        y_NF = module(padded([[0, 7, 1], [0, 9, 8, 7, 1], [0, 9, 8, 10, 11, 7, 1], [0, 9, 1]]))
    expected_N = torch.tensor([2.0, 2.0, 2.0, 0.0], dtype=torch.float64).tanh()
    torch.testing.assert_close(y_NF[:, 0], expected_N)


def test_filters_and_highways_start_as_asked_passing_nearly_everything():
    module, _ = make("cnn", {"init_input": "uniform", "init_range": 0.03})
    highway = module.highways[0]
    for linear in (module.filters["1"], module.filters["6"], highway.candidate, highway.gate):
        assert linear.weight.abs().max().item() <= 0.03
    assert module.filters["6"].weight.std().item() == pytest.approx(0.03 / 3**0.5, rel=0.1)
    assert make("cnn", {})[0].filters["6"].weight.abs().max() > 0.15  # 1 / sqrt(6 * 4) = 0.2
    torch.manual_seed(1)
    highway = Highway(50)
    with torch.no_grad():
        highway.gate.weight.zero_()
        highway.candidate.weight.zero_()
        highway.candidate.bias.zero_()
    y = torch.randn(3, 50)
    torch.testing.assert_close(highway(y), y * (1 - 1 / (1 + np.exp(2.0))), rtol=1e-5, atol=1e-6)


def test_torchs_own_lstm_module_does_not_run():
    """On CUDA, autocast to bf16 would run it in fp16."""
    module, _ = make("lstm", {})
    ran = []
    for part in module.modules():
        part.register_forward_pre_hook(lambda part, _: ran.append(type(part)))
    module(padded(WORDS))
    assert ran and not any(issubclass(kind, torch.nn.RNNBase) for kind in ran)

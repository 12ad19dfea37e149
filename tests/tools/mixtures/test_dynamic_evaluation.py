import copy

import numpy as np
import pytest
import torch

from rnnlm.errors import UsageError
from rnnlm.tools.mixtures import dynamic_evaluation
from rnnlm.tools.mixtures.adapted_model import DynamicSettings
from rnnlm.tools.mixtures.dynamic_evaluation import DynamicEvaluation, gather_statistics
from support.adapted_models import read, text_of
from support.tiny_models import fit

RULES = {
    "sgd": DynamicSettings(segment_tokens=4, adaptation_rate=0.3, adaptation_decay=0.05),
    "rms": DynamicSettings(segment_tokens=4, adaptation_rule="rms", adaptation_rate=0.02,
        adaptation_decay=0.3, adaptation_epsilon=0.01),
}  # fmt: skip


MODELS = {
    "lstm": {}, "gru": {}, "qrnn": {"layers": 2},
    "awd": {"model": "lstm", "weight_drop": 0.5, "dropout_embedding": 0.3, "locked_dropout": True,
            "activation_penalty": 2.0},
    "mos": {"model": "lstm", "output_layer": "mos", "mixture_components": 3, "mogrifier_rounds": 2},
}  # fmt: skip


@pytest.fixture(params=["lstm", "gru"])
def model(request):
    return made(request.param)


def made(name):
    settings = {"model": name, "dropout_input": 0.5, "dropout_output": 0.5, **MODELS[name]}
    return fit(settings.pop("model"), **settings)


@pytest.fixture(params=RULES)
def settings(request):
    return RULES[request.param]


@pytest.fixture
def statistics(model):
    return gather_statistics(model, text_of(model)[1][0], 4)


def transcribed(model, inputs_T, targets_T, settings, statistics) -> list[float]:
    """Score segment by segment, take torch's gradients, and update as the paper writes it."""
    network = copy.deepcopy(model.network).cpu().eval().requires_grad_(True)
    trained = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    root = {name: square.cpu().sqrt() for name, square in statistics.items()}
    total = sum(float(each.sum()) for each in root.values())
    mean = total / sum(each.numel() for each in root.values())
    rate, decay = settings.adaptation_rate, settings.adaptation_decay
    state, scores = network.initial_state(1), []
    for start in range(0, len(inputs_T), settings.segment_tokens):
        # Score the segment with the weights so far.
        part = slice(start, start + settings.segment_tokens)
        logits, after = network.predict(torch.as_tensor(inputs_T[part])[:, None], state)
        loss = torch.nn.functional.nll_loss(logits[:, 0], torch.as_tensor(targets_T[part]))
        scores += logits[range(len(logits)), 0, targets_T[part]].tolist()

        # Then learn from it: a step down the gradient, and one back to the trained weights.
        network.zero_grad()
        loss.backward()
        with torch.no_grad():
            for name, weight in network.named_parameters():
                gradient, back = weight.grad.to_dense(), trained[name] - weight
                if settings.adaptation_rule == "sgd":
                    weight += -rate * gradient + decay * back
                else:
                    step = rate * gradient / (root[name] + settings.adaptation_epsilon)
                    own_decay = (decay * root[name] / mean).clamp(max=1)
                    weight += -step + own_decay * back
        state = tuple(tensor.detach() for tensor in after)
    return scores


@pytest.mark.parametrize(("name", "rule"), [
    pytest.param(name, rule, marks=[pytest.mark.soak] * (rule != usual))
    for name, usual in zip(MODELS, ("rms", "sgd", "rms", "sgd", "rms"), strict=True)
    for rule in RULES
])  # fmt: skip
def test_it_is_the_papers_updates_segment_by_segment(name, rule):
    model, settings = made(name), RULES[rule]
    inputs_1T, targets_1T = text_of(model)
    statistics = gather_statistics(model, targets_1T[0], 4)
    found_T = read(DynamicEvaluation(model, settings, statistics), inputs_1T, targets_1T)[0]
    expected = transcribed(model, inputs_1T[0], targets_1T[0], settings, statistics)
    np.testing.assert_allclose(found_T, expected, atol=1e-4)
    assert not np.allclose(found_T, read(model, inputs_1T, targets_1T)[0], atol=1e-2)


def test_underlying_model_keeps_its_weights(model, settings, statistics):
    before = {name: array.copy() for name, array in model.to_arrays().items()}
    adapted = DynamicEvaluation(model, settings, statistics)
    read(adapted, *text_of(model))
    for arrays in (model.to_arrays(), adapted.to_arrays()):
        assert all(np.array_equal(arrays[name], array) for name, array in before.items())


def test_more_than_one_row_is_refused(model):
    adapted = DynamicEvaluation(model)
    state = adapted.initial_state(1)
    inputs_1T, targets_1T = text_of(model)
    two = np.repeat(inputs_1T, 2, axis=0)
    for call in (
        lambda: adapted.initial_state(2), lambda: state.select([0, 0]),
        lambda: adapted.concat_states([state, state]),
        lambda: adapted.predict(two, state), lambda: adapted.score(two, two, state),
    ):  # fmt: skip
        with pytest.raises(UsageError, match="2 texts cannot be read at once"):
            call()


def test_signatures_tell_statistics_of_different_texts_apart(model):
    targets_T = text_of(model)[1][0]
    settings = DynamicSettings(adaptation_rule="rms")
    texts = (targets_T[:9], targets_T[:9], targets_T[9:])
    found = (gather_statistics(model, ids_T, 4) for ids_T in texts)
    one, same, other = (DynamicEvaluation(model, settings, each).adaptation for each in found)
    assert one == same != other and "statistics=" in one
    assert "statistics" not in DynamicEvaluation(model, DynamicSettings()).adaptation


@pytest.mark.parametrize(
    "name, settings", [("lstm", {"dropout_input": 0.5}), ("gru", {"tied": False})]
)
def test_statistics_are_mean_squared_gradients_over_segments(name, settings, monkeypatch):
    monkeypatch.setattr(dynamic_evaluation, "ROWS", 2)
    model = fit(name, **settings)
    streams = []
    for ids_1T in text_of(model):
        half = ids_1T.shape[1] // 2
        streams.append(torch.as_tensor(ids_1T[0, : 2 * half].reshape(2, half).T.copy()))
    inputs_TB, targets_TB = streams
    network = copy.deepcopy(model.network).cpu().eval().requires_grad_(True)
    state, segments = network.initial_state(2), range(0, half, 3)
    sums = {name: 0 for name, _ in network.named_parameters()}
    for start in segments:
        part = slice(start, start + 3)
        before = tuple(tensor.detach() for tensor in state)
        logprobs, state = network.predict(inputs_TB[part], before)
        network.zero_grad()
        loss = torch.nn.functional.nll_loss(logprobs.flatten(0, 1), targets_TB[part].flatten())
        loss.backward()
        for name, weight in network.named_parameters():
            sums[name] = sums[name] + weight.grad.to_dense() ** 2
    found = gather_statistics(model, targets_TB.T.flatten().numpy(), 3)
    assert found.keys() == sums.keys()
    for name, square in found.items():
        torch.testing.assert_close(square.cpu(), sums[name] / len(segments), atol=1e-7, rtol=1e-3)


def test_statistics_treat_a_short_text_as_one_segment():
    model = fit("lstm")
    heard = []
    found = gather_statistics(model, text_of(model)[1][0, :2], 5, lambda *done: heard.append(done))
    assert heard == [(1, 1)] and any(square.any() for square in found.values())

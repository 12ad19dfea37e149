import copy
import functools

import numpy as np
import pytest
import torch

from rnnlm.combinations import dynamic_evaluation
from rnnlm.combinations.dynamic_evaluation import DynamicEvaluation, gather_statistics
from rnnlm.errors import UsageError
from rnnlm.models.adaptation_settings import DynamicSettings
from support.adapted_models import assert_no_score_depends_on_later_tokens, read, text_of
from support.tiny_models import fit

RULES = {
    "sgd": DynamicSettings(segment_tokens=4, adaptation_rate=0.3, adaptation_decay=0.05),
    "rms": DynamicSettings(
        segment_tokens=4,
        adaptation_rule="rms",
        adaptation_rate=0.02,
        adaptation_decay=0.3,
        adaptation_epsilon=0.01,
    ),
}


MODELS = {
    "lstm": {}, "gru": {}, "qrnn": {"layers": 2},
    "awd": {"model": "lstm", "weight_drop": 0.5, "dropout_embedding": 0.3, "locked_dropout": True,
            "activation_penalty": 2.0},
    "mos": {"model": "lstm", "output_layer": "mos", "mixture_components": 3, "mogrifier_rounds": 2},
}  # fmt: skip


@pytest.fixture(scope="module", params=["lstm", "gru"])
def model(request):
    return made(request.param)


@functools.cache
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
    """Evaluate segment by segment: scores, then torch's gradients, then the update as the paper
    writes it, weight by weight."""
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


@pytest.mark.parametrize("name", MODELS)
def test_it_is_the_papers_updates_segment_by_segment(name, settings):
    model = made(name)
    inputs_1T, targets_1T = text_of(model)
    statistics = gather_statistics(model, targets_1T[0], 4)
    found_T = read(DynamicEvaluation(model, settings, statistics), inputs_1T, targets_1T)[0]
    expected = transcribed(model, inputs_1T[0], targets_1T[0], settings, statistics)
    np.testing.assert_allclose(found_T, expected, atol=1e-4)
    assert not np.allclose(found_T, read(model, inputs_1T, targets_1T)[0], atol=1e-2)


@pytest.mark.parametrize("decay", [0.0, 0.7, 1.0])
def test_zero_rate_equals_the_model(model, decay):
    inputs_1T, targets_1T = text_of(model)
    adapted = DynamicEvaluation(model, DynamicSettings(adaptation_rate=0.0, adaptation_decay=decay))
    _, state = adapted.score(inputs_1T, targets_1T, adapted.initial_state(1))
    assert torch.equal(state.weights_P, adapted.start_P)
    np.testing.assert_allclose(
        read(adapted, inputs_1T, targets_1T), read(model, inputs_1T, targets_1T), atol=1e-5
    )


def test_no_score_depends_on_later_tokens(model, settings, statistics):
    assert_no_score_depends_on_later_tokens(DynamicEvaluation(model, settings, statistics))


def test_underlying_model_keeps_its_weights(model, settings, statistics):
    before = {name: array.copy() for name, array in model.to_arrays().items()}
    adapted = DynamicEvaluation(model, settings, statistics)
    read(adapted, *text_of(model))
    for arrays in (model.to_arrays(), adapted.to_arrays()):
        assert all(np.array_equal(arrays[name], array) for name, array in before.items())


def test_it_helps_where_a_text_repeats_itself(model):
    inputs_1T, targets_1T = text_of(model, ["speech speech dog speech", "dog speech speech"] * 5)
    assert (
        read(DynamicEvaluation(model), inputs_1T, targets_1T).sum()
        > read(model, inputs_1T, targets_1T).sum() + 1
    )


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
        with pytest.raises(UsageError, match="2 rows"):
            call()


def test_the_rule_rms_needs_statistics(model):
    with pytest.raises(UsageError, match="rnnlm tune -m NAME.dynamic --statistics"):
        DynamicEvaluation(model, RULES["rms"])


def test_a_model_without_gradients_is_refused():
    with pytest.raises(UsageError, match="NAME.unigram"):
        DynamicEvaluation(fit("ngram"))


def test_signatures_tell_statistics_of_different_texts_apart(model):
    _, targets_1T = text_of(model)
    settings = DynamicSettings(adaptation_rule="rms")
    halves = [gather_statistics(model, ids_T, 4) for ids_T in np.array_split(targets_1T[0], 2)]
    one, again, other = (
        DynamicEvaluation(model, settings, each).adaptation
        for each in (halves[0], halves[0], halves[1])
    )
    assert one == again != other and "statistics=" in one
    assert "statistics" not in DynamicEvaluation(model, DynamicSettings()).adaptation


@pytest.mark.parametrize(
    "name, settings", [("lstm", {"dropout_input": 0.5}), ("gru", {"tied": False})]
)
def test_statistics_are_mean_squared_gradients_over_segments(name, settings, monkeypatch):
    monkeypatch.setattr(dynamic_evaluation, "ROWS", 2)
    model = fit(name, **settings)
    inputs_1T, targets_1T = text_of(model)
    half = targets_1T.shape[1] // 2
    network = copy.deepcopy(model.network).cpu().eval().requires_grad_(True)
    state, segments = network.initial_state(2), range(0, half, 3)
    sums = {name: 0 for name, _ in network.named_parameters()}
    for start in segments:
        rows = [slice(begin + start, min(begin + start + 3, begin + half)) for begin in (0, half)]
        inputs, targets = (
            torch.stack([torch.as_tensor(ids[0, row]) for row in rows], dim=1)
            for ids in (inputs_1T, targets_1T)
        )
        logprobs, state = network.predict(inputs, tuple(tensor.detach() for tensor in state))
        network.zero_grad()
        torch.nn.functional.nll_loss(logprobs.flatten(0, 1), targets.flatten()).backward()
        sums = {
            name: sums[name] + weight.grad.to_dense() ** 2
            for name, weight in network.named_parameters()
        }
    found = gather_statistics(model, targets_1T[0, : 2 * half], 3)
    assert found.keys() == sums.keys()
    for name, square in found.items():
        torch.testing.assert_close(square.cpu(), sums[name] / len(segments), atol=1e-7, rtol=1e-3)


def test_statistics_treat_a_short_text_as_one_segment():
    model = fit("lstm")
    heard = []
    found = gather_statistics(model, text_of(model)[1][0, :2], 5, lambda *done: heard.append(done))
    assert heard == [(1, 1)] and any(square.any() for square in found.values())

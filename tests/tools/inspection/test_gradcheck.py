"""The check of gradients passes right backward passes and finds a wrong one."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from rnnlm.errors import RnnlmError
from rnnlm.lm.neural.layers.kernels import loops
from rnnlm.tools.inspection import gradcheck
from rnnlm.tools.inspection.gradcheck import FixedLoss, inspect_gradcheck
from support import tiny_models

CASES = [
    ("rnn", {"activation": "relu", "layers": 2}), ("gru", {"reset_gate": "before"}),
    ("lstm", {"peepholes": True}), ("lstm", {"layer_norm": True}),
    ("lstm", {"loss": "sampled", "samples": 8}), ("qrnn", {}), ("jordan", {}), ("ffnn", {}),
]  # fmt: skip


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n".join(tiny_models.HELD_OUT) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_backward_passes_of_every_kind_are_right(name, settings, text):
    model = tiny_models.fit(name, **settings)
    before = {key: value.clone() for key, value in model.network.state_dict().items()}
    found = inspect_gradcheck(model, text, tokens=5, device="cpu")
    assert found.is_right and found.verdict.startswith("The backward pass is right"), found.verdict
    names = dict(model.network.named_parameters()).keys()
    assert {matrix.name for matrix in found.matrices} == names
    assert all(torch.equal(before[key], value) for key, value in model.network.state_dict().items())


def test_the_loss_is_that_of_training_without_dropout(text):
    model = tiny_models.fit("gru", dropout_output=0.5)
    found = inspect_gradcheck(model, text, tokens=6, device="cpu")
    ids_BT = model.tokenizer.encode(tiny_models.HELD_OUT).ids[None, :6]
    inputs_BT = np.append([[model.tokenizer.boundary_id]], ids_BT[:, :-1], axis=1)
    logprob_BT, _ = model.score(inputs_BT, ids_BT, model.initial_state(1))
    assert found.targets == 6
    assert found.loss_nats == pytest.approx(-float(logprob_BT.mean()), rel=1e-5)


def test_a_wrong_backward_pass_is_found(text, monkeypatch):
    """A factor too many in the gradient of a GRU's reset and update gates."""
    right = loops.sigmoid_backward

    def wrong(gradient, gates, grad_input):
        right(gradient, gates, grad_input=grad_input).mul_(1.001)

    monkeypatch.setattr(loops, "sigmoid_backward", wrong)
    model = tiny_models.fit("gru", dropout_input=0.0, dropout_output=0.0)
    found = inspect_gradcheck(model, text, tokens=6, device="cpu")
    assert not found.is_right and found.verdict.startswith("The backward pass is wrong")
    assert found.worked.name.startswith("body.layers.0.")
    assert 1e-5 < found.worked.largest.difference < 0.1
    wrong_matrices = {matrix.name for matrix in found.matrices if not matrix.is_right}
    assert all(name in found.verdict for name in wrong_matrices)
    assert "output.bias" not in wrong_matrices and "body.layers.0.weight_hh" in wrong_matrices


@pytest.mark.parametrize("trained", ["slot_tagger", "classifier", "translator"])
def test_backward_passes_of_other_tasks_are_right(trained, request):
    learned = request.getfixturevalue(trained)
    found = inspect_gradcheck(learned.folder, learned.valid, tokens=6, device="cpu")
    assert found.is_right and all(matrix.largest.gradient for matrix in found.matrices), (
        found.verdict
    )


def checked(*weights, step=1e-5, wrong=0.0):
    """Check f = w0^2 + relu(w1), whose gradients are 2 w0, 1 or 0, and 0."""
    network = nn.Module()
    network.w = nn.Parameter(torch.tensor(weights, dtype=torch.float64))

    def compute():
        w = network.w
        # Without a value of its own, it only changes the gradient.
        return w[0] ** 2 + torch.relu(w[1]) + wrong * (w[2] - w[2].detach())

    [matrix] = gradcheck.check(FixedLoss(network, compute, targets=1, seed=0), step)
    return matrix


def test_quotients_match_hand_calculation_and_zeros_are_counted():
    matrix = checked(3.0, -1.0, 5.0, step=0.5)
    weight = matrix.largest
    assert (weight.weight, weight.step, weight.above, weight.below) == (3.0, 0.5, 12.25, 6.25)
    assert weight.quotient == weight.gradient == 6.0 and weight.index == (0,)
    assert matrix.zeros == 2 and matrix.is_right


@pytest.mark.parametrize("weights, wrong", [((float("nan"), 1.0, 1.0), 0), ((3.0, 1.0, 1.0), 0.01)])
def test_a_gradient_that_differs_anywhere_is_wrong(weights, wrong):
    assert not checked(*weights, wrong=wrong).is_right


def test_result_is_json_and_works_out_one_weight(text):
    found = inspect_gradcheck(tiny_models.fit("rnn"), text, tokens=6, device="cpu")
    assert json.loads(json.dumps(found.to_dict()))["right"] is True
    _, worked = found.tables()
    assert [row[0] for row in worked.rows][:4] == ["w", "h", "f(w + h)", "f(w - h)"]
    assert "weight_hh" in worked.title
    (axes,) = found.figure().axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [matrix.name for matrix in found.matrices]


@pytest.mark.parametrize(
    ("settings", "what"), [({"step": -1.0}, "step = -1"), ({"tokens": 0}, "tokens = 0")]
)
def test_numbers_that_make_no_sense_are_refused(settings, what):
    with pytest.raises(RnnlmError, match=what):
        inspect_gradcheck(**settings)

"""The check of gradients passes right backward passes of every kind of network and finds a wrong
one."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from rnnlm.errors import RnnlmError
from rnnlm.lm.neural.layers.kernels import loops
from rnnlm.tools.inspection import gradcheck
from rnnlm.tools.inspection.gradcheck import inspect_gradcheck
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
    found = inspect_gradcheck(model, text, weights=2, tokens=5, device="cpu")
    assert found.is_right and found.verdict.startswith("The backward pass is right"), found.verdict
    names = dict(model.network.named_parameters()).keys()
    assert {matrix.name for matrix in found.matrices} == names
    assert all(torch.equal(before[key], value) for key, value in model.network.state_dict().items())


def test_the_loss_is_that_of_training_without_dropout(text):
    model = tiny_models.fit("gru", dropout_output=0.5)
    found = inspect_gradcheck(model, text, weights=1, tokens=6, device="cpu")
    ids_BT = model.tokenizer.encode(tiny_models.HELD_OUT).ids[None, :6]
    inputs_BT = np.append([[model.tokenizer.boundary_id]], ids_BT[:, :-1], axis=1)
    logprob_BT, _ = model.score(inputs_BT, ids_BT, model.initial_state(1))
    assert found.targets == 6
    assert found.loss_nats == pytest.approx(-float(logprob_BT.mean()), rel=1e-5)


def test_a_wrong_backward_pass_is_found(text, monkeypatch):
    """One factor forgotten in the gradient of a GRU's update gate."""
    right = loops.through_update

    def wrong(dh, z, n, h, dz, dn):
        right(dh, z, n, h, dz, dn)
        dz.mul_(1.001)

    monkeypatch.setattr(loops, "through_update", wrong)
    found = inspect_gradcheck(tiny_models.fit("gru"), text, weights=4, tokens=6, device="cpu")
    assert not found.is_right and found.verdict.startswith("The backward pass is wrong")
    matrix, weight = found.worked
    assert matrix.name.startswith("body.layers.0.") and 1e-5 < weight.difference < 0.1
    wrong_matrices = {each.name for each in found.matrices if not each.worst.agrees()}
    assert "output.bias" not in wrong_matrices and "body.layers.0.weight_hh" in wrong_matrices


@pytest.mark.parametrize("trained", ["slot_tagger", "classifier", "translator"])
def test_backward_passes_of_other_tasks_are_right(trained, request):
    learned = request.getfixturevalue(trained)
    found = inspect_gradcheck(learned.folder, learned.valid, weights=1, tokens=6, device="cpu")
    assert found.is_right and all(matrix.largest.gradient for matrix in found.matrices), (
        found.verdict
    )


class Square(nn.Module):
    """f = w0^2 + relu(w1): gradients 2 w0, 1 or 0, and 0."""

    def __init__(self, *weights):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(weights, dtype=torch.float64))

    def loss(self):
        return self.w[0] ** 2 + torch.relu(self.w[1])


def checked(network, step=1e-5):
    (matrix,) = gradcheck.check(network, network.loss, 3, step, np.random.default_rng(0))
    return matrix, {each.index: each for each in matrix.weights}


def test_quotients_match_hand_calculation_and_zeros_are_counted():
    matrix, found = checked(Square(3.0, -1.0, 5.0), step=0.5)
    first, second = found[(0,)], found[(1,)]
    assert (first.weight, first.step, first.above, first.below) == (3.0, 0.5, 12.25, 6.25)
    assert first.quotient == first.gradient == 6.0
    assert second.gradient == second.quotient == 0
    assert matrix.zeros == 2 and matrix.largest == first


def test_quotient_across_a_corner_is_retaken_closer():
    _, found = checked(Square(3.0, 5e-6, 0.0))
    weight = found[(1,)]
    assert weight.step == pytest.approx(1e-6)
    assert weight.quotient == pytest.approx(1.0) and weight.agrees()


def test_nan_gradient_does_not_agree():
    matrix, _ = checked(Square(float("nan"), 1.0, 1.0))
    assert not matrix.worst.agrees()


def test_result_is_json_and_works_out_one_weight(text):
    found = inspect_gradcheck(tiny_models.fit("rnn"), text, weights=2, tokens=6, device="cpu")
    assert json.loads(json.dumps(found.to_dict()))["right"] is True
    _, worked = found.tables()
    assert [row[0] for row in worked.rows][:4] == ["w", "h", "f(w + h)", "f(w - h)"]
    assert "weight_hh" in worked.title
    (axes,) = found.figure().axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [matrix.name for matrix in found.matrices]


@pytest.mark.parametrize(
    ("settings", "what"),
    [({"weights": 0}, "weights = 0"), ({"step": -1.0}, "step = -1"), ({"tokens": 0}, "tokens = 0")],
)
def test_numbers_that_make_no_sense_are_refused(settings, what):
    with pytest.raises(RnnlmError, match=what):
        inspect_gradcheck(**settings)

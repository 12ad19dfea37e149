"""A small Elman network by hand: beside a calculation on paper, the textbook's formulas written out
number by number, torch's gradients, and difference quotients."""

import functools
import math

import numpy as np
import pytest
import torch

from rnnlm.errors import TextError, UsageError
from rnnlm.tools.inspection.step import RUSTY_CAN, inspect_step
from support.pictures import faults_of

ACTIVATIONS = {
    "sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu,
    "elu": torch.nn.functional.elu, "leaky_relu": torch.nn.functional.leaky_relu,
}  # fmt: skip


def random_lesson(activation="tanh", seed=1, words="a b c a", targets="b c a"):
    """Return a lesson of 3 words with vectors of 2 numbers, and 4 units."""
    draw = np.random.default_rng(seed)
    sizes = {"U": (2, 4), "W": (4, 4), "V": (4, 3), "b": 4, "c": 3, "initial": 4}
    parts = {name: draw.normal(0, 0.8, size).tolist() for name, size in sizes.items()}
    vectors = {word: draw.normal(size=2).tolist() for word in "abc"}
    return parts | {
        "words": words, "targets": targets, "activation": activation, "vectors": vectors,
    }  # fmt: skip


def test_a_rusty_can_is_that_on_paper():
    """The states as in tests/reference/test_worked_examples.py, and behind them, to four digits:

    z1 = h1 V = (1, 1) V = (0, 0.5, 0.5, 0), y1 = (1, 1.6487, 1.6487, 1) / 5.2974
    L1 = ln 5.2974 - 0.5 = 1.1672,  dz1 = y1 - (0, 1, 0, 0) = (0.1888, -0.6888, 0.3112, 0.1888)
    dz1 V^T = (0.5 * -0.6888 - 0.5 * 0.1888, 0.5 * 0.3112 + 0.5 * 0.1888) = (-0.4388, 0.2500)

    z4 = (1, 0) V = (0, 0.5, 0, -0.5),  y4 = (1, 1.6487, 1, 0.6065) / 4.2552
    L4 = ln 4.2552 = 1.4482,  dz4 V^T = (0.5 * 0.3875 - 0.5 * 0.1425, 0.5 * (0.2350 + 0.1425))
       = (0.1225, 0.1888),  da4 = (0.1225, 0), as the second unit is off: its sum is -0.5
    W swaps the units: dh3 = dz3 V^T + da4 W^T = (0.5, -0.0740) + (0, 0.1225)
    """
    found = inspect_step()
    read, back = found.forward, found.backward
    assert read.h_TH.tolist() == [[1, 1], [5, 4], [3.5, 7], [1, 0]]
    assert read.a_TH[3].tolist() == [1, -0.5]
    assert read.losses == pytest.approx([1.1672, 1.0530, 2.0704, 1.4482], abs=5e-5)
    assert read.y_TV[0] == pytest.approx([0.1888, 0.3112, 0.3112, 0.1888], abs=5e-5)
    assert back.own_TH[0] == pytest.approx([-0.4388, 0.25], abs=5e-5)
    assert back.own_TH[3] == pytest.approx([0.1225, 0.1888], abs=5e-5)
    assert back.a_TH[3] == pytest.approx([0.1225, 0], abs=5e-5)
    assert back.later_TH[2] == pytest.approx([0, 0.1225], abs=5e-5)
    assert back.a_TH[2] == pytest.approx([0.5, 0.0484], abs=5e-5)
    # A permutation keeps lengths: what arrives at one state arrives at all before it.
    assert back.reach_TT[3] == pytest.approx([0.1225, 0.1225, 0.1225, 0.2250], abs=5e-5)
    assert found.loss_nats == pytest.approx(5.7388, abs=5e-5) and found.loss_after < 5.5


def test_labels_of_the_words_are_predicted():
    """The states are those of a rusty can; behind them, to four digits:

    z1 = (0, 0.5, 0.5, 0),     L1 = ln 5.2974 - 0 = 1.6672
    z2 = (0, 2.5, 2, -0.5),    L2 = ln 21.178 - 2.5 = 0.5530
    z3 = (0, 1.75, 3.5, 1.75), L3 = ln 45.624 - 3.5 = 0.3204
    """
    tagging = {"words": "a rusty can", "labels": "DET ADJ NOUN X", "targets": "DET ADJ NOUN"}
    found = inspect_step(assignments=[f"{name}={value}" for name, value in tagging.items()])
    assert found.forward.losses == pytest.approx([1.6672, 0.5530, 0.3204], abs=5e-5)
    assert found.targets == ("DET", "ADJ", "NOUN")
    assert "is 2.541 nats, 0.8469 on average; guessing among 4 labels" in found.verdict
    content = found.to_dict()
    assert content["vocabulary"] == ["DET", "ADJ", "NOUN", "X"]
    assert content["mean_loss_nats"] == pytest.approx(content["loss_nats"] / 3)
    assert found.tables()[1].columns[2:] == ("DET", "ADJ", "NOUN", "X")
    assert "probability of each label" in found.tables()[1].title
    assert faults_of(found.figure()) == []
    assert inspect_step(content["lesson"]).to_dict() == content


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("targets", ["b c a", "b c a b", "b"])
def test_losses_and_gradients_are_those_of_torch(activation, targets):
    """Of the summed loss by every weight, and of each loss alone by every state."""
    lesson = random_lesson(activation, seed=2, targets=targets)
    found = inspect_step(lesson)
    made = functools.partial(torch.tensor, dtype=torch.float64, requires_grad=True)
    tensor = {name: made(lesson[name]) for name in ("U", "W", "V", "b", "c", "initial")}
    h, states, losses = tensor["initial"], [], []
    names, targets = list(lesson["vectors"]), targets.split()
    for t, word in enumerate(lesson["words"].split()):
        x = torch.tensor(lesson["vectors"][word], dtype=torch.float64)
        h = ACTIVATIONS[activation](x @ tensor["U"] + h @ tensor["W"] + tensor["b"])
        states.append(h)
        if t < len(targets):
            logy = torch.log_softmax(h @ tensor["V"] + tensor["c"], dim=0)
            losses.append(-logy[names.index(targets[t])])
    np.testing.assert_allclose(found.forward.losses, [loss.item() for loss in losses], rtol=1e-12)
    weights = [tensor[name] for name in found.backward.weights]
    expected = torch.autograd.grad(sum(losses), weights, retain_graph=True)
    for gradient, other in zip(found.backward.weights.values(), expected, strict=True):
        np.testing.assert_allclose(gradient, other, atol=1e-12)
    for t, loss in enumerate(losses):
        by_state = torch.autograd.grad(loss, states[: t + 1], retain_graph=True)
        norms = [float(each.norm()) for each in by_state]
        np.testing.assert_allclose(found.backward.reach_TT[t, : t + 1], norms, atol=1e-12)
        assert (found.backward.reach_TT[t, t + 1 :] == 0).all()


def test_one_step_moves_all_weights_by_rate():
    lesson = random_lesson()
    found = inspect_step(lesson, rate=0.05)
    gradients = found.backward.weights.items()
    moved = {name: (np.array(lesson[name]) - 0.05 * each).tolist() for name, each in gradients}
    assert found.loss_after == pytest.approx(inspect_step(lesson | moved).loss_nats)
    assert "lowers the loss" in found.verdict


def test_toml_and_replaced_parts_are_read(tmp_path):
    (tmp_path / "mine.toml").write_text(
        'words = "a b"\nU = [[1], [2]]\nW = [[0.5]]\nV = [[1, -1]]\nactivation = "relu"\n'
    )
    found = inspect_step(tmp_path / "mine.toml")  # one-hot vectors, zeros for the rest
    assert found.forward.h_TH.tolist() == [[1], [2.5]]
    assert found.targets == ("b", None)
    asked = ["W=[[2]]", "words=b a b", "activation=tanh"]
    found = inspect_step(tmp_path / "mine.toml", assignments=asked)
    assert found.words == ("b", "a", "b") and found.targets == ("a", "b", None)
    # vectors are one-hot in the order of the words: b is the first now
    states = [math.tanh(1), math.tanh(2 + 2 * math.tanh(1))]
    assert found.forward.h_TH[:2, 0] == pytest.approx(states)


def test_one_word_with_a_target_is_enough():
    found = inspect_step(RUSTY_CAN | {"words": "can", "targets": "</s>"})
    assert len(found.forward.losses) == 1 and "1 prediction is" in found.verdict
    assert found.figure().axes


def test_the_picture_unfolds_the_network_with_its_numbers():
    figure = inspect_step().figure()
    written = [text.get_text() for text in figure.axes[0].texts]
    assert [text for text in written if text.startswith("h")] == [
        "h1\n(1, 1)\ndL4/dh 0.12", "h2\n(5, 4)\ndL4/dh 0.12",
        "h3\n(3.5, 7)\ndL4/dh 0.12", "h4\n(1, 0)\ndL4/dh 0.23",
    ]  # fmt: skip
    assert written.count("W") == 3
    assert "p(rusty) = 0.31\nloss 1: 1.17" in written
    assert faults_of(figure) == []
    many = random_lesson(words="a b c " * 7, targets="b c a " * 7)
    assert faults_of(inspect_step(many).figure()) == []


@pytest.mark.parametrize(("change", "what"), [
    ({"U": [[1, 1], [2, 0]]}, "U is 2 x 2, not 3 x 2"),
    ({"W": [[0, 1]]}, "W is 1 x 2, not 1 x 1"), ({"W": []}, "W is empty"),
    ({"W": [[]]}, "W is empty"),
    ({"V": [[1, 2], [1]]}, "the rows of V have different lengths"),
    ({"V": [[1, 2], [1, 2]]}, "V is 2 x 2, not 2 x 4"),
    ({"V": "high"}, "is not a lesson"), ({"b": [1]}, "b is 1, not 2"),
    ({"c": [math.nan] * 4}, "c holds nan or inf"),
    ({"initial": [math.inf, 0]}, "initial holds nan or inf"),
    ({"words": ""}, "has no words"),
    ({"words": "a rusty tin", "targets": "can"}, "no vector for 'tin'"),
    ({"targets": "a a a a a"}, "5 targets for 4 words"),
    ({"targets": ""}, "predicts nothing"),
    ({"labels": "A B C D"}, "no label 'rusty'"),
    ({"labels": "A B C D", "targets": None}, "it has no targets"),
    ({"labels": "A B C", "targets": "A"}, "a column for each label"),
    ({"labels": "A B A C", "targets": "A"}, "the label 'A' 2 times"),
    ({"labels": " ".join(map(str, range(51))), "targets": "1"}, "51 labels"),
    ({"activation": "step"}, "unknown activation 'step'"),
    ({"vectors": {}}, "vectors is empty"),
    ({"vectors": {"a": [1], "b": [1, 2]}}, "rows of vectors have different lengths"),
    ({"weights": 1}, "unknown part 'weights'"),
    ({"words": "a " * 51, "targets": "a"}, "has 51 words"),
    ({"words": "a", "targets": "a", "vectors": {str(n): [1] for n in range(51)}},
     "has 51 words with vectors"),
    ({"W": [[0]] * 51}, "has 51 units"),
    ({"U": [[1e308, 1e308]] * 3}, "numbers of this network overflow"),
])  # fmt: skip
def test_lessons_that_make_no_sense_are_refused(change, what):
    with pytest.raises(TextError, match=what):
        inspect_step(RUSTY_CAN | change)


@pytest.mark.parametrize(("asked", "what"), [
    ({"rate": 0}, "rate = 0 is not a positive number"), ({"rate": math.nan}, "rate = nan"),
    ({"assignments": ["X=1"]}, "sets nothing"), ({"assignments": ["W"]}, "sets nothing"),
])  # fmt: skip
def test_wrong_requests_are_refused(asked, what):
    with pytest.raises(UsageError, match=what):
        inspect_step(**asked)

"""Label feedback against one step after the other, and its beam against all label sequences."""

import itertools

import numpy as np
import pytest
import torch

from rnnlm.neural.layers.layers import GruLayer, LstmLayer, QuasiRecurrentLayer
from rnnlm.neural.settings import GruCell, LstmCell, QrnnCell
from rnnlm.tasks.labels.heads import LabelFeedback

T, B, H, K, E = 4, 3, 3, 3, 2
LENGTHS = torch.tensor([4, 1, 3])
ALLOWED = (
    np.array([1, 1, 0], bool),
    np.array([1, 0, 1], bool),
    np.array([[1, 1, 0], [0, 0, 1], [1, 0, 1]], bool),
)


@pytest.fixture(params=["lstm", "gru", "qrnn"])
def feedback(request) -> LabelFeedback:
    torch.manual_seed(1)
    layer = {
        "lstm": LstmLayer(LstmCell(), H + E, 4), "gru": GruLayer(GruCell(), H + E, 4),
        "qrnn": QuasiRecurrentLayer(QrnnCell(), H + E, 4, 2),
    }[request.param]  # fmt: skip
    feedback = LabelFeedback(layer, K, E).double()
    for weight in feedback.parameters():
        torch.nn.init.normal_(weight, std=2)
    return feedback


@pytest.fixture
def features_TBH() -> torch.Tensor:
    return torch.randn(T, B, H, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def logprob_by_steps(feedback, features_TH, labels) -> float:
    """Return log p of one row's labels, from the layer's plain step."""
    state, before, total = feedback._state(1), K, 0.0
    for features_H, label in zip(features_TH, labels, strict=True):
        vector_E = (
            feedback.vectors_KE[before] if before >= 0 else torch.zeros(E, dtype=torch.float64)
        )
        step, state = feedback.layer.step(torch.cat([features_H, vector_E]).unsqueeze(0), state)
        total += (
            float(feedback.output(step.hidden_BH)[0].log_softmax(0)[label]) if label >= 0 else 0.0
        )
        before = label
    return total


def by_logprob(feedback, features_TH, constraints) -> list[tuple[float, tuple[int, ...]]]:
    """Return all label sequences that are allowed, the most probable first."""
    start_K, end_K, follows_KK = constraints or (
        np.ones(K, bool),
        np.ones(K, bool),
        np.ones((K, K), bool),
    )
    found = []
    for labels in itertools.product(range(K), repeat=len(features_TH)):
        if (
            start_K[labels[0]]
            and end_K[labels[-1]]
            and all(follows_KK[pair] for pair in itertools.pairwise(labels))
        ):
            found.append((logprob_by_steps(feedback, features_TH, labels), labels))
    return sorted(found, reverse=True)


@torch.no_grad()
def test_one_pass_over_given_labels_equals_single_steps(feedback, features_TBH):
    # -1 inside the last row: not known
    labels_TB = torch.tensor([[0, 2, 1], [2, -1, -1], [1, -1, 0], [1, -1, -1]])
    logprob_TBK = feedback(features_TBH, labels_TB).log_softmax(2)
    for row, length in enumerate(LENGTHS.tolist()):
        labels = labels_TB[:length, row]
        logprob_T = logprob_TBK[:length, row].gather(1, labels.clamp(min=0).unsqueeze(1)).squeeze(1)
        expected = logprob_by_steps(feedback, features_TBH[:length, row], labels.tolist())
        assert float((logprob_T * (labels >= 0)).sum()) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("constraints", [None, ALLOWED], ids=["free", "constrained"])
@torch.no_grad()
def test_a_beam_of_full_width_finds_n_best(feedback, features_TBH, constraints):
    paths = feedback.search(features_TBH, LENGTHS, constraints, beam=K**T, n=6)
    for row, length in enumerate(LENGTHS.tolist()):
        expected = by_logprob(feedback, features_TBH[:length, row], constraints)[:6]
        expected += [(-np.inf, (-1,) * length)] * (6 - len(expected))
        for n, (logprob, labels) in enumerate(expected):
            assert float(paths.logprob_nB[n, row]) == pytest.approx(logprob, abs=1e-9)
            assert paths.labels_nTB[n, :length, row].tolist() == list(labels)
        assert (paths.labels_nTB[:, length:, row] == -1).all()


@torch.no_grad()
def test_a_narrow_beam_obeys_constraints_and_scores_correctly(feedback, features_TBH):
    for beam in (1, 2):
        paths = feedback.search(features_TBH, LENGTHS, ALLOWED, beam, n=beam)
        for row, length in enumerate(LENGTHS.tolist()):
            allowed = {
                labels: logprob
                for logprob, labels in by_logprob(feedback, features_TBH[:length, row], ALLOWED)
            }
            logprob_n = paths.logprob_nB[:, row].tolist()
            assert logprob_n[0] > -np.inf and logprob_n == sorted(logprob_n, reverse=True)
            for n, logprob in enumerate(logprob_n):
                if logprob > -np.inf:
                    assert logprob == pytest.approx(
                        allowed[tuple(paths.labels_nTB[n, :length, row].tolist())], abs=1e-9
                    )


@torch.no_grad()
def test_greedy_search_takes_the_likeliest_label_each_step(feedback, features_TBH):
    paths = feedback.search(features_TBH, LENGTHS, None, beam=1, n=1)
    scores_TBK = feedback(features_TBH, paths.labels_nTB[0])
    is_word_TB = paths.labels_nTB[0] >= 0
    assert torch.equal(scores_TBK.argmax(2)[is_word_TB], paths.labels_nTB[0][is_word_TB])


@torch.no_grad()
def test_a_row_is_labelled_the_same_alone(feedback, features_TBH):
    together = feedback.search(features_TBH, LENGTHS, None, beam=3, n=3)
    for row, length in enumerate(LENGTHS):
        alone = feedback.search(
            features_TBH[:length, row : row + 1], LENGTHS[row : row + 1], None, beam=3, n=3
        )
        assert torch.equal(alone.labels_nTB[:, :, 0], together.labels_nTB[:, :length, row])
        assert torch.allclose(
            alone.logprob_nB[:, 0], together.logprob_nB[:, row], rtol=0, atol=1e-9
        )

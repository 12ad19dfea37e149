"""The linear chain against sums over all label sequences."""

import itertools

import pytest
import torch
from torch import Tensor

from rnnlm.tasks.labelling.networks.heads import LinearChain

T, B, K = 5, 4, 3
LENGTHS = torch.tensor([5, 1, 3, 4])


def random_chain(labels: int = K, dtype: torch.dtype = torch.float64) -> LinearChain:
    chain = LinearChain(labels)
    for weight in chain.parameters():
        torch.nn.init.normal_(weight, std=2)
    return chain.to(dtype)


@pytest.fixture
def chain() -> LinearChain:
    torch.manual_seed(1)
    return random_chain()


@pytest.fixture
def scores_TBK() -> Tensor:
    return torch.randn(T, B, K, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 3


def all_scores(chain: LinearChain, scores_TK: Tensor) -> dict[tuple[int, ...], Tensor]:
    """Return every label sequence with its score, term by term."""
    found = {}
    for labels in itertools.product(range(scores_TK.shape[1]), repeat=len(scores_TK)):
        score = chain.start_K[labels[0]] + chain.end_K[labels[-1]]
        score = score + sum(scores_TK[t, label] for t, label in enumerate(labels))
        steps = sum(chain.transitions_KK[pair] for pair in itertools.pairwise(labels))
        found[labels] = score + steps
    return found


def close(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected, rtol=0, atol=1e-9)


def test_likelihoods_and_marginals_equal_sums_over_all_sequences(chain, scores_TBK):
    labels_TB = torch.randint(K, (T, B), generator=torch.Generator().manual_seed(3))
    log_z_B = chain.log_partition(scores_TBK, LENGTHS)
    p_TBK = chain.marginals(scores_TBK, LENGTHS)
    likelihood_B = chain.log_likelihood(scores_TBK, labels_TB, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        scores = all_scores(chain, scores_TBK[:length, row])
        log_z = torch.stack(list(scores.values())).logsumexp(0)
        assert close(log_z_B[row], log_z)
        assert close(likelihood_B[row], scores[tuple(labels_TB[:length, row].tolist())] - log_z)
        for t, label in itertools.product(range(length), range(K)):
            p = sum((score - log_z).exp() for labels, score in scores.items() if labels[t] == label)
            assert close(p_TBK[t, row, label], p)
        assert not p_TBK[length:, row].any()


def test_gradient_time_grows_linearly_with_row_length(chain):
    """The time would grow with the square of the length."""
    scores_TBK = torch.zeros(100, 1, K, dtype=torch.float64, requires_grad=True)
    log_z_B = chain.log_partition(scores_TBK, torch.tensor([100]))
    nodes, waiting = set(), [log_z_B.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in nodes:
            nodes.add(node)
            waiting += [following for following, _ in node.next_functions]
    assert len(nodes) > 100
    assert sum(node.name().startswith(("Select", "Slice", "Index")) for node in nodes) < 10


def test_a_row_is_the_same_alone_and_padded(chain, scores_TBK):
    labels_TB = torch.zeros(T, B, dtype=torch.long)
    padded = scores_TBK.clone()
    for row, length in enumerate(LENGTHS):
        padded[length:, row], labels_TB[length:, row] = torch.nan, -1
    together_B = chain.log_likelihood(padded, labels_TB, LENGTHS)
    log_z_B = chain.log_partition(padded, LENGTHS)
    p_TBK = chain.marginals(padded, LENGTHS)
    for row, length in enumerate(LENGTHS):
        scores = scores_TBK[:length, row : row + 1]
        labels = labels_TB[:length, row : row + 1]
        lengths = LENGTHS[row : row + 1]
        assert close(chain.log_likelihood(scores, labels, lengths), together_B[row])
        assert close(chain.log_partition(scores, lengths), log_z_B[row])
        assert close(chain.marginals(scores, lengths)[:, 0], p_TBK[:length, row])


def test_gradients_equal_finite_differences(chain, scores_TBK):
    labels_TB = torch.tensor([[0, 1], [2, 0], [1, 1]])
    inputs = (scores_TBK[:3, :2].clone().requires_grad_(), *chain.parameters())

    def likelihood(scores_TBK, *_):
        return chain.log_likelihood(scores_TBK, labels_TB, torch.tensor([3, 1]))

    assert torch.autograd.gradcheck(likelihood, inputs)
    labels_TB[[0, 2], [1, 0]] = -1
    assert torch.autograd.gradcheck(likelihood, inputs)


def test_an_unknown_label_stands_for_any(chain, scores_TBK):
    labels_TB = torch.ones(T, B, dtype=torch.long)
    labels_TB[0, 0] = labels_TB[3, 0] = labels_TB[0, 1] = -1
    found_B = chain.log_likelihood(scores_TBK, labels_TB, LENGTHS)
    scores = all_scores(chain, scores_TBK[:, 0])
    fitting = [score for each, score in scores.items() if each[1] == each[2] == each[4] == 1]
    total = torch.stack(list(scores.values())).logsumexp(0)
    assert close(found_B[0], torch.stack(fitting).logsumexp(0) - total)
    assert abs(found_B[1]) < 1e-9  # nothing is known of the second row
    known_B = chain.log_likelihood(scores_TBK, torch.ones(T, B, dtype=torch.long), LENGTHS)
    assert close(found_B[2:], known_B[2:])


def test_scores_far_apart_neither_overflow_nor_vanish():
    torch.manual_seed(5)
    chain = random_chain(dtype=torch.float32)
    scores_TBK = torch.randn(200, 2, K) * 200
    lengths_B = torch.tensor([200, 120])
    exact = LinearChain(K).double()
    exact.load_state_dict(chain.state_dict())
    found_B = chain.log_partition(scores_TBK, lengths_B)
    expected_B = exact.log_partition(scores_TBK.double(), lengths_B)
    assert torch.allclose(found_B.double(), expected_B, rtol=1e-6)
    labels_TB = torch.zeros(200, 2, dtype=torch.long)
    loss = -chain.log_likelihood(scores_TBK.requires_grad_(), labels_TB, lengths_B).sum()
    assert torch.isfinite(torch.autograd.grad(loss, [scores_TBK, *chain.parameters()])[0]).all()


def test_it_computes_in_fp32_under_autocast_and_inference(scores_TBK):
    torch.manual_seed(6)
    chain, labels_TB = random_chain(dtype=torch.float32), torch.ones(T, B, dtype=torch.long)
    scores_TBK = scores_TBK.bfloat16()

    def values(scores_TBK):
        likelihood_B = chain.log_likelihood(scores_TBK, labels_TB, LENGTHS)
        return likelihood_B, chain.marginals(scores_TBK, LENGTHS)

    plain = values(scores_TBK.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = values(scores_TBK)
    for one, other in zip(plain, under, strict=True):
        assert torch.equal(one, other) and one.dtype == torch.float32
    with torch.inference_mode():
        assert torch.equal(chain.marginals(scores_TBK.clone(), LENGTHS.clone()), plain[1])

"""Best and n-best label sequences against all label sequences."""

import itertools

import numpy as np
import pytest
import torch

from rnnlm.tasks.labelling.networks import heads
from rnnlm.tasks.labelling.networks.heads import Chain, nbest_paths

T, B, K = 5, 3, 3
INDEPENDENT = Chain(torch.zeros(K), torch.zeros(K), torch.zeros(K, K))
LENGTHS = torch.tensor([5, 2, 3])
AFTER = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]], bool)
ALLOWED = (np.array([1, 1, 0], bool), np.array([1, 0, 1], bool), AFTER)


@pytest.fixture
def scores_TBK() -> torch.Tensor:
    return torch.randn(T, B, K, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def chain() -> Chain:
    generator = torch.Generator().manual_seed(2)
    given = {"generator": generator, "dtype": torch.float64}
    return Chain(*(torch.randn(shape, **given) for shape in [(K,), (K,), (K, K)]))


def by_score(scores_TK, chain) -> list[tuple[float, tuple[int, ...]]]:
    """Return all label sequences that the chain does not forbid, the best first."""
    found = []
    for labels in itertools.product(range(K), repeat=len(scores_TK)):
        score = sum(float(scores_TK[t, label]) for t, label in enumerate(labels))
        if chain is not None:
            score += float(chain.start_K[labels[0]] + chain.end_K[labels[-1]])
            score += sum(float(chain.transitions_KK[pair]) for pair in itertools.pairwise(labels))
        found += [(score, labels)] if score > -np.inf else []
    return sorted(found, reverse=True)


@pytest.mark.parametrize("constraints", [None, ALLOWED], ids=["free", "constrained"])
@pytest.mark.parametrize("independent", [False, True], ids=["chain", "independent"])
@pytest.mark.parametrize("n", [1, 4, 30])
def test_n_best_equal_a_list_of_all_paths(scores_TBK, chain, constraints, independent, n):
    chain = (INDEPENDENT if independent else chain).constrained(constraints)
    if independent and constraints is None:
        chain = None
    labels_nTB, score_nB = nbest_paths(scores_TBK, LENGTHS, chain, n)
    for row, length in enumerate(LENGTHS.tolist()):
        expected = by_score(scores_TBK[:length, row], chain)[:n]
        expected += [(-np.inf, (-1,) * length)] * (n - len(expected))
        scores, labels = map(list, zip(*expected, strict=True))
        assert score_nB[:, row].tolist() == pytest.approx(scores, abs=1e-9)
        assert [*map(tuple, labels_nTB[:, :length, row].tolist())] == labels
        assert (labels_nTB[:, length:, row] == -1).all()


def test_equal_scores_give_all_sequences_and_forbidden_ones_none(scores_TBK):
    labels_nTB, score_nB = nbest_paths(torch.zeros(3, 1, K), torch.tensor([3]), None, K**3)
    assert len(set(map(tuple, labels_nTB[:, :, 0].tolist()))) == K**3 and not score_nB.any()
    forbidding = (np.zeros(K, bool), np.ones(K, bool), np.ones((K, K), bool))
    chain = INDEPENDENT.constrained(forbidding)
    (labels_TB,), (score_B,) = nbest_paths(scores_TBK, LENGTHS, chain, 1)
    assert torch.isneginf(score_B).all() and (labels_TB == -1).all()


def test_rows_read_separately_have_the_same_paths(scores_TBK, chain, monkeypatch):
    together = nbest_paths(scores_TBK, LENGTHS, chain, 3)
    monkeypatch.setattr(heads, "CELLS_AT_ONCE", 1)
    assert all(map(torch.equal, together, nbest_paths(scores_TBK, LENGTHS, chain, 3)))


@pytest.mark.parametrize("independent", [False, True], ids=["chain", "independent"])
@pytest.mark.parametrize("lengths", [LENGTHS, torch.full((B,), T)], ids=["padded", "full"])
def test_the_best_exactly_equals_the_first_of_two(scores_TBK, chain, independent, lengths):
    chain = None if independent else chain
    one, two = (nbest_paths(scores_TBK, lengths, chain, n) for n in (1, 2))
    assert all(torch.equal(its[0], other[0]) for its, other in zip(one, two, strict=True))

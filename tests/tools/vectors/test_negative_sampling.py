"""Skip-gram and CBOW against the gradients of their objective, word by word."""

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid

from rnnlm.tools.vectors import gradient_methods
from rnnlm.tools.vectors.gradient_methods import Windows, _add, _cbow, _CorpusReader, _skipgram

V, E, NEGATIVE, RATE = 7, 5, 3, 0.1


@pytest.fixture
def small(monkeypatch):
    """Limit batches to two rows of four words, with five noise words each."""
    for name, size in {"ROWS": 2, "LEAST_STEPS": 1, "ROW_WORDS": 4, "ROW_NOISE": 5}.items():
        monkeypatch.setattr(gradient_methods, name, size)


def reader(lines, window=2, seed=1, counts=None):
    ids = np.concatenate([np.array(line, dtype=np.int32) for line in lines])
    offsets = np.cumsum([0, *map(len, lines)])
    counts_V = np.ones(V) if counts is None else np.array(counts, dtype=float)
    return _CorpusReader(ids, offsets, counts_V, window, torch.Generator().manual_seed(seed))


def all_kept(windows):
    """Keep each occurrence: tiny texts have frequent words alone."""
    windows.kept_V = torch.ones(V)
    return windows


def vectors():
    draw = torch.Generator().manual_seed(5)
    return torch.randn(V, E, generator=draw), torch.randn(V, E, generator=draw)


def pairs_of(step):
    """Return (row, place of the word, place around it) of each pair."""
    return step.is_pair_RLS.nonzero().tolist()


def skipgram_objective(input_VE, output_VE, step):
    """Compute equation 4 of Mikolov et al. 2013b, pair by pair. NEGATIVE times the mean over a
    row's noise words replaces the sum."""
    total = torch.zeros(())
    for row, place, around in pairs_of(step):
        v_E = input_VE[step.words_RL[row, place]]
        noise_KE = output_VE[step.noise_RK[row]]
        total = total + logsigmoid(v_E @ output_VE[step.around_RS[row, around]])
        total = total + NEGATIVE * logsigmoid(-noise_KE @ v_E).mean()
    return total


def cbow_objective(input_VE, output_VE, step):
    total = torch.zeros(())
    for row in range(len(step.words_RL)):
        for place, word in enumerate(step.words_RL[row]):
            around = step.is_pair_RLS[row, place].nonzero().flatten()
            if len(around):
                sum_E = input_VE[step.around_RS[row, around]].sum(0)
                # the mean in value, the sum in its gradient: each vector moves by the whole
                mean_E = sum_E - (sum_E * (1 - 1 / len(around))).detach()
                total = total + logsigmoid(mean_E @ output_VE[word])
                noise_KE = output_VE[step.noise_RK[row]]
                total = total + NEGATIVE * logsigmoid(-noise_KE @ mean_E).mean()
    return total


@pytest.mark.parametrize(
    "gradients, objective", [(_skipgram, skipgram_objective), (_cbow, cbow_objective)]
)
def test_a_step_follows_the_objectives_gradient(small, monkeypatch, gradients, objective):
    monkeypatch.setattr(gradient_methods, "LARGEST_STEP", 1e9)
    _, step = next(iter(all_kept(reader([[0, 1, 2, 3, 1], [4], [5, 6]])).epoch()))
    input_VE, output_VE = (given.requires_grad_() for given in vectors())
    expected = torch.autograd.grad(objective(input_VE, output_VE, step), (input_VE, output_VE))
    with torch.no_grad():
        found = gradients(input_VE, output_VE, step, NEGATIVE, RATE)
        for before, parts, gradient in zip((input_VE, output_VE), found, expected, strict=True):
            after = before.clone()
            _add(after, parts)
            torch.testing.assert_close(after - before, RATE * gradient)


def test_pairs_stay_in_line_and_window(small):
    lines = [[0, 1, 2], [3, 4, 5, 6, 0]]
    words = [word for line in lines for word in line]
    steps = [step for _, step in all_kept(reader(lines)).epoch()]
    assert torch.cat([step.words_RL for step in steps]).flatten()[:8].tolist() == words
    line = [number for number, words in enumerate(lines) for _ in words]
    seen = set()
    first = 0
    for step in steps:
        for row, place, around in pairs_of(step):
            word = first + row * 4 + place
            other = word + around - place - 2
            assert line[word] == line[other] and 0 < abs(word - other) <= 2
            assert step.around_RS[row, around] == words[other]
            seen.add(abs(word - other))
        first += 4 * len(step.words_RL)
    assert seen == {1, 2}


def test_frequent_words_are_left_out_more_often():
    kept_V = reader([[0, 1]], counts=[10_000, 10, 10, 10, 10, 10, 10]).kept_V
    share = 10_000 / 10_060
    assert kept_V[0] == pytest.approx((0.001 / share) ** 0.5 + 0.001 / share)
    assert kept_V[1] == 1.0


def test_noise_words_follow_smoothed_counts():
    windows = reader([[0, 1]], counts=[1, 16, 81, 0, 0, 0, 0])
    torch.testing.assert_close(windows.noise_bounds_V[:3].float(), torch.tensor([1, 9, 36]) / 36)


def test_a_frequent_word_takes_no_long_step(small):
    step = Windows(
        torch.tensor([[0, 0, 0, 0]]), torch.tensor([[1] * 8]), torch.ones(1, 4, 8),
        torch.tensor([[2] * 5]),
    )  # fmt: skip
    input_VE, output_VE = vectors()
    of_input, _ = _skipgram(input_VE, output_VE, step, NEGATIVE, RATE)
    after = input_VE.clone()
    _add(after, of_input)
    pairs = 4 * 8 * RATE * (1 + NEGATIVE)  # 12.8 where 1 is the most
    summed_E = of_input[0].values.flatten(0, 1).sum(0)
    torch.testing.assert_close(after[0] - input_VE[0], summed_E / pairs)

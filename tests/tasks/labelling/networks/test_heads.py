"""What all heads promise: a distribution over label sequences, whose best ones they find."""

import itertools

import numpy as np
import pytest
import torch

from rnnlm.errors import SettingsError
from rnnlm.tasks.labelling.networks import heads
from rnnlm.tasks.labelling.settings import network_settings

T, B, H, K = 3, 3, 4, 3
LENGTHS = torch.tensor([3, 1, 2])
# 2: I, not after O (0)
AFTER = np.array([[1, 1, 0], [1, 1, 1], [1, 1, 1]], bool)
ALLOWED = (np.array([1, 1, 0], bool), np.ones(K, bool), AFTER)


def make_head(name: str, dtype=torch.float64, labels: int = K) -> heads.TaggingHead:
    torch.manual_seed(1)
    kinds = {"softmax": heads.SoftmaxHead, "crf": heads.CrfHead, "memm": heads.MarkovHead}
    head = kinds[name](H, labels)
    for weight in head.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight)
    return head.to(dtype)


@pytest.fixture(params=["softmax", "crf", "memm"])
def head(request) -> heads.TaggingHead:
    return make_head(request.param)


@pytest.fixture
def features_TBH() -> torch.Tensor:
    return torch.randn(T, B, H, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def all_labels(length: int) -> torch.Tensor:
    """Return all label sequences, (length, K^length)."""
    return torch.tensor(list(itertools.product(range(K), repeat=length))).t()


@torch.no_grad()
def logprobs(head, features_TH) -> torch.Tensor:
    """Return log p of each of `all_labels`, by the loss."""
    lengths_1, labels_TN = torch.tensor([len(features_TH)]), all_labels(len(features_TH))
    columns = (labels_T.unsqueeze(1) for labels_T in labels_TN.t())
    nats = [head.loss(features_TH.unsqueeze(1), labels_T1, lengths_1)[0] for labels_T1 in columns]
    return -torch.stack(nats)


def test_loss_and_predictions_share_one_distribution(head, features_TBH):
    paths = head.predict(features_TBH, LENGTHS, nbest=3)
    for row, length in enumerate(LENGTHS.tolist()):
        logprob_N = logprobs(head, features_TBH[:length, row])
        assert float(logprob_N.logsumexp(0)) == pytest.approx(0, abs=1e-9)
        best_n, index_n = logprob_N.topk(3)
        assert torch.allclose(paths.logprob_nB[:, row], best_n, rtol=0, atol=1e-9)
        assert torch.equal(paths.labels_nTB[:, :length, row], all_labels(length)[:, index_n].t())
    best = head.predict(features_TBH, LENGTHS)
    assert torch.equal(best.labels_nTB[0], paths.labels_nTB[0])
    assert torch.allclose(best.logprob_nB[0], paths.logprob_nB[0], rtol=0, atol=1e-9)


def test_constraints_choose_the_sequence_and_leave_its_probability(head, features_TBH):
    features_TBH = torch.cat([features_TBH, 3 * features_TBH], dim=1)
    lengths_B = LENGTHS.repeat(2)
    paths = head.predict(features_TBH, lengths_B, ALLOWED)
    for row, length in enumerate(lengths_B.tolist()):
        labels = paths.labels_nTB[0, :length, row]
        allowed = {}
        logprobs_N = logprobs(head, features_TBH[:length, row]).tolist()
        for each, logprob in zip(all_labels(length).t().tolist(), logprobs_N, strict=True):
            if ALLOWED[0][each[0]] and all(ALLOWED[2][pair] for pair in itertools.pairwise(each)):
                allowed[tuple(each)] = logprob
        expected = pytest.approx(allowed[tuple(labels.tolist())], abs=1e-9)
        assert float(paths.logprob_nB[0, row]) == expected
        assert tuple(labels.tolist()) == max(allowed, key=allowed.__getitem__)


def test_a_row_allowing_no_sequence_is_labelled_unconstrained(head, features_TBH):
    # a single word cannot do both
    begins_and_ends = (np.array([1, 0, 0], bool), np.array([0, 1, 0], bool), np.ones((K, K), bool))
    paths = head.predict(features_TBH, LENGTHS, begins_and_ends)
    free = head.predict(features_TBH, LENGTHS)
    assert torch.equal(paths.labels_nTB[:, :, 1], free.labels_nTB[:, :, 1])
    assert torch.allclose(paths.logprob_nB[:, 1], free.logprob_nB[:, 1], rtol=0, atol=1e-9)
    assert paths.labels_nTB[0, 0].tolist()[::2] == [0, 0]
    assert paths.labels_nTB[0, [2, 1], [0, 2]].tolist() == [1, 1]


@torch.no_grad()
def test_each_softmax_of_a_markov_head_reads_the_label_before(features_TBH):
    head = make_head("memm")
    label_logprob, before_K = 0.0, head.chain.start_K
    labels_TB = torch.tensor([[0, 2, 1], [1, -1, 2], [1, -1, -1]])
    for features_H, label in zip(features_TBH[:, 0], labels_TB[:, 0], strict=True):
        label_logprob += float((head.output(features_H) + before_K).log_softmax(0)[label])
        before_K = head.chain.transitions_KK[label]
    nats, _ = head.loss(features_TBH[:, :1], labels_TB[:, :1], LENGTHS[:1])
    assert float(nats) == pytest.approx(-label_logprob, abs=1e-9)


@torch.no_grad()
def test_padding_and_unknown_labels_do_not_count(head, features_TBH):
    labels_TB = torch.tensor([[0, 1, 2], [-1, 2, 2], [1, 0, 0]])
    padded_TB = labels_TB.masked_fill(torch.arange(T).unsqueeze(1) >= LENGTHS, -1)
    nats, count = head.loss(features_TBH, labels_TB, LENGTHS)
    assert int(count) == 5
    assert torch.equal(nats, head.loss(features_TBH, padded_TB, LENGTHS)[0])
    alone = []
    for row, length in enumerate(LENGTHS):
        its = slice(row, row + 1)
        read = (features_TBH[:length, its], labels_TB[:length, its], LENGTHS[its])
        alone.append(head.loss(*read)[0])
    assert float(nats) == pytest.approx(float(sum(alone)), abs=1e-9)
    nothing, count = head.loss(features_TBH, torch.full_like(labels_TB, -1), LENGTHS)
    assert float(nothing) == pytest.approx(0, abs=1e-9) and not count


def test_probabilities_of_labels_are_those_of_their_sequences(features_TBH):
    for name in ("softmax", "crf", "memm"):
        head = make_head(name)
        p_TBK = head.label_probabilities(features_TBH, LENGTHS)
        for row, length in enumerate(LENGTHS.tolist()):
            p_N = logprobs(head, features_TBH[:length, row]).exp()
            for t, label in itertools.product(range(length), range(K)):
                expected = pytest.approx(float(p_N[all_labels(length)[t] == label].sum()), abs=1e-9)
                assert float(p_TBK[t, row, label]) == expected
            assert not p_TBK[length:, row].any()


@pytest.mark.parametrize("name", ["softmax", "crf", "memm"])
def test_heads_train_in_bf16(name, features_TBH):
    head = make_head(name, torch.float32)
    features_TBH = features_TBH.float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        nats, _ = head.loss(features_TBH, torch.ones(T, B, dtype=torch.long), LENGTHS)
    nats.backward()
    assert nats.dtype == torch.float32 and features_TBH.grad is not None
    assert all(weight.grad is not None for weight in head.parameters() if weight.requires_grad)


def test_margin_is_between_the_right_label_and_the_best_other_one(features_TBH):
    head = heads.SoftmaxHead(H, K, has_margin=True)
    labels_TB = torch.arange(T * B).view(T, B) % K
    labels_TB[0, 0] = -1
    features_TBH = features_TBH.float()
    found, count = head.loss(features_TBH, labels_TB, LENGTHS)
    expected, places = 0.0, 0
    for row, length in enumerate(LENGTHS.tolist()):
        for t in range(length):
            scores, right = head.output(features_TBH[t, row]).tolist(), int(labels_TB[t, row])
            if right >= 0:
                best = max(score for label, score in enumerate(scores) if label != right)
                expected += max(0.0, 1 - scores[right] + best)
                places += 1
    assert found.item() == pytest.approx(expected, rel=1e-5) and int(count) == places
    found.backward()
    assert head.output.weight.grad.abs().sum() > 0
    text = heads.TextHead(H, K, has_margin=True)
    text.output = head.output
    alone, _ = head.loss(features_TBH[:1], labels_TB[:1], LENGTHS.clamp(max=1))
    assert float(text.loss(features_TBH[0], labels_TB[0])[0]) == pytest.approx(float(alone))


def test_margins_that_are_not_defined_are_refused():
    with pytest.raises(SettingsError, match="loss = margin compares the labels of one word"):
        network_settings("tagging", "lstm", loss="margin", output_layer="crf")


@torch.no_grad()
def test_a_text_has_one_label_or_any_number():
    torch.manual_seed(3)
    features_BH, scores = torch.randn(4, H), torch.tensor([0, 2, -1, 1])
    head = heads.TextHead(H, K)
    p_BK = head.label_probabilities(features_BH)
    nats, count = head.loss(features_BH, scores)
    assert torch.allclose(p_BK.sum(1), torch.ones(4)) and int(count) == 3
    assert float(nats) == pytest.approx(-float(p_BK[[0, 1, 3], [0, 2, 1]].log().sum()), rel=1e-5)

    head = heads.TextHead(H, K, multi_label=True)
    labels_BK = torch.tensor([[0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 0]])
    p_BK = head.label_probabilities(features_BH)
    nats, count = head.loss(features_BH, labels_BK)
    p_BK = torch.where(labels_BK == 1, p_BK, 1 - p_BK)
    assert float(nats) == pytest.approx(-float(p_BK.log().sum()), rel=1e-5) and int(count) == 4

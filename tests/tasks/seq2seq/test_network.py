"""Encoder-decoders against a word-by-word transcription in numpy, gradients, bf16."""

import numpy as np
import pytest
import torch

from reference import encoder_decoder
from rnnlm.tasks.seq2seq import network as networks
from rnnlm.tasks.seq2seq.network import make_network
from rnnlm.tasks.seq2seq.settings import network_settings
from support.tiny_models import make_tokenizer
from support.tiny_seq2seq import TARGET, TARGET_LENGTHS, arrays, batch, tiny_network

KINDS_OF_ATTENTION = ["dot", "general", "additive"]
FED = [
    {"attention": "general"}, {"attention": "general", "input_feeding": True},
    {"attention": "additive", "input_feeding": True}, {"attention": None},
]  # fmt: skip
SHAPES = [
    {"attention": kind, "input_feeding": feeds,
     "decoder_hidden_size": None} for kind in KINDS_OF_ATTENTION for feeds in (False, True)
] + [
    {"attention": None}, {"attention": None, "bridge": "mean", "decoder_layers": 2},
    {"attention": None, "tied_embeddings": None},
    {"bridge": None, "decoder_hidden_size": 4},
    {"bridge": "mean", "layers": 2, "decoder_layers": 2, "layer_sizes": "3,2"},
    {"layers": 2, "decoder_layers": 2, "connections": "residual", "input_feeding": True},
    {"layers": 2, "decoder_layers": 3},
    {"layers": 2, "decoder_layers": 2, "connections": "highway", "input_feeding": True,
     "decoder_hidden_size": 5},
    {"layers": 2, "decoder_layers": 2, "connections": "dense", "input_feeding": True,
     "attention": "additive", "attention_size": 3},
    {"layers": 2, "tied_embeddings": None, "bidirectional": False, "input_feeding": True},
    {"tied_embeddings": "all", "target_embedding_size": 5},
    {"decoder_model": "gru", "input_feeding": True}, {"decoder_model": "rnn"},
]  # fmt: skip


@pytest.mark.parametrize("model, shape", [("lstm", shape) for shape in SHAPES] + [
    ("gru", shape) for shape in (*SHAPES[1:4], SHAPES[11])
] + [("rnn", SHAPES[3])], ids=str)  # fmt: skip
def test_forward_pass_equals_a_word_by_word_transcription(model, shape):
    source = TARGET if shape.get("tied_embeddings") == "all" else None
    network = tiny_network(model, **({"source": source} if source else {}), **shape)
    pairs, weights, settings = batch().pairs(), arrays(network), network.settings
    memory, state = network.encode(batch().sources_SB, batch().lengths_B)
    features_TBE, weights_TBS, _ = network.decode(batch().inputs_TB, memory, state)
    for row, (given, inputs, _) in enumerate(pairs):
        features, seen = encoder_decoder.decode(settings, weights, given, inputs)
        found_TE = features_TBE[: len(inputs), row].detach().numpy()
        np.testing.assert_allclose(found_TE, features, atol=1e-12)
        if seen is not None:
            found_TS = weights_TBS[: len(inputs), row, : len(given)].detach().numpy()
            np.testing.assert_allclose(found_TS, seen, atol=1e-12)
            assert not weights_TBS[:, row, len(given) :].any()
    for smoothing in (0.0, 0.1):
        expected = encoder_decoder.loss(settings, weights, pairs, smoothing)
        found = network.loss(*batch().tensors, label_smoothing=smoothing).item()
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("model, shape", [
    *(("lstm", shape) for shape in FED), ("gru", FED[1]), ("qrnn", FED[1]),
    ("lstm", {"bridge": "mean", "decoder_layers": 2, **FED[2]}),
], ids=str)  # fmt: skip
def test_gradients_equal_finite_differences(model, shape):
    network = tiny_network(model, tied_embeddings=None, **shape)
    network.loss(*batch().tensors, label_smoothing=0.2).backward()
    parameters = list(network.parameters())
    way = [torch.randn_like(each) for each in parameters]
    ends = []
    with torch.no_grad():
        for distance in (1e-5, -2e-5):
            torch._foreach_add_(parameters, way, alpha=distance)
            ends.append(network.loss(*batch().tensors, label_smoothing=0.2).item())
    steps = zip(parameters, way, strict=True)
    along = sum((each.grad.to_dense() * its).sum().item() for each, its in steps)
    assert all(each.grad.any() for each in parameters)
    assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(along, rel=1e-6)


@pytest.mark.parametrize("shape", FED, ids=str)
def test_padding_changes_neither_loss_nor_gradients(shape):
    network = tiny_network(**shape)
    found = []
    for given in (batch(padding=-1), batch(padding=3)):
        network.zero_grad()
        network.loss(*given.tensors).backward()
        found.append([parameter.grad.to_dense() for parameter in network.parameters()])
    rows = enumerate(TARGET_LENGTHS)
    alone = [network.loss(*batch().row(row).tensors) * length for row, length in rows]
    network.zero_grad()
    (sum(alone) / sum(TARGET_LENGTHS)).backward()
    for first, second, parameter in zip(*found, network.parameters(), strict=True):
        assert torch.equal(first, second)
        torch.testing.assert_close(first, parameter.grad.to_dense())


@pytest.mark.parametrize("model, shape", [
    *(("lstm", shape) for shape in FED), ("qrnn", FED[0]), ("qrnn", FED[1]),
], ids=str)  # fmt: skip
def test_all_words_at_once_equal_word_by_word(model, shape):
    network = tiny_network(model, decoder_layers=2, **shape)
    given = batch(padding=0)
    memory, state = network.encode(given.sources_SB, given.lengths_B)
    features_TBE, weights_TBS, after = network.decode(batch(padding=0).inputs_TB, memory, state)
    for t, inputs_B in enumerate(batch(padding=0).inputs_TB):
        features_1BE, weights_1BS, state = network.decode(inputs_B[None], memory, state)
        torch.testing.assert_close(features_1BE[0], features_TBE[t])
        if weights_1BS is not None:
            torch.testing.assert_close(weights_1BS[0], weights_TBS[t])
    torch.testing.assert_close(state, after)
    logprob_TBV = network.predict_features(features_TBE)
    torch.testing.assert_close(logprob_TBV.exp().sum(2), torch.ones_like(logprob_TBV[..., 0]))
    targets_TB = batch().targets_TB
    chosen_TB = logprob_TBV.gather(2, targets_TB.clamp(min=0)[..., None])[..., 0]
    chosen_TB *= targets_TB >= 0
    torch.testing.assert_close(network.score_features(features_TBE, targets_TB), chosen_TB)


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("shape", FED, ids=str)
def test_rows_sharing_a_source_equal_separate_ones(shape, rows):
    network = tiny_network(**shape)
    memory, state = network.encode(batch().sources_SB, batch().lengths_B)
    of_B = torch.arange(len(memory.lengths_M)).repeat_interleave(rows)
    inputs_TB = torch.arange(2 * len(of_B)).view(2, -1) % TARGET.size
    state = tuple(part[:, of_B] for part in state)
    grouped = network.decode(inputs_TB, memory, state)
    gathered = network.decode(inputs_TB, memory.select(of_B), state)
    torch.testing.assert_close(grouped[0], gathered[0])
    torch.testing.assert_close(grouped[1], gathered[1])


def test_own_words_are_the_likeliest_to_the_network():
    network = tiny_network(input_feeding=True)
    given, (first_B, *_) = batch(padding=0), batch().inputs_TB
    memory, state = network.encode(given.sources_SB, given.lengths_B)
    own, inputs_1B = [first_B], first_B[None]
    for _ in given.inputs_TB[1:]:
        features_1BE, _, state = network.decode(inputs_1B, memory, state)
        inputs_1B = network.predict_features(features_1BE).argmax(dim=2)
        own.append(inputs_1B[0])
    expected = network.loss(given.sources_SB, given.lengths_B, torch.stack(own), given.targets_TB)
    always, never = torch.ones_like(first_B[None]), torch.zeros_like(first_B[None])
    assert torch.equal(network.loss(*given.tensors, own_1B=always), expected) and network.training
    assert torch.equal(network.loss(*given.tensors, own_1B=never), network.loss(*given.tensors))


def test_training_begins_at_the_target_unigram_distribution():
    network = tiny_network(dtype=torch.float32)
    fresh = make_network(network.settings, TARGET, TARGET)
    features_TBE = torch.zeros(1, 1, network.settings.features_width)
    counts_V = TARGET.counts_V + 0.5
    p_V = fresh.predict_features(features_TBE)[0, 0].exp().detach()
    np.testing.assert_allclose(p_V, counts_V / counts_V.sum(), rtol=1e-5)


@pytest.mark.parametrize("shape", FED, ids=str)
def test_bf16_loss_stays_near_fp32(shape):
    network = tiny_network(dtype=torch.float32, **shape)
    exact = network.loss(*batch().tensors, label_smoothing=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = network.loss(*batch().tensors, label_smoothing=0.1)
        memory, state = network.encode(batch().sources_SB, batch().lengths_B)
        _, _, after = network.decode(batch().inputs_TB, memory, state)
    near.backward()
    assert {part.dtype for part in (*state, *after)} == {torch.float32}
    assert near.item() == pytest.approx(exact.item(), abs=0.03)


@pytest.mark.parametrize("feeds", [False, True])
def test_dropout_is_for_training_and_locked_per_row(feeds):
    drop = {"dropout_output": 0.5, "dropout_input": 0.4, "weight_drop": 0.3}
    network = tiny_network(input_feeding=feeds, locked_dropout=True, **drop)
    given = batch(padding=0)
    encoded = network.encode(given.sources_SB, given.lengths_B)
    features_TBE, _, _ = network.decode(given.inputs_TB, *encoded)
    is_dropped_TBE = features_TBE == 0
    assert is_dropped_TBE.any() and torch.equal(is_dropped_TBE.any(0), is_dropped_TBE.all(0))
    assert not torch.equal(network.loss(*given.tensors), network.loss(*given.tensors))
    network.eval()
    assert torch.equal(network.loss(*given.tensors), network.loss(*given.tensors))


@pytest.mark.parametrize("tied", ["target", "all"])
def test_source_words_are_read_as_unknown_in_training(tied):
    own = {"unknown_words": 1e9, "dropout_input": 0.0, "dropout_output": 0.0}
    settings = network_settings("gru", tied_embeddings=tied, **own)
    network = make_network(settings, SHARED, SHARED)
    for parameter in network.parameters():
        torch.nn.init.uniform_(parameter, -0.5, 0.5)
    sources = [torch.tensor(SHARED.encode([line]).ids[:, None]) for line in ("a b", "c a")]
    lengths_M = torch.tensor([3])

    def outputs():
        return [network.encode(source_SM, lengths_M)[0].states_SMH for source_SM in sources]

    assert torch.equal(*outputs())
    network.eval()
    assert not torch.equal(*outputs())


def test_source_and_target_may_share_all_vectors():
    network = make_network(network_settings("gru", tied_embeddings="all"), SHARED, SHARED)
    names = [name for name, value in network.named_parameters() if len(value) == SHARED.size]
    assert names == ["target_words.embedding.weight", "output.bias"]


SHARED = make_tokenizer(["a b c"])


def test_long_windows_of_additive_attention_go_in_parts(monkeypatch):
    network = tiny_network(attention="additive")
    losses, gradients = [], []
    for numbers in (networks.CHUNK_NUMBERS, 1):
        monkeypatch.setattr(networks, "CHUNK_NUMBERS", numbers)
        network.zero_grad()
        losses.append(network.loss(*batch().tensors))
        losses[-1].backward()
        gradients.append([parameter.grad.to_dense() for parameter in network.parameters()])
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(*gradients)

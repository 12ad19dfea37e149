"""A model's trace of a line is what it computes when it labels or translates."""

import numpy as np
import pytest
import torch

from rnnlm.lm.base import loading
from rnnlm.lm.neural.network import make_network
from rnnlm.lm.neural.settings import kinds
from rnnlm.lm.neural.trained_network import NeuralLanguageModel
from rnnlm.registry import kind_of
from rnnlm.tasks.labelling.batches import batch_tensors
from rnnlm.tasks.labelling.data import encode_texts
from rnnlm.tasks.seq2seq.data import rows
from support.tiny_models import make_tokenizer, small_settings


@pytest.mark.parametrize(("kind", "more"), [
    ("lstm", {"layers": 2}), ("lstm", {"layers": 2, "mogrifier_rounds": 3}),
    ("qrnn", {"layers": 2}), ("jordan", {}), ("ffnn", {}),
])  # fmt: skip
def test_language_model_trace_starts_with_the_boundary(kind, more):
    tokenizer = make_tokenizer()
    torch.manual_seed(2)
    settings = small_settings(kind_of(kind), **more).make(kinds()[kind])
    model = NeuralLanguageModel(make_network(settings, tokenizer).eval(), tokenizer)
    line = tokenizer.decode(np.arange(3, 8))
    found = model.trace_line(line)
    inputs_1T = torch.tensor([[tokenizer.boundary_id, *tokenizer.encode([line]).ids[:-1]]])
    expected, _ = model.network.features(inputs_1T.t(), model.network.initial_state(1))
    assert found.tokens == ("</s>", *line.split())
    assert [each.name for each in found.layers] == ["layer 1", "layer 2"][: len(found.layers)]
    assert len(found.layers) == more.get("layers", 1)
    features_TBE = model.network.projection(found.layers[-1].layer.hidden_TBH)
    torch.testing.assert_close(features_TBE, expected)


@pytest.mark.parametrize("folder", ["treebank_tagger", "pronouncer"])
def test_tagger_trace_gives_what_its_heads_read(request, folder):
    model = loading.load(str(request.getfixturevalue(folder)))
    line = "They don't like cold songs." if folder == "treebank_tagger" else "sheep"
    found = model.trace_line(line)
    encoder = model.network.encoder
    words = [token for token in found.tokens if token != "</s>"]
    assert [each.name for each in found.layers] == ["layer 1 forward", "layer 1 backward"]
    encoded = encode_texts(model.codec, [words])
    inputs = batch_tensors(encoded, np.zeros(1, dtype=np.int64), model.device)
    with model.reading():
        expected_TBH = encoder.read(inputs[0], inputs[1][0])
    both_TBH = torch.cat([each.layer.hidden_TBH for each in found.layers], dim=2)
    torch.testing.assert_close(both_TBH[1:-1] if encoder.reads_boundary else both_TBH, expected_TBH)


def test_encoder_trace_gives_what_attention_sees(translator):
    model = loading.load(str(translator.folder))
    line = "two seven one"
    found = model.trace_line(line)
    states = model.states_of(rows(model.codec.source.encode([line]), [0]))
    both_SBH = torch.cat([each.layer.hidden_TBH for each in found.layers], dim=2)
    assert found.tokens == ("two", "seven", "one", "</s>")
    torch.testing.assert_close(both_SBH, states.memory.states_SMH)

"""The arrays of a network, which settings and codec tell, are those that the network has."""

import pytest

from rnnlm import registry
from rnnlm.config import SettingsLayer, resolve
from rnnlm.tasks.labelling.data import TEXT, WORD, Codec, LabelColumn
from rnnlm.tasks.labelling.networks.network import TaskNetwork
from rnnlm.tasks.labelling.settings import kinds
from rnnlm.tasks.seq2seq.data import PairCodec
from rnnlm.tasks.seq2seq.network import Seq2SeqNetwork
from rnnlm.tasks.seq2seq.settings import Seq2SeqSettings
from support.model_cases import CONDITIONAL
from support.tiny_models import make_tokenizer

SOURCE, TARGET = make_tokenizer(["a b c"]).spelling(), make_tokenizer(["d e"])
WORDS, TEXTS = (LabelColumn(level, level, ("x", "y", "z")) for level in (WORD, TEXT))
LABELLERS = [
    ("tagging", "rnn", {"characters": None, "layers": 2, "connections": "highway"}),
    ("tagging", "lstm", {"output_layer": "crf", "bidirectional": False, "connections": "dense"}),
    ("tagging", "gru", {"context_models": "0123456789ab:3+4,ba9876543210:5", "characters": "lstm"}),
    ("classification", "qrnn", {"sentence_pooling": "attention", "layers": 2}),
    ("classification", "bag", {"layers": 2, "batch_norm": True}),
    ("classification", "recursive", {"composition": "tensor", "batch_norm": True}),
    ("classification", "cnn", {"filter_widths": "2,3", "characters": "cnn"}),
]  # fmt: skip
PAIRS = [
    *CONDITIONAL,
    ("gru", {"attention": "general", "layers": 3, "decoder_layers": 2, "tied_embeddings": "all"}),
    ("lstm", {"attention": None, "tied_embeddings": None, "decoder_hidden_size": 5}),
]


def shapes_in(network):
    tensors = network.state_dict().items()
    types = {"torch.float32": "F32", "torch.int32": "I32"}
    return {name: (types[str(tensor.dtype)], tuple(tensor.shape)) for name, tensor in tensors}


def resolved_for(kind, settings):
    return resolve(kind.settings, [SettingsLayer("test", {"model": kind.name, **settings})])


@pytest.mark.parametrize("task, model, settings", LABELLERS)
def test_networks_that_label_have_the_arrays_foretold(task, model, settings):
    kind = registry.kind_of(model, task)
    resolved = resolved_for(kind, {"hidden_size": 6, "embedding_size": 4, **settings})
    codec = Codec(SOURCE, (WORDS, TEXTS) if task == "tagging" else (TEXTS,))
    network = TaskNetwork(resolved.make(kinds()[task, model]), codec)
    assert kind.array_shapes(resolved.values, codec) == shapes_in(network)


@pytest.mark.parametrize("model, settings", PAIRS)
def test_encoder_decoders_have_the_arrays_foretold(model, settings):
    kind = registry.kind_of(model, "seq2seq")
    resolved = resolved_for(kind, {"hidden_size": 6, "embedding_size": 4, **settings})
    network = Seq2SeqNetwork(resolved.make(Seq2SeqSettings), SOURCE, TARGET)
    shapes = kind.array_shapes(resolved.values, PairCodec(SOURCE, TARGET))
    assert shapes == shapes_in(network)

"""Settings of encoder-decoders: widths follow, what is stored comes back, what contradicts itself
is said."""

import re

import pytest

from rnnlm.config import Layer, needs_of, resolve, warn_of_idle
from rnnlm.errors import ModelError, RnnlmWarning, SettingsError
from rnnlm.neural.settings import CELLS
from rnnlm.tasks.seq2seq.settings import Seq2SeqSettings, network_settings, stored


@pytest.mark.parametrize("model", CELLS)
def test_stored_settings_come_back_and_each_is_described(model):
    assert stored(
        {"model": model, "decoder_layers": 3, "attention": None, "learning_rate": 3}
    ) == network_settings(model, decoder_layers=3, attention=None)
    assert set(needs_of(Seq2SeqSettings)) <= set(Seq2SeqSettings.__dataclass_fields__)


def test_none_is_understood_as_text():
    settings = resolve(
        [Seq2SeqSettings],
        [Layer("user", {"attention": "none", "tied_embeddings": "none"}, is_text=True)],
    ).make(Seq2SeqSettings)
    assert (settings.attention, settings.tied_embeddings) == (None, None)


def test_decoder_width_and_kind_follow_the_encoder():
    settings = network_settings(
        "lstm",
        coupled_gates=True,
        connections="residual",
        input_feeding=True,
        target_embedding_size=100,
    )
    layers = settings.decoder
    assert (layers.model, layers.hidden_size, layers.cell.coupled_gates, layers.connections) == (
        "lstm",
        512,
        True,
        "residual",
    )
    assert (layers.input_width, settings.features_width) == (100 + 100, 100)
    other = network_settings(
        "lstm",
        coupled_gates=True,
        decoder_model="gru",
        bidirectional=False,
        layer_sizes="9",
        tied_embeddings=None,
    )
    assert (other.decoder.model, other.decoder.widths, other.features_width) == ("gru", (9,), 9)


@pytest.mark.parametrize("values, what", [
    ({"model": "bag"}, "model = 'bag' is not a kind of encoder-decoder"),
    ({"model": None}, "model = None"),
    ({"decoder_hidden_size": 1 << 21}, "decoder_hidden_size"), ({"attention": "self"}, "attention"),
    ({"decoder_layers": 0}, "decoder_layers"),
], ids=str)  # fmt: skip
def test_damaged_or_hostile_ones_are_an_error(values, what):
    with pytest.raises(ModelError, match=f"stored settings are damaged.*{re.escape(what)}"):
        stored({"model": "lstm", **values})


@pytest.mark.parametrize("values, what", [
    ({"characters": "cnn"}, "characters is not possible with task = seq2seq.*tokenizer=char"),
    ({"attention": "dot", "decoder_hidden_size": 300},
     "attention = dot needs equal widths.*512 numbers.*300.*attention=general"),
    ({"attention": None, "input_feeding": True}, "input_feeding needs attention"),
    ({"attention": None, "bridge": None},
     "attention = none and bridge = none hide the source from the decoder"),
    ({"tied_embeddings": "all", "target_embedding_size": 9},
     "tied_embeddings = all needs word vectors of equal width"),
    ({"layers": 2, "layer_sizes": "3"}, "layer_sizes = 3 names 1 widths"),
], ids=str)  # fmt: skip
def test_contradictions_are_said(values, what):
    with pytest.raises(SettingsError) as caught:
        network_settings("lstm", **values)
    assert re.search(what, f"{caught.value.what} {caught.value.why} {caught.value.hint}")


def test_a_setting_without_effect_is_named():
    asked = Layer("user", {"attention_size": 9, "dropout_between": 0.3, "init_output": "glorot"})
    with pytest.warns(
        RnnlmWarning, match="attention_size = 9 needs attention = additive"
    ) as caught:
        warn_of_idle(resolve([Seq2SeqSettings], [asked]))
    assert "layers = 2 or more or decoder_layers = 2 or more" in str(
        caught[0].message
    ) and "init_output" in str(caught[0].message)

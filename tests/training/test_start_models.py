"""Language models that start from another one: its weights, sizes and tokenizer."""

from pathlib import Path

import pytest

import rnnlm
from rnnlm.errors import RnnlmWarning, UsageError
from rnnlm.lm.neural.settings import KINDS, network_settings, structure
from rnnlm.runs import train
from rnnlm.storage import model_folder
from rnnlm.training.plan import TrainingRequest, plan
from support.failures import notices_of
from support.small_runs import SMALL, assert_equal, numbers

ONE = {**SMALL, "budget": "1steps"}


def planned(**given):
    """Plan a run on the text that starts from the model `a`."""
    names = TrainingRequest.__dataclass_fields__
    request = {"init_from": "a", **{name: value for name, value in given.items() if name in names}}
    flags = {name: value for name, value in given.items() if name not in names}
    return plan(TrainingRequest(text=("text.txt",), flags=flags, **request))


def test_training_continues_from_another_models_weights(text):
    list(train(text, output="a", **SMALL))
    still = {**SMALL, "budget": "1steps", "optimizer": "sgd", "learning_rate": 1e-30}
    list(train(text, output="b", init_from="a", **still))
    assert_equal(numbers("a"), numbers("b"))
    assert model_folder.read_manifest(Path("b")).training["init_from"] == "a"

    # A deeper network takes the layers of a shallower one.
    still = {**SMALL, "layers": 3, "connections": "highway", "budget": "1steps"}
    still |= {"learning_rate": 1e-30, "weight_decay": 0.0}
    with pytest.warns(RnnlmWarning, match="above its 1, which are new: .*layers.1.*layers.2"):
        list(train(text, output="c", init_from="a", **still))
    first, second = numbers("a"), numbers("c")
    assert_equal(first, {name: second[name] for name in first})
    assert {name.split(".")[-3] for name in second.keys() - first} == {"layers", "highways"}
    with pytest.raises(UsageError, match="its weights do not fit"):
        list(train(text, output="d", init_from="c", layers=1, **SMALL))


def test_kind_sizes_and_tokenizer_need_not_be_named(text):
    """How to train is the recipe's choice."""
    first = {"model": "gru", "embedding_size": 5, "hidden_size": 7, "lowercase": True}
    list(train(text, output="a", budget="1steps", reset_gate="before", dropout_output=0.9, **first))
    text.write_text(text.read_text() * 60)  # enough for the usual recipe
    made = planned()
    assert made.recipe == made.resolved.values["model"] == "gru"
    first |= {"reset_gate": "before"}
    assert {name: made.resolved.values[name] for name in first} == first
    assert made.resolved.values["dropout_output"] != 0.9
    assert made.resolved.origins["learning_rate"] == "the length of the run"
    assert made.data.tokenizer.fingerprint == rnnlm.load("a").tokenizer.fingerprint


@pytest.mark.parametrize("first, given", [
    ({}, {"tied": True}), ({}, {"layers": 2, "connections": "residual"}), ({}, SMALL),
    ({"layers": 2, "layer_sizes": "9,8"}, {"hidden_size": 5}),
    ({"characters": "cnn"}, {"embedding_size": 5}),
    ({"output_layer": "mos", "characters": "cnn"}, {}), ({"output_layer": "adaptive"}, {}),
    ({"model": "jordan"}, {}), ({"model": "ffnn", "layers": 2}, {"layers": 2}),
    ({"loss": "full"}, {"loss": "sampled", "samples": 8}),
    ({"loss": "sampled", "samples": 8}, {"loss": "full"}),
    ({"loss": "nce", "samples": 8}, {"loss": "sampled", "samples": 9}),
], ids=str)  # fmt: skip
@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_weights_fit_where_they_mean_the_same(text, first, given):
    list(train(text, output="a", **{**ONE, **first}))
    planned(**given)


@pytest.mark.parametrize("first, given, why", [
    ({}, {"hidden_size": 9}, "hidden_size = 9 does not fit `init_from`; it is 8 in the language"),
    ({}, {"lowercase": True}, "lowercase = true does not fit `init_from`; it is false in the"),
    ({}, {"tied": False}, "tied = false does not fit `init_from`; it is true in the language"),
    ({}, {"model": "gru"}, "weights do not fit; it is of kind lstm, not gru; leave `model` and"),
    ({}, {"recipe": "gru"}, "weights do not fit; it is of kind lstm, not gru"),
    ({}, {"model": "ngram"}, "weights do not fit; it is of kind lstm, not ngram"),
    ({}, {"layers": 2, "connections": "dense"}, "weights do not fit; .* has the shape"),
    ({}, {"layers": 2, "layer_sizes": "9,8"}, "weights do not fit; .* has the shape"),
    ({"layers": 2}, {"layers": 1}, "weights do not fit; .* has the shape .* is missing here"),
    ({"layers": 2}, {"connections": "residual"}, "connections = residual does not fit `init_from`"),
    ({}, {"tokenizer_from": "u"}, "weights do not fit; its tokenizer differs; leave out `tokeni"),
    ({}, {"init_from": "u"}, "`init_from` u: a model of kind unigram has no weights to start from"),
    ({"task": "tagging"}, {}, "`init_from` a: it is not a language model; it is a tagger; name a"),
], ids=str)  # fmt: skip
@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_weights_that_do_not_fit_are_refused(text, first, given, why):
    tagged = text.with_name("tagged.txt")
    tagged.write_text("the D\ndog N\n\n" * 9)
    list(train(text, output="u", model="unigram", min_count=2))
    if "task" in first:
        list(train(tagged, output="a", budget="1steps", **first))
    else:
        list(train(text, output="a", **{**ONE, **first}))
    with pytest.raises(UsageError, match=why):
        planned(**given)
    assert not Path("checkpoints").exists()


def test_a_text_prepared_with_another_tokenizer_is_refused(text):
    list(train(text, output="a", **ONE))
    list(rnnlm.prepare(text, output="prepared", min_count=2))
    with pytest.raises(UsageError, match="`init_from` names another tokenizer than prepared") as e:
        plan(TrainingRequest(text=("prepared",), init_from="a"))
    assert e.value.hint == "rnnlm prepare TEXT --tokenizer-from a"


def test_what_replaces_a_recipe_or_a_vocabulary_is_told(text):
    list(train(text, output="a", **ONE))
    told = "\n".join(notices_of(lambda: planned(recipe="zaremba-small")))
    assert "without effect: layers = 2, embedding_size = 200, hidden_size = 200, tied" in told
    assert "in recipe zaremba-small; the settings of the language model a count" in told
    text.write_text("zebras quag unicorns\n" * 99)
    told = "\n".join(notices_of(planned))
    assert "75% of the tokens of the training text are unknown to a: without `init_from`" in told
    told = "\n".join(notices_of(lambda: planned(tokenizer_from="a")))
    assert "unknown to a" not in told


def test_paths_name_models(text):
    list(train(text, output="a", **ONE))
    list(train(text, output="b", init_from=Path("a"), tokenizer_from=Path("a"), **ONE))
    assert model_folder.read_manifest(Path("b")).training["init_from"] == "a"


def test_only_settings_of_training_may_differ():
    """A new setting of a network has to be of one of the two kinds."""
    left_out = {
        "cell", "locked_dropout", "weight_drop", "activation_penalty", "temporal_penalty", "loss",
        "samples", "dropout_embedding", "dropout_input", "dropout_between", "dropout_output",
        "dropout_latent", "init_embedding", "init_input", "init_recurrent", "init_output",
        "init_range", "init_gain", "init_output_bias",
    }  # fmt: skip
    for kind in KINDS:
        settings = network_settings(kind)
        assert {*vars(settings)} - {*structure(settings)} <= left_out
        assert not left_out & {*structure(settings)}

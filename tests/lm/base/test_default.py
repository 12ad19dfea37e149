"""The model that answers where none is named: the one trained last that a command can use."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from rnnlm.errors import UsageError
from rnnlm.lm.base import loading
from rnnlm.lm.base.loading import Default, default_model
from rnnlm.registry import ANYTHING
from rnnlm.storage.manifest import CONFIG, read_manifest, write_manifest
from support.saved_models import save_lstm, save_unigram

pytestmark = pytest.mark.usefixtures("here")


def trained(name, hours, save=save_unigram, **facts):
    """Save a model in ./checkpoints as a training run does, and say that it was at that hour."""
    folder = Path("checkpoints", name)
    save(folder)
    training = {"train_data": "0" * 12, "stopped": "complete", **facts}
    write_manifest(folder, replace(read_manifest(folder), training=training))
    os.utime(folder / CONFIG, (3600 * hours, 3600 * hours))
    return folder


def test_the_model_trained_last_answers():
    assert default_model("score") == Default(loading.SHIPPED)
    trained("a", 2), trained("c", 3), trained("b", 1)
    assert default_model("score") == Default(Path("checkpoints/c"), 3 * 3600)
    os.utime(Path("checkpoints/a") / CONFIG, (9e5, 9e5))
    assert default_model("score").folder == Path("checkpoints/a")


def test_unfinished_models_are_passed_over():
    whole = trained("whole", 1)
    save_unigram(Path("checkpoints/imported"))
    trained("stopped", 2, stopped="request")
    trained("running", 2, stopped=None)
    (trained("no-json", 3) / CONFIG).write_text("{")
    next(trained("no-weights", 4).glob("weights-*")).unlink()
    next(trained("cut", 5).glob("weights-*")).write_bytes(b"")
    assert default_model("score").folder == whole


@pytest.mark.needs("tools/inspection", "tools/vectors")
def test_unusable_models_are_passed_over():
    network, unigram = trained("network", 1, save_lstm), trained("unigram", 2)
    assert default_model("score", [{"text"}]).folder == unigram
    for command, need in [("inspect", "states"), ("embed", "layers"), ("export", "layers")]:
        assert default_model(command, [{need}]).folder == network
    assert default_model("inspect", [{"states"}, {"text"}]).folder == unigram


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq")
@pytest.mark.parametrize("command, needs, way_out", [
    ("tag", ANYTHING, "rnnlm train TEXT --task tagging"),
    ("translate", ANYTHING, "rnnlm train TEXT --task seq2seq"),
    ("score", [{"conditions"}], "rnnlm train TEXT --task seq2seq"),
    ("export", [{"n-grams"}], "rnnlm train TEXT --model ngram"),
])  # fmt: skip
def test_an_error_says_what_to_train(command, needs, way_out):
    trained("unigram", 1)
    with pytest.raises(UsageError) as caught:
        default_model(command, needs)
    assert caught.value.hint == f'name one with `model="MODEL"`, or train one: {way_out}'


def test_runs_beside_shipped_models_count(shipped):
    shipped("checkpoints", "demo")
    mine = trained("mine", 1)
    trained("demo", 2)
    assert default_model("score").folder == mine

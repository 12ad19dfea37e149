"""Layers of a task's network that learn at rates of their own, or not yet."""

import pytest
import torch

from rnnlm.errors import SettingsError
from rnnlm.tasks.labelling.fitting import make_trainer
from support.tiny_tasks import TRAIN, data_of, labelled, settings_of

SGD = {
    "optimizer": "sgd", "schedule": "constant", "warmup": 0.0, "clip_norm": None, "layers": 2,
    "unknown_words": 0.0, "dropout_between": 0.0,
}  # fmt: skip


def changes(steps=1, task="tagging", model="lstm", **settings):
    """Return (layers above it, how much it changed) of each weight by name, after a few steps."""
    resolved = settings_of(task, model, **{**SGD, **settings})
    trainer = make_trainer(resolved, data_of(resolved, labelled(TRAIN, task)))
    named = dict(trainer.network.named_parameters())
    before = {name: weight.detach().clone() for name, weight in named.items()}
    trainer.begin()
    for _ in range(steps):
        trainer.train_step()
    depths = trainer.network.depths()
    return {name: (depths.get(its, 0), its.detach() - before[name]) for name, its in named.items()}


@pytest.mark.parametrize(("fall", "bias_rate"), [(2.0, 1.0), (1.0, 3.0), (2.0, 3.0)])
def test_rates_fall_by_a_factor_per_layer_and_biases_have_their_own(fall, bias_rate):
    alike, found = changes(), changes(rate_decay_by_layer=fall, bias_rate=bias_rate)
    assert {depth for depth, _ in alike.values()} == {0, 1, 2, 3}
    for name, (depth, change) in found.items():
        factor = (bias_rate if change.dim() == 1 else 1.0) / fall**depth
        torch.testing.assert_close(change / factor, alike[name][1], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_each_epoch_adds_the_layer_below(optimizer):
    for epochs in (1, 2):  # 48 examples, 8 a step
        found = changes(6 * epochs, optimizer=optimizer, unfreeze="epoch", weight_decay=0.1)
        assert {depth for depth, change in found.values() if change.any()} == set(range(epochs))


@pytest.mark.parametrize(("model", "depths"), [("bag", {0, 1, 2}), ("cnn", {0, 1, 2})])
def test_classifiers_without_recurrence_have_layers_too(model, depths):
    given = {"layers": 1} if model == "bag" else {}
    left_out = {"layers"} if model == "bag" else {"layers", "dropout_between"}
    settings = {name: value for name, value in SGD.items() if name not in left_out}
    resolved = settings_of("classification", model, **settings, **given, rate_decay_by_layer=2.0)
    network = make_trainer(resolved, data_of(resolved, labelled(TRAIN, "classification"))).network
    found = network.depths()
    assert {found.get(weight, 0) for weight in network.parameters()} == depths


def test_recorded_steps_cannot_unfreeze():
    with pytest.raises(SettingsError, match="unfreeze and cuda_graphs"):
        settings_of("tagging", "lstm", unfreeze="epoch", cuda_graphs=True)

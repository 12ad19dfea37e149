"""The trainer knows no task: it trains a network of points, chosen by its accuracy."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rnnlm.events import Checkpoint, TrainingState, Validated, never
from rnnlm.lm.neural.layers.layers import LayeredNetwork
from rnnlm.lm.neural.training import state as state_module
from rnnlm.lm.neural.training.contracts import Batch, Loss, ValidationResult
from rnnlm.lm.neural.training.settings import FittingSettings, RunSettings
from rnnlm.lm.neural.training.trainer import Trainer
from rnnlm.storage.run_files import MetricsLog


def points(seed, rows=8):
    """Draw points in the plane, and which side of a line they are on."""
    drawn = np.random.default_rng(seed).normal(size=(1, rows, 2)).astype(np.float32)
    x_TBE = torch.from_numpy(drawn)
    return x_TBE, (x_TBE.sum(2) > 0).long()


FITTING = {
    "optimizer": "sgd", "learning_rate": 0.5, "schedule": "constant", "warmup": 0.0,
    "validate_every_steps": 5,
}  # fmt: skip


class Points:
    rows, seed = 8, 1

    def __init__(self):
        self.load_state_dict({"read": 0})

    @property
    def tokens(self):
        return self.read * self.rows

    @property
    def epochs(self):
        return self.read / 10

    def next(self, progress=0.0):
        self.read += 1
        return Batch(points(self.read), np.ones(self.rows, dtype=np.int64), slice(0, self.rows))

    def state_dict(self):
        return {"rows": self.rows, "read": self.read}

    def load_state_dict(self, state):
        self.read = state["read"]


class PointNetwork(nn.Sequential, LayeredNetwork):
    """Two units, without layers that have names."""


class Classification:
    uniform_nats, is_exact = float(np.log(2)), True

    def __init__(self):
        torch.manual_seed(1)
        self.network = PointNetwork(nn.Dropout(0.1), nn.Linear(2, 2))

    def initial_carry(self, rows):
        return ()

    def loss(self, tensors, carry):
        x_TBE, sides_TB = tensors
        return Loss(F.cross_entropy(self.network(x_TBE).flatten(0, 1), sides_TB.flatten()), 0.0, ())

    def exact_nats(self, tensors, carry):
        self.network.eval()
        with torch.no_grad():
            return float(self.loss(tensors, carry).mean_nats) * tensors[1].numel()

    def weights_changed(self):
        pass

    def model(self):
        return self.network


class Validation:
    """Validations that find what a function or a list of accuracies and losses tells."""

    def __init__(self, network, rows=None):
        self.network, self.rows = network, iter(rows or ())

    def run(self, stop):
        found, loss = next(self.rows, (None, 0.5))
        if found is None:
            x_TBE, sides_TB = points(0, rows=200)
            with torch.no_grad():
                logits = self.network.eval()(x_TBE)
            found = float((logits.argmax(2) == sides_TB).float().mean())
        more = {"higher_is_better": True, "metrics": {"errors": 1 - found}}
        return ValidationResult(loss, found, "accuracy", **more)


def make(**settings):
    objective = Classification()
    fitting = FittingSettings(**{**FITTING, **settings})
    run = RunSettings(budget="40steps", save_every="10steps")
    return Trainer(objective, Points(), Validation(objective.network), fitting, run, "fp32")


def test_the_best_network_has_the_highest_accuracy(tmp_path):
    *events, fitted = make().train(never)
    validated = [event for event in events if isinstance(event, Validated)]
    found = [event.figures["accuracy"] for event in validated]
    assert len(found) == 8 and fitted.best == max(found) > 0.9 > found[0] - 0.1
    assert fitted.criterion == "accuracy" and fitted.best_ppl_token is None
    assert fitted.step == 5 * (1 + found.index(max(found)))
    assert [event.step for event in events if isinstance(event, Checkpoint)] == [10, 20, 30]
    first = validated[0]
    assert first.ppl_token is None and first.best_ppl_token is None
    log = MetricsLog(tmp_path)
    log.add(first)
    told = json.loads(log.pending[0])
    assert told["accuracy"] == told["best_accuracy"] == found[0]
    assert "errors" in told and "ppl_token" not in told


@pytest.mark.parametrize("settings", [
    {}, {"ema_decay": 0.5}, {"schedule": "plateau"}, {"optimizer": "adamw", "accumulation": 3},
], ids=str)  # fmt: skip
def test_its_run_goes_on_bit_by_bit(settings):
    *_, expected = make(**settings).train(never)
    cut = make(**settings)
    *_, stopped = cut.train(lambda: cut.step_count >= 17)
    later = make(**settings)
    facts = json.loads(json.dumps(stopped.state.facts))
    state_module.load_state_dict(later, TrainingState(facts, stopped.state.arrays))
    *_, fitted = later.train(never)
    assert (fitted.step, fitted.best) == (expected.step, expected.best)
    pairs = zip(fitted.model.parameters(), expected.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_patience_follows_the_metric_once_it_has_moved(recwarn):
    fitted, _ = scripted([(found, 0.5) for found in (0.5, 0.9, 0.8, 0.7, 0.6)], patience=2)
    assert (fitted.stopped, fitted.steps, fitted.step, fitted.best) == ("early", 20, 10, 0.9)
    fitted, _ = scripted([(0.5, 1.0), (0.9, 0.9), (0.9, 0.8), (0.9, 0.7), (0.9, 0.6)], patience=2)
    assert (fitted.stopped, fitted.steps, fitted.step) == ("early", 20, 20)
    still = [(0.0, loss) for loss in (1.0, 0.9, 0.8, 0.7, 0.6)]
    fitted, _ = scripted([*still, (0.0, 0.6), (0.0, 0.6)], patience=2)
    assert (fitted.stopped, fitted.steps, fitted.step) == ("early", 35, 35)
    expected = ["the validation metric accuracy was 0 each time, so the loss chose the weights"]
    assert [str(each.message) for each in recwarn] == expected

    # From its first move on, the metric decides.
    fitted, _ = scripted([*still[:3], (0.5, 0.9), (0.5, 0.8), (0.4, 0.7)], patience=2)
    assert (fitted.stopped, fitted.steps, fitted.step) == ("early", 30, 25)
    assert len(recwarn) == 1


def test_without_blind_guess_only_non_numbers_are_faults():
    trainer = make(rollbacks=0)
    trainer.divergence = type(trainer.divergence)(None)
    step = trainer.step
    trainer.step = lambda *given: (lambda loss, carry: (loss * 1e6, carry))(*step(*given))
    *_, fitted = trainer.train(never)
    assert fitted.stopped == "budget"


# Ties: of equal metrics the lower loss is kept, of equal losses the later validation.
def scripted(found, **settings):
    """Return the end of a run whose validations find these, and which were improvements."""
    trainer = make(**settings)
    trainer.validation.validation = Validation(None, found)
    *events, fitted = trainer.train(never)
    return fitted, [event.improved for event in events if isinstance(event, Validated)]


@pytest.mark.parametrize("seed", range(8))
def test_best_weights_are_the_maximum_in_the_order_of_metric_loss_and_time(seed):
    draw = np.random.default_rng(seed)
    found = [(draw.integers(3) / 2, draw.integers(3) / 2) for _ in range(8)]
    fitted, improved = scripted(found)
    keys = [(accuracy, -loss, step) for step, (accuracy, loss) in enumerate(found, start=1)]
    assert fitted.step == 5 * max(keys)[2] and fitted.best == max(keys)[0]
    assert improved == [key == max(keys[: key[2]]) for key in keys]


def test_ties_and_moves_survive_a_stored_state():
    trainer = make()
    found = [(0.5, 1.0), (0.9, 0.9), (0.9, 0.8), (0.9, 0.7)]
    trainer.validation.validation = Validation(None, found)
    for _ in range(3):
        trainer.step_count += 1
        list(trainer._validate_averages(never))
    state = state_module.state_dict(trainer)
    again = make()
    facts = json.loads(json.dumps(state.facts))
    state_module.load_state_dict(again, TrainingState(facts, state.arrays))
    assert (again.best.cost, again.best.loss, again.best.step) == (-0.9, 0.8, 3)
    assert again.validation.moved == [True, True] and again.validation.least == [-0.9, 0.8]

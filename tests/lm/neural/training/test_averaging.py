"""Averages of weights against sums kept by hand and torch's own."""

import pytest
import torch
from torch import nn

from rnnlm.events import Validated, never
from rnnlm.lm.neural.training.optimization import Averaging, NonMonotone
from rnnlm.lm.neural.training.settings import FittingSettings
from support.networks import script_validations


@pytest.fixture
def network():
    torch.manual_seed(1)
    return nn.Linear(3, 2)


def walk(network, steps, averaging, first=1):
    """Take `steps` random steps, and average after each. Return the weights after each."""
    seen = []
    for step in range(first, first + steps):
        with torch.no_grad():
            network.weight += torch.randn_like(network.weight)
        averaging.update(step)
        seen.append(network.weight.detach().clone())
    return seen


def averaged(averaging, network):
    with averaging.in_place():
        return network.weight.detach().clone()


@pytest.mark.parametrize("start", [0, 1, 4, 10])
def test_asgd_averages_the_weights_after_its_start(network, start):
    averaging = Averaging(FittingSettings(optimizer="asgd", asgd_start=start), network)
    seen = walk(network, 10, averaging)
    kept = seen[start:] or seen[-1:]  # before its start, the current weights
    torch.testing.assert_close(averaged(averaging, network), torch.stack(kept).mean(0))


@pytest.mark.parametrize("start", [1, 4])
def test_the_average_of_asgd_is_torchs(network, start):
    """torch's average begins two steps after its t0."""
    averaging = Averaging(FittingSettings(optimizer="asgd", asgd_start=start), network)
    optimizer = torch.optim.ASGD(network.parameters(), lr=0.1, lambd=0.0, t0=start - 1)
    for step in range(1, 12):
        network.weight.grad = torch.randn_like(network.weight)
        optimizer.step()
        averaging.update(step)
    torch.testing.assert_close(averaged(averaging, network), optimizer.state[network.weight]["ax"])


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9])
def test_exponential_average_decays_and_forgets_first_weights_sooner(network, decay):
    averaging = Averaging(FittingSettings(ema_decay=decay), network)
    seen = walk(network, 200, averaging)
    expected = seen[0]
    for n, weight in enumerate(seen[1:], start=1):
        kept = min(decay, (1 + n) / (10 + n))
        expected = kept * expected + (1 - kept) * weight
    torch.testing.assert_close(averaged(averaging, network), expected)


def test_an_exponential_average_is_that_of_torch(network):
    """torch.optim.swa_utils, from where the decay is the one asked for."""
    decay, swa = 0.5, torch.optim.swa_utils  # reached after eight weights
    averaging = Averaging(FittingSettings(ema_decay=decay), network)
    walk(network, 9, averaging)
    with averaging.in_place():
        theirs = swa.AveragedModel(network, multi_avg_fn=swa.get_ema_multi_avg_fn(decay))
        theirs.update_parameters(network)
    for step in range(10, 20):
        walk(network, 1, averaging, first=step)
        theirs.update_parameters(network)
    torch.testing.assert_close(averaged(averaging, network), theirs.module.weight.detach())


def test_weights_are_restored_exactly_even_after_an_error(network):
    averaging = Averaging(FittingSettings(ema_decay=0.9), network)
    *_, last = walk(network, 5, averaging)
    with pytest.raises(ZeroDivisionError), averaging.in_place():
        assert not torch.equal(network.weight, last)
        raise ZeroDivisionError
    assert torch.equal(network.weight, last)


def parameters_of(trainer):
    return [parameter.detach().clone() for parameter in trainer.network.parameters()]


def recorded(trainer):
    """Return a list that collects the parameters after each step."""
    after, step = [], trainer.step

    def recording(*arguments):
        result = step(*arguments)
        after.append(parameters_of(trainer))
        return result

    trainer.step = recording
    return after


def same(some, others):
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


@pytest.mark.parametrize("settings, raw", [
    ({"ema_decay": 0.9}, {}),
    ({"optimizer": "asgd", "learning_rate": 1.0, "asgd_start": 3},
     {"optimizer": "sgd", "learning_rate": 1.0}),
])  # fmt: skip
def test_averages_leave_training_as_it_is(make_data, make_trainer, sentences, settings, raw):
    data = make_data(sentences[:40], sentences[40:50])
    usual = {"budget": "12steps", "batch_rows": 4, "validate_every_steps": 5}
    trainer, plain = (make_trainer(data, **usual, **own) for own in (settings, raw))
    for each in (trainer, plain):
        script_validations(each, [300.0, 200.0, 100.0])
    after_step = recorded(trainer)
    plain_weights = {}
    for event in plain.train(never):
        if isinstance(event, Validated):
            plain_weights[event.step] = parameters_of(plain)
    for event in trainer.train(never):
        if isinstance(event, Validated):
            shown = parameters_of(trainer)
            assert same(shown, trainer.averaging.averages) and not same(shown, after_step[-1])
            assert same(after_step[event.step - 1], plain_weights[event.step])
    assert event.step == 12 and same(shown, event.model.network.parameters())
    if "optimizer" in settings:
        mean = torch.stack([weights[0] for weights in after_step[3:]]).mean(0)
        torch.testing.assert_close(shown[0], mean)


def test_without_validation_the_average_is_handed_back(make_data, make_trainer, sentences):
    trainer = make_trainer(make_data(sentences[:40]), budget="12steps", batch_rows=4, ema_decay=0.9)
    *_, fitted = trainer.train(never)
    assert trainer.averaging.count == 12
    assert same(trainer.averaging.averages, fitted.model.network.parameters())


# ---- NT-ASGD (Merity et al. 2018, algorithm 1), and the fine-tuning run


@pytest.mark.parametrize("interval, perplexities, expected", [
    (2, [9, 8, 7, 6, 5], None), (2, [9, 8, 8.5, 8.6, 8.7], 4),
    (2, [9, 8, 8.5, 7, 8.1, 7.5, 7.6], 4), (5, [5, 6, 6, 6, 6, 6], None),
    (5, [5, 4, 6, 6, 6, 6, 6], 6), (1, [5, 5, 5], None), (1, [5, 4, 4.5, 4.6], 3),
])  # fmt: skip
def test_trigger_is_first_validation_worse_than_earlier_best(interval, perplexities, expected):
    trigger = NonMonotone(interval)
    found = [trigger.observe(ppl) for ppl in perplexities]
    assert (found.index(True) if any(found) else None) == expected


NT_ASGD = {
    "optimizer": "asgd", "nonmonotone_interval": 2, "learning_rate": 1.0, "schedule": "constant",
    "validate_every_steps": 5, "batch_rows": 4,
}  # fmt: skip


def test_nt_asgd_averages_from_its_triggering_validation_on(make_data, make_trainer, sentences):
    trainer = make_trainer(make_data(sentences[:40], sentences[40:50]), budget="30steps", **NT_ASGD)
    # the fourth is worse than the first, two before the one before it
    script_validations(trainer, [80.0, 79.0, 85.0, 84.0, 70.0, 60.0])
    after = recorded(trainer)
    for event in trainer.train(never):
        if isinstance(event, Validated):
            kept = after[20 : event.step] or after[event.step - 1 : event.step]
            for number, shown in enumerate(parameters_of(trainer)):
                mean = torch.stack([weights[number] for weights in kept]).mean(0)
                torch.testing.assert_close(shown, mean)
    assert trainer.averaging.start == 20 and trainer.averaging.count == 10
    assert event.step == 30 and same(trainer.averaging.averages, event.model.network.parameters())


def test_fine_tuning_restarts_averaging_from_the_best_weights(make_data, make_trainer, sentences):
    data = make_data(sentences[:40], sentences[40:50])
    trainer = make_trainer(data, budget="50steps", fine_tune_after=0.5, **NT_ASGD)
    # step   5     10    15    20    25 begins  30    35    40
    #     45: worse than the best of those before the last two
    script_validations(trainer, [90.0, 80.0, 85.0, 84.0, 81.0, 79.0, 78.0, 78.5, 80.0, 78.2])
    after = recorded(trainer)
    for event in trainer.train(never):
        if isinstance(event, Validated) and event.step == 10:
            best = parameters_of(trainer)
        if isinstance(event, Validated) and event.step == 30:
            mean = torch.stack([weights[0] for weights in after[25:30]]).mean(0)
            torch.testing.assert_close(parameters_of(trainer)[0], mean)
    assert trainer.averaging.start == 25
    tenth, eleventh, last, begun, best = (
        torch.cat([weight.flatten() for weight in each])
        for each in (after[10], after[11], after[24], after[25], best)
    )
    assert (begun - best).norm() < 3 * (eleventh - tenth).norm() < (last - best).norm()
    assert (event.stopped, event.steps, event.step) == ("early", 45, 35)

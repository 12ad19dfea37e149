"""Random numbers of every kind are drawn on from the state that was taken, in a run that goes on, too."""

import random

import numpy as np
import pytest
import torch

from rnnlm.errors import ModelError
from rnnlm.events import TrainingState
from rnnlm.neural.fitting import random_states
from rnnlm.neural.fitting import state as continuing

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def others_unmoved():
    states = random_states.taken(CPU)
    yield
    random_states.put_back(states, CPU)


def drawn():
    """Odd numbers of normal ones, of which python and numpy make two at a time and remember the second."""
    return random.random(), random.gauss(0, 1), np.random.random(), np.random.normal(), float(torch.rand(()))


@pytest.mark.parametrize("normals", [0, 1])
def test_what_follows_is_drawn_again(normals):
    for _ in range(normals):
        drawn()
    states = random_states.taken(CPU)
    expected = [drawn() for _ in range(700)]  # the state turns over
    random_states.put_back(states, CPU)
    assert [drawn() for _ in range(700)] == expected


def test_a_run_that_goes_on_draws_on(make_data, make_trainer, sentences):
    data = make_data(sentences[:40])
    trainer = make_trainer(data)
    state = continuing.taken(trainer)
    expected = drawn()
    continuing.put_back(make_trainer(data), state)
    assert drawn() == expected


def test_a_state_of_before_they_were_stored_is_one(make_data, make_trainer, sentences):
    data = make_data(sentences[:40])
    state = continuing.taken(make_trainer(data))
    arrays = {name: array for name, array in state.arrays.items() if name not in ("random.python", "random.numpy")}
    continuing.put_back(make_trainer(data), TrainingState(state.facts, arrays))


@pytest.mark.parametrize("kind", ["python", "numpy"])
@pytest.mark.parametrize(
    "spoil", [lambda state: state[:-9], lambda state: state * np.nan, lambda state: state + 1000.0, lambda state: state[:0]]
)
def test_what_is_no_state_is_damage(make_data, make_trainer, sentences, kind, spoil):
    """numpy takes a place beyond its state without a word, and then reads memory that is not its own."""
    data = make_data(sentences[:40])
    state = continuing.taken(make_trainer(data))
    with pytest.raises(ModelError, match="damaged, or of another run"):
        continuing.put_back(
            make_trainer(data), TrainingState(state.facts, {**state.arrays, f"random.{kind}": spoil(state.arrays[f"random.{kind}"])})
        )

"""Several runs in one process give the weights that each gives alone."""

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rnnlm import registry
from rnnlm.events import Fitted, Step, never
from rnnlm.lm.neural.training.fitting import RandomStream
from rnnlm.text import tokenizers
from rnnlm.text.encoding import TrainingData
from rnnlm.text.tokenizer_settings import TokenizerSettings
from support.tiny_models import LINES, Lines, small_settings

SETTINGS = {"dropout_output": 0.5, "budget": "12steps", "threads": 1}


def events_of(seed):
    """Return the events of a run that draws random numbers at every step."""
    kind = registry.kind_of("lstm")
    resolved = small_settings(kind, **SETTINGS, seed=seed)
    tokenizer = tokenizers.train(resolved.make(TokenizerSettings), Lines(LINES).blocks())
    data = TrainingData(tokenizer, Lines(LINES).encode(tokenizer), None)
    return kind.fit(resolved, data, never, None)


def weights(events):
    *_, fitted = events
    assert isinstance(fitted, Fitted)
    return {name: np.array(array) for name, array in fitted.model.to_arrays().items()}


def same(found, expected):
    return all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.fixture(scope="module")
def alone():
    return [weights(events_of(seed)) for seed in (1, 2)]


def test_runs_in_threads_or_turns_give_the_weights_of_runs_alone(alone):
    assert not same(*alone)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda number: weights(events_of(number % 2 + 1)), range(8)))
    assert all(same(each, alone[number % 2]) for number, each in enumerate(found))
    runs = [events_of(seed) for seed in (1, 2)]
    last = ()
    for pair in zip(*runs, strict=True):
        last = pair
    found = [weights([event]) for event in last]
    assert all(same(each, expected) for each, expected in zip(found, alone, strict=True))


@pytest.mark.soak
def test_a_run_that_is_dropped_in_the_turn_of_another_changes_nothing(alone):
    dropped = [events_of(2)]
    for event in dropped[0]:
        if isinstance(event, Step):
            break
    found = []
    for event in events_of(1):
        found.append(event)
        if isinstance(event, Step):
            del dropped[:]
            gc.collect()
    assert same(weights(found), alone[0])
    assert RandomStream._current is None

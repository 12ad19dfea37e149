"""A checkpoint of before has, once read, the keys and values of one of today;
tests/reference/test_stored.py goes on with such runs."""

import math
from pathlib import Path

import numpy as np
import pytest

from rnnlm.errors import ModelError
from rnnlm.events import TrainingState
from rnnlm.models import checkpoints
from rnnlm.neural.fitting import legacy
from rnnlm.neural.fitting import state as state_module

STORED = Path(__file__).parents[3] / "reference" / "data" / "stored"


@pytest.fixture(params=["lstm-cut", "awd-cut"])
def before(request):
    return checkpoints.load(STORED / request.param)


def test_it_gets_the_keys_of_today(before, make_data, make_trainer, sentences):
    today = state_module.state_dict(make_trainer(make_data(sentences[:20], sentences[20:30])))
    read = state_module.current_form(before)
    # which may be missing, as may be what validations cost
    later = {"least", "spent", "tokens", "count"}
    assert read.facts.keys() - {"metrics_bytes"} == today.facts.keys() - {"curve", "layers"}
    assert all(
        read.facts[key].keys() >= today.facts[key].keys() - later
        for key in read.facts.keys() & today.facts
        if key != "step"
    )
    assert {name.split(".")[0] for name in read.arrays} - {"averaging", "optimizer"} == {
        "network",
        "best",
        "carry",
        "random",
    }
    assert "random.python" in before.arrays and "random.python" not in read.arrays
    assert state_module.current_form(read) is read


def test_averages_are_renamed_and_null_becomes_infinity(before):
    names = before.facts["averaged"]
    arrays = {**before.arrays, "average.1": np.ones(3)}
    read = legacy.upgrade(
        TrainingState({**before.facts, "averaging": {"start": None, "count": 1}}, arrays)
    )
    assert np.array_equal(read.arrays[f"averaging.{names[1]}"], np.ones(3))
    assert read.facts["averaging"]["start"] == math.inf
    assert (
        read.facts["best"]["figure"]
        == read.facts["best"]["cost"]
        == before.facts["validation"]["best_ppl"]
    )


@pytest.mark.parametrize("damage", ["heard", "learning_rate", "validation", "tokens"])
def test_one_that_lacks_something_is_damaged(before, damage):
    facts = {name: value for name, value in before.facts.items() if name != damage}
    with pytest.raises(ModelError, match="damaged, or belongs to another run"):
        state_module.current_form(TrainingState(facts, before.arrays))

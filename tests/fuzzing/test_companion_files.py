"""What lies beside a model: the state of its training, metrics, adaptation, weights for rescoring;
read, or refused with an RnnlmError."""

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnnlm.events import TrainingState
from rnnlm.files import writing
from rnnlm.models import checkpoints, companions
from rnnlm.models.checkpoints import Run
from rnnlm.models.metrics_log import read_events
from rnnlm.rescoring.mert import Weights, read_weights, save_weights
from support.odd_inputs import (
    changed,
    damaged,
    deep_json,
    json_bytes,
    odd_json,
    put,
    value_or_error,
)


@pytest.fixture(scope="module")
def run_folder(place):
    folder = place / "run"
    folder.mkdir()
    run = Run("lstm", {"layers": 1, "tied": None}, "77d05c1b9f3e", None, "9a21c0ffee12")
    checkpoints.save(
        folder,
        TrainingState({"step": 3, "epochs": 0.5}, {"network.a": np.ones(3, dtype=np.float32)}),
        run,
    )
    return folder


@given(st.data())
def test_a_damaged_state_of_training(run_folder, data):
    """Its name says its hash: one that is damaged by accident is known by that, so the name goes
    with the content here."""
    (path,) = (run_folder / "training").glob("state-*.json")
    whole = path.read_bytes()
    content = data.draw(
        st.one_of(damaged(whole), changed(json.loads(whole)).map(json_bytes), deep_json)
    )
    other = path.with_name(f"state-00000003-{writing.digest([content])[:8]}.json")
    path.unlink()
    put(other, content)
    try:
        value_or_error(lambda: checkpoints.load_run(run_folder))
        value_or_error(lambda: checkpoints.load(run_folder))
    finally:
        other.unlink()
        put(path, whole)


@example(b"[" * 100_000)
@example(b'{"step": ' + b"9" * 5000 + b"}\n")
@given(
    st.one_of(
        damaged(b'{"event": "step", "step": 3, "loss": 2.5}\n' * 3),
        deep_json,
        st.lists(odd_json.map(json_bytes), max_size=3).map(b"\n".join),
    )
)
def test_any_metrics(place, data):
    put(place / "metrics.jsonl", data)
    assert all(isinstance(event, dict) for event in value_or_error(lambda: read_events(place)))


TUNED = {
    "kind": "dynamic", "settings": {"adaptation_rate": 0.1}, "model": "a", "data": "b", "tokens": 3,
    "ppl_before": 2.5, "ppl_after": None,
    "format_version": 1,
}  # fmt: skip


@given(st.one_of(damaged(json_bytes(TUNED)), changed(TUNED).map(json_bytes), deep_json))
def test_any_tuned_settings(place, data):
    for kind in ("dynamic", "cache", "unigram"):
        put(companions.settings_path(place, kind), data)
        value_or_error(lambda kind=kind: companions.read_tuned(place, kind))


@given(st.data())
def test_any_statistics(place, data):
    folder = place / "statistics"
    folder.mkdir(exist_ok=True)
    whole = companions.save_statistics(
        folder, {"a": np.ones((2, 3), dtype=np.float32)}, "f00"
    ).read_bytes()
    put(folder / companions.STATISTICS, data.draw(damaged(whole)))
    value_or_error(lambda: companions.read_statistics(folder, {"a": (2, 3)}, "f00"))


WEIGHTS = {
    "weights": {"lm:a": 0.5, "words": -1.0}, "models": {"a": "f00"}, "mapping": {"lowercase": True},
    "tuned": None, "format_version": 1,
}  # fmt: skip


@given(st.one_of(damaged(json_bytes(WEIGHTS)), changed(WEIGHTS).map(json_bytes), deep_json))
def test_any_weights_of_rescoring(place, data):
    path = place / "weights.json"
    put(path, data)
    weights = value_or_error(lambda: read_weights(path))
    if isinstance(weights, Weights):
        save_weights(weights, path)
        assert read_weights(path) == weights

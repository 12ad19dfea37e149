"""What every neural variant of the contract keeps in training with products in bf16, the default
where a device has them natively: its run is stored, goes on bit by bit, and its model is loaded. A
CPU without them works them out, too."""

import numpy as np
import pytest

from rnnlm.events import Checkpoint
from rnnlm.inference import span_scoring
from rnnlm.models import checkpoints, model_folder, registry
from rnnlm.models.checkpoints import Run
from support.devices import MODELS_DEVICE
from support.model_cases import SPELLED, VARIANTS
from support.tiny_models import HELD_OUT, LINES, Lines, run, save

NEURAL = [
    (name, settings)
    for name in VARIANTS
    if registry.KINDS[name].family == "neural"
    for settings in VARIANTS[name]
] + SPELLED
SETTINGS = {
    "precision": "bf16",
    "budget": "4steps",
    "validate_every_steps": 2,
    "save_every": "2steps",
    "dropout_output": 0.2,
}


# Where nothing else differs, another of the same kind is trained, stored and resumed in the suite.
PLAIN = {"activation", "tied", "layers", "context_words"}


def cases():
    """Yield the cases; those that differ from another in plain settings alone are for -m soak."""
    seen = set()
    for name, settings in NEURAL:
        is_further = name in seen and settings.keys() <= PLAIN
        seen.add(name)
        yield pytest.param(name, settings, marks=pytest.mark.soak if is_further else ())


@pytest.mark.parametrize("name, settings", [*cases()], ids=str)
def test_bf16_run_is_stored_resumed_bitwise_and_loaded(name, settings, tmp_path):
    settings = {**SETTINGS, **settings}
    *events, whole = run(name, valid=HELD_OUT, **settings)
    kept = next(event for event in events if isinstance(event, Checkpoint))
    checkpoints.save(tmp_path, kept.state, Run(None, settings, "", None, ""))
    *_, resumed = run(name, valid=HELD_OUT, initial=checkpoints.load(tmp_path), **settings)
    assert (kept.step, whole.steps, resumed.steps) == (2, 4, 4)
    assert whole.state.arrays.keys() == resumed.state.arrays.keys()
    for key, array in whole.state.arrays.items():
        assert np.array_equal(resumed.state.arrays[key], array), key
    save(tmp_path / "model", whole.model, name, **settings)
    loaded, _ = model_folder.load(tmp_path / "model", MODELS_DEVICE)
    ids = Lines(LINES).encode(loaded.tokenizer).ids
    span = span_scoring.whole_text(ids)
    assert np.array_equal(
        span_scoring.score_spans(loaded, ids, span),
        span_scoring.score_spans(whole.model, ids, span),
    )

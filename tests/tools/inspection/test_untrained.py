"""The network that training began with."""

import numpy as np
import pytest
import torch

from rnnlm.lm.base import loading
from rnnlm.tools.inspection.common import at_start, load_model_for, untrained
from support import tiny_models, tiny_seq2seq, tiny_tasks

STANDS_STILL = {"learning_rate": 1e-30, "seed": 5}


@pytest.mark.parametrize("task", ["language-model", "tagging"])
def test_untrained_weights_are_those_before_any_learning(task):
    make = tiny_models.fit if task == "language-model" else tiny_tasks.fit
    arguments = ("lstm",) if task == "language-model" else (task, "lstm")
    kept, learned = make(*arguments, **STANDS_STILL), make(*arguments, seed=5)
    before = torch.get_rng_state()
    found = untrained(learned, 5).to_arrays()
    assert torch.equal(torch.get_rng_state(), before)
    for name, values in kept.to_arrays().items():
        # biases start at 0
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-25, err_msg=name)
    assert not np.array_equal(learned.to_arrays()[name], found[name])


def test_the_seed_is_that_of_the_models_folder(tmp_path):
    model = tiny_models.fit("gru", seed=7)
    tiny_models.save(tmp_path / "m", model, "gru", seed=7)
    found = at_start(load_model_for("spectrum", loading.load(str(tmp_path / "m"))))
    assert found.name.endswith("m, untrained")
    expected = untrained(model, 7).to_arrays()
    for name, values in found.model.to_arrays().items():
        np.testing.assert_array_equal(values, expected[name])


def test_encoder_decoder_gets_random_weights_on_both_sides():
    model = tiny_seq2seq.tiny_model()
    found = untrained(model, 1)
    for side in ("encoder", "decoder"):
        before, after = (getattr(each.network, side).parameters() for each in (model, found))
        assert not all(torch.equal(one, other) for one, other in zip(before, after, strict=True))

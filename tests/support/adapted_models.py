"""How tests read a text with a model: in one call, place by place, with one token changed."""

import functools

import numpy as np

from rnnlm import arrays
from support.tiny_models import LINES, Lines


def text_of(model, lines=LINES) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs_1T and targets_1T of the lines as one stream."""
    ids = Lines(lines).encode(model.tokenizer).ids.astype(np.int64)
    return np.concatenate([[model.tokenizer.boundary_id], ids[:-1]])[None], ids[None]


def read(model, inputs_BT, targets_BT) -> np.ndarray:
    logprob_BT, _ = model.score(inputs_BT, targets_BT, model.initial_state(len(inputs_BT)))
    return arrays.as_numpy(logprob_BT)


def predicted(model, inputs_BT) -> np.ndarray:
    logprob_BTV, _ = model.predict(inputs_BT, model.initial_state(len(inputs_BT)))
    return arrays.as_numpy(logprob_BTV).astype(np.float64)


def next_token_probabilities(model, ids) -> np.ndarray:
    """Return p of every next token after the boundary and `ids`, read token by token."""
    logprob_11V, _ = _after(model, (model.tokenizer.boundary_id, *ids))
    return np.exp(arrays.as_numpy(logprob_11V)[0, 0].astype(np.float64))


@functools.lru_cache(2000)  # the beginnings of a line are asked for again and again
def _after(model, ids):
    state = _after(model, ids[:-1])[1] if len(ids) > 1 else model.initial_state(1)
    return model.predict(np.array([ids[-1:]]), state)


def assert_no_score_depends_on_later_tokens(model) -> None:
    """Check that a token changes scores of later tokens alone, and some of those."""
    inputs_1T, targets_1T = text_of(model)
    plain_T = read(model, inputs_1T, targets_1T)[0]
    for at in range(1, targets_1T.shape[1] - 8, 5):  # in each place of a segment of four
        other = (targets_1T[0, at] + 1) % model.tokenizer.size
        changed_inputs, changed_targets = inputs_1T.copy(), targets_1T.copy()
        changed_targets[0, at] = changed_inputs[0, at + 1] = other
        changed_T = read(model, changed_inputs, changed_targets)[0]
        np.testing.assert_allclose(changed_T[:at], plain_T[:at], atol=1e-6, rtol=0)
        assert not np.allclose(changed_T[at + 1 :], plain_T[at + 1 :], atol=1e-6, rtol=0)

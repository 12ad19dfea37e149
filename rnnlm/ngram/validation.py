"""The perplexity of validation text under a model of this family, which is asked itself: one stream, one row."""

import math

import numpy as np

from rnnlm.inference.span_scoring import perplexity
from rnnlm.interface import LanguageModel
from rnnlm.text.batches import gather, with_boundary


def stream_perplexity(model: LanguageModel, ids: np.ndarray) -> float:
    """Of a text read as one stream; infinite where a token has probability zero."""
    stream, state = with_boundary(ids, model.tokenizer.boundary_id), model.initial_state(1)
    logprob_N = np.zeros(len(ids))
    for start in range(0, len(ids), model.call_tokens):
        end = min(start + model.call_tokens, len(ids))
        inputs_1T, targets_1T = gather(ids, stream, np.array([start]), np.array([end]))
        logprob_1T, state = model.score(inputs_1T, targets_1T, state)
        logprob_N[start:end] = logprob_1T[0]
    return perplexity(float(logprob_N.sum()), len(ids)) or math.inf

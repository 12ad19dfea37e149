"""An encoder-decoder measured on pairs: perplexity of the references, and figures of what it writes."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnlm.events import never
from rnnlm.inference.span_scoring import perplexity
from rnnlm.tasks.seq2seq.data import PairedData
from rnnlm.tasks.seq2seq.model import Seq2SeqModel


def target_scores(model: Seq2SeqModel, data: PairedData, stop: Callable[[], bool] = never) -> np.ndarray | None:
    """Log-probability (nats, float64) of each token of the references given their sources, as `data.target.ids` has them; None where
    `stop`, asked before each batch, cut it off."""
    logprob_N = np.zeros(len(data.target.ids))
    offsets = data.target.offsets
    for chosen_B in model.batches(data):
        if stop():
            return None
        logprob_TB = model.score_pairs(data, chosen_B).double().cpu().numpy()
        for row, pair in enumerate(chosen_B.tolist()):
            start, end = offsets[pair], offsets[pair + 1]
            logprob_N[start:end] = logprob_TB[: end - start, row]
    return logprob_N


def decoded(model: Seq2SeqModel, data: PairedData, stop: Callable[[], bool] = never) -> dict[str, float] | None:
    """The figures of what the model writes greedily, by name; None where `stop` cut it off."""
    raise NotImplementedError


def evaluate(model: Seq2SeqModel, data: PairedData, has_intervals: bool = False) -> dict[str, Any]:
    """The figures of a model on data, in JSON's types."""
    logprob_N = target_scores(model, data)
    assert logprob_N is not None  # nothing asked it to stop
    total = float(logprob_N.sum())
    return {"task": "seq2seq", "sentences": data.sentences, "tokens": len(logprob_N), "logprob_nats": total,
            "ppl_token": perplexity(total, len(logprob_N)) or math.inf, "signature": ""}  # fmt: skip

"""Calibration: whether the token that a model finds likeliest comes as often as the model says.

The tokens are put into bins by the probability of the likeliest token; in each bin, how often it
was the right one is set beside the mean of these probabilities. Expected calibration error: sum
over bins of n_b / n |accuracy_b - mean_b| (Guo et al. 2017, eq. 3).
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rnnlm import arrays
from rnnlm.evaluation import perplexity
from rnnlm.evaluation.perplexity import Context
from rnnlm.inference import span_scoring
from rnnlm.interface import PADDING, LanguageModel, State
from rnnlm.text.encoding import EncodedText, known_ids

BINS = 10
MOST_TOKENS = 10_000  # sampled of a text
MOST_CELLS = 1 << 22  # tokens times vocabulary that are predicted at a time
WINDOW_TOKENS, ROWS = 256, 16  # of a window; lines that are read alone stand side by side


@dataclass(frozen=True)
class Bin:
    """Tokens whose likeliest candidate had a probability from `low` to `high`. Both means are None
    where there are none."""

    low: float
    high: float
    tokens: int
    mean_probability: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """tokens: how many were looked at, spread over a text of `text_tokens`."""

    tokens: int
    text_tokens: int
    accuracy: float
    expected_error: float
    bins: tuple[Bin, ...]


def calibrate(
    model: LanguageModel, encoded: EncodedText, context: Context, most_tokens: int = MOST_TOKENS
) -> Calibration:
    """The calibration of `model` over `most_tokens` tokens or so, evenly spread over the text."""
    pieces = list(_looked_at(model, encoded, context, most_tokens))
    probability_N, is_right_N = (np.concatenate(each) for each in zip(*pieces, strict=True))
    bin_N = np.minimum((probability_N * BINS).astype(np.int64), BINS - 1)
    tokens_B = np.bincount(bin_N, minlength=BINS)
    with np.errstate(invalid="ignore"):
        mean_B = np.bincount(bin_N, probability_N, minlength=BINS) / tokens_B
        accuracy_B = np.bincount(bin_N, is_right_N, minlength=BINS) / tokens_B
    filled = tokens_B > 0
    error = float((tokens_B * np.abs(accuracy_B - mean_B))[filled].sum() / len(bin_N))
    bins = tuple(
        Bin(
            b / BINS,
            (b + 1) / BINS,
            int(tokens_B[b]),
            *((float(mean_B[b]), float(accuracy_B[b])) if filled[b] else (None, None)),
        )
        for b in range(BINS)
    )
    return Calibration(len(bin_N), encoded.tokens, float(is_right_N.mean()), error, bins)


def _likeliest(logprob_BTV: np.ndarray, targets_BT: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The probability of the likeliest token at each place that is no padding, and whether it was
    the right one."""
    is_token_BT = targets_BT != PADDING
    likeliest_N = logprob_BTV.argmax(axis=-1)[is_token_BT]
    probability_N = np.exp(logprob_BTV.max(axis=-1)[is_token_BT].astype(np.float64))
    return np.clip(probability_N, 0.0, 1.0), likeliest_N == targets_BT[is_token_BT]


def _looked_at(
    model: LanguageModel, encoded: EncodedText, context: Context, most_tokens: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What :func:`_likeliest` finds in windows of the text. Where lines are read alone, every so
    many lines are; else the whole text is, and every so many windows are predicted."""
    apart = model.forgets_at_boundary or context == "reset"
    spans = perplexity.spans_of(encoded, "reset" if apart else context)
    stride = max(1, round(encoded.tokens / most_tokens))
    spans, stride = (spans[::stride], 1) if apart else (spans, stride)
    numbers = itertools.count()

    def look(
        inputs_BT: np.ndarray, targets_BT: np.ndarray, state: State
    ) -> tuple[tuple[np.ndarray, np.ndarray] | None, State]:
        if next(numbers) % stride:
            return None, model.score(inputs_BT, targets_BT, state)[1]
        logprob_BTV, state = model.predict(inputs_BT, state)
        return _likeliest(
            arrays.as_numpy(logprob_BTV), known_ids(targets_BT, model.tokenizer)
        ), state

    tokens = max(1, min(WINDOW_TOKENS * (ROWS if apart else 1), MOST_CELLS // model.tokenizer.size))
    for _, _, found in span_scoring.windows(model, encoded.ids, spans, look, tokens):
        if found is not None:
            yield found

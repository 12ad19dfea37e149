"""Measure calibration: whether the likeliest token of a model is right as often as its probability
says.

Tokens are put into bins by the probability of the likeliest token; in each bin the mean of these
probabilities is compared with how often the likeliest token was right. Expected calibration error:
sum over bins of n_b / n |accuracy_b - mean_b| (Guo et al. 2017, eq. 3).
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
WINDOW_TOKENS, ROWS = 256, 16  # of a window; lines that are read alone are read side by side


@dataclass(frozen=True)
class Bin:
    """Tokens whose likeliest candidate had a probability from `low` to `high`. Both means are
    None where there are none."""

    low: float
    high: float
    tokens: int
    mean_probability: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """The calibration of a model. tokens: how many were sampled from a text of `text_tokens`."""

    tokens: int
    text_tokens: int
    accuracy: float
    expected_error: float
    bins: tuple[Bin, ...]


def calibrate(
    model: LanguageModel, encoded: EncodedText, context: Context, most_tokens: int = MOST_TOKENS
) -> Calibration:
    """Measure the calibration of `model` on about `most_tokens` tokens, spread evenly over the
    text."""
    pieces = list(_looked_at(model, encoded, context, most_tokens))
    probabilities, are_right = zip(*pieces, strict=True)
    probability_N, is_right_N = np.concatenate(probabilities), np.concatenate(are_right)

    bin_N = np.minimum((probability_N * BINS).astype(np.int64), BINS - 1)
    tokens_B = np.bincount(bin_N, minlength=BINS)
    with np.errstate(invalid="ignore"):
        mean_B = np.bincount(bin_N, probability_N, minlength=BINS) / tokens_B
        accuracy_B = np.bincount(bin_N, is_right_N, minlength=BINS) / tokens_B

    # An empty bin has no means, and contributes nothing to the error.
    filled = tokens_B > 0
    error = float((tokens_B * np.abs(accuracy_B - mean_B))[filled].sum() / len(bin_N))
    bins = []
    for b in range(BINS):
        mean, accuracy = (float(mean_B[b]), float(accuracy_B[b])) if filled[b] else (None, None)
        bins.append(Bin(b / BINS, (b + 1) / BINS, int(tokens_B[b]), mean, accuracy))
    accuracy = float(is_right_N.mean())
    return Calibration(len(bin_N), encoded.tokens, accuracy, error, tuple(bins))


def _likeliest(logprob_BTV: np.ndarray, targets_BT: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of the likeliest token at each place that is not padding, and
    whether it was right."""
    is_token_BT = targets_BT != PADDING
    likeliest_N = logprob_BTV.argmax(axis=-1)[is_token_BT]
    probability_N = np.exp(logprob_BTV.max(axis=-1)[is_token_BT].astype(np.float64))
    return np.clip(probability_N, 0.0, 1.0), likeliest_N == targets_BT[is_token_BT]


def _looked_at(
    model: LanguageModel, encoded: EncodedText, context: Context, most_tokens: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the results of :func:`_likeliest` for windows of the text."""
    # Look at one of every `stride` lines or windows. Lines that are read alone can be left out.
    # Otherwise states depend on what comes before: read the whole text, and predict in some of its
    # windows.
    apart = model.forgets_at_boundary or context == "reset"
    spans = perplexity.spans_of(encoded, "reset" if apart else context)
    stride = max(1, round(encoded.tokens / most_tokens))
    if apart:
        spans, stride = spans[::stride], 1
    numbers = itertools.count()

    def look(
        inputs_BT: np.ndarray, targets_BT: np.ndarray, state: State
    ) -> tuple[tuple[np.ndarray, np.ndarray] | None, State]:
        if next(numbers) % stride:
            _, state = model.score(inputs_BT, targets_BT, state)
            return None, state
        logprob_BTV, state = model.predict(inputs_BT, state)
        targets_BT = known_ids(targets_BT, model.tokenizer)
        return _likeliest(arrays.as_numpy(logprob_BTV), targets_BT), state

    tokens = WINDOW_TOKENS * ROWS if apart else WINDOW_TOKENS
    tokens = max(1, min(tokens, MOST_CELLS // model.tokenizer.size))
    for _, _, found in span_scoring.windows(model, encoded.ids, spans, look, tokens):
        if found is not None:
            yield found

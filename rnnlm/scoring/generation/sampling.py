"""Draw the next token: temperature, repetition penalty, top-k, nucleus and min-p.

They work one after the other, in this order, each on the result of the ones before it:

    repetition penalty   log p of tokens that the text has already is multiplied by it (after
                         Keskar et al. 2019, section 4.1)
    temperature          log p / temperature
    top-k                the k likeliest (Fan, Lewis & Dauphin 2018)
    top-p                the nucleus: the fewest tokens, likeliest first, that hold probability p
                         (Holtzman et al. 2020)
    min-p                tokens at least min_p times as likely as the likeliest (Nguyen et al. 2024)

Rows are worked on one by one in effect: the token drawn for one depends neither on the others nor
on its place.

Each token draws an exponential time at the rate of its probability, and the earliest is taken. A
probability that differs in its last bits, as a network's probabilities do between batches of
different sizes, changes its own token's time alone: so the draws differ about as rarely as the
distributions do, in one of 10^6 or fewer. (Where a number in [0, 1) is looked up in the cumulative
distribution, all tokens behind move: of 7,000 words, one draw in 25,000 would differ.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import lazy_loader
from msgspec import Meta

from rnnlm.config import Count, Natural, NonNegative, ValidatedSettings, about
from rnnlm.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from rnnlm.interface import Tokenizer
else:
    np = lazy_loader.load("numpy")  # commands make options of the settings before they need it

_Share = Annotated[float, Meta(gt=0, le=1)]

BLOCK = 64  # the block is drawn first, by the sums of blocks, then the token in it
# sorted at first; all tokens only where these hold too little probability
FIRST_CANDIDATES = 256


@dataclass(frozen=True, kw_only=True)
class SamplingSettings(ValidatedSettings):
    """Settings for drawing tokens, and the longest text."""

    repetition_penalty: Annotated[
        float,
        about(
            "factor for the log-probability of tokens that the text already has (after Keskar "
            "et al. 2019)",
            ge=1,
        ),
    ] = 1.0
    temperature: Annotated[
        NonNegative,
        about(
            "divisor of the log-probabilities: below 1 favours likely tokens, 0 always takes "
            "the likeliest"
        ),
    ] = 1.0
    top_k: Annotated[Count | None, about("draw from the k likeliest tokens (Fan et al. 2018)")] = (
        None
    )
    top_p: Annotated[
        _Share | None,
        about(
            "draw from the fewest tokens whose probabilities add up to this (Holtzman et al. 2020)"
        ),
    ] = None
    min_p: Annotated[
        _Share | None,
        about(
            "draw from tokens with at least this share of the likeliest token's probability "
            "(Nguyen et al. 2024)"
        ),
    ] = None
    max_tokens: Annotated[Count, about("longest sample, in tokens")] = 100
    seed: Annotated[
        Natural, about("random seed; the same seed and sample number give the same sample")
    ] = 1
    unknown: Annotated[bool, about("allow <unk> in samples")] = False
    running: Annotated[
        bool, about("generate continuous text across line ends instead of single sentences")
    ] = False


@dataclass(frozen=True)
class GenerationSettings(SamplingSettings):
    """Texts to draw: how they begin, how many, and how the next token is drawn."""

    prompt: Annotated[str, about("beginning of each text")] = ""
    num: Annotated[Count, about("number of texts for each beginning")] = 1


def forbidden_tokens(tokenizer: "Tokenizer", unknown: bool) -> list[int]:
    """Return the tokens that are never written: `<unk>`, unless `unknown` allows it."""
    return [] if unknown or tokenizer.unk_id is None else [tokenizer.unk_id]


def draw(
    logprob_BV: "np.ndarray", streams: "Sequence[np.random.Generator]", settings: SamplingSettings
) -> "np.ndarray":
    """Draw one token per row, each by its own stream of random numbers; (B,) int64. Where a token
    must not be drawn, its log-probability (nats) is -inf."""
    highest_B1 = logprob_BV.max(axis=1, keepdims=True)
    if np.isneginf(highest_B1).any():
        raise UsageError(
            "no token can be drawn",
            "every token has probability zero or is forbidden",
            "forbid less, or use a smoothed model",
        )
    if settings.temperature == 0:
        return logprob_BV.argmax(axis=1)

    # Probabilities relative to the largest, in whole blocks. At a temperature near 0 all but the
    # likeliest become 0.
    rows, size = logprob_BV.shape
    p_BW = np.zeros((rows, -(-size // BLOCK) * BLOCK), dtype=logprob_BV.dtype)
    p_BV = p_BW[:, :size]
    limits = np.finfo(p_BV.dtype)
    with np.errstate(over="ignore", under="ignore"):
        np.subtract(logprob_BV, highest_B1, out=p_BV)
        if settings.temperature != 1:
            p_BV /= min(max(settings.temperature, float(limits.tiny)), float(limits.max))
        np.exp(p_BV, out=p_BV)
    _narrow(p_BV, settings)
    p_BKW = p_BW.reshape(rows, -1, BLOCK)
    block_B = _earliest(p_BKW.sum(axis=2), streams)
    return block_B * BLOCK + _earliest(p_BKW[np.arange(rows), block_B], streams)


def penalise(logprob_BV: "np.ndarray", seen_BV: "np.ndarray", penalty: float) -> None:
    """Multiply the log-probabilities where `seen_BV` is true, in place.

    Keskar et al. 2019 divide positive logits of a softmax that need not sum to one;
    log-probabilities are never positive, so multiplying makes tokens less likely.
    """
    np.multiply(logprob_BV, penalty, out=logprob_BV, where=seen_BV)


def _narrow(p_BV: "np.ndarray", settings: SamplingSettings) -> None:
    """Set to 0, in place, the unnormalised probabilities of tokens that the settings leave out."""
    if settings.top_k is not None and settings.top_k < p_BV.shape[1]:
        p_BV[~_is_top_k(p_BV, settings.top_k)] = 0
    if settings.top_p is not None and settings.top_p < 1:
        p_BV[~_is_among_fewest(p_BV, settings.top_p)] = 0
    if settings.min_p is not None:
        p_BV[p_BV < settings.min_p * p_BV.max(axis=1, keepdims=True)] = 0


def _is_top_k(p_BV: "np.ndarray", k: int) -> "np.ndarray":
    """Mark exactly the k largest of each row."""
    mask_BV = np.zeros(p_BV.shape, dtype=bool)
    np.put_along_axis(mask_BV, np.argpartition(-p_BV, k - 1, axis=1)[:, :k], True, axis=1)
    return mask_BV


def _is_among_fewest(p_BV: "np.ndarray", share: float) -> "np.ndarray":
    """Mark the fewest tokens, likeliest first, whose probabilities reach `share` of the sum."""
    mask_BV = np.zeros(p_BV.shape, dtype=bool)
    wanted_B = share * p_BV.sum(axis=1, dtype=np.float64)
    rows, candidates, size = np.arange(len(p_BV)), FIRST_CANDIDATES, p_BV.shape[1]
    while len(rows):
        # The likeliest candidates, sorted; of equals the lower token first.
        p_RV = p_BV if len(rows) == len(p_BV) else p_BV[rows]
        if candidates < size:
            likeliest_RC = np.argpartition(-p_RV, candidates - 1, axis=1)[:, :candidates]
            ids_RC = np.sort(likeliest_RC, axis=1)
        else:
            ids_RC = np.broadcast_to(np.arange(size), p_RV.shape)
        order_RC = np.argsort(-np.take_along_axis(p_RV, ids_RC, axis=1), axis=1, kind="stable")
        ids_RC = np.take_along_axis(ids_RC, order_RC, axis=1)

        # Rows whose candidates reach the wanted sum are done; the other rows try more candidates.
        p_RC = np.take_along_axis(p_RV, ids_RC, axis=1).astype(np.float64)
        reached_RC = p_RC.cumsum(axis=1)
        is_kept_RC = reached_RC - p_RC < wanted_B[rows, None]
        is_enough_R = (reached_RC[:, -1] >= wanted_B[rows]) | (candidates >= size)
        for row, ids, kept in zip(
            rows[is_enough_R], ids_RC[is_enough_R], is_kept_RC[is_enough_R], strict=True
        ):
            mask_BV[row, ids[kept]] = True
        rows, candidates = rows[~is_enough_R], candidates * 8
    return mask_BV


def _earliest(rate_BN: "np.ndarray", streams: "Sequence[np.random.Generator]") -> "np.ndarray":
    """Return which of N events comes first in each row, where each comes after an exponential time:
    event n with a chance of its share of the rates."""
    time_BN = np.array([stream.standard_exponential(rate_BN.shape[1]) for stream in streams])
    with np.errstate(divide="ignore", over="ignore"):
        return (time_BN / rate_BN).argmin(axis=1)

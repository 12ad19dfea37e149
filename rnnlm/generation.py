"""Sampling from a language model: temperature, top-k, nucleus (Holtzman et al. 2020), with reproducible samples.

Samples run in tiles of a fixed number of rows, and each has a random stream of its own (Philox, keyed by seed and
sample number); so sample 3 of seed 1 is the same text whether 4 samples or 400 are drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta

from rnnlm import arrays
from rnnlm.config import Count, Natural, NonNegative
from rnnlm.corpus import check_reserved
from rnnlm.errors import SettingsError, notice
from rnnlm.interface import LanguageModel, State
from rnnlm.reading import check_scores

TILE_ROWS = 16


@dataclass(frozen=True)
class SamplingSettings:
    """How the next token is drawn."""

    temperature: Annotated[NonNegative, Meta(description="divides the log-probabilities; 0 takes the likeliest")] = 1.0
    top_k: Annotated[Count | None, Meta(description="only the k likeliest tokens")] = None
    top_p: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | None, Meta(description="only the fewest tokens that hold this probability")
    ] = None
    max_tokens: Annotated[Count, Meta(description="tokens per sample at most")] = 100
    seed: Annotated[Natural, Meta(description="of the random streams")] = 1
    unknown: Annotated[bool, Meta(description="<unk> may be drawn")] = False


@dataclass(frozen=True)
class Sample:
    """One drawn text. logprob_nats is the model's own, of the drawn tokens; `complete`: it ended in `</s>`."""

    number: int
    text: str
    tokens: int
    logprob_nats: float
    complete: bool


def generate(
    model: LanguageModel, *, prompt: str = "", num: int = 1, settings: SamplingSettings = SamplingSettings()
) -> Iterator[Sample]:
    """`num` samples that begin with `prompt`, in order, tile by tile.

    Raises:
        SettingsError: `num` is below 1, or the seed too large. TextError: the prompt holds a newline or `</s>`.
    """
    if num < 1:
        raise SettingsError(f"num = {num} is not valid", "at least one sample is needed")
    if settings.seed >= 1 << 64:
        raise SettingsError(f"seed = {settings.seed} is not valid", "it must be below 2^64")
    prompt_ids = _prompt_ids(model, prompt)
    rows = min(TILE_ROWS, model.max_rows or TILE_ROWS)
    for first in range(0, num, rows):
        yield from _tile(model, prompt_ids, first, rows, min(rows, num - first), settings)


def _prompt_ids(model: LanguageModel, prompt: str) -> np.ndarray:
    """The prompt's tokens without a boundary at the end; words read as unknown ones are named in a notice."""
    if not prompt:  # some tokenizers begin every line with a piece of its own, which nobody asked to begin with here
        return np.zeros(0, dtype=np.int32)
    encoded = model.tokenizer.encode([check_reserved(prompt, "the prompt", "error", "remove it")])
    if len(encoded.oov) and not model.tokenizer.spells:
        surface = model.tokenizer.surface(prompt)
        unknown = ", ".join(dict.fromkeys(surface[at] for at in encoded.oov))
        notice(f"the prompt has words the model does not know, read as <unk>: {unknown}")
    return encoded.ids[:-1]


def _tile(
    model: LanguageModel, prompt_ids: np.ndarray, first: int, rows: int, wanted: int, settings: SamplingSettings
) -> list[Sample]:
    """Samples `first` to `first + wanted`, drawn side by side in `rows` rows until all of them have ended."""
    boundary = model.tokenizer.boundary_id
    keys = [np.array([settings.seed, first + row], dtype=np.uint64) for row in range(rows)]
    streams = [np.random.Generator(np.random.Philox(key=key)) for key in keys]
    logprob_BV, state = _read_prompt(model, prompt_ids, rows)
    drawn = []  # a column of (rows,) tokens per step
    lengths = np.zeros(rows, dtype=np.int64)
    total_B = np.zeros(rows)
    ended_B = np.zeros(rows, dtype=bool)
    for step in range(settings.max_tokens):
        uniform_B = np.array([stream.random() for stream in streams])
        token_B = draw(forbid_unknown(logprob_BV, model, settings), uniform_B, settings)
        going_B = ~ended_B
        drawn.append(token_B)
        total_B[going_B] += logprob_BV[going_B, token_B[going_B]]
        lengths += going_B
        ended_B |= token_B == boundary
        if ended_B[:wanted].all() or step + 1 == settings.max_tokens:
            break
        logprob_BV, state = _predict(model, np.where(ended_B, boundary, token_B), state)
    drawn_BT = np.stack(drawn, axis=1)
    return [
        Sample(
            number=first + row,
            text=_text(model, prompt_ids, drawn_BT[row, : lengths[row]]),
            tokens=int(lengths[row]),
            logprob_nats=float(total_B[row]),
            complete=bool(ended_B[row]),
        )
        for row in range(wanted)
    ]


def _read_prompt(model: LanguageModel, prompt_ids: np.ndarray, rows: int) -> tuple[np.ndarray, State]:
    """The distribution after the boundary and the prompt, and the state there."""
    inputs = np.concatenate([[model.tokenizer.boundary_id], prompt_ids]).astype(np.int64)
    state = model.initial_state(rows)
    if len(inputs) > 1:
        before = np.broadcast_to(inputs[:-1], (rows, len(inputs) - 1)).copy()
        _, state = model.score(before, np.broadcast_to(inputs[1:], before.shape).copy(), state)
    return _predict(model, np.full(rows, inputs[-1]), state)


def _predict(model: LanguageModel, ids_B: np.ndarray, state: State) -> tuple[np.ndarray, State]:
    """The distribution after one more token in each row, and the state there."""
    predicted, state = model.predict(ids_B[:, None], state)
    logprob_BV = arrays.as_numpy(predicted)[:, -1].astype(np.float64)
    check_scores(logprob_BV)
    return logprob_BV, state


def forbid_unknown(logprob_BV: np.ndarray, model: LanguageModel, settings: SamplingSettings) -> np.ndarray:
    """`logprob_BV` without `<unk>`, unless it may be drawn."""
    unk_id = model.tokenizer.unk_id
    if settings.unknown or unk_id is None:
        return logprob_BV
    allowed_BV = logprob_BV.copy()
    allowed_BV[:, unk_id] = -np.inf
    return allowed_BV


def draw(logprob_BV: np.ndarray, uniform_B: np.ndarray, settings: SamplingSettings) -> np.ndarray:
    """One token per row, by inverting the cumulative distribution at `uniform_B`; (B,) int64."""
    if settings.temperature == 0:
        return logprob_BV.argmax(axis=1)
    with np.errstate(over="ignore"):  # at a temperature near 0 all but the likeliest become -inf
        scaled_BV = (logprob_BV - logprob_BV.max(axis=1, keepdims=True)) / settings.temperature
    if settings.top_k is not None and settings.top_k < scaled_BV.shape[1]:
        scaled_BV = np.where(_is_top_k(scaled_BV, settings.top_k), scaled_BV, -np.inf)
    p_BV = np.exp(scaled_BV)
    p_BV /= p_BV.sum(axis=1, keepdims=True)
    if settings.top_p is not None and settings.top_p < 1:
        p_BV = np.where(_is_nucleus(p_BV, settings.top_p), p_BV, 0.0)
    cumulative_BV = p_BV.cumsum(axis=1)
    total_B = cumulative_BV[:, -1]
    threshold_B = np.minimum(uniform_B * total_B, np.nextafter(total_B, 0))  # rounding must not reach the total
    return (cumulative_BV <= threshold_B[:, None]).sum(axis=1)


def _is_top_k(scaled_BV: np.ndarray, k: int) -> np.ndarray:
    """Exactly the k largest of each row."""
    chosen = np.argpartition(-scaled_BV, k - 1, axis=1)[:, :k]
    mask_BV = np.zeros(scaled_BV.shape, dtype=bool)
    np.put_along_axis(mask_BV, chosen, True, axis=1)
    return mask_BV


def _is_nucleus(p_BV: np.ndarray, top_p: float) -> np.ndarray:
    """The fewest tokens, likeliest first, whose probabilities reach `top_p`."""
    order = np.argsort(-p_BV, axis=1, kind="stable")
    before_BV = np.take_along_axis(p_BV, order, axis=1).cumsum(axis=1) - np.take_along_axis(p_BV, order, axis=1)
    mask_BV = np.zeros(p_BV.shape, dtype=bool)
    np.put_along_axis(mask_BV, order, before_BV < top_p, axis=1)
    return mask_BV


def _text(model: LanguageModel, prompt_ids: np.ndarray, drawn: np.ndarray) -> str:
    return model.tokenizer.decode(np.concatenate([prompt_ids.astype(np.int64), drawn]))

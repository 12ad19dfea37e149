"""Beam search: the likeliest texts, not typical ones. As many beginnings as the beam is wide are kept at each step.

Every beginning may end at every step, whatever its rank, so a beam as wide as the tree finds what exhaustive search finds. Texts
are ranked by log P / lp with lp = ((5 + tokens) / 6)^length_power (Wu et al. 2016, equation 14); at 0, by their probability.

:mod:`rnnlm.generation.search` is the beam search of translation: there `</s>` takes a place in the beam, and as many texts as that is wide
are enough. It is no substitute: which of exactly equal beginnings at the beam's edge are kept differs, and with it what n-gram models find.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta

from rnnlm.config import Count
from rnnlm.errors import UsageError
from rnnlm.generation.beams import LengthPower, length_penalty
from rnnlm.generation.generator import Sample, encoded_prompt
from rnnlm.generation.starts import read_prompt
from rnnlm.generation.word_constraints import Ban
from rnnlm.inference.distributions import predict
from rnnlm.interface import LanguageModel, State
from rnnlm.models.loading import language_model_of

ROWS_PER_CALL = 128


@dataclass(frozen=True)
class BeamSettings:
    """How wide the beam is, and how texts of different length compare."""

    beam: Annotated[Annotated[int, Meta(ge=1, le=1 << 16)], Meta(description="beginnings that are kept at each step")] = 8
    length_power: Annotated[LengthPower, Meta(description="0: by probability, which favours short texts; 1: nearly per token")] = 0.0
    max_tokens: Annotated[Count, Meta(description="tokens per text at most")] = 100
    unknown: Annotated[bool, Meta(description="<unk> may be written")] = False


@dataclass(frozen=True, order=True)
class _Found:
    """A text and its rank; of equals, the shorter one is better."""

    score: float
    minus_length: int
    ids: tuple[int, ...]
    logprob_nats: float
    ended: bool


def likeliest(
    model: LanguageModel | str | Path, *, prompt: str = "", num: int = 1, settings: BeamSettings = BeamSettings(), ban: Sequence[str] = ()
) -> list[Sample]:
    """The `num` best texts that begin with `prompt`, best first, by a beam. Those cut off at max_tokens are ranked with the others.

    model: a language model, or the name of one, which is then loaded anew by each call.
    ban: words that must not be there (:mod:`rnnlm.generation.word_constraints`).

    Raises:
        UsageError: `num` is above the beam's width or below 1; the model reads one row at a time; what is banned is no word, or
            stands in the prompt; nothing is left to write. TextError: the prompt holds a newline or `</s>`. ModelError: there is no such
            model, or its scores are not numbers.
    """
    if not 1 <= num <= settings.beam:
        raise UsageError(f"num = {num} does not go with a beam of {settings.beam}", "it keeps so many texts", "widen the beam")
    model = language_model_of(model)
    if model.max_rows and model.max_rows < settings.beam:
        raise UsageError("this model reads one text at a time", "its weights follow it", "search without --adapt dynamic")
    banned = Ban(model.tokenizer, ban, settings.unknown)
    prompt_ids = encoded_prompt(model, prompt)
    banned.check_prompt(prompt_ids.tolist())
    found = _search(model, prompt_ids, settings, banned)
    if not found:
        raise UsageError("nothing is left to write", "every text has probability zero or is forbidden", "forbid less")
    decode = model.tokenizer.decode
    return [
        Sample(number, decode([*prompt_ids.tolist(), *each.ids]), len(each.ids), each.logprob_nats, each.ended)
        for number, each in enumerate(sorted(found, reverse=True)[:num])
    ]


def _search(model: LanguageModel, prompt_ids: np.ndarray, settings: BeamSettings, ban: Ban) -> list[_Found]:
    start, boundary = read_prompt(model, prompt_ids, settings.max_tokens), model.tokenizer.boundary_id
    prompt = prompt_ids.tolist()
    state, input_B, live_B, texts = start.state.select([0]), start.input_S, np.zeros(1), [()]
    found: list[_Found] = []
    for length in range(1, settings.max_tokens + 1):
        is_last, penalty = length == settings.max_tokens, length_penalty(length, settings.length_power)
        logprob_BV, state = _predict_in_parts(model, input_B, state)
        total_BV = live_B[:, None] + logprob_BV
        total_BV[:, ban.always] = -np.inf
        if ban.looks_back:
            for row, text in enumerate(texts):
                total_BV[row, ban.forbidden([*prompt, *text], is_last)] = -np.inf
        for row in np.flatnonzero(total_BV[:, boundary] > -np.inf).tolist():
            total = float(total_BV[row, boundary])
            _keep(found, _Found(total / penalty, -length, (*texts[row], boundary), total, True), settings.beam)
        total_BV[:, boundary] = -np.inf
        row_K, token_K = _best(total_BV, settings.beam)
        live_B = total_BV[row_K, token_K]
        texts = [(*texts[row], token) for row, token in zip(row_K.tolist(), token_K.tolist(), strict=True)]
        if is_last:
            for total, text in zip(live_B.tolist(), texts, strict=True):
                _keep(found, _Found(total / penalty, -length, text, total, False), settings.beam)
        elif not len(texts) or _is_settled(found, float(live_B[0]), settings):
            break
        state, input_B = state.select(row_K), token_K
    return found


def _predict_in_parts(model: LanguageModel, input_B: np.ndarray, state: State) -> tuple[np.ndarray, State]:
    """`predict` for any number of rows, float64."""
    parts, states = [], []
    for first in range(0, len(input_B), ROWS_PER_CALL):
        rows = np.arange(first, min(first + ROWS_PER_CALL, len(input_B)))
        logprob_BV, after = predict(model, input_B[rows], state.select(rows))
        parts.append(logprob_BV.astype(np.float64))
        states.append(after)
    return np.concatenate(parts), states[0] if len(states) == 1 else model.concat_states(states)


def _best(total_BV: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and token of the likeliest continuations that are possible, likeliest first; of equals, the first."""
    flat = total_BV.ravel()
    at = np.argpartition(-flat, count - 1)[:count] if count < len(flat) else np.arange(len(flat))
    at = np.sort(at[flat[at] > -np.inf])
    at = at[np.argsort(-flat[at], kind="stable")]
    return np.divmod(at, total_BV.shape[1])


def _keep(found: list[_Found], text: _Found, count: int) -> None:
    """Add `text` to a heap of the best `count`."""
    if len(found) < count:
        heapq.heappush(found, text)
    else:
        heapq.heappushpop(found, text)


def _is_settled(found: list[_Found], best_live: float, settings: BeamSettings) -> bool:
    """Whether no beginning can become better than the worst of as many texts as are wanted: its probability only falls, and no
    length divides it by more than max_tokens does."""
    return len(found) == settings.beam and best_live / length_penalty(settings.max_tokens, settings.length_power) < found[0].score

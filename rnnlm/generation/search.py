"""Beam search for the best continuations of many texts at once, from the states that they are given.

At each step the `beam` best continuations of a text are taken, `</s>` among them; those that end are finished, the others go on. A
text is settled when `beam` of its continuations are finished, when nothing alive can become one of the best `nbest` (its probability only
falls, and no length divides it by more than the limit does), or at its limit, where those that did not end are ranked as they stand. A
settled text leaves the batch.

Texts are ranked by log P / lp with lp = ((5 + tokens) / 6)^length_power (Wu et al. 2016, equation 14). Of equal continuations the one
with the better beginning is taken, then the one with the lower token id; of equal texts the shorter, then the lower ids. With a beam of 1
that is greedy search. How :mod:`rnnlm.generation.beam_search` differs is said there.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta

from rnnlm.config import Count
from rnnlm.errors import UsageError
from rnnlm.generation.beams import Beams, LengthPower
from rnnlm.generation.best_tokens import best_tokens
from rnnlm.generation.starts import Found, Starts
from rnnlm.generation.word_constraints import Ban
from rnnlm.interface import Array, LanguageModel, State

MOST_CELLS = 1 << 24  # of the scores, (R, V), that one call of the model gives
FEW = 8  # tokens that are forbidden at every step, so many without a copy of the scores


@dataclass(frozen=True)
class SearchSettings:
    """How wide the beam is, how texts of different length compare, and how many are wanted."""

    beam: Annotated[Annotated[int, Meta(ge=1, le=1 << 16)], Meta(description="continuations kept at each step; 1: greedy search")] = 5
    length_power: Annotated[LengthPower, Meta(description="0: by probability, which favours short texts; 1: nearly per token")] = 1.0
    nbest: Annotated[Count, Meta(description="texts to give back, at most as many as the beam is wide")] = 1
    unknown: Annotated[bool, Meta(description="<unk> may be written")] = False


def search(model: LanguageModel, starts: Starts, settings: SearchSettings = SearchSettings(), ban: Ban | None = None) -> list[list[Found]]:
    """For each text its `nbest` best continuations, best first; fewer where no more are possible.

    What is found for a text depends on the others only as far as the model's rounding does. ban: what must not be written, beside <unk>
    where `settings` forbid it.

    Raises:
        UsageError: `nbest` is above the beam's width; the model reads one row at a time; nothing is left to write. ModelError: the model's
            scores are not numbers.
    """
    if settings.nbest > settings.beam:
        raise UsageError(f"nbest = {settings.nbest} does not go with a beam of {settings.beam}", "it keeps so many texts", "widen the beam")
    if model.max_rows and model.max_rows < len(starts) * settings.beam:
        raise UsageError("this model reads one text at a time", "its weights follow it", "search without --adapt dynamic")
    reader = _Reader(model, settings, ban)
    beams = Beams(starts, settings.beam, settings.length_power, settings.nbest, model.tokenizer.boundary_id)
    state, input_R = starts.state, np.asarray(starts.input_S)
    while len(input_R):
        token_RK, logprob_RK, state = reader.read(input_R, state, beams)
        origin_R, input_R = beams.grow(token_RK, logprob_RK)
        if len(input_R) and not np.array_equal(origin_R, np.arange(len(token_RK))):
            state = state.select(origin_R)
    if not all(beams.found_S):
        raise UsageError("nothing is left to write", "every text has probability zero or is forbidden", "forbid less")
    return [sorted(found, key=lambda text: (-text.score, len(text.ids), text.ids))[: settings.nbest] for found in beams.found_S]


class _Reader:
    """Reads one token of each row, and gives the likeliest that may come next."""

    def __init__(self, model: LanguageModel, settings: SearchSettings, ban: Ban | None) -> None:
        self.model, self.ban, self.looks_back = model, ban, ban is not None and ban.looks_back
        self.count = min(settings.beam, model.tokenizer.size)
        self.most_rows = max(1, MOST_CELLS // model.tokenizer.size)
        unk_id = model.tokenizer.unk_id
        forbidden = [] if settings.unknown or unk_id is None else [unk_id]
        self.always = sorted({*forbidden, *(ban.always.tolist() if ban else ())})

    def read(self, input_R: np.ndarray, state: State, beams: Beams) -> tuple[np.ndarray, np.ndarray, State]:
        """Tokens (R, K), their log-probabilities (R, K), and the state after the inputs."""
        tokens, logprobs, states = [], [], []
        for first in range(0, len(input_R), self.most_rows):
            rows = np.arange(first, min(first + self.most_rows, len(input_R)))
            its_state = state if len(rows) == len(input_R) else state.select(rows)
            predicted_R1V, after = self.model.predict(input_R[rows, None], its_state)
            token_RK, logprob_RK = self._best(predicted_R1V[:, -1], beams, first)
            tokens.append(token_RK)
            logprobs.append(logprob_RK)
            states.append(after)
        after = states[0] if len(states) == 1 else self.model.concat_states(states)
        return np.concatenate(tokens), np.concatenate(logprobs), after

    def _best(self, logprob_RV: Array, beams: Beams, first: int) -> tuple[np.ndarray, np.ndarray]:
        """As `read`, of the rows from `first` on."""
        if len(self.always) <= FEW and not self.looks_back:
            return best_tokens(logprob_RV, self.count, self.always)
        logprob_RV = logprob_RV.copy() if isinstance(logprob_RV, np.ndarray) else logprob_RV.clone()
        logprob_RV[:, self.always] = -np.inf
        if self.ban and self.looks_back:
            for row in range(len(logprob_RV)):
                logprob_RV[row, beams.forbidden(self.ban, first + row)] = -np.inf
        return best_tokens(logprob_RV, self.count)

"""Positions of a text, drawn at random, and the state in which a network comes to each.

The text is cut into streams, which are read side by side with the state carried, each from the initial state on. Offsets are drawn, and at
each offset a position in every stream; each has at least as many tokens of its stream before it as there are lags.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rnnlm.errors import TextError, notice
from rnnlm.neural.language_model import NeuralLanguageModel
from rnnlm.neural.layers.layer import State

MOST_TOKENS = 100_000  # are read of a text
MOST_STREAMS = 25
LAGS_PER_STREAM = 5  # a stream is so many times longer than the largest lag, so that few of its places are too early
TOKENS_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class Positions:
    """What is read at B positions, side by side: inputs_TB are the T = lags + 1 tokens up to each position, from `state` on; targets_B
    the tokens that follow."""

    inputs_TB: Tensor
    targets_B: Tensor
    state: State

    @property
    def rows(self) -> int:
        return len(self.targets_B)

    @property
    def lags(self) -> int:
        return len(self.inputs_TB) - 1

    def parts(self, rows: int) -> Iterator["Positions"]:
        """The same, `rows` at a time."""
        for start in range(0, self.rows, rows):
            part = slice(start, start + rows)
            yield Positions(self.inputs_TB[:, part], self.targets_B[part], tuple(each[:, part] for each in self.state))


def draw(model: NeuralLanguageModel, ids: np.ndarray, lags: int, count: int, seed: int) -> Positions:
    """`count` positions of a text, or as many as it has. With fewer tokens than lags these are fewer, too, and a notice says so.

    Raises:
        TextError: the text has one token alone.
    """
    ids = np.asarray(ids[:MOST_TOKENS]).astype(np.int64)
    if len(ids) < 2:
        raise TextError("the text is too short", "it has one token, which nothing comes before")
    if len(ids) <= lags:
        notice(f"the text has {len(ids):,} tokens: lags go up to {len(ids) - 1:,}, not {lags:,}")
        lags = len(ids) - 1
    streams = max(1, min(MOST_STREAMS, count, len(ids) // (LAGS_PER_STREAM * (lags + 1))))
    inputs_RN = _cut(np.concatenate(([model.tokenizer.boundary_id], ids[:-1])), streams)
    targets_RN = _cut(ids, streams)
    places = inputs_RN.shape[1] - lags  # in each stream, where a window of lags + 1 inputs can begin
    random = np.random.default_rng(seed)
    starts_S = np.sort(random.choice(places, min(-(-count // streams), places), replace=False))
    with model.reading():
        state = _states(model, model.ids(inputs_RN).t(), starts_S)
    windows_TSR = np.stack([inputs_RN[:, starts_S + step].T for step in range(lags + 1)])
    targets_SR = targets_RN[:, starts_S + lags].T
    kept_B = np.sort(random.permutation(targets_SR.size)[:count])
    inputs_TB, targets_B = windows_TSR.reshape(lags + 1, -1)[:, kept_B], targets_SR.ravel()[kept_B]
    rows_B = torch.from_numpy(kept_B).to(model.device)
    return Positions(model.ids(inputs_TB), model.ids(targets_B[np.newaxis])[0], tuple(each[:, rows_B] for each in state))


def _cut(ids_N: np.ndarray, streams: int) -> np.ndarray:
    """(R, N // R): what is left over at the end is not read."""
    length = len(ids_N) // streams
    return ids_N[: length * streams].reshape(streams, length)


def _states(model: NeuralLanguageModel, inputs_NR: Tensor, starts_S: np.ndarray) -> State:
    """The states of all streams before the inputs at `starts_S`, which ascend: S times R rows."""
    streams = inputs_NR.shape[1]
    state, reached, found = model.network.initial_state(streams), 0, []
    for start in starts_S.tolist():
        while reached < start:
            end = min(start, reached + max(1, TOKENS_AT_ONCE // streams))
            _, state = model.network.features(inputs_NR[reached:end], state)
            reached = end
        found.append(state)
    return tuple(torch.cat(each, dim=1) for each in zip(*found, strict=True))

"""Several models as one: their probabilities added up (linear) or multiplied (log-linear), with a
weight for each part.

    linear:      p(w|h) = sum over k of weight_k p_k(w|h)
        (Jelinek & Mercer 1980)
    log-linear:  p(w|h) = product over k of p_k(w|h)^weight_k / Z(h)          (Klakow 1998)

Z(h) is the sum over the whole vocabulary, computed at each place, so a log-linear mixture sums to
one whatever its parts do. A part of weight 0 is left out. Shapes: K parts, B rows, T time, V
vocabulary.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from rnnlm import arrays as array_types
from rnnlm.checks import check_shapes, check_state, token_ids
from rnnlm.combinations import adaptation
from rnnlm.combinations.settings import joined
from rnnlm.config import from_stored
from rnnlm.errors import ModelError, UsageError
from rnnlm.interface import (
    PADDING,
    Array,
    LanguageModel,
    Shapes,
    State,
    Tokenizer,
    answers_of,
    keeps,
)
from rnnlm.models.pickling import PickledByOrigin
from rnnlm.text.encoding import known_ids

MixtureKind = Literal["linear", "log-linear"]
# tokens times vocabulary that each part of a log-linear mixture predicts at a time: arrays that fit
# a cache
MOST_CELLS = 1 << 20
FEWEST_TOKENS = 16  # but no fewer tokens than that: a network reads all its output weights for them
SUM_TOLERANCE = 1e-6
PRECISIONS = ("bf16", "fp32", "fp64")  # a mixture is as precise as its least precise part


@dataclass(frozen=True)
class MixtureSettings:
    """A model made of models."""

    model: Annotated[Literal["mixture"], Meta(description="several models as one")] = "mixture"
    mixing: Annotated[
        MixtureKind, Meta(description="probabilities are added up, or multiplied and normalised")
    ] = "linear"


@keeps(State)
@dataclass(frozen=True)
class MixtureState:
    """The states of the parts."""

    parts: tuple[State, ...]

    def select(self, rows: Sequence[int] | np.ndarray) -> "MixtureState":
        return MixtureState(tuple(part.select(rows) for part in self.parts))

    def to_arrays(self) -> dict[str, np.ndarray]:
        numbered = enumerate(self.parts, start=1)
        parts = (
            array_types.with_prefix(_prefix(number), part.to_arrays()) for number, part in numbered
        )
        return {name: array for part in parts for name, array in part.items()}


@keeps(LanguageModel)
class Mixture(PickledByOrigin):
    """A mixture of `parts`, which share a tokenizer. Its arrays are numpy's where those of all
    parts are, else torch's."""

    description = "a mixture"

    def __init__(
        self, parts: Sequence[LanguageModel], weights_K: Sequence[float] | np.ndarray,
        kind: MixtureKind = "linear",
        fingerprint: str | None = None,
    ) -> None:  # fmt: skip
        """Raises: UsageError: the parts have different tokenizers, or the weights are not valid
        (:func:`check_weights`).
        """
        self.parts = tuple(parts)
        self.weights_K = np.asarray(weights_K, dtype=np.float64)
        self.kind = kind
        self.fingerprint = fingerprint
        self.is_weights_only = any(answers_of(part).is_weights_only for part in parts)
        check_weights(self.weights_K, len(self.parts), kind)
        self.tokenizer = shared_tokenizer([part.tokenizer for part in self.parts])
        self._counting = np.flatnonzero(self.weights_K).tolist()

    def __reduce__(self) -> tuple[object, ...]:
        """Where it was loaded from, or the parts of one that was not."""
        return (
            super().__reduce__()
            if self.origin
            else (Mixture, (self.parts, self.weights_K.tolist(), self.kind, self.fingerprint))
        )

    @property
    def model_kind(self) -> str:
        return "mixture"

    @property
    def normalised(self) -> bool:
        return self.kind == "log-linear" or all(self.parts[k].normalised for k in self._counting)

    @property
    def max_rows(self) -> int | None:
        return min((part.max_rows for part in self.parts if part.max_rows), default=None)

    @property
    def call_tokens(self) -> int:
        fewest = min(part.call_tokens for part in self.parts)
        return fewest if self.kind == "linear" else min(fewest, self._tokens_at_a_time)

    @property
    def forgets_at_boundary(self) -> bool:
        return all(self.parts[k].forgets_at_boundary for k in self._counting)

    @property
    def precision(self) -> str:
        return min((self.parts[k].precision for k in self._counting), key=PRECISIONS.index)

    @property
    def adaptation(self) -> str:
        return joined(self.parts[k].adaptation for k in self._counting)

    def initial_state(self, rows: int) -> MixtureState:
        return MixtureState(tuple(part.initial_state(rows) for part in self.parts))

    def score(
        self, inputs_BT: Array, targets_BT: Array, state: MixtureState
    ) -> tuple[Array, MixtureState]:
        """:meth:`rnnlm.LanguageModel.score` in numpy where all parts are numpy's, else in torch on
        the network's device. A log-linear mixture predicts all tokens for it, in pieces of the
        time."""
        # numpy's: every model takes these
        inputs_BT, targets_BT = map(array_types.as_numpy, map(token_ids, (inputs_BT, targets_BT)))
        check_shapes(inputs_BT, targets_BT)
        if self.kind == "log-linear":
            known_BT = known_ids(targets_BT, self.tokenizer).astype(np.int64)
            return self._score_by_predicting(inputs_BT, known_BT, state)
        scores_KBT, after = self._asked(
            lambda part, its: part.score(inputs_BT, targets_BT, its), state
        )
        logprob_BT = added(scores_KBT, self.weights_K[self._counting])
        return _without_padding(logprob_BT, targets_BT), after

    def predict(self, inputs_BT: Array, state: MixtureState) -> tuple[Array, MixtureState]:
        """:meth:`rnnlm.LanguageModel.predict` in numpy where all parts are numpy's, else in torch
        on the network's device."""
        predicted_KBTV, after = self.predict_parts(inputs_BT, state)
        combine = added if self.kind == "linear" else multiplied
        return combine(predicted_KBTV, self.weights_K[self._counting]), after

    def predict_parts(
        self, inputs_BT: Array, state: MixtureState
    ) -> tuple[list[Array], MixtureState]:
        """What each part that counts predicts, (B, T, V) each, and the state after the last
        input."""
        ids_BT = array_types.as_numpy(token_ids(inputs_BT))
        return self._asked(lambda part, its: part.predict(ids_BT, its), state)

    def concat_states(self, states: Sequence[MixtureState]) -> MixtureState:
        each_part = zip(*(state.parts for state in states), strict=True)
        return MixtureState(
            tuple(part.concat_states(its) for part, its in zip(self.parts, each_part, strict=True))
        )

    def state_from_arrays(self, arrays: dict[str, np.ndarray]) -> MixtureState:
        return MixtureState(
            tuple(
                part.state_from_arrays(array_types.strip_prefix(_prefix(k), arrays))
                for k, part in enumerate(self.parts, start=1)
            )
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {"weights": self.weights_K}

    @property
    def _tokens_at_a_time(self) -> int:
        return max(FEWEST_TOKENS, MOST_CELLS // self.tokenizer.size)

    def _asked(
        self, ask: Callable[[LanguageModel, State], tuple[Array, State]], state: MixtureState
    ) -> tuple[list[Array], MixtureState]:
        """What the parts that count answer, as arrays of one type, and the state with theirs
        afterwards."""
        check_state(state, MixtureState)
        answers, states = [], list(state.parts)
        for k in self._counting:
            answer, states[k] = ask(self.parts[k], states[k])
            answers.append(answer)
        return array_types.same_dtype(answers), MixtureState(tuple(states))

    def _score_by_predicting(
        self, inputs_BT: Array, targets_BT: np.ndarray, state: MixtureState
    ) -> tuple[Array, MixtureState]:
        rows, length = targets_BT.shape
        step = max(1, self._tokens_at_a_time // max(1, rows))
        scores = []
        for start in range(0, max(1, length), step):
            logprob_BTV, state = self.predict(inputs_BT[:, start : start + step], state)
            scores.append(at_targets(logprob_BTV, targets_BT[:, start : start + step]))
        return array_types.library(scores[0]).concatenate(scores, axis=1), state


def added(
    logprobs_K: Sequence[Array] | np.ndarray, weights_K: Sequence[float] | np.ndarray
) -> Array:
    """log sum over k of weight_k exp(logprob_k), for arrays of one shape; the log of zero is
    welcome. Weights are above 0."""
    xp = array_types.library(logprobs_K[0])
    weighted_K = [
        logprob + math.log(weight) for logprob, weight in zip(logprobs_K, weights_K, strict=True)
    ]
    total = weighted_K[0]
    for each in weighted_K[1:]:
        total = xp.logaddexp(total, each)
    return total


def multiplied(logprobs_KV: Sequence[Array], weights_K: Sequence[float] | np.ndarray) -> Array:
    """sum over k of weight_k logprob_k, normalised over the last axis. What one part holds
    impossible is so; where nothing is possible for every part, nothing is."""
    xp = array_types.library(logprobs_KV[0])
    total_V = 0.0
    for logprob_V, weight in zip(logprobs_KV, weights_K, strict=True):
        weighted_V = float(weight) * logprob_V
        total_V = total_V + (
            weighted_V if weight > 0 else xp.where(xp.isneginf(logprob_V), -np.inf, weighted_V)
        )
    highest = xp.amax(total_V, axis=-1, keepdims=True)
    highest = xp.where(xp.isneginf(highest), 0.0, highest)
    sum_of_all = xp.sum(xp.exp(total_V - highest), axis=-1, keepdims=True)
    return total_V - highest - xp.log(xp.where(sum_of_all == 0, 1.0, sum_of_all))


def at_targets(values_BTV: Array, targets_BT: np.ndarray) -> Array:
    """What stands at the targets, (B, T), which are below V; 0 at padding."""
    values_RV = values_BTV.reshape(-1, values_BTV.shape[-1])
    places_R, targets_R = (
        array_types.as_array_of(each, values_RV)
        for each in (np.arange(targets_BT.size), targets_BT.reshape(-1))
    )
    return _without_padding(values_RV[places_R, targets_R].reshape(targets_BT.shape), targets_BT)


def _without_padding(logprob_BT: Array, targets_BT: Array) -> Array:
    return array_types.library(logprob_BT).where(
        array_types.as_array_of(targets_BT == PADDING, logprob_BT), 0.0, logprob_BT
    )


def check_weights(weights_K: np.ndarray, parts: int, kind: MixtureKind) -> None:
    """Whether a mixture of so many parts can have these weights.

    Raises:
        UsageError: there are too few or too many, they are not numbers, or all are zero; of a
            linear mixture: one is negative, or their sum is not 1.
    """
    shown = ", ".join(f"{weight:g}" for weight in weights_K.tolist())
    if parts < 1 or weights_K.shape != (parts,):
        raise UsageError(
            f"{weights_K.size} weights do not fit {parts} models",
            "each model has one",
            f"give {parts}",
        )
    if not np.isfinite(weights_K).all():
        raise UsageError(
            f"the weights {shown} are not all numbers",
            hint="give finite numbers, one for each model",
        )
    if kind == "linear" and ((weights_K < 0).any() or abs(weights_K.sum() - 1) > SUM_TOLERANCE):
        why = "one is negative" if (weights_K < 0).any() else f"their sum is {weights_K.sum():g}"
        raise UsageError(
            f"the weights {shown} are not valid for a linear mixture",
            why,
            "give weights from 0 to 1 whose sum is 1",
        )
    if not weights_K.any():
        raise UsageError(
            "all weights are 0",
            "nothing would be mixed",
            "give at least one model a weight other than 0",
        )


def shared_tokenizer(
    tokenizers: Sequence[Tokenizer], names: Sequence[str] | None = None
) -> Tokenizer:
    """The tokenizer of all parts: one that spells unseen words, if a part reads characters; the
    others take these for `<unk>`.

    Raises:
        UsageError: they are different ones, or read in different directions.
    """
    names = names or [f"part {number}" for number in range(1, len(tokenizers) + 1)]
    first = tokenizers[0]
    for name, tokenizer in zip(names, tokenizers, strict=True):
        if tokenizer.is_reversed != first.is_reversed:
            its, other = (
                ("its end", "its beginning")
                if tokenizer.is_reversed
                else ("its beginning", "its end")
            )
            raise UsageError(
                f"{name} and {names[0]} cannot be mixed",
                f"{name} reads each line from {its}, {names[0]} from {other}",
                (
                    "mix models of one direction; scores of whole lines of both can be weighed by "
                    "rescore"
                ),
            )
        if tokenizer.fingerprint != first.fingerprint:
            raise UsageError(
                f"{name} and {names[0]} have different tokenizers",
                _difference(tokenizer, first),
                (
                    f"train one of them again with --tokenizer-from {names[0]}, or with "
                    f"--tokenizer-from {name}"
                ),
            )
    return next((tokenizer for tokenizer in tokenizers if tokenizer.spells), first)


def _difference(one: Tokenizer, other: Tokenizer) -> str:
    if (one.name, one.size) != (other.name, other.size):
        return f"{one.name} with V = {one.size:,}, and {other.name} with V = {other.size:,}"
    for id, (mine, its) in enumerate(zip(one.symbols(), other.symbols(), strict=True)):
        if mine != its:
            return f"token {id:,} is {mine!r} in one and {its!r} in the other"
    return f"same symbols, other settings: {_unlike(one.to_settings(), other.to_settings())}"


def _unlike(one: dict[str, Any], other: dict[str, Any]) -> str:
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return ", ".join(f"{name} is {one.get(name)} and {other.get(name)}" for name in names)


def _prefix(number: int) -> str:
    return f"part_{number}."


def array_shapes(
    settings: dict[str, Any], tokenizer: Tokenizer, stored: Shapes | None = None
) -> Shapes | None:
    """Name to (safetensors type, shape) of a mixture's arrays; None where the file must be asked
    how many parts there are."""
    if stored is None:
        return None
    _, shape = stored.get("weights", ("F64", (1,)))
    return {"weights": ("F64", shape[:1])}


def from_arrays(
    settings: dict[str, Any], tokenizer: Tokenizer, arrays: dict[str, np.ndarray], device: str,
    fingerprint: str | None,
    parts: Sequence[LanguageModel] = (),
) -> Mixture:  # fmt: skip
    """The mixture of `parts` (which are on their device) whose `to_arrays()` gave `arrays`.

    Raises:
        ModelError: parts and weights do not fit together.
    """
    try:
        parts = adaptation.adapted(parts, settings)
        return Mixture(
            parts, arrays["weights"], from_stored(MixtureSettings, settings).mixing, fingerprint
        )
    except UsageError as error:
        raise ModelError(error.what, error.why) from None

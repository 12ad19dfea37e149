"""Mix several models: add up their probabilities, each with a weight:

    p(w|h) = sum over k of weight_k p_k(w|h)        (Jelinek & Mercer 1980)

A part of weight 0 is left out. Models of words may have different words: the mixture has those of
all. A word that a part lacks has probability zero there, and is `<unk>` in what it reads.

Shapes: K parts, B rows, T time, V vocabulary.
"""

import copy
import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import numpy as np

from rnnlm import arrays as array_types
from rnnlm.amounts import plural
from rnnlm.checks import check_shapes, check_state, token_ids
from rnnlm.config import about
from rnnlm.errors import ModelError, UsageError, notice
from rnnlm.interface import PADDING, Array, LanguageModel, Shapes, State, Tokenizer, keeps
from rnnlm.lm.base.loading import window_of
from rnnlm.lm.base.span_scoring import stepping
from rnnlm.lm.base.stored_model import PickledByOrigin
from rnnlm.system import quoted
from rnnlm.text.encoding import known_ids
from rnnlm.text.tokenizer_settings import CHOOSING
from rnnlm.text.tokenizers.vocabulary import Vocabulary
from rnnlm.text.tokenizers.word import WordTokenizer
from rnnlm.tools.mixtures import adaptation
from rnnlm.tools.mixtures.adapted_model import joined

SUM_TOLERANCE = 1e-6
PRECISIONS = ("bf16", "fp32", "fp64")  # a mixture is as precise as its least precise part


@dataclass(frozen=True)
class MixtureSettings:
    """A model made of models."""

    model: Annotated[Literal["mixture"], about("kind of model: a mixture of several models")] = (
        "mixture"
    )


@keeps(State)
@dataclass(frozen=True)
class MixtureState:
    """The states of the parts."""

    parts: tuple[State, ...]

    def select(self, rows: Sequence[int] | np.ndarray) -> "MixtureState":
        return MixtureState(tuple(part.select(rows) for part in self.parts))

    def to_arrays(self) -> dict[str, np.ndarray]:
        all_arrays: dict[str, np.ndarray] = {}
        for number, part in enumerate(self.parts, start=1):
            all_arrays |= array_types.with_prefix(_prefix(number), part.to_arrays())
        return all_arrays


@dataclass(frozen=True)
class _WithAllWords:
    """A part that reads and predicts the words of all parts. id_V1: its own id of each word,
    PADDING for words that it lacks; the last is that of PADDING."""

    part: LanguageModel
    tokenizer: Tokenizer
    id_V1: np.ndarray

    def score(
        self, inputs_BT: np.ndarray, targets_BT: np.ndarray, state: State
    ) -> tuple[Array, State]:
        """Score as the part does; padding has probability zero, too."""
        id_BT = self._own(targets_BT)
        logprob_BT, after = self.part.score(self._read(inputs_BT), id_BT, state)
        return _without_lacking(logprob_BT, id_BT), after

    def predict(self, inputs_BT: np.ndarray, state: State) -> tuple[Array, State]:
        """Predict every word of all parts."""
        logprob_BTV, after = self.part.predict(self._read(inputs_BT), state)
        id_V = self.id_V1[:-1]
        logprob_BTV = logprob_BTV[..., array_types.as_array_of(id_V, logprob_BTV)]
        return _without_lacking(logprob_BTV, id_V), after

    def _own(self, ids_BT: np.ndarray) -> np.ndarray:
        return self.id_V1[known_ids(ids_BT, self.tokenizer).astype(np.int64)]

    def _read(self, inputs_BT: np.ndarray) -> np.ndarray:
        id_BT = self._own(inputs_BT)
        return np.where(id_BT == PADDING, cast(int, self.part.tokenizer.unk_id), id_BT)


def _without_lacking(logprob: Array, ids: np.ndarray) -> Array:
    """Give words without an id probability zero."""
    is_lacking = array_types.as_array_of(ids == PADDING, logprob)
    return array_types.library(logprob).where(is_lacking, -math.inf, logprob)


def _own_ids(own: Tokenizer, tokenizer: Tokenizer) -> np.ndarray | None:
    """Return the ids of a part as :class:`_WithAllWords` has them; None if `tokenizer` has the
    same."""
    if own.fingerprint == tokenizer.fingerprint:
        return None
    id_of = {symbol: id for id, symbol in enumerate(own.symbols())}
    return np.array([*(id_of.get(symbol, PADDING) for symbol in tokenizer.symbols()), PADDING])


@keeps(LanguageModel)
class Mixture(PickledByOrigin):
    """A mixture of `parts`, which share a tokenizer, or all have tokenizers of words that differ in
    their words alone. Its arrays are NumPy's if the arrays of all parts are, else torch's."""

    description = "a mixture"
    model_kind = "mixture"

    def __init__(
        self,
        parts: Sequence[LanguageModel],
        weights_K: Sequence[float] | np.ndarray,
        fingerprint: str | None = None,
    ) -> None:
        """Mix `parts`.

        Raises:
            UsageError: the parts have different tokenizers, or the weights are not valid
                (:func:`check_weights`).
        """
        self.parts = tuple(parts)
        self.weights_K = np.asarray(weights_K, dtype=np.float64)
        self.fingerprint = fingerprint
        check_weights(self.weights_K, len(self.parts))
        self.tokenizer = shared_tokenizer([part.tokenizer for part in self.parts])
        self._ids = [_own_ids(part.tokenizer, self.tokenizer) for part in self.parts]
        self._active = np.flatnonzero(self.weights_K).tolist()  # the parts that are asked
        self.sum_error = max(getattr(part, "sum_error", 0.0) for part in self.parts)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle where it was loaded from, or the parts of one that was not."""
        if self.origin:
            return super().__reduce__()
        return Mixture, (self.parts, self.weights_K.tolist(), self.fingerprint)

    @property
    def normalised(self) -> bool:
        return all(self.parts[k].normalised for k in self._active)

    @property
    def max_rows(self) -> int | None:
        return min((part.max_rows for part in self.parts if part.max_rows), default=None)

    @property
    def call_tokens(self) -> int:
        return min(part.call_tokens for part in self.parts)

    @property
    def boundary_resets_state(self) -> bool:
        return all(self.parts[k].boundary_resets_state for k in self._active)

    @property
    def precision(self) -> str:
        return min((self.parts[k].precision for k in self._active), key=PRECISIONS.index)

    @property
    def adaptation(self) -> str:
        return joined(self.parts[k].adaptation for k in self._active)

    @property
    def window(self) -> str:
        """The most tokens that the parts read at once, each number once; "" if none has a limit."""
        windows = dict.fromkeys(window_of(self.parts[k]) for k in self._active)
        return "+".join(filter(None, windows))

    @property
    def rereads(self) -> bool:
        """Whether to continue from a state costs a part as much as reading all its tokens again."""
        return any(getattr(self.parts[k], "rereads", False) for k in self._active)

    def stepping(self) -> "Mixture":
        """Return this mixture for one caller that reads token by token."""
        stepped = copy.copy(self)
        stepped.parts = tuple(map(stepping, self.parts))
        return stepped

    def initial_state(self, rows: int) -> MixtureState:
        return MixtureState(tuple(part.initial_state(rows) for part in self.parts))

    def score(
        self, inputs_BT: Array, targets_BT: Array, state: MixtureState
    ) -> tuple[Array, MixtureState]:
        """Score as :meth:`rnnlm.LanguageModel.score` says, in numpy if all parts are numpy's, else
        in torch on the network's device."""
        # Every part takes NumPy's arrays, even if it computes with torch.
        inputs_BT = array_types.as_numpy(token_ids(inputs_BT))
        targets_BT = array_types.as_numpy(token_ids(targets_BT))
        check_shapes(inputs_BT, targets_BT)
        scores_KBT, after = self._ask_parts(
            lambda part, part_state: part.score(inputs_BT, targets_BT, part_state), state
        )
        logprob_BT = mix_linear(scores_KBT, self.weights_K[self._active])
        is_padding_BT = array_types.as_array_of(targets_BT == PADDING, logprob_BT)
        return array_types.library(logprob_BT).where(is_padding_BT, 0.0, logprob_BT), after

    def predict(self, inputs_BT: Array, state: MixtureState) -> tuple[Array, MixtureState]:
        """Predict as :meth:`rnnlm.LanguageModel.predict` says, in numpy if all parts are numpy's,
        else in torch on the network's device."""
        ids_BT = array_types.as_numpy(token_ids(inputs_BT))
        predicted_KBTV, after = self._ask_parts(
            lambda part, part_state: part.predict(ids_BT, part_state), state
        )
        return mix_linear(predicted_KBTV, self.weights_K[self._active]), after

    def concat_states(self, states: Sequence[MixtureState]) -> MixtureState:
        states_of_parts = zip(*(state.parts for state in states), strict=True)
        parts = zip(self.parts, states_of_parts, strict=True)
        return MixtureState(tuple(part.concat_states(of_part) for part, of_part in parts))

    def state_from_arrays(self, arrays: dict[str, np.ndarray]) -> MixtureState:
        states = (
            part.state_from_arrays(array_types.strip_prefix(_prefix(number), arrays))
            for number, part in enumerate(self.parts, start=1)
        )
        return MixtureState(tuple(states))

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {"weights": self.weights_K}

    def _ask_parts(
        self, ask: Callable[[Any, State], tuple[Array, State]], state: MixtureState
    ) -> tuple[list[Array], MixtureState]:
        """Ask the parts whose weight is not 0. Return their answers, as arrays of one type, and the
        state after them."""
        check_state(state, MixtureState)
        answers = []
        states = list(state.parts)
        for k in self._active:
            part, ids = self.parts[k], self._ids[k]
            reader = part if ids is None else _WithAllWords(part, self.tokenizer, ids)
            answer, states[k] = ask(reader, states[k])
            answers.append(answer)
        return array_types.same_dtype(answers), MixtureState(tuple(states))


def mix_linear(
    logprobs_K: Sequence[Array] | np.ndarray, weights_K: Sequence[float] | np.ndarray
) -> Array:
    """Compute log sum over k of weight_k exp(logprob_k), for arrays of one shape, which may hold
    -inf. Weights are above 0."""
    xp = array_types.library(logprobs_K[0])
    weighted_K = [
        logprob + math.log(weight) for logprob, weight in zip(logprobs_K, weights_K, strict=True)
    ]
    return functools.reduce(xp.logaddexp, weighted_K)


def check_weights(weights_K: np.ndarray, parts: int) -> None:
    """Refuse weights that do not suit a mixture of that many parts: too few or too many, not
    finite, negative, or with another sum than 1."""
    shown = ", ".join(f"{weight:g}" for weight in weights_K.tolist())
    if parts < 1 or weights_K.shape != (parts,):
        raise UsageError(
            f"{plural(weights_K.size, 'weight')} for {plural(parts, 'model')}",
            "each model needs one",
            f"give {parts}",
        )
    if not np.isfinite(weights_K).all():
        raise UsageError(
            f"the weights {shown} are not all numbers",
            hint="give finite numbers, one for each model",
        )
    # Only a distribution over the parts keeps probabilities probabilities.
    why = ""
    if (weights_K < 0).any():
        why = "one is negative"
    elif abs(weights_K.sum() - 1) > SUM_TOLERANCE:
        why = f"their sum is {weights_K.sum():g}"
    if why:
        raise UsageError(
            f"the weights {shown} are not valid for a mixture",
            why,
            "give weights from 0 to 1 whose sum is 1",
        )


def shared_tokenizer(
    tokenizers: Sequence[Tokenizer], names: Sequence[str] | None = None
) -> Tokenizer:
    """Return the tokenizer of all parts: one that spells unseen words, if a part reads characters;
    the others read these as `<unk>`.

    Tokenizers of words may differ in their words: the result has the words of the first, then those
    that it lacks, and spells none. If the models are called by `names`, a notice says how many
    words they lack. Other differences are refused.
    """
    called = names or [f"part {number}" for number in range(1, len(tokenizers) + 1)]
    first = tokenizers[0]
    for name, tokenizer in zip(called, tokenizers, strict=True):
        why = _difference(tokenizer, first)
        if why:
            raise UsageError(
                f"{name} and {called[0]} have different tokenizers",
                why,
                f"retrain one of them: rnnlm train --tokenizer-from {quoted(called[0])}, or "
                f"--tokenizer-from {quoted(name)}; or import one with the settings of the "
                "other",
            )
    if len({tokenizer.fingerprint for tokenizer in tokenizers}) > 1:
        return _with_all_words(cast(Sequence[WordTokenizer], tokenizers), names)
    # The fingerprint does not say whether a tokenizer spells unseen words: take one that does.
    spelling = [tokenizer for tokenizer in tokenizers if tokenizer.spells]
    return spelling[0] if spelling else first


def _difference(first: Tokenizer, second: Tokenizer) -> str:
    """Say in which respects two tokenizers differ; "" if in none but their words."""
    if first.fingerprint == second.fingerprint:
        return ""
    settings, others = first.to_settings(), second.to_settings()
    names = [
        name
        for name in {**settings, **others}
        if name not in CHOOSING and settings.get(name) != others.get(name)
    ]
    are_words = first.name == second.name == WordTokenizer.name
    if are_words and not names:
        return ""
    if not are_words and (first.name, first.size) != (second.name, second.size):
        return f"{first.name} with V = {first.size:,} and {second.name} with V = {second.size:,}"
    if not are_words:
        for id, (symbol, other) in enumerate(zip(first.symbols(), second.symbols(), strict=True)):
            if symbol != other:
                return f"token {id:,} is {symbol!r} in one and {other!r} in the other"
    if not names:
        return "the same symbols, but other rules cut a text into them"
    return ", ".join(f"{name} is {settings.get(name)} and {others.get(name)}" for name in names)


def _with_all_words(
    tokenizers: Sequence[WordTokenizer], names: Sequence[str] | None
) -> WordTokenizer:
    words = dict.fromkeys(itertools.chain.from_iterable(known.symbols() for known in tokenizers))
    # Counts would rank words, whose ids follow the models instead.
    settings = dataclasses.replace(tokenizers[0].settings, min_count=1, max_vocab=None, vocab=None)
    lacking = [len(words) - tokenizer.size for tokenizer in tokenizers]
    if names and any(lacking):
        listed = (f"{name} lacks {count:,}" for name, count in zip(names, lacking, strict=True))
        notice(
            f"the models have different vocabularies: of {len(words):,} words in all, "
            f"{', '.join(listed)}; a model gives the words that it lacks probability zero"
        )
    return WordTokenizer(settings, Vocabulary(tuple(words), None))


def _prefix(number: int) -> str:
    return f"part_{number}."


def array_shapes(
    settings: dict[str, Any], tokenizer: Tokenizer, stored: Shapes | None = None
) -> Shapes | None:
    """Return the (safetensors type, shape) by name of a mixture's arrays; None if only the file
    can tell how many parts there are."""
    if stored is None:
        return None
    _, shape = stored.get("weights", ("F64", (1,)))
    return {"weights": ("F64", shape[:1])}


def from_arrays(
    settings: dict[str, Any],
    tokenizer: Tokenizer,
    arrays: dict[str, np.ndarray],
    device: str,
    fingerprint: str | None,
    parts: Sequence[LanguageModel] = (),
) -> Mixture:
    """Make the mixture of `parts` (which are on their device) whose `to_arrays()` gave `arrays`."""
    try:
        parts = adaptation.adapt_parts(parts, settings)
        return Mixture(parts, arrays["weights"], fingerprint)
    except UsageError as error:
        raise ModelError(error.what, error.why) from None

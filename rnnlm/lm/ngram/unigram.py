"""Estimate the smoothed unigram: p(w) = (c(w) + k) / (N + k V), regardless of the context (Lidstone
1920; Chen & Goodman 1999, eq. 5).

The simplest language model there is. Its state is empty, its arrays are numpy's, and it keeps the
whole contract.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm import arrays as array_types
from rnnlm.checks import check_shapes, check_state, token_ids
from rnnlm.config import ResolvedSettings
from rnnlm.events import PERPLEXITY, Event, Fitted, Started, Validated, never
from rnnlm.interface import PADDING, Array, LanguageModel, Shapes, State, Tokenizer, keeps
from rnnlm.lm.base.span_scoring import stream_perplexity
from rnnlm.lm.base.stored_model import PickledByOrigin
from rnnlm.lm.ngram.incremental import IncrementalScorer
from rnnlm.lm.ngram.model import NgramModel
from rnnlm.lm.ngram.settings import UnigramSettings
from rnnlm.text.encoding import EncodedText, TrainingData, known_ids


@keeps(State)
@dataclass(frozen=True)
class EmptyState:
    """Nothing is remembered; only the number of rows is."""

    rows: int

    def select(self, rows: Sequence[int] | np.ndarray) -> "EmptyState":
        return EmptyState(len(rows))

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {"rows": np.array(self.rows)}


@keeps(LanguageModel)
class UnigramModel(PickledByOrigin):
    """logprob_V: natural logarithms, float64, sums to one as probabilities."""

    normalised = True
    max_rows = None
    call_tokens = 1 << 20
    boundary_resets_state = True
    adaptation = "none"
    description = "an n-gram model"
    model_kind = "unigram"
    precision = "fp64"

    def __init__(
        self, logprob_V: np.ndarray, tokenizer: Tokenizer, fingerprint: str | None = None
    ) -> None:
        self.logprob_V = logprob_V
        self.tokenizer = tokenizer
        self.fingerprint = fingerprint

    @classmethod
    def from_counts(cls, counts_V: np.ndarray, k: float, tokenizer: Tokenizer) -> "UnigramModel":
        """Smooth `counts_V` additively, with `k` for every token of the vocabulary."""
        smoothed_V = counts_V.astype(np.float64) + k
        return cls(np.log(smoothed_V) - np.log(smoothed_V.sum()), tokenizer)

    def initial_state(self, rows: int) -> EmptyState:
        return EmptyState(rows)

    def score(
        self, inputs_BT: Array, targets_BT: Array, state: EmptyState
    ) -> tuple[np.ndarray, EmptyState]:
        """Score as :meth:`rnnlm.LanguageModel.score` says, in numpy, float64."""
        check_state(state, EmptyState)
        check_shapes(token_ids(inputs_BT), token_ids(targets_BT), state.rows)
        targets = known_ids(array_types.as_numpy(token_ids(targets_BT)), self.tokenizer)
        return np.where(targets == PADDING, 0.0, self.logprob_V[targets]), state

    def predict(self, inputs_BT: Array, state: EmptyState) -> tuple[np.ndarray, EmptyState]:
        """Predict as :meth:`rnnlm.LanguageModel.predict` says, in numpy, float64; one read-only row
        serves all places."""
        inputs = token_ids(inputs_BT)
        check_state(state, EmptyState)
        check_shapes(inputs, None, state.rows)
        return np.broadcast_to(self.logprob_V, (*inputs.shape, len(self.logprob_V))), state

    def incremental(self) -> IncrementalScorer:
        """Return a scorer of one word at a time, for callers whose next question depends on the
        last answer."""
        values_M1 = np.append(self.logprob_V, 0.0)[:, None]
        return IncrementalScorer(NgramModel([], [values_M1], self.tokenizer, normalised=True))

    def concat_states(self, states: Sequence[EmptyState]) -> EmptyState:
        return EmptyState(sum(state.rows for state in states))

    def state_from_arrays(self, arrays: dict[str, np.ndarray]) -> EmptyState:
        return EmptyState(int(arrays["rows"]))

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {"logprob": self.logprob_V}


def fit(
    resolved: ResolvedSettings,
    data: TrainingData,
    stop: Callable[[], bool] = never,
    initial: dict[str, np.ndarray] | None = None,
    save: Callable[[], bool] = never,
) -> Iterator[Event]:
    """Count and smooth; with validation text, read it once. Counting ends before anyone could ask
    to stop."""
    began = time.perf_counter()
    valid, size = data.valid, data.tokenizer.size
    yield Started(
        model="unigram",
        parameters=size,
        vocabulary_size=size,
        train_tokens=data.train.tokens,
        valid_tokens=valid.tokens if valid else 0,
        device="cpu",
        precision="fp64",
    )
    counts_V = np.bincount(known_ids(data.train.ids, data.tokenizer), minlength=size)
    k = resolved.make(UnigramSettings).additive_k
    model = UnigramModel.from_counts(counts_V, k, data.tokenizer)
    yield from last_events(model, valid, data.train.tokens, lambda: time.perf_counter() - began)


def last_events(
    model: LanguageModel,
    valid: EncodedText | None,
    tokens: int,
    seconds: Callable[[], float],
    facts: dict[str, Any] | None = None,
) -> Iterator[Event]:
    """Validate a model that was estimated in one step, which makes it the best, and end. tokens: of
    the training text. seconds: returns how long the work took. facts: for the model's folder."""
    ppl = stream_perplexity(model, valid.ids) if valid else None
    if ppl is not None:
        yield Validated(
            step=1,
            epoch=1.0,
            figures={PERPLEXITY: ppl},
            best=ppl,
            improved=True,
            seconds=seconds(),
            model=model,
        )
    yield Fitted(
        step=1,
        steps=1,
        tokens=tokens,
        seconds=seconds(),
        stopped="complete",
        model=model,
        best=ppl,
        facts=facts or {},
    )


def array_shapes(
    settings: dict[str, Any], tokenizer: Tokenizer, stored: Shapes | None = None
) -> Shapes:
    """Return (safetensors type, shape) of the model's arrays by name."""
    return {"logprob": ("F64", (tokenizer.size,))}


def from_arrays(
    settings: dict[str, Any],
    tokenizer: Tokenizer,
    arrays: dict[str, np.ndarray],
    device: str,
    fingerprint: str | None,
) -> UnigramModel:
    """Make the model whose `to_arrays()` returned `arrays`; `device` does not matter."""
    return UnigramModel(arrays["logprob"], tokenizer, fingerprint)

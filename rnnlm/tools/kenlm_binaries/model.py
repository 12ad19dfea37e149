"""A model of KenLM as a :class:`rnnlm.interface.LanguageModel`, by its package `kenlm`.

The package answers one question at a time, word by word. Its states are not stored: a model's state
is the last words, as for our own n-grams, and is read again. Shapes: B rows, T time, N order.
"""

from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm import arrays as array_types
from rnnlm.checks import check_shapes, check_state, token_ids
from rnnlm.errors import ModelError, require_package
from rnnlm.interface import PADDING, Array, LanguageModel, Tokenizer, keeps
from rnnlm.lm.base.stored_model import PickledByOrigin
from rnnlm.lm.ngram.model import NgramState
from rnnlm.text.encoding import known_ids

NATS = np.log(10.0)


def load(path: Path, tokenizer: Tokenizer, fingerprint: str) -> "KenlmModel":
    """Load the binary at `path`."""
    kenlm = require_package("kenlm", "kenlm", "binaries of KenLM")
    try:
        model = kenlm.Model(str(path))
    except (OSError, RuntimeError) as error:
        why = " ".join(str(error).split())
        raise ModelError(f"{path} cannot be read by kenlm", why) from None
    return KenlmModel(kenlm, model, tokenizer, fingerprint)


@keeps(LanguageModel)
class KenlmModel(PickledByOrigin):
    """A model that the package has opened."""

    max_rows = None
    precision = "fp32"
    call_tokens = 1 << 14
    boundary_resets_state = True
    adaptation = "none"
    normalised = False  # as of an ARPA file, nothing says that they are
    description = "an n-gram model of KenLM"
    model_kind = "kenlm"

    def __init__(self, kenlm: Any, model: Any, tokenizer: Tokenizer, fingerprint: str) -> None:
        self.tokenizer = tokenizer
        self.fingerprint = fingerprint
        self._state, self._model = kenlm.State, model
        self._symbols_V = np.array(tokenizer.symbols(), dtype=object)
        self._null, self._begin = kenlm.State(), kenlm.State()
        model.NullContextWrite(self._null)
        model.BeginSentenceWrite(self._begin)

    def initial_state(self, rows: int) -> NgramState:
        return NgramState(np.full((rows, self._model.order - 1), PADDING, dtype=np.int64))

    def score(
        self, inputs_BT: Array, targets_BT: Array, state: NgramState
    ) -> tuple[np.ndarray, NgramState]:
        """Score as :meth:`rnnlm.LanguageModel.score` does, in NumPy, float64."""
        inputs_BT, after = self._inputs(inputs_BT, targets_BT, state)
        targets_BT = known_ids(array_types.as_numpy(token_ids(targets_BT)), self.tokenizer)
        log10_BT = np.zeros(targets_BT.shape)
        rows = zip(inputs_BT, targets_BT, state.inputs_BN, strict=True)
        for row, (inputs_T, targets_T, before_N) in enumerate(rows):
            # Mostly the target is the next input, which reading scores.
            last = np.maximum(targets_T[-1:], 0)
            is_odd_T = (targets_T != np.append(inputs_T[1:], last)) & (targets_T != PADDING)
            odd = np.flatnonzero(is_odd_T).tolist()
            contexts, log10_BT[row] = self._read(inputs_T, last, before_N, bool(odd))
            for t in odd:
                word = self._symbols_V[targets_T[t]]
                log10_BT[row, t] = self._model.BaseScore(contexts[t], word, self._state())
        return np.where(targets_BT == PADDING, 0.0, log10_BT * NATS), after

    def predict(self, inputs_BT: Array, state: NgramState) -> tuple[np.ndarray, NgramState]:
        """Predict as :meth:`rnnlm.LanguageModel.predict` does, in NumPy, float32."""
        inputs_BT, after = self._inputs(inputs_BT, None, state)
        log10_BTV = np.zeros((*inputs_BT.shape, self.tokenizer.size), dtype=np.float32)
        words, unused = self._symbols_V.tolist(), repeat(self._state())
        for row, inputs_T in enumerate(inputs_BT):
            contexts, _ = self._read(inputs_T, inputs_T[-1:], state.inputs_BN[row], True)
            for t, context in enumerate(contexts):
                log10 = map(self._model.BaseScore, repeat(context), words, unused)
                log10_BTV[row, t] = np.fromiter(log10, np.float32, len(words))
        return log10_BTV * np.float32(NATS), after

    def concat_states(self, states: Sequence[NgramState]) -> NgramState:
        return NgramState(np.concatenate([state.inputs_BN for state in states]))

    def state_from_arrays(self, arrays: dict[str, np.ndarray]) -> NgramState:
        return NgramState(arrays["inputs"])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return nothing: the package shows no tables."""
        return {}

    def _inputs(
        self, inputs_BT: Array, targets_BT: Array | None, state: NgramState
    ) -> tuple[np.ndarray, NgramState]:
        """Return inputs as ids of the vocabulary, and the state after them."""
        check_state(state, NgramState)
        inputs_BT = token_ids(inputs_BT)
        check_shapes(inputs_BT, targets_BT, len(state.inputs_BN))
        inputs_BT = known_ids(array_types.as_numpy(inputs_BT), self.tokenizer)
        inputs_BL = np.concatenate([state.inputs_BN, inputs_BT], axis=1)
        last_BN = inputs_BL[:, inputs_BL.shape[1] - state.inputs_BN.shape[1] :]
        # What came before the last boundary makes no difference.
        is_boundary_BN = last_BN == self.tokenizer.boundary_id
        lines_after_BN = np.cumsum(is_boundary_BN[:, ::-1], axis=1)[:, ::-1] - is_boundary_BN
        return inputs_BT, NgramState(np.where(lines_after_BN > 0, PADDING, last_BN))

    def _read(
        self, inputs_T: np.ndarray, last: np.ndarray, before_N: np.ndarray, are_kept: bool
    ) -> tuple[list[Any], np.ndarray]:
        """Return KenLM's state after each input, if they are kept, and log10 p of the next input
        there; of the last one, that of the id in `last`."""
        ids_L = np.concatenate([before_N[before_N != PADDING], inputs_T, last])
        known = len(ids_L) - len(inputs_T) - len(last)
        # Making states takes time: two take turns where they are not kept.
        states = [self._state() for _ in (ids_L if are_kept else range(2))]
        after = (states * (-(-len(ids_L) // max(1, len(states)))))[: len(ids_L)]
        before = [self._null, *after[:-1]]
        for place in np.flatnonzero(ids_L[:-1] == self.tokenizer.boundary_id).tolist():
            before[place + 1] = self._begin
        words = self._symbols_V[ids_L].tolist()
        log10 = map(self._model.BaseScore, before, words, after)
        log10_L = np.fromiter(log10, dtype=np.float64, count=len(ids_L))
        return before[known + 1 :], log10_L[known + 1 :]

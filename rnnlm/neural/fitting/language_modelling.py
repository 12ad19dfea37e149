"""What makes the trainer train a language model: cross-entropy as its objective, perplexity as its validation."""

import math
from collections.abc import Callable

import numpy as np
from torch import Tensor

from rnnlm.events import PERPLEXITY
from rnnlm.inference import span_scoring
from rnnlm.neural.fitting.contracts import Carry, Loss, Verdict
from rnnlm.neural.fitting.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.neural.fitting.streams import fitting_rows
from rnnlm.neural.language_model import NeuralLanguageModel, NeuralState
from rnnlm.text.batches import stream_bounds
from rnnlm.text.encoding import EncodedText

ROWS = 32
LOOKED_AT = (8, 16)  # rows and tokens of each, where a little of the text is to be read


class CrossEntropy:
    """An Objective: the loss of a network on (inputs_TB, targets_TB), which is their cross-entropy unless it is sampled; the hidden state
    is carried on. reader: reads the network in the precision of training."""

    def __init__(self, reader: NeuralLanguageModel) -> None:
        self.reader = reader
        self.network = reader.network
        self.uniform_nats = math.log(reader.tokenizer.size)
        self.is_exact = self.network.output.is_exact

    def initial_carry(self, rows: int) -> Carry:
        return self.network.initial_state(rows)

    def loss(self, tensors: tuple[Tensor, ...], carry: Carry) -> Loss:
        inputs_TB, targets_TB = tensors
        return Loss(*self.network.loss(inputs_TB, targets_TB, carry))

    def exact_nats(self, tensors: tuple[Tensor, ...], carry: Carry) -> float:
        inputs_TB, targets_TB = tensors
        logprob_BT, _ = self.reader.score(inputs_TB.t(), targets_TB.t(), NeuralState(carry))
        return -float(logprob_BT.sum())

    def weights_changed(self) -> None:
        self.network.prepare()

    def model(self) -> NeuralLanguageModel:
        return NeuralLanguageModel(self.network, self.reader.tokenizer)


class PerplexityValidation:
    """A Validation: `text` as several streams (or document by document), which the ranks share, through `model`, in the precision of
    training. tokens: of a window in training, of which each stream has one at least."""

    def __init__(self, text: EncodedText, model: NeuralLanguageModel, tokens: int, ranks: SingleProcess = SINGLE_PROCESS) -> None:
        self.text = text
        self.model = model
        self.ranks = ranks
        self.rows = fitting_rows(ROWS, text.tokens // tokens)

    def __str__(self) -> str:
        how = f"{self.rows} streams" if self.text.document_offsets is None else "document by document"
        return f"{how}, {self.model.precision}"

    def run(self, stop: Callable[[], bool]) -> Verdict | None:
        """`stop` is asked before each window."""
        logprob = self._logprob(self.ranks.own_stop(stop))
        total, stopped = self.ranks.totals(logprob or 0.0, logprob is None)
        self.ranks.synchronize()
        if stopped:
            return None
        ppl = _perplexity(total, self.text.tokens)
        return Verdict(math.log(ppl), ppl, PERPLEXITY)

    def read_some(self) -> None:
        """The beginning of the text, in pieces, each from the state of zeros on."""
        tokens = min(LOOKED_AT[1], self.text.tokens)
        rows = min(LOOKED_AT[0], self.text.tokens // tokens)
        targets_BT = np.asarray(self.text.ids[: rows * tokens], dtype=np.int64).reshape(rows, tokens)
        inputs_BT = np.concatenate([[self.model.tokenizer.boundary_id], targets_BT.flatten()[:-1]]).reshape(rows, tokens)
        self.model.score(inputs_BT, targets_BT, self.model.initial_state(rows))

    def _logprob(self, stop: Callable[[], bool]) -> float | None:
        """Of this rank's share, in nats; None where it was to stop."""
        text, model = self.text, self.model
        borders = stream_bounds(text.tokens, self.rows) if text.document_offsets is None else text.document_offsets
        spans = span_scoring.spans_between(borders)
        logprob_N, scored = np.zeros(text.tokens), []
        for window in span_scoring.span_windows(
            text.ids, spans[self.ranks.share(len(spans))], model.tokenizer.boundary_id, model.call_tokens
        ):
            if stop():
                return None
            rows = len(window.start_B)
            if not window.rows_before:
                state = model.initial_state(rows)
            elif rows < window.rows_before:
                state = state.select(range(rows))
            logprob_BT, state = model.score(window.inputs_BT, window.targets_BT, state)
            scored.append((window.start_B, window.end_B, logprob_BT))
        for each in scored:  # they stay on the device until all are computed
            span_scoring.place(logprob_N, *each)
        return float(logprob_N.sum())


def _perplexity(logprob: float, tokens: int) -> float:
    """exp of the mean negative log-probability; infinite where that is not a number."""
    ppl = span_scoring.perplexity(logprob, tokens)
    return math.inf if ppl is None else ppl

"""Validation during training: when it is due, what it finds, and the best weights so far."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from rnnlm.events import never
from rnnlm.inference import span_scoring
from rnnlm.neural.fitting.budget import BudgetClock
from rnnlm.neural.fitting.divergence import copied_weights
from rnnlm.neural.fitting.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.neural.fitting.settings import FittingSettings
from rnnlm.neural.fitting.streams import fitting_rows
from rnnlm.neural.language_model import NeuralLanguageModel
from rnnlm.text.batches import stream_bounds
from rnnlm.text.encoding import EncodedText

ROWS = 32
COST_SHARE = 0.05  # of a time budget that validations may cost
FIRST = 0.1  # share of a time budget before the first one, but two minutes at most: it is also the first save
FIRST_SECONDS = 120


class Validation:
    """Reads the validation text as several streams (or document by document), which the ranks share, in the precision of training;
    keeps the best weights.

    ppl, best_ppl: of the last and of the best reading, infinite before the first and where it was no number.
    """

    def __init__(
        self,
        text: EncodedText | None,
        settings: FittingSettings,
        model: NeuralLanguageModel,
        clock: BudgetClock,
        ranks: SingleProcess = SINGLE_PROCESS,
    ) -> None:
        self.text = text
        self.ranks = ranks
        self.settings = settings
        self.model = model
        self.clock = clock
        self.rows = fitting_rows(ROWS, text.tokens // settings.bptt_tokens) if text else 0
        self.ppl = self.best_ppl = math.inf
        self.step = self.best_step = 0
        self.best_weights: dict[str, Tensor] = {}
        self.without_improvement = 0
        self.read_at = self.cost = 0.0

    def __str__(self) -> str:
        if self.text is None:
            return "none"
        how = f"{self.rows} streams" if self.text.document_offsets is None else "document by document"
        return f"{how}, {self.model.precision}"

    def due(self, step: int, epochs: float) -> bool:
        """Whether the text should be read after `step` steps, `epochs` of the training text: every so many, every epoch, or, under a budget in time,
        as often as its cost allows."""
        if self.text is None:
            return False
        if self.settings.validate_every_steps:
            return step % self.settings.validate_every_steps == 0
        if self.clock.budget.seconds is None:
            return epochs.is_integer()
        progress, elapsed = self.clock.progress(step, epochs), self.clock.elapsed()
        if not self.step:
            return progress >= FIRST or elapsed >= FIRST_SECONDS
        return elapsed - self.read_at >= self.cost / COST_SHARE and progress < 1 - COST_SHARE

    def read(self, step: int, stop: Callable[[], bool] = never) -> bool | None:
        """Read the text after `step` steps; whether the weights are the best so far (then they are kept). None where `stop`, asked at
        every window, wants an end before the text's: it is then as if nothing had been read."""
        began = self.clock.elapsed()
        logprob = self._logprob(stop)
        if logprob is None:
            return None
        self.ppl = _perplexity(logprob, self.text.tokens)
        improved = self.ppl < self.best_ppl
        if improved:
            self.best_ppl, self.best_step = self.ppl, step
            self.best_weights = copied_weights(self.model.network)
        self.without_improvement = 0 if improved else self.without_improvement + 1
        self.step, self.read_at = step, self.clock.elapsed()
        self.cost = self.read_at - began
        self.clock.set_aside = 1.1 * self.cost  # for the last one
        return improved

    def _logprob(self, stop: Callable[[], bool]) -> float | None:
        """Of the text, in nats; None where a rank was to stop."""
        borders = self.text.document_offsets
        if borders is None:
            borders = stream_bounds(self.text.tokens, self.rows)
        spans = span_scoring.spans_between(borders)
        watched = _Watched(self.model.score, self.ranks.own_stop(stop))
        stopped, logprob = False, 0.0
        try:
            logprob = float(span_scoring.score_spans(self.model, self.text.ids, spans[self.ranks.share(len(spans))], watched).sum())
        except _Stopped:
            stopped = True
        logprob, stopped = self.ranks.totals(logprob, stopped)
        self.ranks.meet()
        return None if stopped else logprob

    def restore_best(self) -> None:
        """The best weights, if there are any, go back into the network."""
        if self.best_weights:
            self.model.network.load_state_dict(self.best_weights)

    @property
    def is_hopeless(self) -> bool:
        """Whether early stopping is asked for, and its patience is over."""
        return self.settings.patience is not None and self.without_improvement >= self.settings.patience


class _Stopped(Exception):
    """The reading was to end."""


@dataclass(frozen=True)
class _Watched:
    """A reading step that asks, before each window, whether to stop."""

    step: span_scoring.Step
    stop: Callable[[], bool]

    def __call__(self, *window: Any) -> Any:
        if self.stop():
            raise _Stopped
        return self.step(*window)


def _perplexity(logprob: float, tokens: int) -> float:
    """exp of the mean negative log-probability; infinite where that is no number."""
    ppl = span_scoring.perplexity(logprob, tokens)
    return math.inf if ppl is None else ppl

"""The last good state of a run, and how often the run went back to it.

It is held in the host's memory, by each rank: one checkpoint at a time (weights, best weights, moments of the optimizer), so four times the
model's size or so.
"""

from typing import Any

from rnnlm.config import Budget
from rnnlm.events import RolledBack, TrainingState
from rnnlm.neural.fitting import state as continuing
from rnnlm.neural.fitting.budget import Interval
from rnnlm.neural.fitting.settings import FittingSettings
from rnnlm.neural.language_model import NeuralLanguageModel, NeuralState

GOOD_STATE_SECONDS = 10.0


class Rollbacks:
    """Each multiplies the learning rate by `rollback_factor`, for the rest of the run. The count never begins anew, and goes on in
    a run that is resumed: what is lost again and again needs other settings.

    limit: so often it may happen.
    good: the last good state; None before the first one.
    interval: when the next one is to be taken.
    why: the fault of the last rollback; "" before the first.
    """

    def __init__(self, settings: FittingSettings) -> None:
        self.limit = settings.rollbacks
        self.factor = settings.rollback_factor
        self.count = 0
        self.good: TrainingState | None = None
        self.interval = Interval(Budget(seconds=GOOD_STATE_SECONDS))
        self.why = ""

    @property
    def left(self) -> int:
        """So many more may follow."""
        return max(0, self.limit - self.count)

    @property
    def rate_factor(self) -> float:
        return self.factor**self.count

    @property
    def step(self) -> int:
        """Of the good state; 0 where there is none."""
        return self.good.facts["step"] if self.good else 0

    def take(self, trainer: Any) -> None:
        """What `trainer` (a :class:`rnnlm.neural.fitting.trainer.Trainer`) would go on from is the good state now."""
        self.good = None  # first, so that memory holds one at a time
        self.good = continuing.taken(trainer)

    def go_back(self, trainer: Any) -> RolledBack:
        """`trainer`, whose numbers came apart, takes up the good state, to go on from there at a lower rate."""
        step = trainer.step_count
        self.count, self.why = self.count + 1, trainer.divergence.why
        continuing.go_back(trainer, self.good)
        trainer.divergence.forget()
        trainer.window = None
        trainer.iteration = trainer.make_iteration()
        trainer.report.restart(trainer.token_count)
        return RolledBack(step, trainer.step_count, self.why, self.count, self.left, self.rate_factor, trainer.clock.elapsed())

    def __str__(self) -> str:
        """What was tried, to be read after what went wrong."""
        if not self.count:
            return ""
        times = "once" if self.count == 1 else f"{self.count} times"
        return f"; gone back {times}, to {self.rate_factor:g} of the learning rate"


def loss_now(trainer: Any) -> float:
    """The exact loss (nats per token) of the last window, of all ranks' rows, under the weights after it; waits for the device."""
    inputs_TB, targets_TB = trainer.streams.gather(trainer.window, trainer.rows)
    model = NeuralLanguageModel(trainer.network, trainer.data.tokenizer, trainer.precision)
    logprob_BT, _ = model.score(inputs_TB.t(), targets_TB.t(), NeuralState(trainer.state))
    return -trainer.ranks.totals(float(logprob_BT.sum()))[0] / trainer.window.tokens

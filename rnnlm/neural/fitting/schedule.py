"""The learning rate: over the budget, over epochs, or by what validations find."""

import math

from rnnlm.neural.fitting.contracts import Numbers
from rnnlm.neural.fitting.optimization_settings import OptimizationSettings

_MOST_NATS = 100.0  # beyond it a perplexity is no number any more


class LearningRate(Numbers):
    """Warm-up over a share of the budget, then a schedule:

    constant; cosine, linear: down to `final_rate` over the budget;
    step (Zaremba et al. 2014, section 4.1): constant for `decay_after_epochs`, then times `decay_factor` with each epoch,
    or every so many;
    plateau: times `plateau_factor` after more than `plateau_patience` validations without improvement, which is a new best one or, with
    `plateau_gain`, a perplexity lower by so much than that of the validation before (Kim et al. 2016, section 4.2, with 1);
    halving (Mikolov's rnnlm toolkit, `trainNet`): half at every validation from the first one on that
    improved too little, and used up at the second such one.
    """

    STATE = ("factor", "bad_validations", "last_nats", "is_halving", "is_used_up")

    def __init__(self, settings: OptimizationSettings) -> None:
        self.settings = settings
        self.factor = 1.0  # what validations made of the rate
        self.bad_validations = 0
        self.last_nats = math.inf
        self.is_halving = False
        self.is_used_up = False  # training at lower rates would gain nothing

    def at(self, progress: float, epochs: float = 0.0) -> float:
        """The rate when `progress` (0 to 1) of the budget is used and `epochs` are done."""
        return self.settings.learning_rate * self.factor * self._share(min(max(progress, 0.0), 1.0), epochs)

    def after_validation(self, loss_nats: float, improved: bool) -> bool:
        """Take note of a validation: its loss, and whether it is the best so far. Whether the weights should go back to the best ones."""
        if self.settings.schedule == "halving":
            self._halve(loss_nats)
            return not improved
        if self.settings.schedule == "plateau":
            return self._is_lowered(self._has_gained(loss_nats, improved)) and self.settings.return_to_best
        return False

    def _halve(self, nats: float) -> None:
        """`nats`: minus the mean log-likelihood. It is to fall by the factor `min_improvement`, measured, as there, from
        the validation before, whether or not that was the best."""
        if nats * self.settings.min_improvement > self.last_nats:
            self.is_used_up = self.is_halving
            self.is_halving = True
        if self.is_halving:
            self.factor /= 2
        self.last_nats = nats

    def _has_gained(self, nats: float, improved: bool) -> bool:
        if not self.settings.plateau_gain:
            return improved
        last, self.last_nats = self.last_nats, nats
        return math.exp(min(last, _MOST_NATS)) - math.exp(min(nats, _MOST_NATS)) > self.settings.plateau_gain

    def _is_lowered(self, improved: bool) -> bool:
        self.bad_validations = 0 if improved else self.bad_validations + 1
        if self.bad_validations <= self.settings.plateau_patience:
            return False
        self.factor *= self.settings.plateau_factor
        self.bad_validations = 0
        return True

    def _share(self, progress: float, epochs: float) -> float:
        settings = self.settings
        if progress < settings.warmup:
            return max(progress / settings.warmup, 0.01)
        if settings.schedule == "step":
            beyond = int(epochs) - settings.decay_after_epochs
            return settings.decay_factor ** max(0, beyond // settings.decay_every_epochs + 1)
        if settings.schedule in ("constant", "plateau", "halving"):
            return 1.0
        done = (progress - settings.warmup) / (1.0 - settings.warmup)
        left = 1.0 - done if settings.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
        return settings.final_rate + (1.0 - settings.final_rate) * left

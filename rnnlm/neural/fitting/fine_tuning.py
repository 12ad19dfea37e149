"""The second run of AWD-LSTM (Merity et al. 2018, section 5): from the best weights on, averaged from the first step."""

from rnnlm.neural.fitting.averaging import Averaging, NonMonotone
from rnnlm.neural.fitting.settings import FittingSettings
from rnnlm.neural.fitting.validation import Validation


class FineTuning:
    """Begins at the first validation after the share `fine_tune_after` of the budget, if that is asked for: the weights go
    back to the best ones, which may be averages, and a new average begins. Is over by the rule that triggers NT-ASGD.

    trigger: hears the validations of the second run; None before it.
    """

    def __init__(self, settings: FittingSettings, averaging: Averaging, validation: Validation) -> None:
        self.settings = settings
        self.averaging = averaging
        self.validation = validation
        self.trigger: NonMonotone | None = None
        self.is_over = False

    def after_validation(self, progress: float, step: int) -> None:
        """To be called after each validation, `step` steps done, `progress` of the budget used."""
        if self.trigger is not None:
            self.is_over = self.trigger.hears(self.validation.ppl)
        elif self.settings.fine_tune_after is not None and progress >= self.settings.fine_tune_after:
            self.validation.restore_best()
            self.averaging.begin_after(step)
            self.begin()

    def begin(self) -> None:
        """From now on validations are heard."""
        self.trigger = NonMonotone(self.settings.nonmonotone_interval)

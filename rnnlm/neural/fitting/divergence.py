"""Runs that come apart: how that is noticed."""

import math

from torch import Tensor, nn

from rnnlm.events import Step

TELLING_TOKENS = 32  # of a single window: fewer may all be rare


class Divergence:
    """Judges the figures that are reported, and what validations find.

    A run is lost where the loss, a gradient or a weight is no number (nor the norm of all), or where two losses in a row are above
    2 log V + 5 nats and the second is no better; so with validations. A uniform guess over V tokens has log V, so a model above it
    is confident in what is wrong. At high rates, or at a start from large weights, that happens to sound runs, which soon get
    better; the 5 nats are for small V (V = 2 has 0.7). A run that ends there, too, is lost: nothing better will come.

    Losses are of the weights before a step; so what is to be kept is tried on a window, too (`bears`).

    is_exact: whether the loss is the cross-entropy; on another scale (sampled, NCE) only one that is no number tells.
    why: what was noticed, in words; "" as long as all is well.
    """

    def __init__(self, size: int, is_exact: bool = True) -> None:
        self.uniform_nats = math.log(size)
        self.limit = 2 * self.uniform_nats + 5
        self.loss_limit = self.limit if is_exact else math.inf
        self.last_loss = math.inf
        self.last_validation = 0.0  # none yet, which is no bad one
        self.forget()

    def read(self, report: Step) -> None:
        """Judge one more report."""
        loss, last, self.last_loss = report.loss_nats, self.last_loss, report.loss_nats
        figures = {"the loss": loss, "a gradient": report.gradient_norm, "a weight": report.weight_norm}
        broken = [what for what, figure in figures.items() if not math.isfinite(figure)]
        if broken:
            self._lost(f"{broken[0]} is not a number by step {report.step}")
        elif loss >= last > self.loss_limit:
            self._lost_above("the loss is", loss, report.step)

    def read_validation(self, ppl: float, step: int) -> None:
        """Judge one more perplexity of the validation text, infinite where it was no number."""
        nats, last = math.log(ppl), self.last_validation
        self.last_validation = nats
        if nats >= last > self.limit:
            self._lost_above("the validation text has", nats, step)

    def bears(self, loss_nats: float, step: int) -> bool:
        """Whether the last report was good, and so is the exact loss of a window under the weights after `step` steps. Judged as
        reports are: what is trained on noise words is lost by this."""
        last, self.last_tried = self.last_tried, (loss_nats, step)
        if step > last[1] and loss_nats >= last[0] > self.limit:
            self._lost_above("the loss is", loss_nats, step)
        return self.is_sound and loss_nats <= self.limit

    def end(self, loss_nats: float, step: int, tokens: int) -> None:
        """Judge the exact loss of the last window, of `tokens`, under the weights that the run ends with, after the last report."""
        if not math.isfinite(loss_nats):
            self._lost(f"the loss is not a number after step {step}")
        elif loss_nats > self.limit and (self.last_loss > self.loss_limit or tokens >= TELLING_TOKENS):
            self._lost_above("the loss is", loss_nats, step)

    def forget(self) -> None:
        """The run goes on from an earlier state: what was noticed since is no more."""
        self.last_tried = (0.0, 0)
        self.why = ""

    @property
    def is_sound(self) -> bool:
        """Whether the last report was good."""
        return not self.why and self.last_loss <= self.loss_limit

    def _lost_above(self, what: str, nats: float, step: int) -> None:
        self._lost(f"{what} {nats:.1f} nats per token by step {step}; a uniform guess has {self.uniform_nats:.1f}")

    def _lost(self, why: str) -> None:
        """What was noticed first stays."""
        self.why = self.why or why


def copied_weights(network: nn.Module) -> dict[str, Tensor]:
    """The weights by name, as they are now."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

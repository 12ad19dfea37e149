"""Runs that come apart: how that is noticed, and the last good weights where no validation has kept any."""

import math

from torch import Tensor, nn

from rnnlm.events import Step

SNAPSHOT_SECONDS = 20.0


class Divergence:
    """Judges the mean losses that are reported, and what validations find.

    A run is lost where the loss is no number, or where two losses in a row are above 2 log V + 5 nats and the second is no
    better; so with validations. A uniform guess over V tokens has log V, so a model above it is confident in what is wrong.
    At high rates, or at a start from large weights, that happens to sound runs, which soon get better; the 5 nats are for
    small V (V = 2 has 0.7). A run that ends there, too, is lost: nothing better will come.

    is_exact: whether the loss is the cross-entropy; on another scale (sampled, NCE) only one that is no number tells.
    why: what was noticed, in words; "" as long as all is well.
    """

    def __init__(self, size: int, is_exact: bool = True) -> None:
        self.uniform_nats = math.log(size)
        self.limit = 2 * self.uniform_nats + 5
        self.loss_limit = self.limit if is_exact else math.inf
        self.last_loss = math.inf
        self.last_validation = 0.0  # none yet, which is no bad one
        self.why = ""

    def read(self, report: Step) -> None:
        """Judge one more report."""
        loss, last, self.last_loss = report.loss_nats, self.last_loss, report.loss_nats
        if not math.isfinite(loss):
            self._lost(f"the loss is not a number by step {report.step}")
        elif loss >= last > self.loss_limit:
            self._lost_above("the loss is", loss, report.step)

    def read_validation(self, ppl: float, step: int) -> None:
        """Judge one more perplexity of the validation text, infinite where it was no number."""
        nats, last = math.log(ppl), self.last_validation
        self.last_validation = nats
        if nats >= last > self.limit:
            self._lost_above("the validation text has", nats, step)

    def end(self, loss_nats: float, step: int) -> None:
        """The last step's loss, after the last report."""
        if min(loss_nats, self.last_loss) > self.loss_limit:
            self._lost_above("the loss is", loss_nats, step)

    @property
    def is_sound(self) -> bool:
        """Whether the last report was good."""
        return not self.why and self.last_loss <= self.loss_limit

    def _lost_above(self, what: str, nats: float, step: int) -> None:
        self._lost(f"{what} {nats:.1f} nats per token by step {step}; a uniform guess has {self.uniform_nats:.1f}")

    def _lost(self, why: str) -> None:
        """What was noticed first stays."""
        self.why = self.why or why


class Snapshots:
    """The last good weights: every `SNAPSHOT_SECONDS` at most a copy is taken, which counts once the losses after it are good.

    So two copies are held, until validation keeps weights of its own.
    step: of the good weights; 0 where there are none.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.clear()

    def clear(self) -> None:
        self.step, self.weights = 0, {}
        self.next_step, self.next_weights = 0, {}
        self.taken_at = -math.inf

    def take(self, step: int, seconds: float) -> None:
        """After a report of good losses: of `step` steps, `seconds` after the start."""
        if self.next_weights:
            self.step, self.weights = self.next_step, self.next_weights
            self.next_weights = {}
        if seconds - self.taken_at >= SNAPSHOT_SECONDS:
            self.next_step, self.next_weights = step, copied_weights(self.network)
            self.taken_at = seconds

    def restore(self) -> int:
        """The last good weights go back into the network. Their step; 0 where there are none."""
        if self.weights:
            self.network.load_state_dict(self.weights)
        return self.step


def copied_weights(network: nn.Module) -> dict[str, Tensor]:
    """The weights by name, as they are now."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

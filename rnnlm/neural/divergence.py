"""Runs that come apart: how that is noticed, and the last good weights where no validation has kept any."""

import math

from torch import Tensor, nn

from rnnlm.events import Step

SNAPSHOT_SECONDS = 20.0


class Divergence:
    """Judges the mean losses that are reported.

    A run is lost where the loss is no number, or where two reports in a row are above 2 log V + 5 nats and the second is no
    better. A uniform guess over V tokens has log V, so a model above it is confident in what is wrong. At high rates, or at
    a start from large weights, that happens to sound runs, which soon get better; the 5 nats are for small V (V = 2 has 0.7).

    uniform_nats: log V; None for a loss on another scale (sampled, NCE): then only one that is no number tells.
    why: what was noticed, in words; "" as long as all is well.
    """

    def __init__(self, uniform_nats: float | None) -> None:
        self.uniform_nats = uniform_nats
        self.limit = math.inf if uniform_nats is None else 2 * uniform_nats + 5
        self.last_loss = math.inf
        self.why = ""

    def read(self, report: Step) -> None:
        """Judge one more report."""
        if self.why:
            return
        loss, last, self.last_loss = report.loss_nats, self.last_loss, report.loss_nats
        if not math.isfinite(loss):
            self.why = f"the loss is not a number by step {report.step}"
        elif loss >= last > self.limit:
            self.why = f"the loss is {loss:.1f} nats per token by step {report.step}; a uniform guess has {self.uniform_nats:.1f}"

    @property
    def is_sound(self) -> bool:
        """Whether the last report was good."""
        return not self.why and self.last_loss <= self.limit


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

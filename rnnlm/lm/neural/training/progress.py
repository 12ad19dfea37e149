"""Report during training: losses and gradient norms between validations, and the state of the
layers after each.

Losses and norms are gathered on the device and copied to the host at intervals. A step never waits
for a report: the copy is started when one is due, and read once it has arrived.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from rnnlm import system
from rnnlm.config import Budget
from rnnlm.events import never
from rnnlm.lm.neural.activations import DOUBLED
from rnnlm.lm.neural.layers.layers import CELL, HIDDEN, Layer, LayeredNetwork, named_layers
from rnnlm.lm.neural.layers.steps import CellStep
from rnnlm.lm.neural.outputs.softmax import OutputLayer
from rnnlm.lm.neural.spectrum import spectral_radius
from rnnlm.lm.neural.training.contracts import Validation
from rnnlm.lm.neural.training.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.lm.neural.training.settings import BudgetClock, BudgetInterval

REPORT_SECONDS = 0.5
REPORT_SHARE = 1 / 40  # of the budget, where that comes sooner: a short run has a curve, too


class Meter:
    """The losses and gradient norms of the steps since the last report, and since the last check.
    Reports come by the clock, checks by steps, so that the clock does not decide which steps are
    judged. Of several ranks each adds its rows' part of the mean loss.

    The norm of the weights of `network` is computed once for each of them. It leaves out the biases
    of the output layer: they start as logarithms of the tokens' frequencies, so their norm is large
    from the start, grows with the vocabulary, and would hide the others. If one of them is NaN, so
    is the norm.
    """

    tokens: int
    tokens_before: int
    since: float
    sent: "_Sent | None"

    def __init__(
        self,
        device: torch.device,
        tokens: int = 0,
        network: nn.Module | None = None,
        ranks: SingleProcess = SINGLE_PROCESS,
        updated: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self.device = device
        self.ranks = ranks
        self.updated = updated  # puts weights in place with all their updates
        self.now = ranks.now or time.perf_counter
        self.weights: list[Tensor] = []
        self.output_biases: list[Tensor] = []
        if network is not None:
            self.weights, self.output_biases = _without_output_biases(network)

        # Steps stay until they are both reported and checked.
        self.steps: list[_MeteredStep] = []
        self.reported = self.checked = 0  # how many of them are
        self.restart(tokens)

    def add(self, loss: Tensor, gradient_norm: Tensor, tokens: int) -> None:
        """Add the mean loss and the gradient's norm of one step; `tokens` have been read so far."""
        # A copy, as a recorded step overwrites its results.
        numbers = torch.stack([loss, gradient_norm])
        self.steps.append(_MeteredStep(numbers, tokens - self.tokens))
        self.tokens = tokens

    @property
    def pending(self) -> bool:
        """Whether there are steps that are not reported yet."""
        return self.sent is not None or self.reported < len(self.steps)

    def due(self, is_wanted: bool = False) -> bool:
        """Return whether it is time for a report and its numbers have arrived on the host.

        is_wanted: it is time, regardless of the clock. Ranks, which must report at the same step,
        do not ask whether numbers have arrived: they have once all ranks have synchronized.
        """
        is_time = is_wanted or self.now() - self.since >= REPORT_SECONDS
        if self.sent is None and is_time:
            self.sent = self._send_report()
        if self.sent is None:
            return False
        if self.ranks.now:
            return self.now() > self.sent.at
        return self.sent.arrival is None or self.sent.arrival.query()

    def read(self) -> dict[str, Any]:
        """Return the numbers of the report that is due, under the names of
        :class:`rnnlm.events.Step`; if none is due, the numbers of all steps so far, which waits for
        the device."""
        if self.sent is None:
            self.ranks.synchronize()
        sent = self.sent or self._send_report()
        numbers = self._read(sent)

        # The next report begins where this one's numbers were sent.
        tokens = sent.tokens - self.tokens_before
        seconds = max(1e-9, sent.at - self.since)
        self.tokens_before, self.since = sent.tokens, sent.at
        self.sent = None
        return {"tokens": sent.tokens, "tokens_per_second": tokens / seconds, **numbers}

    def since_check(self) -> tuple[int, int, dict[str, float]]:
        """Return how many steps were taken since the last check, how many tokens they read, and
        their numbers. Waits for the device."""
        unchecked = self.steps[self.checked :]
        numbers = self._read(self._send(unchecked))
        return len(unchecked), sum(step.tokens for step in unchecked), numbers

    def end_check(self) -> None:
        """Count the steps so far as checked."""
        self.checked = len(self.steps)
        self._drop_done()

    def pause(self, seconds: float) -> None:
        """Leave out this time, in which no steps were taken."""
        self.since += seconds

    def restart(self, tokens: int) -> None:
        """Start the next report, after a pause that does not count, with `tokens` read so far."""
        self.tokens = self.tokens_before = tokens
        self.since = self.now()
        self.sent = None
        self.reported = len(self.steps)
        self._drop_done()

    def state_dict(self) -> dict[str, Any]:
        """Return the steps that are not checked yet, of all ranks. Waits for the device."""
        unchecked = self.steps[self.checked :]
        numbers = torch.cat([torch.empty(0), *(step.numbers.cpu() for step in unchecked)])
        return {
            "numbers": self.ranks.totals(*numbers.tolist()),
            "step_tokens": [step.tokens for step in unchecked],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a stored state."""
        # Each rank takes an equal part of the sum over the ranks.
        numbers = torch.tensor(state["numbers"], device=self.device) / self.ranks.count
        self.steps = [
            _MeteredStep(numbers[2 * place : 2 * place + 2], tokens)
            for place, tokens in enumerate(state["step_tokens"])
        ]
        self.reported, self.checked = len(self.steps), 0

    def _drop_done(self) -> None:
        """Drop the steps that are both reported and checked."""
        done = min(self.reported, self.checked)
        del self.steps[:done]
        self.reported -= done
        self.checked -= done

    def _send_report(self) -> "_Sent":
        """Send the numbers of all steps that are not reported yet; later steps belong to the next
        report."""
        with self.updated():
            sent = self._send(self.steps[self.reported :])
        self.reported = len(self.steps)
        self._drop_done()
        return sent

    @torch.no_grad()
    def _send(self, steps: "list[_MeteredStep]") -> "_Sent":
        """Send the numbers of these steps, and the norm of the weights, to the host."""
        weight_norm = nn.utils.get_total_norm(self.weights).to(self.device, torch.float32)
        # Add nothing, or NaN if a bias is not a number.
        weight_norm = weight_norm + 0 * nn.utils.get_total_norm(self.output_biases).to(weight_norm)
        numbers = torch.cat([weight_norm.view(1), *(step.numbers for step in steps)])
        step_tokens, at = [step.tokens for step in steps], self.now()
        if self.device.type != "cuda":
            return _Sent(numbers, None, step_tokens, self.tokens, at)

        # Copy them without waiting, on the stream of this device, which need not be the current
        # one.
        host = torch.empty(numbers.shape, pin_memory=True).copy_(numbers, non_blocking=True)
        arrival = torch.cuda.Event()
        arrival.record(torch.cuda.current_stream(self.device))
        return _Sent(host, arrival, step_tokens, self.tokens, at)

    def _read(self, sent: "_Sent") -> dict[str, float]:
        """Return the means of the sent numbers over all ranks; wait until they have arrived."""
        losses, *all_norms = self.ranks.totals(*sent.read())
        # Norms are the same on all ranks. Their mean is NaN on all if it is on one.
        norms, largest_norm, weight_norm = [total / self.ranks.count for total in all_norms]
        return {
            "loss_nats": losses / max(1, sum(sent.step_tokens)),
            "gradient_norm": norms / max(1, len(sent.step_tokens)),
            "gradient_norm_max": largest_norm,
            "weight_norm": weight_norm,
        }


@dataclass(frozen=True)
class _MeteredStep:
    """The loss and the gradient norm of a step, (2,) on the device, and the tokens it read."""

    numbers: Tensor
    tokens: int


def _without_output_biases(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Return the parameters of a network without the biases of its output layers, and these
    biases."""
    biases: list[Tensor] = []
    for layer in network.modules():
        if isinstance(layer, OutputLayer):
            biases += [weight for weight in layer.parameters() if weight.dim() == 1]
    apart = {id(bias) for bias in biases}
    return [weight for weight in network.parameters() if id(weight) not in apart], biases


@dataclass(frozen=True)
class _Sent:
    """Numbers on their way to the host: the norm of the weights, then the numbers of each step.

    step_tokens: the tokens of each step. tokens: read so far.
    """

    numbers: Tensor
    arrival: "torch.cuda.Event | None"
    step_tokens: list[int]
    tokens: int
    at: float

    def read(self) -> tuple[float, float, float, float]:
        """Return the sum of losses over tokens, the sum of gradient norms, the largest of them, and
        the norm of the weights; wait until they have arrived."""
        if self.arrival is not None:
            self.arrival.synchronize()
        weight_norm, *numbers = self.numbers.tolist()
        losses, norms = numbers[::2], numbers[1::2]
        total = sum(loss * tokens for loss, tokens in zip(losses, self.step_tokens, strict=True))
        norm_total = sum(norms)
        # NaN is the largest of all.
        largest_norm = max(norms, default=0.0) if math.isfinite(norm_total) else norm_total
        return total, norm_total, largest_norm, weight_norm


# ---- How the recurrent layers of a network fare in training: spectral radius, norm of the
# gradient, share of saturated units, of each.
#
# They are looked at after a validation; that changes nothing and draws nothing at random. Norms
# cost nothing: clipping needs them. The others need eigenvalues, which a CPU computes: seconds for
# wide layers, in which a GPU reads a whole text. After the first look, looks are spaced so that
# they take one hundredth of the run's time, judged by the last one.

STEPS = 16  # how many of each layer are looked at


@runtime_checkable
class WatchableValidation(Protocol):
    """A Validation that can read a little of its data while the layers are watched."""

    def read_some(self) -> None:
        """Read some texts, one row or several without padding, in evaluation mode and without
        gradients."""


class LayerStatistics:
    """A stateful part of the trainer that looks at the layers.

    norms: norms of the gradient of each weight in the last step, on the device; None before the
    first step of this process, when the norms of the last step before it hold. is_update_due:
    whether the next step's update is measured: of the first step, and of the first one after each
    validation, since it takes a copy of the weights.
    """

    def __init__(
        self, network: LayeredNetwork, validation: Validation | None, clock: BudgetClock
    ) -> None:
        self.network = network
        self.validation = validation
        self.clock = clock
        self.layers = named_layers(network)
        self.norms: dict[nn.Parameter, Tensor] | None = None
        self.stored: list[float | None] = []
        self.updates: list[Tensor | None] = []
        self.is_update_due = True
        # Spectra and units are looked at as often as their cost allows.
        self.looks = BudgetInterval(Budget(seconds=0.0))

    def measure(self, step: int, stop: Callable[[], bool] = never) -> dict[str, dict[str, Any]]:
        """Return the statistics of each layer after `step` steps, by the layer's name.

        gradient_norm: of all its weights in the last step, before clipping. update_ratio: the norm
        of what the first step after the validation before added to its weights, over theirs. If a
        look is due,
        spectral_radius by block of recurrent weights, and saturated, the share of its units. None
        if there is no such thing, or it is not a number. `stop` is asked before each block of
        weights; a look that it cuts off stays due.
        """
        nothing: list[float | None] = [None] * len(self.layers)
        norms, ratios = self.gradient_norms() or nothing, self.update_ratios() or nothing
        statistics: dict[str, dict[str, Any]] = {
            name: {"gradient_norm": norm, "update_ratio": ratio}
            for name, norm, ratio in zip(self.layers, norms, ratios, strict=True)
        }
        self.is_update_due = True
        seconds = self.clock.elapsed()
        if not self.looks.due(step, seconds):
            return statistics

        # Several processes share a clock that advances only when they synchronize, so time the look
        # with our own.
        began = time.perf_counter()
        saturated = self._saturated_shares()
        if self._look(statistics, saturated, stop):
            self.looks.done(step, seconds, seconds + time.perf_counter() - began)
        return statistics

    @system.one_blas_thread()  # once a look: to limit threads takes longer than a small matrix
    def _look(
        self,
        statistics: dict[str, dict[str, Any]],
        saturated: dict[str, float | None],
        stop: Callable[[], bool],
    ) -> bool:
        """Add the spectral radii of each layer, and its `saturated` share of units. Return False if
        `stop` cut it off."""
        for name, layer in self.layers.items():
            radii: dict[str, float | None] = {}
            for block, weight_HH in layer.recurrent_blocks().items():
                if stop():
                    return False
                radii[block] = _number(spectral_radius(weight_HH))
            statistics[name] |= {"spectral_radius": radii or None, "saturated": saturated.get(name)}
        return True

    def gradient_norms(self) -> list[float | None]:
        """Return the norm of each layer's gradient in the last step; [] before the first one. Waits
        for the device."""
        if self.norms is None:
            return self.stored

        # One copy to the host for all layers; a frozen layer has no gradient.
        norms: dict[str, Tensor] = {}
        for name, layer in self.layers.items():
            layer_norms = [
                self.norms[weight] for weight in layer.parameters() if weight in self.norms
            ]
            if layer_norms:
                norms[name] = torch.linalg.vector_norm(torch.stack(layer_norms))
        numbers = torch.stack(list(norms.values())).tolist() if norms else []
        number_of = dict(zip(norms, map(_number, numbers), strict=True))
        return [number_of.get(name) for name in self.layers]

    @contextlib.contextmanager
    def measured_update(self) -> Iterator[None]:
        """Measure the update that is made in this context, if it is due. Nothing waits for the
        device."""
        if not self.is_update_due:
            yield
            return
        before = [_weights_of(layer) for layer in self.layers.values()]
        yield
        after = [_weights_of(layer) for layer in self.layers.values()]
        pairs = zip(before, after, strict=True)
        self.updates = [(new - old).norm() / old.norm() for old, new in pairs]
        self.is_update_due = False

    def update_ratios(self) -> list[float | None]:
        """Return the norm of the last measured update over that of the weights, of each layer; []
        before the first one. Waits for the device."""
        return [None if ratio is None else _number(float(ratio)) for ratio in self.updates]

    def state_dict(self) -> dict[str, Any]:
        return {
            "gradient_norms": self.gradient_norms(),
            "update_ratios": self.update_ratios(),
            "is_update_due": self.is_update_due,
            "looked_after": self.looks.seconds,
            "look_seconds": self.looks.cost,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a stored state."""
        self.norms = None
        self.stored = state["gradient_norms"]
        # States of earlier versions have none.
        ratios = state.get("update_ratios", [])
        self.updates = [None if ratio is None else torch.tensor(ratio) for ratio in ratios]
        self.is_update_due = bool(state.get("is_update_due", True))
        self.looks.seconds = state["looked_after"]
        self.looks.cost = state["look_seconds"]

    def _saturated_shares(self) -> dict[str, float | None]:
        """Return the share of saturated units by layer, over the steps that were watched."""
        if not self.layers or not isinstance(self.validation, WatchableValidation):
            return {}
        with watch_units(self.layers) as seen:
            self.validation.read_some()
        mean_shares = {}
        for name, shares in seen.items():
            if shares:
                units = sum(share * steps for share, steps in shares)
                mean_shares[name] = _number(units / sum(steps for _, steps in shares))
        return mean_shares


@contextlib.contextmanager
def watch_units(layers: dict[str, Layer]) -> Iterator[dict[str, list[tuple[float, int]]]]:
    """Watch the layers in this context: give for each, by its name, shares of saturated units and
    how many steps each share covers, :data:`STEPS` at most in all."""
    seen: dict[str, list[tuple[float, int]]] = {name: [] for name in layers}
    hooks = [
        layer.register_forward_pre_hook(partial(_watch, seen[name]))
        for name, layer in layers.items()
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def _watch(seen: list[tuple[float, int]], layer: Layer, read: tuple[Any, ...]) -> None:
    """Take the plain steps of the next inputs of `layer`."""
    x_TBE, state, *feedback = read
    watched_before = sum(count for _, count in seen)
    steps = []
    for x_BE in x_TBE[: max(0, STEPS - watched_before)]:
        step, state = layer.step(x_BE.to(layer.weight_ih.dtype), state, *feedback)
        steps.append(step)
    if steps:
        seen.append((float(saturated_share(layer, steps)), len(steps)))


def saturated_share(layer: Layer, steps: Sequence[CellStep]) -> Tensor:
    """Return which share of a layer's activations is saturated: of gates and candidates or, if
    there are none, of hidden units."""
    parts = []
    for name, activation in layer.activations().items():
        if name == CELL or activation is DOUBLED:
            continue
        # A WordWindow with direct connections hands on more than its hidden units.
        y = torch.stack(
            [
                step.hidden_BH[:, : layer.width] if name == HIDDEN else step.gates[name]
                for step in steps
            ]
        )
        parts.append((activation.is_low(y) | activation.is_high(y)).flatten())
    # Of a layer without activations, nothing is known.
    return torch.cat(parts).float().mean() if parts else torch.tensor(math.nan)


@torch.no_grad()
def _weights_of(layer: Layer) -> Tensor:
    """Return a copy of all weights of a layer, side by side, in fp32."""
    return torch.cat([weight.detach().flatten().float() for weight in layer.parameters()])


def _number(value: float) -> float | None:
    """Round a number to its meaningful digits; return None if it is not finite."""
    return float(f"{value:.4g}") if math.isfinite(value) else None

"""Take one training step: loss, gradients, update. All of it runs on the device, and nothing in it
waits for the device.

A step is plain, shared by ranks or by parts of its rows, or recorded as a CUDA graph.
"""

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from rnnlm.errors import TrainingError
from rnnlm.lm.neural.device import training_products
from rnnlm.lm.neural.layers.layers import LayeredNetwork, named_layers
from rnnlm.lm.neural.training.contracts import Batch, Carry, Objective
from rnnlm.lm.neural.training.optimization import (
    Penalty,
    clip_gradients,
    drop_frozen_gradients,
    gradient_norms,
)
from rnnlm.lm.neural.training.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.lm.neural.training.rowwise import RowwiseAdamW
from rnnlm.lm.neural.training.settings import OptimizationSettings


class TrainingStep:
    """The step of one batch: `optimizer` updates the weights by the gradients of the objective.

    norms: of the gradient of each weight in the last step, before clipping, on the device.
    """

    norms: dict[nn.Parameter, Tensor]

    def __init__(
        self,
        objective: Objective,
        settings: OptimizationSettings,
        optimizer: torch.optim.Optimizer,
        precision: str,
    ) -> None:
        self.objective = objective
        self.network = objective.network
        self.settings = settings
        self.optimizer = optimizer
        self.rowwise = optimizer if isinstance(optimizer, RowwiseAdamW) else None
        self.penalty = Penalty(settings, self.network)
        self.precision = precision

    def __call__(
        self, batch: Batch, carry: Carry, rate: float | Tensor
    ) -> tuple[Tensor, Tensor, Carry]:
        """Update the weights once, at the learning rate `rate`.

        Return the loss, the norm of its gradient before clipping, and the state that the batch
        carries on.
        """
        self.network.train()
        loss, carry = self.gradients(batch, carry)
        drop_frozen_gradients(self.optimizer)

        # Penalties on weights are clipped with the rest, and count in the norms.
        self.penalty.add_gradients()
        self.norms = gradient_norms(self.network)
        gradient_norm = clip_gradients(self.settings, self.network, self.norms)

        self.set_rate(rate)
        self.optimizer.step()
        return loss, gradient_norm, carry

    def gradients(self, batch: Batch, carry: Carry) -> tuple[Tensor, Carry]:
        """Compute the gradient of each weight; return the loss and the state that the batch carries
        on."""
        reading = self.rowwise.reading(self.network) if self.rowwise else contextlib.nullcontext()
        with reading, training_products(self.precision, batch.tensors[0].device):
            loss, penalty, carry = self.objective.loss(batch.tensors, carry)
        self.optimizer.zero_grad(set_to_none=True)
        (loss + penalty).backward()
        if self.rowwise:
            self.rowwise.collect()
        return loss.detach(), tuple(tensor.detach() for tensor in carry)

    def set_rate(self, rate: float | Tensor) -> None:
        """Set the learning rate of each group of weights, by its factor."""
        for group in self.optimizer.param_groups:
            factor = group["factor"]
            group["lr"] = rate if factor == 1.0 else rate * factor


class SharedStep(TrainingStep):
    """The same step with its rows read in parts: by several ranks side by side, and by one rank one
    part after the other.

    Parts need less memory, and ranks share the work, but the update equals an update by all rows at
    once: each part's loss counts by its share of the batch's targets, its penalty on activations (a
    mean over cells, padding among them) by its share of the rows. Only dropout and the noise of a
    sampled softmax are drawn for each part. Losses are this rank's part of the mean over all ranks.
    """

    def __init__(
        self,
        objective: Objective,
        settings: OptimizationSettings,
        optimizer: torch.optim.Optimizer,
        precision: str,
        ranks: SingleProcess,
    ) -> None:
        super().__init__(objective, settings, optimizer, precision)
        self.ranks = ranks
        self.weighted_loss = ranks.averaging(_WeightedLoss(objective))

    def gradients(self, batch: Batch, carry: Carry) -> tuple[Tensor, Carry]:
        """Add up the gradients of all parts of this rank, then average them over the ranks: once a
        step, in the backward pass of the last part."""
        parts = min(self.settings.accumulation, batch.tensors[0].shape[1])
        divided = [tensor.tensor_split(parts, dim=1) for tensor in (*batch.tensors, *carry)]
        count_B = batch.count_B[batch.share]
        self.optimizer.zero_grad(set_to_none=True)
        losses: list[Tensor] = []
        after: list[Carry] = []
        read = 0
        for part in zip(*divided, strict=True):
            tensors, before = part[: len(batch.tensors)], part[len(batch.tensors) :]

            # How much this part counts: by its targets, and by its rows.
            rows = tensors[0].shape[1]
            count = int(count_B[read : read + rows].sum())
            shares = count / batch.count, rows / len(batch.count_B)
            read += rows

            # Only the last part's backward pass averages over the ranks.
            is_last = len(losses) == parts - 1
            apart = self.ranks.without_averaging(self.weighted_loss)
            with contextlib.nullcontext() if is_last else apart:
                with training_products(self.precision, tensors[0].device):
                    minimised, loss, carried = self.weighted_loss(tensors, before, *shares)
                # The mean over ranks will divide by their number.
                (minimised * self.ranks.count).backward()
            losses.append(loss)
            after.append(carried)
        carry = tuple(torch.cat(tensors, dim=1) for tensors in zip(*after, strict=True))
        return sum(losses[1:], losses[0]), carry


class _WeightedLoss(nn.Module):
    """The objective's loss as a module's `forward`, the method that DistributedDataParallel
    knows."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.network = objective.network
        self.objective = objective

    def forward(
        self, tensors: tuple[Tensor, ...], carry: Carry, share: float, row_share: float
    ) -> tuple[Tensor, Tensor, Carry]:
        """Return the training loss, the plain loss in it, and the carried state; the first two
        weighted by the shares that these targets and rows have in the batch."""
        loss, penalty, carry = self.objective.loss(tensors, carry)
        loss = loss * share
        minimised = loss + penalty * row_share

        # Without targets some output layers leave weights out, and the other ranks would wait for
        # their gradients.
        if not share:
            trained = [weight for weight in self.network.parameters() if weight.requires_grad]
            minimised = minimised + 0.0 * sum(weight.sum() for weight in trained)
        return minimised, loss.detach(), tuple(tensor.detach() for tensor in carry)


def is_plain(settings: OptimizationSettings, ranks: SingleProcess) -> bool:
    """Return whether one process reads all rows of a step at once."""
    return ranks is SINGLE_PROCESS and settings.accumulation == 1


def make_step(
    objective: Objective,
    settings: OptimizationSettings,
    optimizer: torch.optim.Optimizer,
    precision: str,
    ranks: SingleProcess,
) -> TrainingStep:
    """Make the step of this rank, a plain one or a shared one."""
    if is_plain(settings, ranks):
        return TrainingStep(objective, settings, optimizer, precision)
    return SharedStep(objective, settings, optimizer, precision, ranks)


def restart_rows(carry: Carry, fresh: Tensor | None) -> Carry:
    """Put zeros into the rows of `carry` that start from the initial state."""
    return carry if fresh is None else tuple(tensor.masked_fill(fresh, 0.0) for tensor in carry)


# ---- Training steps as CUDA graphs: the kernels of a whole step, recorded once for each shape of
# batch and replayed at one call.
#
# So the host, which takes longer to launch a small kernel than a GPU takes to run it, is out of the
# way. A replay reads and writes the arrays that its recording did. Weights, gradients and the
# optimizer's arrays are the same ones in every step; the batch, the carry and the learning rate are
# new ones, and are copied to where the recording reads them. Random numbers continue from replay to
# replay (torch keeps the state of its generators).

# The loss, the norm of its gradient, and the state that the batch carries on.
Results = tuple[Tensor, Tensor, Carry]
StepFunction = Callable[[], Results]  # takes one step

# Steps of a shape before its recording, in which kernels are loaded and chosen. Rare shapes are
# never recorded.
PLAIN_USES = 3


def records_steps(
    settings: OptimizationSettings, network: LayeredNetwork, device: torch.device, processes: int
) -> bool:
    """Return whether training steps of `network` are recorded as CUDA graphs.

    With cuda_graphs=auto, they are where a layer launches its kernels step by step. cuDNN's layers
    need few launches, so that the GPU is the bottleneck there.
    """
    if not has_graphs(device):
        return False
    if settings.cuda_graphs != "auto":
        return settings.cuda_graphs
    layers = named_layers(network).values()
    is_launch_bound = any(layer.is_launched_step_by_step for layer in layers)
    return is_launch_bound and settings.can_be_recorded and processes == 1


def has_graphs(device: torch.device) -> bool:
    """Return whether steps on `device` can be recorded."""
    return device.type == "cuda"


class GraphedStep:
    """A :class:`TrainingStep` with a graph for each shape of batch that is frequent. Results, and
    `norms`, hold until the next call."""

    norms: dict[nn.Parameter, Tensor]

    def __init__(self, step: TrainingStep, recorder: "CudaRecorder") -> None:
        self.plain = step
        self.recorder = recorder
        self.uses: Counter[tuple[torch.Size, ...]] = Counter()
        self.graphs: dict[tuple[torch.Size, ...], Graph] = {}

    def __call__(self, batch: Batch, carry: Carry, rate: float) -> Results:
        """Take the step of :meth:`TrainingStep.__call__`, from its recording if it has one."""
        shapes = tuple(tensor.shape for tensor in batch.tensors)
        if shapes not in self.graphs:
            self.uses[shapes] += 1
            if self.uses[shapes] <= PLAIN_USES:
                results = self.recorder.warm_up(partial(self.plain, batch, carry, rate))
                self.norms = self.plain.norms
                return results
            self.graphs[shapes] = self._record(batch, carry)

        # Copy the inputs to where the recording reads them, and replay it.
        graph = self.graphs[shapes]
        for place, given in zip(graph.places, (*batch.tensors, *carry), strict=True):
            place.copy_(given)
        graph.rate.fill_(rate)
        results, self.norms = graph.replay(), graph.norms

        # The recording left its own array in the optimizer's settings; reports read the rate there.
        self.plain.set_rate(rate)
        return results

    def _record(self, batch: Batch, carry: Carry) -> "Graph":
        """Record a step on copies of the batch and the carry, which stay where they are."""
        tensors = tuple(tensor.clone() for tensor in batch.tensors)
        before = tuple(tensor.clone() for tensor in carry)
        rate = torch.zeros((), device=tensors[0].device)
        take_step = partial(self.plain, replace(batch, tensors=tensors), before, rate)
        replay = self.recorder.record(take_step)
        return Graph([*tensors, *before], rate, replay, self.plain.norms)


@dataclass(frozen=True)
class Graph:
    """A recorded step.

    places: where it reads the batch and the carry from. rate: where it reads the learning rate
    from. norms: as a TrainingStep has them.
    """

    places: list[Tensor]
    rate: Tensor
    replay: StepFunction
    norms: dict[nn.Parameter, Tensor]


class CudaRecorder:
    """Recordings on a separate stream, as torch requires. They share memory: the next replay may
    overwrite the results of the one before."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()

    def warm_up(self, take_step: StepFunction) -> Results:
        """Run a step on the stream of the recordings, without recording it."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            results = take_step()
        current.wait_stream(self.stream)
        return results

    def record(self, take_step: StepFunction) -> StepFunction:
        """Record a step, and return a function that replays it.

        A recording that fails leaves torch's random numbers and its current stream in the middle of
        the step, so plain steps cannot follow it, not even with cuda_graphs=auto. A TrainingError
        says why it failed.
        """
        graph = torch.cuda.CUDAGraph()
        try:
            # torch.cuda.graph waits for the current device before it records, which must be the one
            # that is recorded.
            with (
                torch.cuda.device(self.device),
                torch.cuda.graph(graph, pool=self.pool, stream=self.stream),
            ):
                results = take_step()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise TrainingError(
                "these settings cannot be trained as a CUDA graph",
                str(error).partition("\n")[0],
                "set cuda_graphs=false",
            ) from error

        def replay() -> Results:
            graph.replay()
            return results

        return replay

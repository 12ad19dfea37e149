"""One training step: loss, gradients, update. All of it runs on the device, and nothing in it waits
for the device."""

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from rnnlm.errors import TrainingError
from rnnlm.neural.device import training_products
from rnnlm.neural.fitting.contracts import Batch, Carry, Objective
from rnnlm.neural.fitting.optimization import (
    Penalty,
    clip_gradients,
    drop_frozen_gradients,
    gradient_norms,
)
from rnnlm.neural.fitting.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.neural.fitting.settings import OptimizationSettings
from rnnlm.neural.layers.names import LayeredNetwork, named_layers


class TrainingStep:
    """One batch after the other through the objective, whose weights `optimizer` updates. norms: of
    the gradient of each weight in the last step, before clipping, on the device."""

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
        self.penalty = Penalty(settings, self.network)
        self.precision = precision

    def __call__(
        self, batch: Batch, carry: Carry, rate: float | Tensor
    ) -> tuple[Tensor, Tensor, Carry]:
        """The loss, the norm of its gradient before clipping, and what the batch carries on; the
        weights take one step at the learning rate `rate`."""
        self.network.train()
        loss, carry = self.gradients(batch, carry)
        drop_frozen_gradients(self.optimizer)
        self.penalty.add_gradients()
        self.norms = gradient_norms(self.network)
        gradient_norm = clip_gradients(self.settings, self.network, self.norms)
        self.set_rate(rate)
        self.optimizer.step()
        return loss, gradient_norm, carry

    def gradients(self, batch: Batch, carry: Carry) -> tuple[Tensor, Carry]:
        """The loss and what the batch carries on; each weight has its gradient."""
        with training_products(self.precision, batch.tensors[0].device):
            loss, penalty, carry = self.objective.loss(batch.tensors, carry)
        self.optimizer.zero_grad(set_to_none=True)
        (loss + penalty).backward()
        return loss.detach(), tuple(tensor.detach() for tensor in carry)

    def set_rate(self, rate: float | Tensor) -> None:
        for group in self.optimizer.param_groups:
            factor = group.get("factor", 1.0)
            group["lr"] = rate if factor == 1.0 else rate * factor


class SharedStep(TrainingStep):
    """The same step with its rows read in parts: by several ranks side by side, and by one rank one
    part after the other.

    Less memory, or more machines, and the step of all rows at once: each part's loss counts by its
    share of the batch's targets, its penalty on activations (a mean over cells, padding among them)
    by its share of the rows. Dropout and the noise of a sampled softmax are drawn for each part.
    Losses are this rank's part of the mean over all ranks.
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
        """Ranks exchange gradients with the last part; those of the parts before are in them."""
        rows = batch.tensors[0].shape[1]
        parts = min(self.settings.accumulation, rows)
        divided = [tensor.tensor_split(parts, dim=1) for tensor in (*batch.tensors, *carry)]
        count_B = batch.count_B[batch.share]
        self.optimizer.zero_grad(set_to_none=True)
        losses: list[Tensor] = []
        after, read = [], 0
        for number, part in enumerate(zip(*divided, strict=True)):
            tensors, before = part[: len(batch.tensors)], part[len(batch.tensors) :]
            rows = tensors[0].shape[1]
            count = int(count_B[read : read + rows].sum())
            read += rows
            is_last = number == parts - 1
            with (
                contextlib.nullcontext()
                if is_last
                else self.ranks.without_averaging(self.weighted_loss)
            ):
                with training_products(self.precision, tensors[0].device):
                    shares = count / batch.count, rows / len(batch.count_B)
                    minimised, its, carried = self.weighted_loss(tensors, before, *shares)
                (minimised * self.ranks.count).backward()  # which the mean over ranks takes back
            losses.append(its)
            after.append(carried)
        return sum(losses[1:], losses[0]), tuple(
            torch.cat(tensors, dim=1) for tensors in zip(*after, strict=True)
        )


class _WeightedLoss(nn.Module):
    """The objective's loss as a module's `forward`, which is what DistributedDataParallel knows."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.network = objective.network
        self.objective = objective

    def forward(
        self, tensors: tuple[Tensor, ...], carry: Carry, share: float, row_share: float
    ) -> tuple[Tensor, Tensor, Carry]:
        """What is minimised, its loss, and what is carried on; the first two weighted by the share
        that these rows have in all rows."""
        loss, penalty, carry = self.objective.loss(tensors, carry)
        loss = loss * share
        minimised = loss + penalty * row_share
        # without targets some output layers leave weights out, and the other ranks would wait for
        # their gradients
        if not share:
            minimised = minimised + 0.0 * sum(
                weight.sum() for weight in self.network.parameters() if weight.requires_grad
            )
        return minimised, loss.detach(), tuple(tensor.detach() for tensor in carry)


def make_step(
    objective: Objective,
    settings: OptimizationSettings,
    optimizer: torch.optim.Optimizer,
    precision: str,
    ranks: SingleProcess,
) -> TrainingStep:
    """What takes the steps of this rank."""
    if ranks is SINGLE_PROCESS and settings.accumulation == 1:
        return TrainingStep(objective, settings, optimizer, precision)
    return SharedStep(objective, settings, optimizer, precision, ranks)


def restart_rows(carry: Carry, fresh: Tensor | None) -> Carry:
    """`carry` with zeros in the rows that begin anew."""
    return carry if fresh is None else tuple(tensor.masked_fill(fresh, 0.0) for tensor in carry)


# ---- Training steps as CUDA graphs: the kernels of a whole step, recorded once for each shape of
# batch and replayed at one call.
#
# So the host, which takes longer to launch a small kernel than a GPU to run it, is out of the way.
# A replay knows only the arrays of its recording. Weights, gradients and the optimizer's are those
# anyway; the batch, the carry and the learning rate are copied to where the recording reads them.
# Random numbers go on from replay to replay (torch keeps its generators' places).

# the loss, the norm of its gradient, and what the batch carries on
Results = tuple[Tensor, Tensor, Carry]
Run = Callable[[], Results]

# steps of a shape before its recording: kernels are loaded and chosen, and rare shapes are never
# recorded
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
    is_launch_bound = any(
        layer.is_launched_step_by_step for layer in named_layers(network).values()
    )
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
        """As :meth:`TrainingStep.__call__`."""
        shapes = tuple(tensor.shape for tensor in batch.tensors)
        if shapes not in self.graphs:
            self.uses[shapes] += 1
            if self.uses[shapes] <= PLAIN_USES:
                results = self.recorder.warm_up(partial(self.plain, batch, carry, rate))
                self.norms = self.plain.norms
                return results
            self.graphs[shapes] = self._record(batch, carry)
        graph = self.graphs[shapes]
        for place, given in zip(graph.places, (*batch.tensors, *carry), strict=True):
            place.copy_(given)
        graph.rate.fill_(rate)
        results, self.norms = graph.replay(), graph.norms
        self.plain.set_rate(rate)  # for who reads it: the recording left its own array there
        return results

    def _record(self, batch: Batch, carry: Carry) -> "Graph":
        tensors, before = (
            tuple(given.clone() for given in part) for part in (batch.tensors, carry)
        )
        rate = torch.zeros((), device=tensors[0].device)
        its = replace(batch, tensors=tensors)
        replay = self.recorder.record(partial(self.plain, its, before, rate))
        return Graph([*tensors, *before], rate, replay, self.plain.norms)


@dataclass(frozen=True)
class Graph:
    """A recorded step. places: where it reads the batch and the carry from; rate: its learning
    rate. norms: as of a TrainingStep."""

    places: list[Tensor]
    rate: Tensor
    replay: Run
    norms: dict[nn.Parameter, Tensor]


class CudaRecorder:
    """Recordings on a stream of their own, as torch asks for it. They share memory: what one replay
    leaves, the next one may overwrite."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()

    def warm_up(self, run: Run) -> Results:
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            results = run()
        current.wait_stream(self.stream)
        return results

    def record(self, run: Run) -> Run:
        """Record `run`, and return what replays it.

        A recording that failed leaves torch's random numbers and current stream in the middle of
        it, so that the run cannot go on with plain steps, also where nobody asked for graphs.

        Raises:
            TrainingError: something in `run` waits for the device, or cannot be recorded for
                another reason.
        """
        graph = torch.cuda.CUDAGraph()
        try:
            # torch.cuda.graph waits for the current device before it records, which must be the one
            # that is recorded
            with (
                torch.cuda.device(self.device),
                torch.cuda.graph(graph, pool=self.pool, stream=self.stream),
            ):
                results = run()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            what = "these settings cannot be trained as a CUDA graph"
            raise TrainingError(
                what, str(error).partition("\n")[0], "set cuda_graphs=false"
            ) from error

        def replay() -> Results:
            graph.replay()
            return results

        return replay

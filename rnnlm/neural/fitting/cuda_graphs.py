"""Training steps as CUDA graphs: the kernels of a whole step, recorded once for each shape of batch and replayed at one call.

So the host, which takes longer to launch a small kernel than a GPU to run it, is out of the way. A replay knows only the arrays
of its recording. Weights, gradients and the optimizer's are those anyway; the batch, the carry and the learning rate are
copied to where the recording reads them. Random numbers go on from replay to replay (torch keeps its generators' places).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from rnnlm.errors import TrainingError
from rnnlm.neural.fitting.contracts import Batch, Carry
from rnnlm.neural.fitting.optimization_settings import OptimizationSettings
from rnnlm.neural.fitting.step import TrainingStep
from rnnlm.neural.layers.naming import named_layers

Results = tuple[Tensor, Tensor, Carry]  # the loss, the norm of its gradient, and what the batch carries on
Run = Callable[[], Results]

PLAIN_USES = 3  # steps of a shape before its recording: kernels are loaded and chosen, and rare shapes are never recorded


def records_steps(settings: OptimizationSettings, network: nn.Module, device: torch.device, processes: int) -> bool:
    """Return whether training steps of `network` are recorded as CUDA graphs.

    With cuda_graphs=auto, they are where a layer launches its kernels step by step. cuDNN's layers need few launches, so
    that the GPU is the bottleneck there.
    """
    if not has_graphs(device):
        return False
    if settings.cuda_graphs != "auto":
        return settings.cuda_graphs
    is_launch_bound = any(layer.is_launched_step_by_step for layer in named_layers(network).values())
    return is_launch_bound and settings.can_be_recorded and processes == 1


def has_graphs(device: torch.device) -> bool:
    """Return whether steps on `device` can be recorded."""
    return device.type == "cuda"


class GraphedStep:
    """A :class:`TrainingStep` with a graph for each shape of batch that is frequent. Results, and `norms`, hold until the next call."""

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
        tensors, before = (tuple(given.clone() for given in part) for part in (batch.tensors, carry))
        rate = torch.zeros((), device=tensors[0].device)
        its = replace(batch, tensors=tensors)
        replay = self.recorder.record(partial(self.plain, its, before, rate))
        return Graph([*tensors, *before], rate, replay, self.plain.norms)


@dataclass(frozen=True)
class Graph:
    """A recorded step. places: where it reads the batch and the carry from; rate: its learning rate. norms: as of a TrainingStep."""

    places: list[Tensor]
    rate: Tensor
    replay: Run
    norms: dict[nn.Parameter, Tensor]


class CudaRecorder:
    """Recordings on a stream of their own, as torch asks for it. They share memory: what one replay leaves, the next one may overwrite."""

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

        A recording that failed leaves torch's random numbers and current stream in the middle of it, so that the run
        cannot go on with plain steps, also where nobody asked for graphs.

        Raises:
            TrainingError: something in `run` waits for the device, or cannot be recorded for another reason.
        """
        graph = torch.cuda.CUDAGraph()
        try:
            # torch.cuda.graph waits for the current device before it records, which must be the one that is recorded
            with torch.cuda.device(self.device), torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
                results = run()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            what = "these settings cannot be trained as a CUDA graph"
            raise TrainingError(what, str(error).partition("\n")[0], "set cuda_graphs=false") from error

        def replay() -> Results:
            graph.replay()
            return results

        return replay

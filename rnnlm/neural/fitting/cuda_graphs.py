"""Iterations as CUDA graphs: the kernels of a whole iteration, recorded once for each shape of window and replayed at one call.

So the host, which takes longer to launch a small kernel than a GPU to run it, is out of the way. A replay knows only the arrays
of its recording. Weights, gradients and the optimizer's are those anyway; the window, the state and the learning rate are
copied to where the recording reads them. Random numbers go on from replay to replay (torch keeps its generators' places).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from rnnlm.errors import TrainingError
from rnnlm.neural.fitting.settings import FittingSettings
from rnnlm.neural.fitting.step import Iteration
from rnnlm.neural.network import NetworkState
from rnnlm.text.batches import Window

Results = tuple[Tensor, Tensor, NetworkState]  # the loss, the norm of its gradient, and the state after the window
Run = Callable[[], Results]

PLAIN_USES = 3  # iterations of a shape before its recording: kernels are loaded and chosen, and rare shapes are never recorded


class Recorder(Protocol):
    """What makes a run on the device repeatable."""

    def warm_up(self, run: Run) -> Results:
        """Do `run` once, where it would be recorded."""

    def record(self, run: Run) -> Run:
        """What repeats `run` on the same arrays, its results in the same arrays each time; nothing is done yet."""


def with_graphs(iteration: Iteration, settings: FittingSettings, device: torch.device) -> "Iteration | GraphedIteration":
    """`iteration`, recorded where `settings` ask for it and there is something to record with."""
    return GraphedIteration(iteration, CudaRecorder(device)) if settings.cuda_graphs and device.type == "cuda" else iteration


class GraphedIteration:
    """An :class:`Iteration` with a graph for each shape of window that is frequent. Results hold until the next call."""

    def __init__(self, iteration: Iteration, recorder: Recorder) -> None:
        self.iteration = iteration
        self.recorder = recorder
        self.uses: Counter[torch.Size] = Counter()
        self.graphs: dict[torch.Size, Graph] = {}

    def __call__(self, inputs_TB: Tensor, targets_TB: Tensor, state: NetworkState, rate: float, window: Window | None = None) -> Results:
        """As :meth:`Iteration.__call__`."""
        shape = inputs_TB.shape
        if shape not in self.graphs:
            self.uses[shape] += 1
            if self.uses[shape] <= PLAIN_USES:
                return self.recorder.warm_up(partial(self.iteration, inputs_TB, targets_TB, state, rate))
            self.graphs[shape] = self._record(inputs_TB, targets_TB, state)
        graph = self.graphs[shape]
        for place, given in zip(graph.places, (inputs_TB, targets_TB, *state), strict=True):
            place.copy_(given)
        graph.rate.fill_(rate)
        results = graph.replay()
        self.iteration.set_rate(rate)  # for who reads it: the recording left its own array there
        return results

    def _record(self, inputs_TB: Tensor, targets_TB: Tensor, state: NetworkState) -> "Graph":
        inputs, targets, *before = places = [given.clone() for given in (inputs_TB, targets_TB, *state)]
        rate = torch.zeros((), device=inputs.device)
        return Graph(places, rate, self.recorder.record(partial(self.iteration, inputs, targets, tuple(before), rate)))


@dataclass(frozen=True)
class Graph:
    """A recorded iteration. places: where it reads inputs, targets and state from; rate: its learning rate."""

    places: list[Tensor]
    rate: Tensor
    replay: Run


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
        """Raises TrainingError: something in `run` waits for the device, or cannot be recorded for another reason."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
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

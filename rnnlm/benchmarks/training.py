"""How fast training is here, beside bare PyTorch loops in the same run.

Loops take turns over the same text, batch and precision: ours (events, budget, clipping and all), a bare loop over the
same network, the matrix products of its steps alone, and the loop of the textbooks: torch's own layers, all logits at
once (F.linear, F.cross_entropy under autocast), the optimizer's defaults; for recipes with weight-drop, AWD-LSTM as its
scripts have it. Ratios hold where the machine's speed drifts;
single figures do not.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from rnnlm.errors import UsageError
from rnnlm.system import peak_bytes
from rnnlm.text.encoding import TrainingData
from rnnlm.training.plan import Plan

Batches = list[tuple[Any, Any]]  # inputs_TB, targets_TB
Loop = Callable[[], int]  # gives the tokens it has read


@dataclass(frozen=True)
class Round:
    """Tokens per second of each loop in one round; None where a loop is left out."""

    number: int
    ours: float
    products: float
    bare: float | None
    plain: float | None


@dataclass(frozen=True)
class Summary:
    """Medians over the rounds. ratio_bare, ratio_plain: our speed over the other's, round by round; ratio_products: our
    time over that of the products. peak_bytes: the most memory this process held while our loop alone had run. kernel_share: of our
    time, that in which a CUDA device worked; None elsewhere."""

    tokens_per_second: float
    products_tokens_per_second: float
    ratio_products: float
    peak_bytes: int
    bare_tokens_per_second: float | None = None
    plain_tokens_per_second: float | None = None
    ratio_bare: float | None = None
    ratio_plain: float | None = None
    kernel_share: float | None = None


def bench_training(plan: Plan, rounds: int, steps: int, alone: bool = False, plain_rows: int | None = None) -> Iterator[Round | Summary]:
    """`rounds` rounds of `steps` steps of each loop (`alone`: ours and its products), after one to warm up; then the summary.

    `plain_rows`: parallel streams of the plain loop; None: as many as ours.

    Raises:
        UsageError: the plan's model is not trained step by step.
    """
    if plan.kind.family != "neural":
        raise UsageError(f"a {plan.kind.name} has no training loop to time", hint="choose the recipe of a neural model")
    trainer = _trainer(plan, steps)
    _ours(trainer)
    peak = peak_bytes()
    batches = [trainer.streams.gather(window) for _, window in islice(trainer.streams.windows(), steps)]
    loops: list[Loop | None] = [lambda: _ours(trainer), _products_loop(trainer, batches), None, None]
    if not alone:
        loops[2:] = _bare_loop(trainer.network, trainer, batches), _plain_loop(plan, trainer, steps, plain_rows or trainer.streams.rows)
    done = []
    for number in range(rounds + 1):
        speeds = [loop and _timed(loop, trainer.device) for loop in loops]
        if number:
            done.append(Round(number, *speeds))
            yield done[-1]
    yield replace(_summary(done, peak), kernel_share=_kernel_share(trainer, done))


def _kernel_share(trainer: Any, done: list[Round]) -> float | None:
    """Kernels are timed in a round of their own, which watching them slows down; the time of a token is that of the others."""
    from rnnlm.benchmarks.kernel_time import kernel_seconds

    seconds = kernel_seconds(lambda: _ours(trainer), trainer.device)
    return seconds and seconds / trainer.token_count * statistics.median(each.ours for each in done)


def _summary(done: list[Round], peak: int) -> Summary:
    def median(figure: Callable[[Round], float | None]) -> float | None:
        figures = [figure(each) for each in done]
        return None if None in figures else statistics.median(figures)

    return Summary(
        median(lambda r: r.ours), median(lambda r: r.products), median(lambda r: r.products / r.ours), peak,
        median(lambda r: r.bare), median(lambda r: r.plain),
        median(lambda r: r.bare and r.ours / r.bare), median(lambda r: r.plain and r.ours / r.plain),
    )  # fmt: skip


def _trainer(plan: Plan, steps: int) -> Any:
    """The trainer of `plan`, for `steps` steps at a time, without validation; nothing is kept for going on, which would be timed."""
    from rnnlm.config import Budget
    from rnnlm.neural.fitting.fitting import make_trainer

    trainer = make_trainer(plan.resolved, TrainingData(plan.data.tokenizer, plan.data.train, None))
    trainer.clock.budget = Budget(steps=steps)
    trainer.resumable = False
    trainer.rollbacks.limit = 0
    return trainer


def _timed(loop: Loop, device: Any) -> float:
    """Tokens per second of `loop`."""
    import torch

    began = time.perf_counter()
    tokens = loop()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return tokens / (time.perf_counter() - began)


def _ours(trainer: Any) -> int:
    trainer.step_count = trainer.token_count = 0
    trainer.epochs = 0.0
    for _ in trainer.train(lambda: False):
        pass
    return trainer.token_count


def _bare_loop(network: Any, trainer: Any, batches: Batches) -> Loop:
    """The same network and optimizer in the shortest loop there is, over windows cut beforehand."""
    from rnnlm.neural.device import training_products
    from rnnlm.neural.fitting.optimizers import clip_gradients, make_optimizer

    optimizer = make_optimizer(trainer.settings, network, trainer.device)

    def loop() -> int:
        state = network.initial_state(trainer.streams.rows)
        network.train()
        for inputs_TB, targets_TB in batches:
            with training_products(trainer.precision, trainer.device):
                loss, penalty, state = network.loss(inputs_TB, targets_TB, state)
            optimizer.zero_grad()
            (loss + penalty).backward()
            clip_gradients(trainer.settings, network)
            optimizer.step()
            state = tuple(tensor.detach() for tensor in state)
        return sum(targets_TB.numel() for _, targets_TB in batches)

    return loop


def _products_loop(trainer: Any, batches: Batches) -> Loop:
    """The matrix products of one step, again and again."""
    from rnnlm.benchmarks.products import BareProducts
    from rnnlm.neural.device import training_products

    inputs_TB, targets_TB = batches[0]
    state = trainer.network.initial_state(trainer.streams.rows)
    trainer.network.train()
    with BareProducts() as recorded:
        with training_products(trainer.precision, trainer.device):
            loss, _, _ = trainer.network.loss(inputs_TB, targets_TB, state)
        loss.backward()
    trainer.optimizer.zero_grad()
    multiply = recorded.repeat()

    def loop() -> int:
        for _ in batches:
            multiply()
        return sum(targets_TB.numel() for _, targets_TB in batches)

    return loop


def _plain_loop(plan: Plan, trainer: Any, steps: int, rows: int) -> Loop | None:
    """The loop of the textbooks at `rows` rows, over `steps` windows of the same text; None where torch has no such layers."""
    from rnnlm.benchmarks.textbook import is_in_torch, make_loop
    from rnnlm.neural.fitting.streams import TextStreams

    settings = trainer.network.settings
    if not is_in_torch(settings):
        return None
    of_rows = replace(trainer.settings, batch_rows=rows)
    streams = TextStreams(plan.data.train, plan.data.tokenizer.boundary_id, of_rows, 1, trainer.device)
    batches = [streams.gather(window) for _, window in islice(streams.windows(), steps)]
    return make_loop(settings, plan.data.tokenizer.size, trainer.settings.learning_rate, batches, trainer.precision, trainer.device)

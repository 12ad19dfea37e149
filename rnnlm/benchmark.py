"""How fast training is here, beside bare PyTorch loops in the same run.

Three loops take turns over the same text, batch and precision: ours (events, budget, clipping and all), a bare loop
over the same network, and a plain one that works out all logits at once (F.linear, F.cross_entropy under autocast) with
the optimizer's defaults. Ratios hold where the machine's speed drifts; single figures do not.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rnnlm.encoding import TrainingData
from rnnlm.errors import UsageError
from rnnlm.planning import Plan

Batches = list[tuple[Any, Any]]  # inputs_TB, targets_TB


@dataclass(frozen=True)
class Round:
    """Tokens per second of each loop in one round."""

    number: int
    ours: float
    bare: float
    plain: float


@dataclass(frozen=True)
class Summary:
    """Medians over the rounds. ratio_*: ours over the other, round by round."""

    tokens_per_second: float
    bare_tokens_per_second: float
    plain_tokens_per_second: float
    ratio_bare: float
    ratio_plain: float


def bench_training(plan: Plan, rounds: int, steps: int) -> Iterator[Round | Summary]:
    """`rounds` rounds of `steps` steps of each loop, after one to warm up; then the summary.

    Raises:
        UsageError: the plan's model is not trained step by step.
    """
    if plan.kind.family != "neural":
        raise UsageError(f"a {plan.kind.name} has no training loop to time", way_out="choose the recipe of a neural model")
    trainer = _trainer(plan, steps)
    batches = [trainer.streams.gather(window) for _, window in islice(trainer.streams.windows(), steps)]
    loops = (lambda: _ours(trainer), _bare_loop(trainer.network, trainer, batches), _plain_loop(trainer, batches))
    done = []
    for number in range(rounds + 1):
        result = Round(number, *(_timed(loop, trainer.device) for loop in loops))
        if number:
            done.append(result)
            yield result
    yield Summary(
        statistics.median(r.ours for r in done),
        statistics.median(r.bare for r in done),
        statistics.median(r.plain for r in done),
        statistics.median(r.ours / r.bare for r in done),
        statistics.median(r.ours / r.plain for r in done),
    )


def _trainer(plan: Plan, steps: int) -> Any:
    """The trainer of `plan`, for `steps` steps at a time, without validation."""
    from rnnlm.config import Budget
    from rnnlm.neural.fitting import make_trainer

    trainer = make_trainer(plan.resolved, TrainingData(plan.data.tokenizer, plan.data.train, None))
    trainer.clock.budget = Budget(steps=steps)
    return trainer


def _timed(loop: Callable[[], int], device: Any) -> float:
    """Tokens per second of `loop`, which returns its tokens."""
    import torch

    began = time.perf_counter()
    tokens = loop()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return tokens / (time.perf_counter() - began)


def _ours(trainer: Any) -> int:
    trainer.step_count = trainer.token_count = 0
    for _ in trainer.train(lambda: False):
        pass
    return trainer.token_count


def _bare_loop(network: Any, trainer: Any, batches: Batches) -> Callable[[], int]:
    """The same network and optimizer in the shortest loop there is, over windows cut beforehand."""
    from rnnlm.neural.device import training_products
    from rnnlm.neural.optimizers import clip_gradients, make_optimizer

    optimizer = make_optimizer(trainer.settings, network, trainer.device)

    def loop() -> int:
        state = network.initial_state(trainer.streams.rows)
        network.train()
        for inputs_TB, targets_TB in batches:
            with training_products(trainer.precision, trainer.device):
                loss, state = network.loss(inputs_TB, targets_TB, state)
            optimizer.zero_grad()
            loss.backward()
            clip_gradients(trainer.settings, network)
            optimizer.step()
            state = tuple(tensor.detach() for tensor in state)
        return sum(targets_TB.numel() for _, targets_TB in batches)

    return loop


def _plain_loop(trainer: Any, batches: Batches) -> Callable[[], int]:
    """The same layers with the loss of the textbooks: all logits, then F.cross_entropy."""
    import copy

    import torch
    from torch import nn
    from torch.nn import functional as F

    from rnnlm.neural.device import training_products

    network = copy.deepcopy(trainer.network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=trainer.settings.learning_rate)

    def loop() -> int:
        state = network.initial_state(trainer.streams.rows)
        network.train()
        for inputs_TB, targets_TB in batches:
            with training_products(trainer.precision, trainer.device):
                features_TBE, state = network.features(inputs_TB, state)
                logits_TBV = F.linear(features_TBE, network.output_weight, network.output.bias)
            loss = F.cross_entropy(logits_TBV.flatten(0, 1).float(), targets_TB.flatten(), ignore_index=-1)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), trainer.settings.clip_norm or 1.0)
            optimizer.step()
            state = tuple(tensor.detach() for tensor in state)
        return sum(targets_TB.numel() for _, targets_TB in batches)

    return loop

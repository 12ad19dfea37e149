"""How fast training is on this machine, beside references in the same run.

Three loops take turns over the same text, batch and precision: ours (with events, budget and
clipping), the matrix products of its steps alone, and the textbook loop: torch's own layers, all
logits at once (F.linear, F.cross_entropy under autocast), the optimizer's defaults; for recipes
with weight-drop, AWD-LSTM as in its scripts. Ratios hold even if the machine's speed drifts; single
numbers do not. Tokens are those that a network reads, on both sides of an encoder-decoder.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice, product
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.models import registry
from rnnlm.system import peak_bytes
from rnnlm.text.encoding import EncodedText
from rnnlm.training.plan import Plan, plan
from rnnlm.training.request import Request

if TYPE_CHECKING:
    import torch
    from torch.autograd.profiler_util import FunctionEvent

    from rnnlm.neural.fitting.contracts import BatchSource
    from rnnlm.neural.fitting.trainer import Trainer

# The tensors of each batch, and how many tokens it has.
Batches = list[tuple[tuple["torch.Tensor", ...], int]]
Loop = Callable[[], int]  # returns how many tokens it has read
START = {"tokens": 0, "epochs": 0.0}  # the part of a source's state that says where it is


@dataclass(frozen=True)
class Round:
    """Tokens per second of each loop in one round. plain: None if that loop is left out."""

    number: int
    ours: float
    products: float
    plain: float | None


@dataclass(frozen=True)
class Summary:
    """Medians over the rounds. ratio_plain: our speed over that of the plain loop, round by round;
    ratio_products: our time over that of the products. peak_bytes: the most memory that this
    process held before any other loop ran. kernel_share: the share of our time in which a CUDA
    device worked; None without one."""

    tokens_per_second: float
    products_tokens_per_second: float
    ratio_products: float
    peak_bytes: int
    plain_tokens_per_second: float | None = None
    ratio_plain: float | None = None
    kernel_share: float | None = None


def bench_training(
    plan: Plan, rounds: int, steps: int, alone: bool = False, plain_rows: int | None = None
) -> Iterator[Round | Summary]:
    """Time `rounds` rounds of `steps` steps of each loop, after one to warm up, and yield each; at
    the end yield the summary.

    alone: leave out the plain loop. plain_rows: parallel streams of the plain loop; None: as many
    as ours.
    """
    if not plan.kind.trains_in_steps:
        raise UsageError(
            f"a {plan.kind.name} has no training loop to time",
            hint="choose the recipe of a neural model",
        )

    # Measure our memory first: the other loops would raise the peak of the process.
    trainer = _trainer(plan, steps)
    _ours(trainer)
    peak = peak_bytes()

    batches = list(_batches(trainer, steps))
    multiply = _products_loop(trainer, batches)
    plain = None
    if not alone:
        plain = _plain_loop(plan, trainer, batches, plain_rows or trainer.source.rows)

    # Take turns, so that a machine that becomes slower does so for all. Round 0 warms up.
    done = []
    for number in range(rounds + 1):
        ours = _timed(lambda: _ours(trainer), trainer.device)
        products = _timed(multiply, trainer.device)
        beside = _timed(plain, trainer.device) if plain else None
        if number:
            done.append(Round(number, ours, products, beside))
            yield done[-1]

    # Watching kernels slows training down, so this is a round by itself.
    summary = _summary(done, peak)
    seconds = kernel_seconds(lambda: _ours(trainer), trainer.device)
    share = None
    if seconds is not None:
        share = seconds / trainer.source.tokens * summary.tokens_per_second
    yield replace(summary, kernel_share=share)


def kernel_seconds(run: Callable[[], int], device: "torch.device") -> float | None:
    """Return the seconds in which kernels and copies ran during `run`; None without CUDA, or if
    they cannot be watched."""
    if device.type != "cuda":
        return None
    import torch

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run()
        torch.cuda.synchronize(device)
    return busy_seconds(profile.events()) or None


def busy_seconds(events: "Iterable[FunctionEvent]") -> float:
    """Return the seconds that the device's `events` (torch's, times in microseconds) cover. Where
    several overlap, count the time once."""
    from torch.autograd import DeviceType

    spans = []
    for event in events:
        if event.device_type == DeviceType.CUDA and not event.is_user_annotation:
            spans.append((event.time_range.start, event.time_range.end))

    busy, until = 0.0, 0.0
    for start, end in sorted(spans):
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    return busy / 1e6


def _summary(done: list[Round], peak: int) -> Summary:
    # Ratios are taken within each round, in which the machine's speed hardly changes.
    ours, products, ratios_products = [], [], []
    plain, ratios_plain = [], []
    for each in done:
        ours.append(each.ours)
        products.append(each.products)
        ratios_products.append(each.products / each.ours)
        if each.plain:
            plain.append(each.plain)
            ratios_plain.append(each.ours / each.plain)

    median = statistics.median
    summary = Summary(median(ours), median(products), median(ratios_products), peak)
    if not plain:
        return summary
    return replace(summary, plain_tokens_per_second=median(plain), ratio_plain=median(ratios_plain))


def _trainer(plan: Plan, steps: int) -> "Trainer":
    """Make the trainer of `plan` for `steps` steps at a time, without the validation and the
    checkpoints that would be timed."""
    from rnnlm.config import Budget

    make_trainer = resolve_name(f"{plan.kind.fitting}:make_trainer")
    data = replace(cast(Any, plan.data), valid=None)
    trainer: Trainer = make_trainer(plan.resolved, data)

    # At the end of its budget, a run reads the last batch once more, to see whether its weights are
    # sound. Give it one step more than is timed, so that it never gets there.
    trainer.clock.budget = Budget(steps=steps + 1)
    trainer.resumable = False
    trainer.rollbacks.limit = 0
    return trainer


def _timed(loop: Loop, device: "torch.device") -> float:
    """Return the tokens per second of `loop`."""
    import torch

    began = time.perf_counter()
    tokens = loop()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return tokens / (time.perf_counter() - began)


def _ours(trainer: "Trainer") -> int:
    trainer.step_count = 0
    _rewind(trainer.source)
    steps = trainer.clock.budget.steps or 0
    for _ in trainer.train(lambda: steps - trainer.step_count <= 1):
        pass
    return trainer.source.tokens


def _rewind(source: "BatchSource") -> None:
    """Begin the text again, with windows of the same lengths as before."""
    source.load_state_dict(source.state_dict() | START)


def _batches(trainer: "Trainer", steps: int) -> "Iterator[tuple[tuple[torch.Tensor, ...], int]]":
    """Yield the batches that the trainer reads in one round, each with its tokens."""
    _rewind(trainer.source)
    for _ in range(steps):
        before = trainer.source.tokens
        yield trainer.source.next().tensors, trainer.source.tokens - before


def _products_loop(trainer: "Trainer", batches: Batches) -> Loop:
    """Make a loop of the matrix products alone: those of one step, as often as there are steps."""
    from rnnlm.benchmarks.textbook import BareProducts
    from rnnlm.neural.device import training_products

    # A batch of median size represents all of them.
    by_size = sorted(batches, key=lambda batch: batch[1])
    tensors, tokens = by_size[len(by_size) // 2]

    # Record its products, forward and backward.
    trainer.network.train()
    carry = trainer.objective.initial_carry(trainer.source.rows)
    with BareProducts() as recorded:
        with training_products(trainer.precision, trainer.device):
            loss = trainer.objective.loss(tensors, carry).mean_nats
        loss.backward()
    trainer.optimizer.zero_grad()
    multiply = recorded.repeat()

    def loop() -> int:
        for _ in batches:
            multiply()
        return tokens * len(batches)

    return loop


def _plain_loop(plan: Plan, trainer: "Trainer", batches: Batches, rows: int) -> Loop | None:
    """Make the textbook loop, or return None if torch lacks such layers. A language model reads as
    many windows of the same text at `rows` rows; other models read the same batches."""
    name = registry.task(plan.kind.task).textbook_loop
    if name is None:
        return None
    loop: Loop | None = resolve_name(name)(plan, trainer, batches, rows)
    return loop


def plain_language_model(plan: Plan, trainer: Any, batches: Batches, rows: int) -> Loop | None:
    """Make the textbook loop of a language model, over as many windows of `rows` rows."""
    from rnnlm.benchmarks.textbook import is_in_torch, make_loop
    from rnnlm.neural.fitting.language_modelling import TextStreams

    settings = trainer.network.settings
    if not is_in_torch(settings):
        return None
    tokenizer, device = plan.data.tokenizer, trainer.device
    of_rows = replace(trainer.settings, batch_rows=rows)
    text = cast(EncodedText, plan.data.train)
    multiple = trainer.source.multiple
    streams = TextStreams(text, tokenizer.boundary_id, of_rows, 1, device, multiple=multiple)
    windows = islice(streams.windows(), len(batches))
    read = [streams.batch(window).tensors for _, window in windows]
    rate = trainer.settings.learning_rate
    return make_loop(settings, tokenizer.size, rate, read, trainer.precision, device)


def plain_pairs(plan: Plan, trainer: Any, batches: Batches, rows: int) -> Loop | None:
    """Make the textbook loop of an encoder-decoder, over the same batches."""
    from rnnlm.benchmarks.textbook import TextbookPairs, are_pairs_in_torch, make_pairs_loop

    settings, codec = trainer.network.settings, plan.data.tokenizer
    if not are_pairs_in_torch(settings, trainer.settings):
        return None
    network = TextbookPairs(settings, codec.source.size, codec.target.size)
    read = cast(Any, [tensors for tensors, _ in batches])
    return make_pairs_loop(network, trainer.settings, read, trainer.precision, trainer.device)


# ---- Encoder-decoders: with and without input feeding, in fp32 and in this machine's preferred
# precision, measured as above.

FORMS = {"input_feeding": ("false", "true"), "precision": ("fp32", "auto")}


@dataclass(frozen=True)
class FormSpeed:
    """The speed of one form of the network in one precision, medians over the rounds."""

    input_feeding: bool
    precision: str
    summary: Summary

    def record(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        form = {"input_feeding": self.input_feeding, "precision": self.precision}
        return form | asdict(self.summary)


def bench_pairs(
    text: tuple[str, ...],
    recipe: str | None,
    assignments: dict[str, str],
    rounds: int,
    steps: int,
    alone: bool = False,
) -> Iterator[FormSpeed]:
    """Yield the speed of each form that `assignments` leave open, in one precision if the machine
    prefers fp32. text: if empty, random pairs."""
    with tempfile.TemporaryDirectory() as folder:
        done = set()
        for form in _forms(assignments):
            planned = plan_pairs(text, recipe, assignments | form, Path(folder))
            feeds = bool(planned.resolved.values["input_feeding"])
            precision = _precision(planned.resolved.values)
            if (feeds, precision) not in done:
                done.add((feeds, precision))
                *_, summary = bench_training(planned, rounds, steps, alone)
                yield FormSpeed(feeds, precision, cast(Summary, summary))


def _forms(assignments: dict[str, str]) -> Iterator[dict[str, str]]:
    """Yield each combination of the settings of FORMS that `assignments` do not set."""
    left = {name: values for name, values in FORMS.items() if name not in assignments}
    for values in product(*left.values()):
        yield dict(zip(left, values, strict=True))


def _precision(values: Mapping[str, Any]) -> str:
    from rnnlm.neural.device import resolve_device, resolve_precision

    return resolve_precision(values["precision"], resolve_device(values["device"]))


# ---- Random pairs of lines as long as captions, for want of a corpus.

PAIRS, VOCABULARY = 4_000, 7_998  # words of either side; with </s> and <unk> 8,000 tokens
WORDS, SPREAD, SHORTEST, LONGEST = 14, 4, 4, 40  # a line's words: mean, deviation, bounds
SETTINGS = {"tokenizer": "word", "column": "source", "target_column": "target"}  # to read them


def plan_pairs(
    text: tuple[str, ...], recipe: str | None, assignments: dict[str, str], folder: Path
) -> Plan:
    """Plan the training of an encoder-decoder on all pairs of a text, or without one on random
    pairs, which are written to `folder`."""
    settings = {"holdout": "0", **assignments}
    if not text:
        settings = SETTINGS | settings
        path = folder / "pairs.tsv"
        text = (str(path),)
        if not path.exists():
            rows = map("{}\t{}\n".format, *random_sides())
            path.write_text("source\ttarget\n" + "".join(rows), encoding="utf-8")
    output = folder / "model"
    request = Request(text=text, recipe=recipe, assignments=settings, task="seq2seq", output=output)
    return plan(request)


def random_sides() -> tuple[list[str], list[str]]:
    """Draw sources and targets, the same ones each time.

    The two lines of a pair are about as long, and every word occurs on either side.
    """
    random = np.random.default_rng(1)
    source_length_P = random.normal(WORDS, SPREAD, PAIRS)
    target_length_P = source_length_P + random.normal(0, 2, PAIRS)
    sources = list(_lines(random, source_length_P))
    targets = list(_lines(random, target_length_P))
    return sources, targets


def _lines(random: np.random.Generator, length_P: np.ndarray) -> Iterator[str]:
    """Draw lines of these lengths. The frequency of a word falls with its rank (Zipf), and each
    word occurs at least once."""
    ends_P = np.cumsum(length_P.round().clip(SHORTEST, LONGEST).astype(int))
    chance_V = 1 / np.arange(1, VOCABULARY + 1)
    drawn = random.choice(VOCABULARY, ends_P[-1] - VOCABULARY, p=chance_V / chance_V.sum())
    words = random.permutation(np.concatenate([np.arange(VOCABULARY), drawn]))
    for ids in np.split(words, ends_P[:-1]):
        yield " ".join(f"w{each}" for each in ids.tolist())

"""How fast training is on this machine, beside references in the same run.

Loops take turns over the same text, batch and precision: ours (with events, budget and clipping),
the matrix products of its steps alone, and the loop of the textbooks: torch's own layers, all
logits at once (F.linear, F.cross_entropy under autocast), the optimizer's defaults; for recipes
with weight-drop, AWD-LSTM as its scripts have it. Ratios hold where the machine's speed drifts;
single figures do not. Tokens are those that a network reads: of an encoder-decoder both sides.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
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

# the tensors of each batch, and how many tokens it has
Batches = list[tuple[tuple["torch.Tensor", ...], int]]
Loop = Callable[[], int]  # gives the tokens it has read
START = {"tokens": 0, "epochs": 0.0}  # of a source's state: nothing is read


@dataclass(frozen=True)
class Round:
    """Tokens per second of each loop in one round; plain: None where that loop is left out."""

    number: int
    ours: float
    products: float
    plain: float | None


@dataclass(frozen=True)
class Summary:
    """Medians over the rounds. ratio_plain: our speed over that of the plain loop, round by round;
    ratio_products: our time over that of the products. peak_bytes: the most memory this process
    held while our loop alone had run. kernel_share: the share of our time in which a CUDA device
    worked; None elsewhere."""

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
    """`rounds` rounds of `steps` steps of each loop (`alone`: ours and its products), after one to
    warm up; then the summary.

    `plain_rows`: parallel streams of the plain loop; None: as many as ours."""
    if not plan.kind.trains_in_steps:
        raise UsageError(
            f"a {plan.kind.name} has no training loop to time",
            hint="choose the recipe of a neural model",
        )
    trainer = _trainer(plan, steps)
    _ours(trainer)
    peak = peak_bytes()
    batches = list(_batches(trainer, steps))
    multiply = _products_loop(trainer, batches)
    plain = (
        None if alone else _plain_loop(plan, trainer, batches, plain_rows or trainer.source.rows)
    )
    done = []
    for number in range(rounds + 1):
        ours, products = (
            _timed(lambda: _ours(trainer), trainer.device),
            _timed(multiply, trainer.device),
        )
        its = Round(number, ours, products, plain and _timed(plain, trainer.device))
        if number:
            done.append(its)
            yield its
    # in a round of its own, which watching kernels slows down
    seconds = kernel_seconds(lambda: _ours(trainer), trainer.device)
    summary = _summary(done, peak)
    yield replace(
        summary,
        kernel_share=seconds and seconds / trainer.source.tokens * summary.tokens_per_second,
    )


def kernel_seconds(run: Callable[[], int], device: "torch.device") -> float | None:
    """Seconds in which kernels and copies ran while `run` did; None where there is no CUDA, or
    nobody can look into it."""
    if device.type != "cuda":
        return None
    import torch

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run()
        torch.cuda.synchronize(device)
    return busy_seconds(profile.events()) or None


def busy_seconds(events: "Iterable[FunctionEvent]") -> float:
    """Seconds covered by the `events` (torch's, times in microseconds) of the device: where some
    overlap, once."""
    from torch.autograd import DeviceType

    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in events
        if event.device_type == DeviceType.CUDA and not event.is_user_annotation
    )
    busy, until = 0.0, 0.0
    for start, end in spans:
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    return busy / 1e6


def _summary(done: list[Round], peak: int) -> Summary:
    median = statistics.median
    summary = Summary(
        median(r.ours for r in done),
        median(r.products for r in done),
        median(r.products / r.ours for r in done),
        peak,
    )
    beside = [(r.plain, r.ours / r.plain) for r in done if r.plain]
    if not beside:
        return summary
    return replace(
        summary,
        plain_tokens_per_second=median(p for p, _ in beside),
        ratio_plain=median(ratio for _, ratio in beside),
    )


def _trainer(plan: Plan, steps: int) -> "Trainer":
    """The trainer of `plan`, for `steps` steps at a time, without validation; nothing is kept for
    going on, which would be timed. Its budget is one step more: at the end of its budget a run
    reads the last batch once again, to see whether its weights are good."""
    from rnnlm.config import Budget

    trainer: Trainer = resolve_name(f"{plan.kind.fitting}:make_trainer")(
        plan.resolved, replace(cast(Any, plan.data), valid=None)
    )
    trainer.clock.budget = Budget(steps=steps + 1)
    trainer.resumable = False
    trainer.rollbacks.limit = 0
    return trainer


def _timed(loop: Loop, device: "torch.device") -> float:
    """Tokens per second of `loop`."""
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
    """Begin the text again; windows stay of the lengths that they have."""
    source.load_state_dict(source.state_dict() | START)


def _batches(trainer: "Trainer", steps: int) -> "Iterator[tuple[tuple[torch.Tensor, ...], int]]":
    """What the trainer reads in one round."""
    _rewind(trainer.source)
    for _ in range(steps):
        before = trainer.source.tokens
        yield trainer.source.next().tensors, trainer.source.tokens - before


def _products_loop(trainer: "Trainer", batches: Batches) -> Loop:
    """The matrix products of one step, that of a batch of middling size, again and again."""
    from rnnlm.benchmarks.textbook import BareProducts
    from rnnlm.neural.device import training_products

    tensors, tokens = sorted(batches, key=lambda batch: batch[1])[len(batches) // 2]
    trainer.network.train()
    with BareProducts() as recorded:
        with training_products(trainer.precision, trainer.device):
            loss = trainer.objective.loss(
                tensors, trainer.objective.initial_carry(trainer.source.rows)
            ).mean_nats
        loss.backward()
    trainer.optimizer.zero_grad()
    multiply = recorded.repeat()

    def loop() -> int:
        for _ in batches:
            multiply()
        return tokens * len(batches)

    return loop


def _plain_loop(plan: Plan, trainer: "Trainer", batches: Batches, rows: int) -> Loop | None:
    """The loop of the textbooks; None where torch has no such layers. For language models at `rows`
    rows, over as many windows of the same text; for others over the same batches."""
    name = registry.task(plan.kind.task).textbook_loop
    if name is None:
        return None
    loop: Loop | None = resolve_name(name)(plan, trainer, batches, rows)
    return loop


def plain_language_model(plan: Plan, trainer: Any, batches: Batches, rows: int) -> Loop | None:
    """The loop of the textbooks for a language model, over as many windows of `rows` rows."""
    from rnnlm.benchmarks.textbook import is_in_torch, make_loop
    from rnnlm.neural.fitting.language_modelling import TextStreams

    settings = trainer.network.settings
    if not is_in_torch(settings):
        return None
    of_rows = replace(trainer.settings, batch_rows=rows)
    streams = TextStreams(
        cast(EncodedText, plan.data.train),
        plan.data.tokenizer.boundary_id,
        of_rows,
        1,
        trainer.device,
        multiple=trainer.source.multiple,
    )
    windows = islice(streams.windows(), len(batches))
    read = [streams.batch(window).tensors for _, window in windows]
    return make_loop(
        settings,
        plan.data.tokenizer.size,
        trainer.settings.learning_rate,
        read,
        trainer.precision,
        trainer.device,
    )


def plain_pairs(plan: Plan, trainer: Any, batches: Batches, rows: int) -> Loop | None:
    """The loop of the textbooks for an encoder-decoder, over the same batches."""
    from rnnlm.benchmarks.textbook import TextbookPairs, are_pairs_in_torch, make_pairs_loop

    settings, codec = trainer.network.settings, plan.data.tokenizer
    if not are_pairs_in_torch(settings, trainer.settings):
        return None
    network = TextbookPairs(settings, codec.source.size, codec.target.size)
    return make_pairs_loop(
        network,
        trainer.settings,
        cast(Any, [tensors for tensors, _ in batches]),
        trainer.precision,
        trainer.device,
    )


# ---- Encoder-decoders: each with and without input feeding, in fp32 and in this machine's own
# precision, measured as above.

FORMS = {"input_feeding": ("false", "true"), "precision": ("fp32", "auto")}


@dataclass(frozen=True)
class FormSpeed:
    """What one form of the network and one precision give, medians over the rounds."""

    input_feeding: bool
    precision: str
    summary: Summary

    def record(self) -> dict[str, Any]:
        """In JSON's types."""
        return {
            "input_feeding": self.input_feeding,
            "precision": self.precision,
            **asdict(self.summary),
        }


def bench_pairs(
    text: tuple[str, ...],
    recipe: str | None,
    assignments: dict[str, str],
    rounds: int,
    steps: int,
    alone: bool = False,
) -> Iterator[FormSpeed]:
    """Each form that `assignments` leave open; one precision where the machine's own is fp32. text:
    none: random pairs."""
    with tempfile.TemporaryDirectory() as folder:
        done = set()
        for form in _forms(assignments):
            planned = plan_pairs(text, recipe, assignments | form, Path(folder))
            feeds, precision = (
                bool(planned.resolved.values["input_feeding"]),
                _precision(planned.resolved.values),
            )
            if (feeds, precision) not in done:
                done.add((feeds, precision))
                *_, summary = bench_training(planned, rounds, steps, alone)
                yield FormSpeed(feeds, precision, cast(Summary, summary))


def _forms(assignments: dict[str, str]) -> list[dict[str, str]]:
    forms: list[dict[str, str]] = [{}]
    for name, values in FORMS.items():
        if name not in assignments:
            forms = [{**form, name: value} for form in forms for value in values]
    return forms


def _precision(values: Mapping[str, Any]) -> str:
    from rnnlm.neural.device import resolve_device, resolve_precision

    return resolve_precision(values["precision"], resolve_device(values["device"]))


# ---- Random pairs of lines, which stand for a corpus where none is given: lines as long as
# captions, words as often as words of that rank are (Zipf).

PAIRS, VOCABULARY = 4_000, 7_998  # words of either side; with </s> and <unk> 8,000 tokens
WORDS, SPREAD, SHORTEST, LONGEST = 14, 4, 4, 40  # of a line: mean, standard deviation, bounds
SETTINGS = {"tokenizer": "word", "column": "source", "target_column": "target"}  # that suit them


def plan_pairs(
    text: tuple[str, ...], recipe: str | None, assignments: dict[str, str], folder: Path
) -> Plan:
    """What training an encoder-decoder on all pairs of a text would be; on random ones, which are
    written to `folder`, where there is none."""
    settings = {"holdout": "0", **({} if text else SETTINGS), **assignments}
    path = folder / "pairs.tsv"
    if not text and not path.exists():
        path.write_text(
            "source\ttarget\n" + "".join(map("{}\t{}\n".format, *random_sides())), encoding="utf-8"
        )
    return plan(
        Request(
            text=text or (str(path),),
            recipe=recipe,
            assignments=settings,
            task="seq2seq",
            output=folder / "model",
        )
    )


def random_sides() -> tuple[list[str], list[str]]:
    """Sources and targets, those of a pair about as long; every word on either side once at least.
    The same ones each time."""
    random = np.random.default_rng(1)
    source_P = random.normal(WORDS, SPREAD, PAIRS)
    source, target = (
        list(_lines(random, length_P))
        for length_P in (source_P, source_P + random.normal(0, 2, PAIRS))
    )
    return source, target


def _lines(random: np.random.Generator, length_P: np.ndarray) -> Iterator[str]:
    ends_P = np.cumsum(length_P.round().clip(SHORTEST, LONGEST).astype(int))
    chance_V = 1 / np.arange(1, VOCABULARY + 1)
    drawn = random.choice(VOCABULARY, ends_P[-1] - VOCABULARY, p=chance_V / chance_V.sum())
    words = random.permutation(np.concatenate([np.arange(VOCABULARY), drawn]))
    for ids in np.split(words, ends_P[:-1]):
        yield " ".join(f"w{each}" for each in ids.tolist())

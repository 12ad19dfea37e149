"""Recurrent cells beside each other: as many parameters, as much time, as many trials."""

import itertools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

from rnnlm.benchmarks.growth import run_rnnlm
from rnnlm.config import as_text
from rnnlm.errors import ModelError, RnnlmError, UsageError, nearest
from rnnlm.files import lock
from rnnlm.files.writing import replace_file, writing
from rnnlm.models.metrics_log import fitted
from rnnlm.models.model_folder import read_manifest
from rnnlm.neural.layers.layers import RecurrentStack
from rnnlm.neural.settings import RecurrentSettings, network_settings

# ---- The cells that are compared, and the width at which each has a given number of parameters.

CELLS: Mapping[str, Mapping[str, Any]] = {
    "elman": {"model": "rnn", "activation": "tanh"},
    "irnn": {  # of one stream without end, a sum grows without bound: hence the gain below 1
        "model": "rnn", "activation": "relu", "init_recurrent": "identity", "init_gain": 0.9,
        "init_input": "uniform", "init_range": 0.05,
    },
    "gru": {"model": "gru"},
    "lstm": {"model": "lstm"},
    "coupled-lstm": {"model": "lstm", "coupled_gates": True},
    "mogrifier": {"model": "lstm", "mogrifier_rounds": 5, "mogrifier_rank": 64},
    "qrnn": {"model": "qrnn"},
}  # fmt: skip
# One layer of each. What is not named here is the same in all kinds by default. The softmax is
# sampled in training, and no validation is for the curve alone: the time is the cell's.
COMMON: Mapping[str, Any] = {
    "layers": 1, "tied": True, "loss": "sampled", "batch_rows": 32, "bptt_tokens": 35,
    "optimizer": "adamw", "weight_decay": 0.01,
    "clip_norm": 0.25, "schedule": "cosine", "warmup": 0.03, "patience": None, "min_validations": 0,
}  # fmt: skip
MOST_UNITS = 1 << 15


def settings_of(cell: str, width: int, embedding_size: int) -> dict[str, Any]:
    """All settings of a cell that is so wide, without those that are tuned."""
    return {**COMMON, **CELLS[cell], "hidden_size": width, "embedding_size": embedding_size}


def parameters_of(cell: str, width: int, embedding_size: int) -> int:
    """The weights of the layer and of the projection to the width of word vectors: all but word
    vectors and the biases of the output."""
    settings = dict(CELLS[cell]) | {
        "layers": 1,
        "hidden_size": width,
        "embedding_size": embedding_size,
    }
    with torch.device("meta"):
        shape = network_settings(settings["model"], **settings)
        assert isinstance(shape, RecurrentSettings)
        stack = RecurrentStack(shape)
    projection = (width + 1) * embedding_size if width != embedding_size else 0
    return sum(parameter.numel() for parameter in stack.parameters()) + projection


def width_for(cell: str, parameters: int, embedding_size: int) -> int:
    """The width whose number of parameters comes nearest to `parameters`."""
    low, high = 1, MOST_UNITS
    if (
        not parameters_of(cell, low, embedding_size)
        <= parameters
        <= parameters_of(cell, high, embedding_size)
    ):
        raise UsageError(
            f"{cell}: no width has {parameters:,} parameters beside word vectors of "
            f"{embedding_size}"
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (middle, high)
            if parameters_of(cell, middle, embedding_size) <= parameters
            else (low, middle)
        )
    return min(
        (low, high), key=lambda width: abs(parameters_of(cell, width, embedding_size) - parameters)
    )


# ---- The comparison: for each cell the same trials of learning rate and dropout, and the best of
# them again with other seeds.
#
# Each run is `rnnlm train` in a process of its own, so that time and memory are its own. What has
# ended stands in `cells.json` of the folder and is not done again; a run that was cut off goes on
# from its checkpoint.

RECORD = "cells.json"  # in the folder of a comparison: what was asked, and the runs that have ended
# what all runs of a folder have in common
SHARED = ("text", "valid", "parameters", "embedding_size", "budget", "trial_budget", "more")


@dataclass(frozen=True)
class Question:
    """What is compared. text, valid: as `rnnlm train` takes them; none: the bundled corpus.
    parameters: of each layer with its projection. budget: of each run. trial_budget: of each trial;
    None: the same, so that the best trial is also the run of the first seed. rates, dropouts: each
    pair is a trial, of the first seed."""

    text: tuple[str, ...] = ()
    valid: tuple[str, ...] = ()
    cells: tuple[str, ...] = tuple(CELLS)
    parameters: int = 4_000_000
    embedding_size: int = 300
    budget: str = "10m"
    trial_budget: str | None = None
    rates: tuple[float, ...] = (0.001, 0.002, 0.004)
    dropouts: tuple[float, ...] = (0.2, 0.4)
    seeds: tuple[int, ...] = (1, 2, 3)
    more: tuple[str, ...] = ()  # options of `rnnlm train` for all runs

    @property
    def budget_of_trials(self) -> str:
        return self.budget if self.trial_budget is None else self.trial_budget

    @property
    def has_short_trials(self) -> bool:
        """Trials have a budget of their own, so that none of them is the run of the first seed,
        too."""
        return self.budget_of_trials != self.budget

    @property
    def runs(self) -> int:
        """How many there are."""
        again = len(self.seeds) - (not self.has_short_trials)
        return len(self.cells) * (len(self.rates) * len(self.dropouts) + again)


@dataclass(frozen=True)
class Run:
    """One training. ppl: exact, per token of the validation text; None where the run diverged.
    peak_bytes: of the memory of its process; None where the run diverged."""

    cell: str
    learning_rate: float
    dropout: float
    seed: int
    ppl: float | None
    steps: int
    tokens_per_second: float
    peak_bytes: int | None
    is_short: bool = False


@dataclass(frozen=True)
class Result:
    """A cell at its best rate and dropout: the geometric mean of perplexities over seeds, with the
    95 % interval of Student's t over their logarithms (None with one seed); means of the other
    figures. ppl is None where a run diverged."""

    cell: str
    width: int
    parameters: int
    learning_rate: float
    dropout: float
    trials: int
    seeds: int
    ppl: float | None
    low: float | None
    high: float | None
    steps: int
    tokens_per_second: float
    peak_bytes: int | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare(question: Question, folder: Path) -> Iterator[Run | Result]:
    """Each run as it ends, or as `folder` has it, and at the end the result of each cell. All cells
    have their first trial, then all their second one, and so on, and the seeds alike: a machine
    that becomes slower or quicker meanwhile does so for all of them.

    Raises:
        UsageError: there is no such cell, no width fits, or the folder holds runs of another
            question. RnnlmError: a run failed.
    """
    _check(question)
    widths = {
        cell: width_for(cell, question.parameters, question.embedding_size)
        for cell in question.cells
    }
    with lock.held(folder, "comparison"):
        yield from _compared(question, folder, widths)


def _compared(question: Question, folder: Path, widths: dict[str, int]) -> Iterator[Run | Result]:
    done = _Done(folder, question)
    trials: dict[str, list[Run]] = {cell: [] for cell in widths}
    for rate, dropout, (cell, width) in itertools.product(
        question.rates, question.dropouts, widths.items()
    ):
        trials[cell].append(
            done.run(cell, width, rate, dropout, question.seeds[0], question.has_short_trials)
        )
        yield trials[cell][-1]
    best = {
        cell: min(tried, key=lambda run: math.inf if run.ppl is None else run.ppl)
        for cell, tried in trials.items()
    }
    runs: dict[str, list[Run]] = {cell: [] for cell in widths}
    for seed, (cell, width) in itertools.product(question.seeds, widths.items()):
        runs[cell].append(done.run(cell, width, best[cell].learning_rate, best[cell].dropout, seed))
        if runs[cell][-1] is not best[cell]:
            yield runs[cell][-1]
    for cell, width in widths.items():
        yield result_of(
            runs[cell],
            width,
            parameters_of(cell, width, question.embedding_size),
            len(trials[cell]),
        )


def _check(question: Question) -> None:
    for name in ("cells", "rates", "dropouts", "seeds"):
        if not getattr(question, name):
            raise UsageError(
                f"no {name} are named", hint=f"name some with --{name}, or leave that out"
            )
    for cell in question.cells:
        if cell not in CELLS:
            raise UsageError(f"there is no cell {cell!r} here", hint=nearest(cell, CELLS))


def result_of(runs: Sequence[Run], width: int, parameters: int, trials: int) -> Result:
    """What the runs of one cell, with several seeds, came to."""
    means = {
        name: statistics.fmean(getattr(run, name) for run in runs)
        for name in ("steps", "tokens_per_second")
    }
    sizes = [run.peak_bytes for run in runs if run.peak_bytes is not None]
    best = runs[0]
    return Result(
        best.cell, width, parameters, best.learning_rate, best.dropout, trials, len(runs),
        *_mean_ppl([run.ppl for run in runs]),
        round(means["steps"]), means["tokens_per_second"],
        round(statistics.fmean(sizes)) if sizes else None,
    )  # fmt: skip


def _mean_ppl(ppls: Sequence[float | None]) -> tuple[float | None, float | None, float | None]:
    """The geometric mean, and the bounds of its interval."""
    nats = [math.log(ppl) for ppl in ppls if ppl is not None]
    if len(nats) < len(ppls):
        return None, None, None
    middle = statistics.fmean(nats)
    if len(nats) == 1:
        return math.exp(middle), None, None
    from scipy.stats import t

    half = float(t.ppf(0.975, len(nats) - 1)) * statistics.stdev(nats) / math.sqrt(len(nats))
    return math.exp(middle), math.exp(middle - half), math.exp(middle + half)


@dataclass
class _Record:
    """The content of the record. asked: what all its runs have in common."""

    asked: dict[str, Any]
    runs: list[Run]


class _Done:
    """The runs that the folder has, and how to get those it lacks."""

    def __init__(self, folder: Path, question: Question) -> None:
        self.folder, self.question, self.path = folder, question, folder / RECORD
        asked = {
            name: list(value) if isinstance(value := getattr(question, name), tuple) else value
            for name in SHARED
        }
        self.record = _Record(asked, [])
        if not self.path.is_file():
            return
        try:
            self.record = msgspec.json.decode(self.path.read_bytes(), type=_Record)
        except msgspec.MsgspecError as error:
            raise ModelError(
                f"{self.path} is damaged", str(error), "choose another folder with -o"
            ) from None
        others = [name for name in SHARED if self.record.asked.get(name) != asked[name]]
        if others:
            why = f"its {others[0]} is {self.record.asked.get(others[0])}, not {asked[others[0]]}"
            raise UsageError(
                f"{folder} holds another comparison",
                why,
                "repeat its options, or choose another folder with -o",
            )

    def run(
        self, cell: str, width: int, rate: float, dropout: float, seed: int, is_short: bool = False
    ) -> Run:
        asked = cell, rate, dropout, seed, is_short
        for each in self.record.runs:
            if (each.cell, each.learning_rate, each.dropout, each.seed, each.is_short) == asked:
                return each
        self.record.runs.append(self._trained(cell, width, rate, dropout, seed, is_short))
        with writing(self.folder):
            replace_file(self.path, msgspec.json.format(msgspec.json.encode(self.record)))
        return self.record.runs[-1]

    def _trained(
        self, cell: str, width: int, rate: float, dropout: float, seed: int, is_short: bool
    ) -> Run:
        budget = self.question.budget_of_trials if is_short else self.question.budget
        trial = ",trial" if is_short else ""
        output = (
            self.folder / cell / f"learning_rate={rate:g},dropout={dropout:g},seed={seed}{trial}"
        )
        settings = settings_of(cell, width, self.question.embedding_size)
        kind = settings.pop("model")
        settings |= {"learning_rate": rate, "dropout_input": dropout, "dropout_output": dropout}
        given = [
            word
            for name, value in settings.items()
            for word in ("--set", f"{name}={as_text(value)}")
        ]
        valid = [word for path in self.question.valid for word in ("--valid", path)]
        arguments = (
            *self.question.text, *valid, "--model", kind, *given, "--budget", budget, "--seed",
            str(seed),
            *self.question.more, "--resume", "auto", "-o", str(output),
        )  # fmt: skip
        try:
            peak: int | None = run_rnnlm("train", *arguments).peak_bytes
        except RnnlmError:
            if fitted(output).get("stopped") != "diverged":
                raise
            peak = None
        ended = fitted(output)
        ppl = None if peak is None else read_manifest(output).results["valid"]["ppl_token"]
        return Run(
            cell,
            rate,
            dropout,
            seed,
            ppl,
            ended["steps"],
            ended["tokens"] / ended["seconds"],
            peak,
            is_short,
        )

"""Recurrent cells compared under equal conditions: as many parameters, as much time, as many
trials."""

import itertools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

from rnnlm.benchmarks.processes import run_rnnlm
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
    "irnn": {  # over an endless stream, a sum grows without bound: hence the gain below 1
        "model": "rnn", "activation": "relu", "init_recurrent": "identity", "init_gain": 0.9,
        "init_input": "uniform", "init_range": 0.05,
    },
    "gru": {"model": "gru"},
    "lstm": {"model": "lstm"},
    "coupled-lstm": {"model": "lstm", "coupled_gates": True},
    "mogrifier": {"model": "lstm", "mogrifier_rounds": 5, "mogrifier_rank": 64},
    "qrnn": {"model": "qrnn"},
}  # fmt: skip
# One layer of each. Settings that are not named here have the same default in all kinds. The
# softmax is sampled, and no validation is there for the curve alone: time goes into the cell.
COMMON: Mapping[str, Any] = {
    "layers": 1, "tied": True, "loss": "sampled", "batch_rows": 32, "bptt_tokens": 35,
    "optimizer": "adamw", "weight_decay": 0.01,
    "clip_norm": 0.25, "schedule": "cosine", "warmup": 0.03, "patience": None, "min_validations": 0,
}  # fmt: skip
MOST_UNITS = 1 << 15


def settings_of(cell: str, width: int, embedding_size: int) -> dict[str, Any]:
    """Return all settings of a cell of this width, without those that are tuned."""
    return {**COMMON, **CELLS[cell], "hidden_size": width, "embedding_size": embedding_size}


def parameters_of(cell: str, width: int, embedding_size: int) -> int:
    """Count the parameters of the layer and of the projection to the width of word vectors: all but
    the word vectors and the biases of the output."""
    settings = {**CELLS[cell], "hidden_size": width, "embedding_size": embedding_size, "layers": 1}
    with torch.device("meta"):
        shape = network_settings(settings["model"], **settings)
        assert isinstance(shape, RecurrentSettings)
        stack = RecurrentStack(shape)
    count = sum(parameter.numel() for parameter in stack.parameters())
    if width != embedding_size:
        count += (width + 1) * embedding_size
    return count


def width_for(cell: str, parameters: int, embedding_size: int) -> int:
    """Return the width whose number of parameters is nearest to `parameters`."""
    low, high = 1, MOST_UNITS
    fewest = parameters_of(cell, low, embedding_size)
    most = parameters_of(cell, high, embedding_size)
    if not fewest <= parameters <= most:
        raise UsageError(
            f"{cell}: no width has {parameters:,} parameters beside word vectors of "
            f"{embedding_size}"
        )

    # Wider cells have more parameters: search by halves, down to two neighbours.
    while high - low > 1:
        middle = (low + high) // 2
        if parameters_of(cell, middle, embedding_size) <= parameters:
            low = middle
        else:
            high = middle
    below = parameters - parameters_of(cell, low, embedding_size)
    above = parameters_of(cell, high, embedding_size) - parameters
    return low if below <= above else high


# ---- The comparison: for each cell the same trials of learning rate and dropout, and the best of
# them again with other seeds.
#
# Each run is `rnnlm train` in a separate process, so that time and memory are that run's alone.
# Runs that have ended are recorded in `cells.json` of the folder and not repeated; a run that was
# cut off is resumed from its checkpoint.

RECORD = "cells.json"  # in the folder of a comparison: the question, and the runs that have ended
# The fields of a question that are the same for all runs of a folder.
SHARED = ("text", "valid", "parameters", "embedding_size", "budget", "trial_budget", "more")


@dataclass(frozen=True)
class Question:
    """What to compare. text, valid: as `rnnlm train` takes them; none: the bundled corpus.
    parameters: of each layer with its projection. budget: of each run. trial_budget: of each trial;
    None: the same, so that the best trial is also the run with the first seed. rates, dropouts:
    each pair is a trial, with the first seed."""

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
        """Whether trials have another budget than runs, so that no trial is the run with the first
        seed as well."""
        return self.budget_of_trials != self.budget

    @property
    def runs(self) -> int:
        """The number of runs, trials included."""
        trials = len(self.rates) * len(self.dropouts)
        seeds = len(self.seeds)
        if not self.has_short_trials:
            seeds -= 1  # the best trial is the run with the first seed
        return len(self.cells) * (trials + seeds)


@dataclass(frozen=True)
class Run:
    """One training. ppl: exact, per token of the validation text. peak_bytes: the memory of its
    process. Both are None if the run diverged."""

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
    """The result of a cell at its best learning rate and dropout. ppl: the geometric mean over
    seeds, with the 95 % interval of Student's t over the logarithms (None with one seed); None if a
    run diverged. Other numbers are means."""

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
    """Yield each run as it ends, or as `folder` has it, and at the end the result of each cell.

    All cells have their first trial, then all have their second, and so on; so do the seeds: a
    machine that becomes slower or faster does so for all of them.
    """
    _check(question)
    widths = {}
    for cell in question.cells:
        widths[cell] = width_for(cell, question.parameters, question.embedding_size)
    with lock.held(folder, "comparison"):
        yield from _compared(question, folder, widths)


def _compared(question: Question, folder: Path, widths: dict[str, int]) -> Iterator[Run | Result]:
    done = _Done(folder, question)

    # Try each learning rate with each dropout.
    trials: dict[str, list[Run]] = {cell: [] for cell in widths}
    first_seed, is_short = question.seeds[0], question.has_short_trials
    for rate, dropout in itertools.product(question.rates, question.dropouts):
        for cell, width in widths.items():
            trial = done.run(cell, width, rate, dropout, first_seed, is_short)
            trials[cell].append(trial)
            yield trial
    best = {cell: min(tried, key=_ppl_or_worst) for cell, tried in trials.items()}

    # Run the best trial with every seed; with one of them, it may be done already.
    runs: dict[str, list[Run]] = {cell: [] for cell in widths}
    for seed, (cell, width) in itertools.product(question.seeds, widths.items()):
        run = done.run(cell, width, best[cell].learning_rate, best[cell].dropout, seed)
        runs[cell].append(run)
        if run is not best[cell]:
            yield run

    for cell, width in widths.items():
        parameters = parameters_of(cell, width, question.embedding_size)
        yield result_of(runs[cell], width, parameters, len(trials[cell]))


def _ppl_or_worst(run: Run) -> float:
    return math.inf if run.ppl is None else run.ppl


def _check(question: Question) -> None:
    for name in ("cells", "rates", "dropouts", "seeds"):
        if not getattr(question, name):
            raise UsageError(
                f"no {name} are named", hint=f"name some with --{name}, or leave that out"
            )
    for cell in question.cells:
        if cell not in CELLS:
            raise UsageError(f"unknown cell {cell!r}", hint=nearest(cell, CELLS))


def result_of(runs: Sequence[Run], width: int, parameters: int, trials: int) -> Result:
    """Return the result of one cell from its runs with several seeds."""
    ppl, low, high = _mean_ppl([run.ppl for run in runs])
    sizes = [run.peak_bytes for run in runs if run.peak_bytes is not None]
    return Result(
        cell=runs[0].cell,
        width=width,
        parameters=parameters,
        learning_rate=runs[0].learning_rate,
        dropout=runs[0].dropout,
        trials=trials,
        seeds=len(runs),
        ppl=ppl,
        low=low,
        high=high,
        steps=round(statistics.fmean(run.steps for run in runs)),
        tokens_per_second=statistics.fmean(run.tokens_per_second for run in runs),
        peak_bytes=round(statistics.fmean(sizes)) if sizes else None,
    )


def _mean_ppl(ppls: Sequence[float | None]) -> tuple[float | None, float | None, float | None]:
    """Return the geometric mean and the bounds of its interval; nothing if a run diverged."""
    nats = [math.log(ppl) for ppl in ppls if ppl is not None]
    if len(nats) < len(ppls):
        return None, None, None
    middle = statistics.fmean(nats)
    if len(nats) == 1:
        return math.exp(middle), None, None
    from scipy.stats import t

    quantile = float(t.ppf(0.975, len(nats) - 1))
    half = quantile * statistics.stdev(nats) / math.sqrt(len(nats))
    return math.exp(middle), math.exp(middle - half), math.exp(middle + half)


@dataclass
class _Record:
    """The content of the record. asked: what its runs have in common."""

    asked: dict[str, Any]
    runs: list[Run]


class _Done:
    """The runs that the folder has. It trains those that are missing."""

    def __init__(self, folder: Path, question: Question) -> None:
        self.folder = folder
        self.question = question
        self.path = folder / RECORD

        # Tuples become lists, as JSON has them.
        asked = {}
        for name in SHARED:
            value = getattr(question, name)
            asked[name] = list(value) if isinstance(value, tuple) else value
        self.record = _Record(asked, [])
        if not self.path.is_file():
            return

        # A record is there: it must be of the same question.
        try:
            self.record = msgspec.json.decode(self.path.read_bytes(), type=_Record)
        except msgspec.MsgspecError as error:
            raise ModelError(
                f"{self.path} is damaged", str(error), "choose another folder with -o"
            ) from None
        others = [name for name in SHARED if self.record.asked.get(name) != asked[name]]
        if others:
            name = others[0]
            why = f"its {name} is {self.record.asked.get(name)}, not {asked[name]}"
            raise UsageError(
                f"{folder} holds another comparison",
                why,
                "repeat its options, or choose another folder with -o",
            )

    def run(
        self, cell: str, width: int, rate: float, dropout: float, seed: int, is_short: bool = False
    ) -> Run:
        """Return the run with these settings, from the record or trained now."""
        asked = cell, rate, dropout, seed, is_short
        for each in self.record.runs:
            if (each.cell, each.learning_rate, each.dropout, each.seed, each.is_short) == asked:
                return each
        run = self._trained(cell, width, rate, dropout, seed, is_short)
        self.record.runs.append(run)
        with writing(self.folder):
            replace_file(self.path, msgspec.json.format(msgspec.json.encode(self.record)))
        return run

    def _trained(
        self, cell: str, width: int, rate: float, dropout: float, seed: int, is_short: bool
    ) -> Run:
        name = f"learning_rate={rate:g},dropout={dropout:g},seed={seed}"
        budget = self.question.budget
        if is_short:
            name += ",trial"
            budget = self.question.budget_of_trials
        output = self.folder / cell / name

        # The command. A run that was cut off before is resumed.
        settings = settings_of(cell, width, self.question.embedding_size)
        kind = settings.pop("model")
        settings |= {"learning_rate": rate, "dropout_input": dropout, "dropout_output": dropout}
        arguments = list(self.question.text)
        for path in self.question.valid:
            arguments += ["--valid", path]
        arguments += ["--model", kind]
        for setting, value in settings.items():
            arguments += ["--set", f"{setting}={as_text(value)}"]
        arguments += ["--budget", budget, "--seed", str(seed), *self.question.more]
        arguments += ["--resume", "auto", "-o", str(output)]

        # To diverge is a result, too; any other failure ends the comparison.
        peak, ppl = None, None
        try:
            peak = run_rnnlm("train", *arguments).peak_bytes
        except RnnlmError:
            if fitted(output).get("stopped") != "diverged":
                raise
        else:
            ppl = read_manifest(output).results["valid"]["ppl_token"]
        ended = fitted(output)
        speed = ended["tokens"] / ended["seconds"]
        return Run(cell, rate, dropout, seed, ppl, ended["steps"], speed, peak, is_short)

"""Events of a training run. Each event is a frozen value; the caller decides what to show.

kind: its name in metrics.jsonl, which stays when a class is renamed.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from rnnlm.interface import LanguageModel

PERPLEXITY = "ppl_token"  # the metric by which language models are chosen


def never() -> bool:
    """Never stop and never save: the default of both."""
    return False


# ---- Work that others may interrupt: the server stops a request that nobody waits for any more,
# and lets the requests of others take their turn.

_thread = threading.local()


@contextlib.contextmanager
def interruptible(check: Callable[[], None]) -> Iterator[None]:
    """Call `check` at each interruption point that this thread comes to; it may wait, or raise."""
    _thread.check = check
    try:
        yield
    finally:
        del _thread.check


def interruption_point() -> None:
    """Mark a place between two pieces of work."""
    check = getattr(_thread, "check", None)
    if check is not None:
        check()


def tokens_of_a_piece(most: int, interruptible_most: int) -> int:
    """Return how many tokens a piece of work may have: `most`, and in a thread that others may
    interrupt `interruptible_most`."""
    is_interruptible = getattr(_thread, "check", None) is not None
    return max(1, min(most, interruptible_most)) if is_interruptible else most


class SaveSignal:
    """Call it to ask whether the run should save a checkpoint now: the caller asked, or a failed
    write is due to be tried again.

    retry_at: on time.monotonic's clock; None where all is saved.
    """

    def __init__(self, asked: Callable[[], bool] = never) -> None:
        self.asked = asked
        self.retry_at: float | None = None

    @property
    def is_retry_due(self) -> bool:
        return self.retry_at is not None and time.monotonic() >= self.retry_at

    def __call__(self) -> bool:
        return self.asked() or self.is_retry_due


@dataclass(frozen=True)
class TrainingState:
    """The state that an interrupted run resumes from: facts that JSON can hold (`step` among them),
    and arrays by name."""

    facts: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(repr=False)


@dataclass(frozen=True)
class Started:
    """Training begins."""

    kind: ClassVar = "started"
    model: str
    parameters: int | None  # None until n-grams are counted
    vocabulary_size: int
    train_tokens: int
    valid_tokens: int
    device: str
    precision: str
    rows: int = 1
    bptt_tokens: int = 0
    validation: str = ""  # how validation during training reads the text
    step: int = 0  # done in earlier pieces of the run
    processes: int = 1
    cuda_graphs: bool = False  # whether steps are recorded as CUDA graphs


@dataclass(frozen=True)
class Counting:
    """Progress of a long count of n-grams. share: of this phase, from 0 to 1; seconds_left: until
    it ends, None while unknown."""

    kind: ClassVar = "counting"
    phase: str
    share: float
    seconds: float  # since training began
    seconds_left: float | None


@dataclass(frozen=True)
class Counted:
    """The n-grams of one order are counted."""

    kind: ClassVar = "counted"
    order: int
    ngrams: int
    seconds: float


@dataclass(frozen=True)
class Estimated:
    """Counts became a model. `estimated`: discounts and weights, by name."""

    kind: ClassVar = "estimated"
    ngrams: tuple[int, ...]  # of each order, after pruning
    estimated: dict[str, Any]
    model_bytes: int
    peak_bytes: int  # of this process, so far
    seconds: float


@dataclass(frozen=True)
class Step:
    """Progress since the last such event. loss_nats: the mean loss per token over these steps."""

    kind: ClassVar = "step"
    step: int
    epoch: float
    tokens: int  # read so far
    loss_nats: float
    learning_rate: float
    tokens_per_second: float
    progress: float  # share of the budget used, 0 to 1
    seconds: float
    # whether the loss is the cross-entropy, so that exp of it is a perplexity
    is_exact: bool = True
    gradient_norm: float = 0.0  # mean over those steps, before clipping
    gradient_norm_max: float = 0.0  # the largest of them
    # Euclidean, of all weights after the last of them but the biases of the output layer
    weight_norm: float = 0.0


@dataclass(frozen=True)
class RolledBack:
    """The numbers went wrong: the run continues from its last sound state, at a lower learning
    rate."""

    kind: ClassVar = "rolledback"
    step: int  # by which it was noticed
    to_step: int  # of the sound state
    why: str
    count: int  # how often this has happened in the run, this time included
    left: int  # how often it may still happen
    rate_factor: float  # by which the learning rate is multiplied from now on
    seconds: float


@dataclass(frozen=True)
class Validated:
    """A validation has ended. improved: `model` holds the best weights so far and should be saved
    now.

    share: the share of the validation text that was read.
    """

    kind: ClassVar = "validated"
    step: int
    epoch: float
    figures: dict[str, float]  # metrics by name
    best: float | None  # of the criterion so far
    improved: bool
    seconds: float
    model: LanguageModel = field(repr=False)
    criterion: str = PERPLEXITY  # the metric by which the best weights are chosen
    is_share: bool = False  # whether the criterion is a share of 1, which people read in percent
    share: float = 1.0
    # of each recurrent layer, as neural/fitting/progress.py measures it
    layers: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def ppl_token(self) -> float | None:
        """The perplexity per token; None if it was not measured."""
        return self.figures.get(PERPLEXITY)

    @property
    def best_ppl_token(self) -> float | None:
        """The best perplexity per token so far; None if another metric selects the best weights."""
        return self.best if self.criterion == PERPLEXITY else None

    def record(self) -> dict[str, Any]:
        """Return the fields that metrics.jsonl stores, in the order of its columns."""
        record: dict[str, Any] = {"step": self.step, "epoch": self.epoch}
        record |= self.figures
        record[f"best_{self.criterion}"] = self.best
        record["improved"] = self.improved
        if self.share < 1:
            record["share"] = round(self.share, 4)
        record["seconds"] = self.seconds
        if self.layers:
            record["layers"] = self.layers
        return record


@dataclass(frozen=True)
class Checkpoint:
    """A state that the run can resume from, to be stored. `model`: the current weights, to be saved
    with it, where no validation has kept any; else None."""

    kind: ClassVar = "kept"
    step: int
    seconds: float
    state: TrainingState = field(repr=False)
    model: LanguageModel | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Fitted:
    """The family's own fitting ended. `model` holds the best weights, those of `step` (0: no sound
    ones); `steps` were done in all."""

    kind: ClassVar = "fitted"
    step: int
    steps: int
    tokens: int
    seconds: float
    # why: "complete" (there is nothing more to do), "budget", "early" (no improvement), "request"
    # (the caller asked), "diverged" (`facts["divergence"]` says how)
    stopped: str
    # None where it was stopped before there was one
    model: LanguageModel | None = field(repr=False)
    # the metric of these weights in validation; None where there was none
    best: float | None = None
    # what was found out on the way, to be kept with the model
    facts: dict[str, Any] = field(default_factory=dict)
    # what the run can resume from, if it can
    state: TrainingState | None = field(default=None, repr=False)
    criterion: str = PERPLEXITY  # the name of the metric `best`

    @property
    def best_ppl_token(self) -> float | None:
        """The best perplexity per token so far; None if another metric selects the best weights."""
        return self.best if self.criterion == PERPLEXITY else None


@dataclass(frozen=True)
class ModelSaved:
    """The model folder now holds the best weights so far."""

    kind: ClassVar = "saved"
    folder: str
    step: int


@dataclass(frozen=True)
class CheckpointSaved:
    """The folder now holds a checkpoint that the run can resume from."""

    kind: ClassVar = "stored"
    folder: str
    step: int


@dataclass(frozen=True)
class SaveFailed:
    """Something could not be written; training continues, or waits for the next try (`is_pausing`).
    What was in the folder is whole, and the write is tried again, `retry_seconds` later or when the
    next checkpoint is due. failures: how many tries have failed in a row."""

    kind: ClassVar = "unsaved"
    folder: str
    step: int
    why: str
    retry_seconds: float
    failures: int = 1
    is_pausing: bool = False


@dataclass(frozen=True)
class Evaluating:
    """The exact evaluation of `texts` begins; everything else of the run is saved."""

    kind: ClassVar = "evaluating"
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Finished:
    """The run has ended. results: the exact evaluations, as
    :class:`rnnlm.evaluation.metrics.Evaluation` dictionaries."""

    kind: ClassVar = "finished"
    folder: str
    step: int
    steps: int
    seconds: float
    stopped: str
    results: dict[str, dict[str, Any]]


Event = (
    Started
    | Counting
    | Counted
    | Estimated
    | Step
    | RolledBack
    | Validated
    | Checkpoint
    | Fitted
    | ModelSaved
    | CheckpointSaved
    | SaveFailed
    | Evaluating
    | Finished
)

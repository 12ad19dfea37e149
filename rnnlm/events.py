"""Events of a training run. Each event is a frozen value; the caller decides what to show.

The `kind` of an event is its name in metrics.jsonl, which stays when a class is renamed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from rnnlm.config import Choice
from rnnlm.interface import LanguageModel

PERPLEXITY = "ppl_token"  # the metric by which language models are chosen


def never() -> bool:
    """Never stop and never save: the default of both."""
    return False


class SaveSignal:
    """Call it to ask whether the run should save a checkpoint now: the caller asked, or a failed
    write is due to be tried again.

    It is tried again at `retry_at` on time.monotonic's clock, which is None where all is saved.
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
    """The state from which an interrupted run resumes.

    Attributes:
        facts: Values that JSON can hold (`step` among them).
        arrays: Arrays by name.
    """

    facts: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(repr=False)


@dataclass(frozen=True)
class Chosen:
    """The program has chosen settings that nobody set.

    Attributes:
        choices: The choices, in the order in which they were made.
    """

    kind: ClassVar = "chosen"
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Started:
    """Training begins.

    Attributes:
        model: Kind of model, such as "lstm".
        parameters: Number of parameters; None until n-grams are counted.
        vocabulary_size: Number of tokens of the vocabulary.
        train_tokens: Number of tokens of the training text.
        valid_tokens: Number of tokens of the validation text.
        device: Device of the computation, such as "cpu".
        precision: Precision of the computation, such as "fp32".
        rows: Number of rows read side by side.
        bptt_tokens: Number of tokens per row and step, over which gradients flow.
        validation: How validation during training reads the text.
        step: Number of steps done in earlier pieces of the run.
        processes: Number of training processes.
        cuda_graphs: Whether steps are recorded as CUDA graphs.
    """

    kind: ClassVar = "started"
    model: str
    parameters: int | None
    vocabulary_size: int
    train_tokens: int
    valid_tokens: int
    device: str
    precision: str
    rows: int = 1
    bptt_tokens: int = 0
    validation: str = ""
    step: int = 0
    processes: int = 1
    cuda_graphs: bool = False


@dataclass(frozen=True)
class Counting:
    """Progress of a long count of n-grams.

    Attributes:
        phase: Name of the phase.
        share: Share of this phase that is done, 0 to 1.
        seconds: Time since training began.
        seconds_left: Time until the phase ends; None while unknown.
    """

    kind: ClassVar = "counting"
    phase: str
    share: float
    seconds: float
    seconds_left: float | None


@dataclass(frozen=True)
class Counted:
    """The n-grams of one order are counted.

    Attributes:
        order: The order.
        ngrams: Number of different n-grams.
        seconds: Time since training began.
    """

    kind: ClassVar = "counted"
    order: int
    ngrams: int
    seconds: float


@dataclass(frozen=True)
class Estimated:
    """Counts became a model.

    Attributes:
        ngrams: Number of n-grams of each order, after pruning.
        estimated: Discounts and weights, by name.
        model_bytes: Size of the model.
        peak_bytes: Peak memory of this process so far.
        seconds: Time since training began.
    """

    kind: ClassVar = "estimated"
    ngrams: tuple[int, ...]
    estimated: dict[str, Any]
    model_bytes: int
    peak_bytes: int
    seconds: float


@dataclass(frozen=True)
class Step:
    """Progress since the last such event.

    Attributes:
        step: Number of steps done.
        epoch: Number of epochs done.
        tokens: Number of tokens read so far.
        loss_nats: Mean loss per token over the steps since the last event.
        learning_rate: Current learning rate.
        tokens_per_second: Speed over these steps.
        progress: Share of the budget used, 0 to 1.
        seconds: Training time so far.
        is_exact: Whether the loss is the cross-entropy, so that exp(loss_nats) is a perplexity.
        gradient_norm: Mean norm of the gradients of these steps, before clipping.
        gradient_norm_max: Largest norm of these gradients.
        weight_norm: Euclidean norm of all weights after the last of these steps, except the biases
            of the output layer.
    """

    kind: ClassVar = "step"
    step: int
    epoch: float
    tokens: int
    loss_nats: float
    learning_rate: float
    tokens_per_second: float
    progress: float
    seconds: float
    is_exact: bool = True
    gradient_norm: float = 0.0
    gradient_norm_max: float = 0.0
    weight_norm: float = 0.0


@dataclass(frozen=True)
class RolledBack:
    """The numbers went wrong: the run continues from its last sound state, at a lower learning
    rate.

    Attributes:
        step: Step at which the fault was noticed.
        to_step: Step of the sound state.
        why: Reason, in words.
        count: Number of rollbacks in the run, this one included.
        left: Number of rollbacks that are still allowed.
        rate_factor: Factor on the learning rate from now on.
        seconds: Training time so far.
    """

    kind: ClassVar = "rolledback"
    step: int
    to_step: int
    why: str
    count: int
    left: int
    rate_factor: float
    seconds: float


@dataclass(frozen=True)
class Validated:
    """A validation has ended.

    Attributes:
        step: Number of steps done.
        epoch: Number of epochs done.
        figures: Metrics by name.
        best: Best value of the criterion so far.
        improved: Whether `model` holds the best weights so far and should be saved now.
        seconds: Training time so far.
        model: The model with its current weights.
        criterion: Name of the metric that selects the best weights.
        is_share: Whether the criterion is a share of 1, which people read in percent.
        share: Share of the validation text that was read.
        layers: Measurements of each recurrent layer, by name of the layer, as
            neural/fitting/progress.py makes them.
    """

    kind: ClassVar = "validated"
    step: int
    epoch: float
    figures: dict[str, float]
    best: float | None
    improved: bool
    seconds: float
    model: LanguageModel = field(repr=False)
    criterion: str = PERPLEXITY
    is_share: bool = False
    share: float = 1.0
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
        if self.is_share:
            record["is_share"] = True
        if self.share < 1:
            record["share"] = round(self.share, 4)
        record["seconds"] = self.seconds
        if self.layers:
            record["layers"] = self.layers
        return record


@dataclass(frozen=True)
class Checkpoint:
    """A state to store, from which the run can resume.

    Attributes:
        step: Number of steps done.
        seconds: Training time so far.
        state: The state of the training.
        model: Current weights, to save with the state if no validation has kept any; else None.
    """

    kind: ClassVar = "kept"
    step: int
    seconds: float
    state: TrainingState = field(repr=False)
    model: LanguageModel | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Fitted:
    """The model family's own fitting has ended.

    Attributes:
        step: Step of the best weights; 0 if there are no sound ones.
        steps: Number of steps done in all.
        tokens: Number of tokens read.
        seconds: Training time.
        stopped: Reason: "complete" (nothing more to do), "budget", "early" (no improvement),
            "request" (of the caller) or "diverged" (`facts["divergence"]` says how).
        model: Model with the best weights; None if the run was stopped before it had any.
        best: Metric of these weights in validation; None without validation.
        facts: Findings to keep with the model, by name.
        state: State from which the run can resume, if it can.
        criterion: Name of the metric `best`.
    """

    kind: ClassVar = "fitted"
    step: int
    steps: int
    tokens: int
    seconds: float
    stopped: str
    model: LanguageModel | None = field(repr=False)
    best: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    state: TrainingState | None = field(default=None, repr=False)
    criterion: str = PERPLEXITY

    @property
    def best_ppl_token(self) -> float | None:
        """The best perplexity per token so far; None if another metric selects the best weights."""
        return self.best if self.criterion == PERPLEXITY else None


@dataclass(frozen=True)
class ModelSaved:
    """The model folder now holds the best weights so far.

    Attributes:
        folder: The folder.
        step: Step of these weights.
    """

    kind: ClassVar = "saved"
    folder: str
    step: int


@dataclass(frozen=True)
class CheckpointSaved:
    """The folder now holds a checkpoint from which the run can resume.

    Attributes:
        folder: The folder.
        step: Step of the checkpoint.
    """

    kind: ClassVar = "stored"
    folder: str
    step: int


@dataclass(frozen=True)
class SaveFailed:
    """A write failed. Files already in the folder are intact, and the write is tried again,
    `retry_seconds` later or when the next checkpoint is due.

    Attributes:
        folder: The folder.
        step: Number of steps done.
        why: Reason, in words.
        retry_seconds: Time until the next try.
        failures: Number of tries that have failed in a row.
        is_pausing: Whether training waits for the next try instead of continuing.
    """

    kind: ClassVar = "unsaved"
    folder: str
    step: int
    why: str
    retry_seconds: float
    failures: int = 1
    is_pausing: bool = False


@dataclass(frozen=True)
class Evaluating:
    """The exact evaluation begins; everything else of the run is saved.

    Attributes:
        texts: Names of the texts.
    """

    kind: ClassVar = "evaluating"
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Finished:
    """The run has ended.

    Attributes:
        folder: Folder of the model.
        step: Step of the best weights.
        steps: Number of steps done in all.
        seconds: Training time.
        stopped: Reason, as in :class:`Fitted`.
        results: Exact evaluations as :class:`rnnlm.evaluation.metrics.Evaluation` dictionaries, by
            name of the text.
    """

    kind: ClassVar = "finished"
    folder: str
    step: int
    steps: int
    seconds: float
    stopped: str
    results: dict[str, dict[str, Any]]


Event = (
    Chosen
    | Started
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

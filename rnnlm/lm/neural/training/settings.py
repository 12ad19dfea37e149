"""Settings for training a network, and the clock of its budget. Does not import torch."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from rnnlm.config import (
    ANY,
    OVER_BUDGET,
    SCHEDULES,
    Budget,
    Count,
    Natural,
    NonNegative,
    Positive,
    Probability,
    ResolvedSettings,
    ScheduleName,
    about,
    needs,
)
from rnnlm.errors import SettingsError, UsageError, keyword
from rnnlm.lm.neural.settings import Width
from rnnlm.system import bind_device, current_rank

# ---- How a network is trained, for any task: batches, optimizer, schedule, validation.

Fraction = Annotated[float, Meta(gt=0, lt=1)]
Factor = Annotated[float, Meta(gt=0, le=1)]
Share = Annotated[float, Meta(ge=0, le=1)]

UNRECORDABLE = ("adagrad", "rmsprop")  # optimizers that CUDA graphs cannot hold


@dataclass(frozen=True)
class OptimizationSettings:
    """Settings for training a network on any data: all that the trainer knows."""

    batch_rows: Annotated[Width, about("rows per step and process")] = 32
    accumulation: Annotated[
        Count,
        about(
            "number of parts that the rows of a step are processed in; more parts need less memory"
        ),
    ] = 1
    embeddings: Annotated[
        str | None,
        about(
            "initial word vectors: a text file in word2vec or GloVe format, or svd, which "
            "computes them from the training text (language models)",
            title="FILE",
        ),
    ] = None
    freeze_embeddings: Annotated[
        bool, about("keep word vectors, and output weights tied to them, at their initial values")
    ] = False
    optimizer: Annotated[
        Literal["adamw", "adam", "sgd", "asgd", "adagrad", "rmsprop"],
        about("optimizer; asgd is sgd with averaged weights"),
    ] = "adamw"
    learning_rate: Annotated[Positive, about("peak learning rate")] = 0.005
    bias_rate: Annotated[
        Positive, about("learning rate of biases, as a multiple of that of weight matrices")
    ] = 1.0
    momentum: Annotated[
        Probability, about("sgd, rmsprop: momentum", extra=needs(optimizer=("sgd", "rmsprop")))
    ] = 0.0
    nesterov: Annotated[
        bool, about("sgd: Nesterov's momentum", extra=needs({"optimizer": ("sgd",)}, momentum=ANY))
    ] = False
    rms_decay: Annotated[
        Probability,
        about(
            "rmsprop: decay of the mean of squared gradients", extra=needs(optimizer=("rmsprop",))
        ),
    ] = 0.99
    asgd_start: Annotated[
        Natural, about("asgd: steps before its average begins", extra=needs(optimizer=("asgd",)))
    ] = 0
    nonmonotone_interval: Annotated[
        Count | None,
        about(
            "asgd: start averaging when a validation is worse than the best one more than this "
            "many before it (NT-ASGD); none: at asgd_start",
            extra=needs(optimizer=("asgd",)),
        ),
    ] = None
    fine_tune_after: Annotated[
        Fraction | None,
        about(
            "asgd: share of the budget after which training continues from the best weights. "
            "It averages from the first step, and ends when a validation is worse than the "
            "best one more than nonmonotone_interval before it; none: never",
            extra=needs(nonmonotone_interval=ANY),
        ),
    ] = None
    ema_decay: Annotated[
        Probability | None,
        about(
            "decay of an exponential moving average of the weights, which is validated and "
            "saved; none: no average"
        ),
    ] = None
    beta1: Annotated[
        Probability,
        about(
            "adam, adamw: decay of the mean of gradients", extra=needs(optimizer=("adam", "adamw"))
        ),
    ] = 0.9
    beta2: Annotated[
        Probability,
        about(
            "adam, adamw: decay of the mean of squared gradients",
            extra=needs(optimizer=("adam", "adamw")),
        ),
    ] = 0.999
    weight_decay: Annotated[NonNegative, about("decay of weight matrices")] = 0.0
    l1: Annotated[NonNegative, about("penalty on weights: l1 |w|")] = 0.0
    l2: Annotated[NonNegative, about("penalty on weights: l2/2 |w|^2")] = 0.0
    penalised: Annotated[
        Literal["all", "recurrent"],
        about(
            "l1, l2: penalise all weight matrices, or only the recurrent ones",
            extra=needs(l1=ANY, l2=ANY),
        ),
    ] = "all"
    clip_norm: Annotated[
        Positive | None, about("largest global norm of the gradients; longer ones are scaled down")
    ] = 0.5
    clip_value: Annotated[
        Positive | None, about("largest absolute value of a gradient; larger ones are clipped")
    ] = None
    schedule: Annotated[
        ScheduleName,
        about(
            "learning rate schedule: step changes it by epochs, plateau and halving by "
            "validations, others over the budget"
        ),
    ] = "cosine"
    warmup: Annotated[
        Probability, about("share of the budget during which the learning rate rises")
    ] = 0.03
    plateau_factor: Annotated[
        Fraction,
        about(
            "plateau: factor for the learning rate when validation does not improve",
            extra=needs(schedule=("plateau",)),
        ),
    ] = 0.5
    plateau_patience: Annotated[
        Natural,
        about(
            "plateau: validations without improvement before the rate falls",
            extra=needs(schedule=("plateau",)),
        ),
    ] = 0
    plateau_gain: Annotated[
        NonNegative,
        about(
            "plateau: how much a perplexity must fall below the last one to count as an "
            "improvement; 0 requires a new best",
            extra=needs(schedule=("plateau",)),
        ),
    ] = 0.0
    return_to_best: Annotated[
        bool,
        about(
            "plateau: return to the best weights when the rate falls",
            extra=needs(schedule=("plateau",)),
        ),
    ] = False
    decay_after_epochs: Annotated[
        Count, about("step: epochs before the rate first falls", extra=needs(schedule=("step",)))
    ] = 4
    decay_every_epochs: Annotated[
        Count,
        about("step: epochs between later falls of the rate", extra=needs(schedule=("step",))),
    ] = 1
    decay_factor: Annotated[
        Factor, about("step: factor of each fall", extra=needs(schedule=("step",)))
    ] = 0.5
    min_improvement: Annotated[
        float,
        about(
            "halving: factor by which a validation's log-likelihood must improve",
            extra=needs(schedule=("halving",)),
            ge=1,
        ),
    ] = 1.003
    final_rate: Annotated[
        Share,
        about(
            f"{', '.join(OVER_BUDGET)}: share of the learning rate left at the end",
            extra=needs(schedule=OVER_BUDGET),
        ),
    ] = 0.0
    rollbacks: Annotated[
        Natural,
        about(
            "how often a run may return to its last good state. It returns if the loss, a "
            "gradient or a weight is not a number, or if two losses in a row, each the mean of "
            "at most 250 steps, exceed 2 log(vocabulary) + 5 nats. 0 stops the run instead. "
            "The state takes about four times the model's memory in each process"
        ),
    ] = 3
    rollback_factor: Annotated[
        Factor, about("factor for the learning rate at each return", extra=needs(rollbacks=ANY))
    ] = 0.5
    patience: Annotated[
        Count | None,
        about(
            "early stopping: validations without improvement; none: never",
            extra=needs(valid=ANY, holdout=ANY),
        ),
    ] = None
    validate_every_steps: Annotated[
        Count | None,
        about(
            "steps between validations, each on the whole text at any cost; none: every epoch, "
            "or as often as 2 % of a timed budget allows, and min_validations",
            extra=needs(valid=ANY, holdout=ANY),
        ),
    ] = None
    min_validations: Annotated[
        Natural,
        about(
            "least number of validations in a run without validate_every_steps. They take at "
            "most a tenth of the training time, or 4 % of a timed budget: there may be fewer, or "
            "they read a part of the text. Each can select the model, but schedules and patience "
            "follow only those at the ends of epochs. 0 validates only there",
            extra=needs(validate_every_steps=(None,)),
        ),
    ] = 20
    cuda_graphs: Annotated[
        bool | Literal["auto"],
        about(
            "on CUDA, record training steps as graphs, one per window length, and replay them; "
            "auto: for language models whose cells torch does not compute in one call "
            "(peepholes, coupled gates, Mogrifier, Jordan, layer_norm, reset_gate=before, "
            "activations of an rnn other than tanh and relu)"
        ),
    ] = "auto"

    def __post_init__(self) -> None:
        name, why = self.optimizer, f"the optimizer is {self.optimizer}"
        is_asgd, is_ema = name == "asgd", self.ema_decay is not None

        if self.nonmonotone_interval and self.asgd_start:
            raise SettingsError(
                "asgd_start and nonmonotone_interval both say when averaging begins",
                hint="set asgd_start=0, or nonmonotone_interval=none",
            )

        # Things that a CUDA graph cannot hold.
        if self.cuda_graphs is True and name in UNRECORDABLE:
            raise SettingsError(
                "cuda_graphs needs an optimizer that torch can record",
                why,
                "set cuda_graphs=false, or optimizer=sgd, asgd, adam or adamw",
            )
        if self.cuda_graphs is True and self.accumulation > 1:
            raise SettingsError(
                "cuda_graphs and accumulation cannot be combined",
                hint="set cuda_graphs=false, or accumulation=1",
            )

        # Schedules and averages.
        if is_asgd and is_ema:
            raise SettingsError(
                "ema_decay and optimizer = asgd are two averages of the weights",
                hint="set ema_decay=none, or optimizer=sgd",
            )
        if (is_asgd or is_ema) and (self.return_to_best or self.schedule == "halving"):
            back = "return_to_best" if self.return_to_best else "schedule = halving"
            average = "optimizer = asgd" if is_asgd else "ema_decay"
            raise SettingsError(
                f"{back} and {average} cannot be combined",
                "the best weights are averages, but training continues from weights that are not",
                "leave one of them out",
            )

    @property
    def follows_validations(self) -> str:
        """The setting that follows validations, and so needs validation text; "" if none does."""
        if self.nonmonotone_interval:
            return "nonmonotone_interval"
        if SCHEDULES[self.schedule].follows == "validations":
            return f"schedule {self.schedule}"
        return ""

    @property
    def can_be_recorded(self) -> bool:
        """Whether steps of these settings can be recorded as CUDA graphs, in so few shapes that it
        pays."""
        return False

    @property
    def varies_by_layer(self) -> bool:
        """Whether layers learn at different rates."""
        return False

    def rate_factor(self, depth: int, epochs: float) -> float:
        """Return the factor of the learning rate of weights with `depth` layers above them,
        `epochs` into the run; 0: they stay as they are."""
        return 1.0


# ---- How language models are trained: windows of a text, unknown words, and the run itself.

# Lengths of drawn windows are multiples of it: about five lengths around 70 instead of thirty.
RECORDED_MULTIPLE = 8
Seed = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


@dataclass(frozen=True)
class FittingSettings(OptimizationSettings):
    """Settings for training with truncated back-propagation through time."""

    batch_rows: Annotated[Width, about("parallel streams of text (B) per process")] = 32
    bptt_tokens: Annotated[Width, about("tokens per window of truncated BPTT (T)")] = 35
    bptt_lookback: Annotated[
        Width | None,
        about(
            "steps that gradients reach back from a window's last token, at least bptt_tokens: "
            "tokens before the window are read again from a stored state; none: bptt_tokens"
        ),
    ] = None
    bptt_deviation: Annotated[
        NonNegative,
        about(
            "standard deviation of the window length, drawn for each window; the learning rate "
            "follows the length; 0 fixes it"
        ),
    ] = 0.0
    bptt_short: Annotated[
        Probability, about("probability that a window's length is drawn around half of bptt_tokens")
    ] = 0.0
    bptt_multiple: Annotated[
        Width | None,
        about(
            f"window lengths are multiples of this; none: 1, or {RECORDED_MULTIPLE} "
            "where lengths are drawn and steps are recorded as CUDA graphs, one per "
            "length"
        ),
    ] = None
    long_windows: Annotated[
        Share,
        about(
            "share of the run, at its end, in which windows are twice as long, of half as many rows"
        ),
    ] = 0.0
    state_reset: Annotated[
        Probability, about("probability that a stream starts a window from the initial state")
    ] = 0.0
    line_starts: Annotated[
        Share,
        about(
            "approximate share of lines that start from the initial state, like a sentence "
            "scored alone; the window before them ends early"
        ),
    ] = 0.0
    unknown_words: Annotated[
        Share,
        about(
            "probability that an epoch reads a word seen once as <unk>, so that unknown words "
            "are learned; no effect if the text has <unk>"
        ),
    ] = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tokens_before < 0:
            raise SettingsError(
                f"bptt_lookback = {self.bptt_lookback} is shorter than a window",
                f"bptt_tokens is {self.bptt_tokens}",
                f"set bptt_lookback={self.bptt_tokens} or more, or lower bptt_tokens",
            )
        if self.cuda_graphs is True and self.tokens_before:
            raise SettingsError(
                "cuda_graphs and bptt_lookback cannot be combined",
                hint="set cuda_graphs=false, or bptt_lookback=none",
            )

    @property
    def draws_lengths(self) -> bool:
        """Whether windows differ in length."""
        return bool(self.bptt_deviation or self.bptt_short)

    @property
    def tokens_before(self) -> int:
        """The tokens before each window that are read again, for gradients to reach them."""
        return 0 if self.bptt_lookback is None else self.bptt_lookback - self.bptt_tokens

    @property
    def can_be_recorded(self) -> bool:
        is_recordable = self.optimizer not in UNRECORDABLE and self.accumulation == 1
        return is_recordable and not self.tokens_before

    def multiple(self, is_recorded: bool) -> int:
        """Return the number that window lengths are rounded to a multiple of.

        is_recorded: whether steps are recorded as CUDA graphs.
        """
        by_default = RECORDED_MULTIPLE if is_recorded and self.draws_lengths else 1
        return by_default if self.bptt_multiple is None else self.bptt_multiple


@dataclass(frozen=True)
class RunSettings:
    """The device, budget and seed of a training run."""

    budget: Annotated[
        str, about("how long to train, such as 3m, 20epochs or 5000steps", title="BUDGET")
    ] = "20epochs"
    device: Annotated[
        str, about("device to compute on: auto, cpu, cuda, cuda:N or mps", title="DEVICE")
    ] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        about("precision of matrix products in training; auto uses bf16 where it is fast"),
    ] = "auto"
    threads: Annotated[
        Annotated[int, Meta(ge=1, le=4096)] | None,
        about(
            "number of CPU threads per process; none: as many as it may use cores, or a single one "
            "if the network is small"
        ),
    ] = None
    seed: Annotated[Seed, about("random seed of weights and dropout")] = 1
    save_every: Annotated[
        str,
        about(
            "interval between checkpoints to resume from, such as 5m or 200steps; timed "
            "intervals grow if saving would take more than 1 % of the run",
            title="INTERVAL",
            extra=needs(keep_checkpoints=ANY),
        ),
    ] = "5m"
    keep_checkpoints: Annotated[
        Natural,
        about(
            "number of latest checkpoints to keep, each up to eight times as large as the "
            "model; 0 keeps none"
        ),
    ] = 2

    rank_timeout: Annotated[
        str,
        about(
            "with several processes: how long one waits for another before the run fails, such "
            "as 30s or 10m"
        ),
    ] = "10m"

    def __post_init__(self) -> None:
        Budget.parse(self.budget)
        if Budget.parse(self.rank_timeout, "rank_timeout").seconds is None:
            raise SettingsError(
                f"rank_timeout = {self.rank_timeout!r} is not understood",
                "it is a time",
                "write, for instance, 30s or 10m",
            )
        if Budget.parse(self.save_every, "save_every").epochs:
            raise SettingsError(
                f"save_every = {self.save_every!r} is not understood",
                "it is a time or a number of steps",
                "write, for instance, 5m or 200steps",
            )


# ---- How much of a budget in steps, epochs or time is used, and when something that happens at
# intervals is due.

MOST_COST = 0.01  # the largest share of the time that something at an interval in seconds may take


class BudgetClock:
    """A clock that runs from its creation.

    set_aside: seconds of a time budget kept for the work after the last step. now: a clock to go
    by, in seconds; None: this process's own.
    """

    def __init__(self, budget: Budget, now: Callable[[], float] | None = None) -> None:
        self.budget = budget
        self.set_aside = 0.0
        self.now = now or time.perf_counter
        self.started_at = self.now()

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return self.now() - self.started_at

    def progress(self, step: int, epochs: float, seconds: float | None = None) -> float:
        """Return the share of the budget used after `step` steps, `epochs` of the text, `seconds`
        (None: now); 1 or more if it is spent."""
        if self.budget.steps:
            return step / self.budget.steps
        if self.budget.epochs:
            return epochs / self.budget.epochs
        if seconds is None:
            seconds = self.elapsed()
        return seconds / max(1e-3, (self.budget.seconds or 0.0) - self.set_aside)

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.elapsed(), "set_aside": self.set_aside}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a stored state: a time budget counts from the start of the run."""
        self.started_at -= state["seconds"]
        self.set_aside = state["set_aside"]


@dataclass
class BudgetInterval:
    """A schedule for something that happens at intervals, in steps or in seconds. An interval in
    seconds grows if it would cost more than :data:`MOST_COST` of the time."""

    every: Budget
    step: int = 0
    seconds: float = 0.0  # when it was last done
    cost: float = 0.0  # seconds that took

    def begin(self, step: int, seconds: float) -> None:
        """Count the next time from here."""
        self.step, self.seconds = step, seconds

    def due(self, step: int, seconds: float, soon: bool = False) -> bool:
        """Return whether it is due after `step` steps, `seconds` after the start. soon: with an
        interval in seconds, the first time need not wait."""
        if self.every.steps:
            return step - self.step >= self.every.steps
        if soon and not self.step:
            return True
        wait = max(self.every.seconds or 0.0, self.cost / MOST_COST)
        return seconds - self.seconds >= wait

    def done(self, step: int, began: float, ended: float) -> None:
        """Note that it was done after `step` steps, from `began` to `ended`, seconds."""
        self.step = step
        self.seconds = ended
        self.cost = ended - began


# ---- Checks that are possible before a run.


def check(resolved: ResolvedSettings, has_valid: bool, has_text: bool = True) -> None:
    """Refuse impossible requests: an absent device or precision, word vectors from counts where
    there is no text, a schedule that needs validation text where there is none.

    has_text: whether word vectors can be counted in the training data.
    """
    from rnnlm.text.vectors import COUNTED  # needs numpy, and settings are read for --help, too

    run, settings = resolved.make(RunSettings), resolved.make(OptimizationSettings)
    # A CPU and fp32 are always there. torch knows the rest, which takes a second to import.
    is_there = run.device in ("auto", "cpu") and run.precision in ("auto", "fp32")
    if not is_there or current_rank().count > 1:
        from rnnlm.lm.neural.device import resolve_device, resolve_precision

        resolve_precision(run.precision, resolve_device(bind_device(run.device)))
    if settings.cuda_graphs is True and current_rank().count > 1:
        raise UsageError(
            "cuda_graphs needs a single process",
            f"there are {current_rank().count} processes",
            "set cuda_graphs=false",
        )
    if settings.embeddings == COUNTED and not has_text:
        raise SettingsError(
            f"embeddings = {COUNTED} is for language models", hint="name a file of vectors"
        )
    if settings.follows_validations and not has_valid:
        raise UsageError(
            f"{settings.follows_validations} needs validation text",
            hint="name one with "
            + keyword("valid")
            + ", or hold some out: "
            + keyword("holdout", "5%"),
        )

"""How a language model is trained, and on what and how long a network is. Knows nothing of torch."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.config import Budget, Count, NonNegative, Probability
from rnnlm.errors import SettingsError
from rnnlm.neural.fitting.optimization_settings import UNRECORDABLE, OptimizationSettings, Share
from rnnlm.neural.input_settings import Width
from rnnlm.neural.needs import OF_RUNS

RECORDED_MULTIPLE = 8  # of the tokens of drawn windows: about five lengths around 70 instead of thirty
Seed = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


@dataclass(frozen=True)
class FittingSettings(OptimizationSettings):
    """How a network is trained with truncated back-propagation through time."""

    batch_rows: Annotated[Width, Meta(description="parallel streams of text (B), of each process")] = 32
    bptt_tokens: Annotated[Width, Meta(description="tokens per window of truncated BPTT (T)")] = 35
    bptt_deviation: Annotated[
        NonNegative,
        Meta(description="standard deviation of a window's tokens, drawn anew for each; the learning rate follows; 0: all alike"),
    ] = 0.0
    bptt_short: Annotated[Probability, Meta(description="chance that a window is drawn around half of bptt_tokens")] = 0.0
    bptt_multiple: Annotated[
        Width | None,
        Meta(
            description=f"a window's tokens are a multiple of this; none: 1, or {RECORDED_MULTIPLE} where their number is drawn and "
            "steps are recorded as CUDA graphs, of which there is one for each length"
        ),
    ] = None
    state_reset: Annotated[Probability, Meta(description="chance that a stream starts a window from the initial state")] = 0.0
    line_starts: Annotated[
        Share,
        Meta(
            description="share of the lines, about, that begin from the initial state, as a sentence that is scored alone does; the "
            "window before ends there"
        ),
    ] = 0.0

    @property
    def draws_lengths(self) -> bool:
        """Whether windows differ in length."""
        return bool(self.bptt_deviation or self.bptt_short)

    @property
    def can_be_recorded(self) -> bool:
        return self.optimizer not in UNRECORDABLE and self.accumulation == 1

    def multiple(self, is_recorded: bool) -> int:
        """Return the number that window lengths are rounded to a multiple of.

        is_recorded: whether steps are recorded as CUDA graphs.
        """
        if self.bptt_multiple is not None:
            return self.bptt_multiple
        return RECORDED_MULTIPLE if is_recorded and self.draws_lengths else 1


@dataclass(frozen=True)
class RunSettings:
    """On what, how long and from which seed."""

    NEEDS = OF_RUNS

    budget: Annotated[str, Meta(description="how long to train: 3m, 20epochs, 5000steps")] = "20epochs"
    device: Annotated[str, Meta(description="auto, cpu, cuda, cuda:N, mps")] = "auto"
    precision: Annotated[Literal["auto", "fp32", "bf16"], Meta(description="of the matrix products in training; auto: bf16 where fast")] = (
        "auto"
    )
    threads: Annotated[Annotated[int, Meta(ge=1, le=4096)] | None, Meta(description="CPU threads; none: torch's choice")] = None
    seed: Annotated[Seed, Meta(description="of the weights and of dropout")] = 1
    save_every: Annotated[
        str, Meta(description="how often what --resume needs is stored: 5m, 200steps; by time, at 1 % of its cost at most")
    ] = "5m"
    keep_checkpoints: Annotated[Count, Meta(description="so many of the last of these stay")] = 2
    resumable: Annotated[bool, Meta(description="what --resume needs is kept in the model's folder; four times the model's size or so")] = (
        True
    )

    rank_timeout: Annotated[str, Meta(description="of several processes, how long one waits for another before the run ends: 30s, 10m")] = (
        "10m"
    )

    def __post_init__(self) -> None:
        Budget.parse(self.budget)
        if Budget.parse(self.rank_timeout, "rank_timeout").seconds is None:
            raise SettingsError(f"rank_timeout = {self.rank_timeout!r} is not understood", "it is a time", "write for instance 30s or 10m")
        if Budget.parse(self.save_every, "save_every").epochs:
            raise SettingsError(
                f"save_every = {self.save_every!r} is not understood", "it goes by time or steps", "write for instance 5m or 200steps"
            )

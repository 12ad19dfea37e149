"""How a neural network is trained: what can be asked for. Knows nothing of torch."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.config import Budget, Count, Natural, NonNegative, Positive, Probability
from rnnlm.errors import SettingsError
from rnnlm.neural.network_settings import Width

Seed = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


@dataclass(frozen=True)
class FittingSettings:
    """How a recurrent network is trained with truncated back-propagation through time."""

    batch_rows: Annotated[Width, Meta(description="parallel streams of text (B)")] = 32
    bptt_tokens: Annotated[Width, Meta(description="tokens per window of truncated BPTT (T)")] = 35
    optimizer: Annotated[Literal["adamw", "adam", "sgd"], Meta(description="optimizer")] = "adamw"
    learning_rate: Annotated[Positive, Meta(description="peak learning rate")] = 0.005
    momentum: Annotated[Probability, Meta(description="sgd: momentum")] = 0.0
    beta1: Annotated[Probability, Meta(description="adam, adamw: decay of the mean of gradients")] = 0.9
    beta2: Annotated[Probability, Meta(description="adam, adamw: decay of the mean of squared gradients")] = 0.999
    weight_decay: Annotated[NonNegative, Meta(description="decay of weight matrices")] = 0.0
    clip_norm: Annotated[Positive | None, Meta(description="gradients are scaled down to this global norm")] = 0.5
    clip_value: Annotated[Positive | None, Meta(description="gradients are cut to this absolute value")] = None
    schedule: Annotated[
        Literal["constant", "cosine", "linear", "plateau"], Meta(description="learning rate over the budget")
    ] = "cosine"
    warmup: Annotated[Probability, Meta(description="share of the budget in which the learning rate rises")] = 0.03
    plateau_factor: Annotated[
        Annotated[float, Meta(gt=0, lt=1)], Meta(description="plateau: factor when validation does not improve")
    ] = 0.5
    plateau_patience: Annotated[Natural, Meta(description="plateau: validations without improvement before that")] = 0
    final_rate: Annotated[
        Annotated[float, Meta(ge=0, le=1)], Meta(description="cosine, linear: share of the rate left at the end")
    ] = 0.0
    patience: Annotated[
        Count | None, Meta(description="early stopping: validations without improvement; none: never")
    ] = None
    validate_every_steps: Annotated[
        Count | None, Meta(description="steps between validations; none: every epoch, or by time at 5 % of its cost")
    ] = None
    state_reset: Annotated[
        Probability, Meta(description="chance that a stream starts a window from the initial state")
    ] = 0.0

    def __post_init__(self) -> None:
        if self.momentum and self.optimizer != "sgd":
            raise SettingsError("momentum is a setting of sgd", f"the optimizer is {self.optimizer}")


@dataclass(frozen=True)
class RunSettings:
    """On what, how long and from which seed."""

    budget: Annotated[str, Meta(description="how long to train: 3m, 20epochs, 5000steps")] = "20epochs"
    device: Annotated[str, Meta(description="auto, cpu, cuda, cuda:N, mps")] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16"], Meta(description="of the matrix products in training; auto: bf16 where fast")
    ] = "auto"
    threads: Annotated[Annotated[int, Meta(ge=1, le=4096)] | None, Meta(description="CPU threads; none: torch's choice")] = None
    seed: Annotated[Seed, Meta(description="of the weights and of dropout")] = 1

    def __post_init__(self) -> None:
        Budget.parse(self.budget)

"""How a task's network is trained. Knows nothing of torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.config import Positive, Probability
from rnnlm.errors import SettingsError
from rnnlm.neural.fitting.optimization_settings import OptimizationSettings
from rnnlm.neural.input_settings import Width

RateDecay = Annotated[float, Meta(ge=1, le=100)]
Weights = Annotated[str, Meta(pattern=r"^\s*\d+(\.\d+)?(\s*,\s*\d+(\.\d+)?)*\s*$", examples=["1,0.5"])]


@dataclass(frozen=True)
class TaskFittingSettings(OptimizationSettings):
    """How a task's network is trained on batches of examples."""

    batch_rows: Annotated[Width, Meta(description="examples in a batch, of each process")] = 32
    learning_rate: Annotated[Positive, Meta(description="peak learning rate")] = 0.005
    clip_norm: Annotated[Positive | None, Meta(description="gradients are scaled down to this global norm")] = 5.0
    ema_decay: Annotated[
        Probability | None,
        Meta(description="decay of an exponential moving average of the weights, which is validated and saved; none: no average"),
    ] = None
    loss_weights: Annotated[
        Weights | None, Meta(description="weight of each label column's loss, those of words first, as 1,0.5; none: all 1")
    ] = None
    rate_decay_by_layer: Annotated[
        RateDecay,
        Meta(description="the learning rate of each layer is that of the layer above it, divided by this (Howard & Ruder 2018: 2.6); "
             "1: all alike"),
    ] = 1.0  # fmt: skip
    unfreeze: Annotated[
        Literal["epoch"] | None,
        Meta(description="epoch: the output layer alone is trained in the first epoch, and each epoch adds the layer below (Howard & Ruder "
             "2018); none: all layers are trained from the start"),
    ] = None  # fmt: skip
    criterion: Annotated[
        Literal["auto", "accuracy", "f1", "macro_f1", "loss"],
        Meta(description="validation figure that chooses the best weights; auto: F1 of spans, word errors of sounds, else accuracy"),
    ] = "auto"

    @property
    def varies_by_layer(self) -> bool:
        return self.rate_decay_by_layer != 1 or self.unfreeze is not None

    def rate_factor(self, depth: int, epochs: float) -> float:
        is_frozen = self.unfreeze is not None and depth > int(epochs)
        return 0.0 if is_frozen else self.rate_decay_by_layer**-depth

    def _contradictions(self) -> Iterator[tuple[object, str, str, str]]:
        yield from super()._contradictions()
        why = "a recorded step always trains the same layers"
        yield self.unfreeze and self.cuda_graphs is True, "unfreeze and cuda_graphs cannot be combined", why, "set cuda_graphs=false"

    def weights_of(self, columns: int) -> tuple[float, ...]:
        """The weight of the loss of each of so many columns.

        Raises:
            SettingsError: there is another number of weights.
        """
        if self.loss_weights is None:
            return (1.0,) * columns
        weights = tuple(map(float, self.loss_weights.split(",")))
        if not any(weights):
            raise SettingsError(f"loss_weights = {self.loss_weights} leaves nothing to learn")
        if len(weights) != columns:
            why = f"{columns} label column{' is' if columns == 1 else 's are'} learned"
            hint = "give each label column one, those of words first"
            raise SettingsError(f"loss_weights = {self.loss_weights} has {len(weights)} weights", why, hint)
        return weights

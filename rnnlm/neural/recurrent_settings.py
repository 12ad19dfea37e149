"""The stack of recurrent layers of any network, and the settings of each kind of layer. It does not import torch."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.config import Probability
from rnnlm.errors import SettingsError
from rnnlm.neural.input_settings import Depth, InputSettings, Sizes, Width, sizes

Activation = Literal["tanh", "relu", "sigmoid", "elu", "leaky_relu"]
ResetGate = Literal["after", "before"]
UpdateGate = Literal["keep", "renew"]
Pooling = Literal["f", "fo", "ifo"]
OF_ACTIVATIONS = "; elu: alpha 1; leaky_relu: slope 0.01"


@dataclass(frozen=True)
class RecurrentSettings(InputSettings):
    """What all recurrent kinds share: a stack of recurrent layers."""

    layers: Annotated[Depth, Meta(description="recurrent layers")] = 1
    layer_sizes: Annotated[Sizes | None, Meta(description="width of each layer: 650,650,400; none: hidden_size for all")] = None
    connections: Annotated[Literal["plain", "residual", "highway", "dense"], Meta(description="how layers connect to those below them")] = (
        "plain"
    )
    dropout_between: Annotated[Probability, Meta(description="dropout between recurrent layers")] = 0.1
    weight_drop: Annotated[
        Probability, Meta(description="DropConnect on the recurrent weights (qrnn: on those of the convolution), drawn once a window")
    ] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layer_sizes is not None and len(self.widths) != self.layers:
            raise SettingsError(
                f"layer_sizes = {self.layer_sizes} names {len(self.widths)} widths", f"layers is {self.layers}",
                f"set layers={len(self.widths)}",
            )  # fmt: skip
        if not all(self.widths):
            raise SettingsError(f"layer_sizes = {self.layer_sizes}: a layer has a width of 0")
        if self.connections in ("residual", "highway") and len(set(self.widths)) > 1:
            raise SettingsError(
                f"{self.connections} connections need layers of equal width", f"layer_sizes is {self.layer_sizes}",
                "set connections=dense or plain, or equal widths",
            )  # fmt: skip

    @property
    def widths(self) -> tuple[int, ...]:
        """The width of each recurrent layer."""
        return sizes(self.layer_sizes) if self.layer_sizes else (self.hidden_size,) * self.layers

    @property
    def directions(self) -> int:
        """2 where another layer beside each one reads the words from the last to the first."""
        return 1

    @property
    def output_width(self) -> int:
        if self.connections == "dense":
            return self.input_width + self.directions * sum(self.widths)
        return self.directions * self.widths[-1]


@dataclass(frozen=True)
class ElmanCell(RecurrentSettings):
    """Of `rnn`."""

    activation: Annotated[Activation, Meta(description=f"activation of the hidden layers{OF_ACTIVATIONS}")] = "tanh"


@dataclass(frozen=True)
class GruCell(RecurrentSettings):
    """Of `gru`."""

    reset_gate: Annotated[
        ResetGate, Meta(description="the reset gate acts after the recurrent product (cuDNN, torch) or before it (Cho et al. 2014)")
    ] = "after"
    update_gate: Annotated[
        UpdateGate, Meta(description="an open update gate keeps the old state (Cho et al., torch) or renews it (Chung et al.)")
    ] = "keep"


@dataclass(frozen=True)
class LstmCell(RecurrentSettings):
    """Of `lstm`."""

    forget_bias: Annotated[float, Meta(description="the forget gate's bias at the start")] = 1.0
    peepholes: Annotated[bool, Meta(description="gates see the cell (Gers & Schmidhuber 2000)")] = False
    coupled_gates: Annotated[bool, Meta(description="input gate = 1 - forget gate (Greff et al. 2017)")] = False
    mogrifier_rounds: Annotated[
        Annotated[int, Meta(ge=0, le=100)], Meta(description="rounds in which input and last output gate each other (Melis et al. 2020)")
    ] = 0
    mogrifier_rank: Annotated[Width | None, Meta(description="rank of the matrices of these gates; none: full")] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mogrifier_rank is not None and not self.mogrifier_rounds:
            what = "mogrifier_rank needs the gates of a Mogrifier LSTM"
            raise SettingsError(what, "mogrifier_rounds is 0", "set mogrifier_rounds=5, or mogrifier_rank=none")


@dataclass(frozen=True)
class QrnnCell(RecurrentSettings):
    """Of `qrnn`."""

    convolution_words: Annotated[
        Annotated[int, Meta(ge=1, le=100)], Meta(description="words that the first layer's convolution reads; later layers read one place")
    ] = 2
    pooling: Annotated[
        Pooling, Meta(description="gates that pool over time: forget; and output; and an input gate, where it is 1 - forget otherwise")
    ] = "fo"

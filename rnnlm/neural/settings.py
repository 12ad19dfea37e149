"""The shape of each kind of language model: what can be set, and what contradicts itself. It does not import torch.

One class a kind of model, each with what all networks have (input_settings.py), the output layer, and what is its own; the recurrent
ones have the settings of their layers (recurrent_settings.py).
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from rnnlm.config import Count, NonNegative, Probability, from_stored
from rnnlm.errors import ModelError, SettingsError
from rnnlm.neural.input_settings import InputSettings, Sizes, Width
from rnnlm.neural.recurrent_settings import OF_ACTIVATIONS, Activation, ElmanCell, GruCell, LstmCell, QrnnCell, RecurrentSettings


@dataclass(frozen=True)
class NetworkSettings(InputSettings):
    """What every neural language model has: an output layer that predicts words."""

    output_layer: Annotated[
        Literal["softmax", "adaptive", "class", "hierarchical", "mos"], Meta(description="output layer; mos: a mixture of softmaxes")
    ] = "softmax"
    tied: Annotated[
        bool | None, Meta(description="output weights are the word vectors (projected where the widths differ); none: where possible")
    ] = None
    loss: Annotated[
        Literal["full", "sampled", "nce"], Meta(description="output_layer=softmax: what is trained; evaluation is always exact")
    ] = "full"
    samples: Annotated[Width, Meta(description="loss=sampled, nce: noise words drawn for each window, V at most")] = 1024
    cutoffs: Annotated[Sizes | None, Meta(description="output_layer=adaptive: ranks at which clusters end; none: from V")] = None
    cluster_shrink: Annotated[
        Annotated[float, Meta(ge=1, le=1000)],
        Meta(description="output_layer=adaptive: each cluster is so many times narrower than the one before"),
    ] = 4.0
    classes: Annotated[Count | None, Meta(description="output_layer=class: number of classes; none: the square root of V")] = None
    mixture_components: Annotated[Annotated[int, Meta(ge=1, le=1000)], Meta(description="output_layer=mos: softmaxes that are mixed")] = 15
    dropout_latent: Annotated[Probability, Meta(description="output_layer=mos: dropout on what each softmax reads")] = 0.0
    init_output_bias: Annotated[
        Literal["unigram", "zero"],
        Meta(description="output_layer=softmax, mos: biases start at the words' frequencies, or at zero (for deep networks under SGD)"),
    ] = "unigram"

    def __post_init__(self) -> None:
        if self.tied and (why := self._cannot_tie()):
            raise SettingsError("tied = true is not possible", why, "leave tied out, or set tied=false")
        if self.loss != "full" and self.output_layer != "softmax":
            what, why = f"loss = {self.loss} trains a full softmax on noise words", f"output_layer is {self.output_layer}"
            raise SettingsError(what, why, "set output_layer=softmax")
        super().__post_init__()

    @property
    def is_tied(self) -> bool:
        """Whether the output layer's weights are the word vectors."""
        return self.tied is not False and not self._cannot_tie()

    @property
    def features_width(self) -> int:
        """Width of what the output layer reads: that of the word vectors it is tied to, else the body's. A mixture of softmaxes
        maps the body's width itself."""
        return self.embedding_size if self.is_tied and self.output_layer != "mos" else self.output_width

    def _cannot_tie(self) -> str:
        """Why there are no word vectors, or no output weights, that could be shared; "" if they can."""
        if not self.has_word_vectors:
            return "words are read as characters: there are no word vectors"
        if self.output_layer in ("adaptive", "hierarchical"):
            return f"the {self.output_layer} softmax has no weights for each word"
        return ""


@dataclass(frozen=True)
class RecurrentModelSettings(RecurrentSettings, NetworkSettings):
    """What RNN, GRU, LSTM and QRNN share."""

    activation_penalty: Annotated[
        NonNegative, Meta(description="AR: times the mean square of what the output layer reads, dropped out")
    ] = 0.0
    temporal_penalty: Annotated[
        NonNegative, Meta(description="TAR: times the mean square of its change from place to place, before dropout")
    ] = 0.0


@dataclass(frozen=True)
class ElmanSettings(ElmanCell, RecurrentModelSettings):
    """Of `rnn`."""


@dataclass(frozen=True)
class GruSettings(GruCell, RecurrentModelSettings):
    """Of `gru`."""


@dataclass(frozen=True)
class LstmSettings(LstmCell, RecurrentModelSettings):
    """Of `lstm`."""


@dataclass(frozen=True)
class QrnnSettings(QrnnCell, RecurrentModelSettings):
    """Of `qrnn`."""


@dataclass(frozen=True)
class JordanSettings(NetworkSettings):
    """Of `jordan`: the previous output feeds the hidden layer."""

    activation: Annotated[Activation, Meta(description=f"activation of the hidden layer{OF_ACTIVATIONS}")] = "sigmoid"
    feedback: Annotated[
        Literal["distribution", "embedding"],
        Meta(description="what of the previous output feeds the hidden layer: all its probabilities, or the expected word vector"),
    ] = "distribution"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.feedback == "embedding" and not self.has_word_vectors:
            raise SettingsError("feedback = embedding needs word vectors", "words are read as characters", "set characters_beside=true")


@dataclass(frozen=True)
class FeedForwardSettings(NetworkSettings):
    """Of `ffnn`: a window of words, no recurrence."""

    context_words: Annotated[Annotated[int, Meta(ge=1, le=1000)], Meta(description="words of context (N - 1)")] = 4
    activation: Annotated[Activation, Meta(description=f"activation of the hidden layer{OF_ACTIVATIONS}")] = "tanh"
    direct_connections: Annotated[bool, Meta(description="the window's word vectors reach the output layer, too")] = False

    @property
    def output_width(self) -> int:
        window = self.context_words * self.input_width if self.direct_connections else 0
        return self.hidden_size + window

    def _cannot_tie(self) -> str:
        return "the direct connections have weights of their own" if self.direct_connections else super()._cannot_tie()


KINDS: dict[str, type[NetworkSettings]] = {
    "rnn": ElmanSettings, "gru": GruSettings, "lstm": LstmSettings, "qrnn": QrnnSettings, "jordan": JordanSettings,
    "ffnn": FeedForwardSettings,
}  # fmt: skip


def stored(settings: dict[str, Any]) -> NetworkSettings:
    """The network settings that a model folder stores.

    Raises:
        ModelError: a value is not valid.
    """
    kind = settings.get("model")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ModelError("the stored settings are damaged", f"model = {kind!r} is not a kind of network")
    return from_stored(KINDS[kind], settings)

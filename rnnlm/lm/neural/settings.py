"""The shape of each kind of language model: its settings, and their contradictions. It does not
import torch.

All networks read words and predict them. Recurrent ones add layers, whose cells have their own
settings: a part of the settings of any task's network.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal, Self

from msgspec import Meta

from rnnlm import satellites
from rnnlm.amounts import whole_number
from rnnlm.config import (
    ANY,
    Count,
    NonNegative,
    Positive,
    Probability,
    about,
    from_stored,
    list_in_text,
    needs,
    part,
)
from rnnlm.errors import ModelError, SettingsError, nearest
from rnnlm.lm.neural.cells import cells

# ---- Settings of all networks that read words, for any output: word vectors, characters, dropout,
# initialisation.

# Bounds far above any use: the shapes in a damaged or hostile config.json are checked before
# anything is allocated.
Depth = Annotated[int, Meta(ge=1, le=100)]
Width = Annotated[int, Meta(ge=1, le=1 << 20)]

Initialisation = Literal["uniform", "glorot", "he", "orthogonal", "identity", "torch"]
_SIZE = r"\+?[0-9]{1,7}\.?"
Sizes = Annotated[
    str, list_in_text("whole numbers", rf"^\s*{_SIZE}(\s*,\s*{_SIZE}){{0,99}}\s*$", "650,650,400")
]

# Values of other settings that some settings need to have an effect: see rnnlm.config.needs.
WORD_VECTORS: dict[str, Any] = {"characters": (None,), "characters_beside": (True,)}
DROPOUTS = ("dropout_input", "dropout_output", "dropout_between", "dropout_latent")
STARTS = ("init_embedding", "init_input", "init_recurrent", "init_output")


@dataclass(frozen=True)
class InputSettings:
    """Settings of any network: how words are read, where dropout applies, and how weights start."""

    model: Annotated[str, about("kind of model")] = "lstm"
    embedding_size: Annotated[
        Width, about("width of the word vectors", extra=needs(**WORD_VECTORS))
    ] = 256
    hidden_size: Annotated[
        Width, about("width of the hidden layers", extra=needs(layer_sizes=(None,)))
    ] = 256

    characters: Annotated[
        Literal["cnn", "lstm"] | None,
        about("how words are read by their characters; none: word vectors alone"),
    ] = None
    characters_beside: Annotated[
        bool,
        about(
            "read characters in addition to word vectors, not instead of them",
            extra=needs(characters=("cnn", "lstm")),
        ),
    ] = False
    character_size: Annotated[
        Width, about("width of the character vectors", extra=needs(characters=("cnn", "lstm")))
    ] = 15
    character_filters: Annotated[
        Sizes,
        about(
            "characters=cnn: number of filters of width 1, 2, 3, ...",
            extra=needs(characters=("cnn",)),
        ),
    ] = "25,50,75,100,125,150"
    character_highways: Annotated[
        int,
        about(
            "characters=cnn: highway layers after the filters",
            extra=needs(characters=("cnn",)),
            ge=0,
            le=100,
        ),
    ] = 1
    character_overhang: Annotated[
        bool,
        about(
            "characters=cnn: filters also reach beyond a word's end, over zeros (as in the "
            "code of Kim et al. 2016)",
            extra=needs(characters=("cnn",)),
        ),
    ] = False
    character_hidden_size: Annotated[
        Width, about("characters=lstm: width in each direction", extra=needs(characters=("lstm",)))
    ] = 100

    dropout_embedding: Annotated[
        Probability,
        about("dropout of whole words: a dropped word is zero at all its places in a window"),
    ] = 0.0
    dropout_input: Annotated[Probability, about("dropout on the word vectors")] = 0.1
    dropout_output: Annotated[Probability, about("dropout before the output layer")] = 0.1
    locked_dropout: Annotated[
        bool,
        about(
            "variational dropout: one mask per row for all places of a window",
            extra=needs(**dict.fromkeys(DROPOUTS, ANY)),
        ),
    ] = False

    init_embedding: Annotated[
        Initialisation, about("how word vectors are initialised", extra=needs(**WORD_VECTORS))
    ] = "uniform"
    init_input: Annotated[
        Initialisation,
        about("how weights into hidden layers and character filters are initialised"),
    ] = "torch"
    init_recurrent: Annotated[Initialisation, about("how recurrent weights are initialised")] = (
        "torch"
    )
    init_output: Annotated[Initialisation, about("how output weights are initialised")] = "uniform"
    init_range: Annotated[
        Positive,
        about(
            "uniform: weights start in [-r, r]",
            extra=needs(**dict.fromkeys(STARTS, ("uniform",)), characters=("cnn", "lstm")),
        ),
    ] = 0.1
    init_gain: Annotated[
        Positive,
        about(
            "glorot, he, orthogonal, identity: multiplies the weights",
            extra=needs(**dict.fromkeys(STARTS, ("glorot", "he", "orthogonal", "identity"))),
        ),
    ] = 1.0

    def __post_init__(self) -> None:
        if not any(sizes(self.character_filters)):
            raise SettingsError(f"character_filters = {self.character_filters} has no filters")

    @property
    def is_tied(self) -> bool:
        """Whether an output layer shares the word vectors as its weights; only language models
        have one that can."""
        return False

    @property
    def has_word_vectors(self) -> bool:
        """Whether words have vectors, alone or beside their characters."""
        return not self.characters or self.characters_beside

    @property
    def input_width(self) -> int:
        """Width of the body's input for each word: its vector, a vector made of its characters, or
        both."""
        of_vector = self.embedding_size if self.has_word_vectors else 0
        of_characters = {
            None: 0,
            "cnn": sum(sizes(self.character_filters)),
            "lstm": 2 * self.character_hidden_size,
        }
        return of_vector + of_characters[self.characters]

    @property
    def output_width(self) -> int:
        """Width of the vector that the body hands to the output layer, before any projection."""
        return self.hidden_size


def sizes(text: str) -> tuple[int, ...]:
    """Return the numbers of a list such as 650,650,400."""
    return tuple(map(whole_number, text.split(",")))


# ---- The stack of recurrent layers of any network, and the settings of each kind of layer.

Activation = Literal["tanh", "relu", "sigmoid", "elu", "leaky_relu"]
ResetGate = Literal["after", "before"]
UpdateGate = Literal["keep", "renew"]
Pooling = Literal["f", "fo", "ifo"]
OF_ACTIVATIONS = "; elu: alpha 1; leaky_relu: slope 0.01"
LayerNorm = Annotated[
    bool,
    about(
        "layer normalisation of the sums before the gates and, in an LSTM, of the cell before "
        "its tanh (Ba et al. 2016)"
    ),
]


Size = tuple[int, ...]  # of an array


def gate_sizes(
    gates: int, input_width: int, width: int, fed_back: int = 0, norms: Iterable[int] = ()
) -> dict[str, Size]:
    """Return the shapes of a layer's weights by name: `gates` blocks of `width` rows each, for its
    input and, if something of width `fed_back` comes back to it, for the fed-back vector. norms:
    the widths of its gains of layer normalisation."""
    arrays: dict[str, Size] = {
        "weight_ih": (gates * width, input_width),
        "bias_ih": (gates * width,),
    }
    if fed_back:
        arrays["weight_hh"] = (gates * width, fed_back)
    return arrays | {f"norms.{number}": (gain,) for number, gain in enumerate(norms)}


class Cell:
    """Base of the settings of one kind of recurrent cell: a frozen dataclass, which also says what
    is needed before there is a network. One without a layer of its own has a step, too.

    Attributes:
        starts: Settings that affect only the initial weights.
        parts: Vectors that are fed back from each step to the next one: "h", the hidden state; "c",
            the cell; or both, in this order.
        activations: Activation of each gate of its step, by name. Under "hidden state", that of the
            hidden state itself.
        layer_norm: Whether its gates are normalised.
    """

    starts: ClassVar[frozenset[str]] = frozenset()
    parts: ClassVar[tuple[str, ...]] = ("h",)
    activations: ClassVar[Mapping[str, str]] = {}
    layer_norm = False

    def of_layer(self, number: int) -> Self:
        """Return the settings of one layer of a stack.

        Args:
            number: Number of the layer, from 0.
        """
        return self

    def array_sizes(self, input_width: int, width: int) -> dict[str, Size]:
        """Return the shapes of the weights of a layer, by name: `weight_ih`, whose rows multiply
        its inputs, among them. Matrices called `weight_hh...` multiply the state.

        Args:
            input_width: Number of inputs.
            width: Number of units.
        """
        raise NotImplementedError

    def start(self, weights: Mapping[str, Any]) -> None:
        """Set the vectors of weights, which are zeros, to where they start. Matrices start as the
        settings `init_...` say.

        Args:
            weights: The weights of a layer by name, to be changed in place.
        """

    def step(self, x_BE: Any, state: Sequence[Any], weights: Mapping[str, Any]) -> Any:
        """Take one step, of tensors of torch.

        Args:
            x_BE: Inputs, (B, E).
            state: The `parts` after the step before, (B, H) each.
            weights: The weights by name.

        Returns:
            A :class:`rnnlm.lm.neural.layers.steps.CellStep`, with the gates of `activations`. A
            gate "forget" is the share of the state that is kept.
        """
        raise NotImplementedError(f"{type(self).__name__} has no step()")


def array_sizes(cell: Cell, input_width: int, width: int) -> dict[str, Size]:
    """Return what `array_sizes` of a cell does; refuse what are no shapes."""
    arrays = cell.array_sizes(input_width, width)
    numbers = chain.from_iterable(arrays.values())
    if len(arrays.get("weight_ih", ())) != 2 or not all(type(n) is int and n > 0 for n in numbers):
        raise ValueError(f"array_sizes() gives {arrays}, not shapes with a matrix weight_ih")
    return arrays


@dataclass(frozen=True)
class ElmanCell(Cell):
    """Elman's cell: the last output is read beside the input."""

    activation: Annotated[Activation, about(f"activation of the hidden layers{OF_ACTIVATIONS}")] = (
        "tanh"
    )
    layer_norm: LayerNorm = False

    def array_sizes(self, input_width: int, width: int) -> dict[str, Size]:
        return gate_sizes(1, input_width, width, width, [width] * self.layer_norm)


@dataclass(frozen=True)
class GruCell(Cell):
    """The gated recurrent unit: a reset and an update gate (Cho et al. 2014)."""

    reset_gate: Annotated[
        ResetGate,
        about(
            "the reset gate acts after the recurrent product (cuDNN, torch) or before it (Cho "
            "et al. 2014)"
        ),
    ] = "after"
    update_gate: Annotated[
        UpdateGate,
        about(
            "an open update gate keeps the old state (Cho et al., torch) or renews it (Chung "
            "et al.)"
        ),
    ] = "keep"
    layer_norm: LayerNorm = False

    def array_sizes(self, input_width: int, width: int) -> dict[str, Size]:
        norms = [3 * width, 3 * width] * self.layer_norm
        return gate_sizes(3, input_width, width, width, norms) | {"bias_hh": (3 * width,)}


@dataclass(frozen=True)
class LstmCell(Cell):
    """The long short-term memory: a cell behind three gates (Hochreiter & Schmidhuber 1997)."""

    starts = frozenset({"forget_bias"})
    parts = ("h", "c")

    forget_bias: Annotated[float, about("initial bias of the forget gate")] = 1.0
    peepholes: Annotated[bool, about("gates also read the cell (Gers & Schmidhuber 2000)")] = False
    coupled_gates: Annotated[bool, about("input gate = 1 - forget gate (Greff et al. 2017)")] = (
        False
    )
    mogrifier_rounds: Annotated[
        int,
        about(
            "rounds in which input and last output gate each other (Melis et al. 2020)",
            ge=0,
            le=100,
        ),
    ] = 0
    mogrifier_rank: Annotated[
        Width | None,
        about("rank of the matrices of these gates; none: full", extra=needs(mogrifier_rounds=ANY)),
    ] = None
    layer_norm: LayerNorm = False

    def array_sizes(self, input_width: int, width: int) -> dict[str, Size]:
        gates = 3 if self.coupled_gates else 4
        norms = [gates * width, gates * width, width, width] * self.layer_norm
        arrays = gate_sizes(gates, input_width, width, width, norms)
        if self.peepholes:
            arrays["peepholes"] = ((gates - 1) * width,)

        # The matrices of the rounds, or two factors of each.
        factors: list[Size] = []
        for number in range(self.mogrifier_rounds):
            rows, columns = (width, input_width) if number % 2 else (input_width, width)
            rank = self.mogrifier_rank
            factors += [(rows, columns)] if rank is None else [(rank, columns), (rows, rank)]
        return arrays | {f"mogrifier.{number}": size for number, size in enumerate(factors)}


@dataclass(frozen=True)
class QrnnCell(Cell):
    """The quasi-recurrent network: a convolution, pooled over time (Bradbury et al. 2017)."""

    parts = ("c",)

    convolution_words: Annotated[
        int,
        about(
            "words that the first layer's convolution reads; later layers read one", ge=1, le=100
        ),
    ] = 2
    pooling: Annotated[
        Pooling,
        about(
            "gates that pool over time: f (forget), fo (and output) or ifo (and input, which "
            "is 1 - forget otherwise)"
        ),
    ] = "fo"

    def of_layer(self, number: int) -> Self:
        return replace(self, convolution_words=1) if number else self

    def array_sizes(self, input_width: int, width: int) -> dict[str, Size]:
        return gate_sizes(1 + len(self.pooling), self.convolution_words * input_width, width)


HIGHWAY_BIAS = -1.0  # a highway starts by carrying most of its input (Srivastava et al. 2015)


def cell_class(name: str) -> type[Cell]:
    """Return the class of settings of the cell of that name, of which errors name the package."""
    known = cells(name)
    if name not in known:
        raise SettingsError(f"unknown cell {name!r}", hint=nearest(name, known))
    cls = known[name].load()
    with satellites.blaming("cells", name):
        if not (isinstance(cls, type) and issubclass(cls, Cell) and is_dataclass(cls)):
            raise TypeError(f"{cls!r} is no dataclass that derives from Cell")
        cls()
    return cls


@dataclass(frozen=True)
class RecurrentSettings(InputSettings):
    """Settings that all recurrent kinds share: a stack of recurrent layers.

    cell: settings of the cell that the model is called like; by default, its defaults.
    """

    cell: Cell | None = part(Cell)
    layers: Annotated[Depth, about("recurrent layers")] = 1
    layer_sizes: Annotated[
        Sizes | None, about("width of each layer: 650,650,400; none: hidden_size for all")
    ] = None
    connections: Annotated[
        Literal["plain", "residual", "highway", "dense"],
        about("how layers connect to those below them"),
    ] = "plain"
    dropout_between: Annotated[
        Probability, about("dropout between recurrent layers", extra=needs(layers=range(2, 101)))
    ] = 0.1
    weight_drop: Annotated[
        Probability,
        about(
            "DropConnect on the recurrent weights (qrnn: on those of the convolution), drawn "
            "once a window"
        ),
    ] = 0.0

    def __post_init__(self) -> None:
        if self.cell is None:
            object.__setattr__(self, "cell", cell_class(self.model)())
        super().__post_init__()
        if self.layer_sizes is not None and len(self.widths) != self.layers:
            raise SettingsError(
                f"layer_sizes = {self.layer_sizes} names {len(self.widths)} widths",
                f"layers is {self.layers}",
                f"set layers={len(self.widths)}",
            )
        if not all(self.widths):
            raise SettingsError(f"layer_sizes = {self.layer_sizes}: a layer has a width of 0")
        if self.connections in ("residual", "highway") and len(set(self.widths)) > 1:
            raise SettingsError(
                f"{self.connections} connections need layers of equal width",
                f"layer_sizes is {self.layer_sizes}",
                "set connections=dense or plain, or equal widths",
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """The width of each recurrent layer."""
        return sizes(self.layer_sizes) if self.layer_sizes else (self.hidden_size,) * self.layers

    @property
    def form(self) -> dict[str, Any]:
        """The settings of the cell's computation, which only cells of its kind have."""
        assert self.cell is not None
        settings = vars(self.cell)
        return {name: settings[name] for name in sorted(settings.keys() - self.cell.starts)}

    @property
    def directions(self) -> int:
        """In how many directions the words are read: 1, or 2 if each layer has another one beside
        it that reads from the last word to the first."""
        return 1

    @property
    def output_width(self) -> int:
        if self.connections == "dense":
            return self.input_width + self.directions * sum(self.widths)
        return self.directions * self.widths[-1]


# ---- The settings of each kind of neural language model.


@dataclass(frozen=True)
class NetworkSettings(InputSettings):
    """Settings of every neural language model: an output layer that predicts words."""

    embedding_size: Annotated[
        Width,
        about("width of the word vectors", extra=needs(**WORD_VECTORS, output_layer=("mos",))),
    ] = 256
    output_layer: Annotated[
        Literal["softmax", "adaptive", "class", "hierarchical", "mos"],
        about("output layer; mos: a mixture of softmaxes"),
    ] = "softmax"
    tied: Annotated[
        bool | None,
        about(
            "output weights are the word vectors (projected where the widths differ); none: "
            "where possible"
        ),
    ] = None
    loss: Annotated[
        Literal["full", "sampled", "nce"],
        about(
            "output_layer=softmax: the training loss; evaluation is always exact",
            extra=needs(output_layer=("softmax",)),
        ),
    ] = "full"
    samples: Annotated[
        Width,
        about(
            "loss=sampled, nce: noise words drawn for each window, V at most",
            extra=needs(loss=("sampled", "nce")),
        ),
    ] = 1024
    cutoffs: Annotated[
        Sizes | None,
        about(
            "output_layer=adaptive: ranks at which clusters end; none: computed from V",
            extra=needs(output_layer=("adaptive",)),
        ),
    ] = None
    cluster_shrink: Annotated[
        float,
        about(
            "output_layer=adaptive: how many times narrower each cluster is than the one before",
            extra=needs(output_layer=("adaptive",)),
            ge=1,
            le=1000,
        ),
    ] = 4.0
    classes: Annotated[
        Count | None,
        about(
            "output_layer=class: number of classes; none: the square root of V",
            extra=needs(output_layer=("class",)),
        ),
    ] = None
    mixture_components: Annotated[
        int,
        about(
            "output_layer=mos: number of softmaxes to mix",
            extra=needs(output_layer=("mos",)),
            ge=1,
            le=1000,
        ),
    ] = 15
    dropout_latent: Annotated[
        Probability,
        about(
            "output_layer=mos: dropout on the input of each softmax",
            extra=needs(output_layer=("mos",)),
        ),
    ] = 0.0
    init_output_bias: Annotated[
        Literal["unigram", "zero"],
        about(
            "output_layer=softmax, mos: biases start at the words' frequencies, or at zero "
            "(for deep networks under SGD)",
            extra=needs(output_layer=("softmax", "mos")),
        ),
    ] = "unigram"

    def __post_init__(self) -> None:
        obstacle = self._obstacle_to_tying()
        if self.tied and obstacle:
            raise SettingsError(
                "tied = true is not possible", obstacle, "leave tied out, or set tied=false"
            )
        super().__post_init__()

    @property
    def is_tied(self) -> bool:
        """Whether the output layer's weights are the word vectors."""
        return self.tied is not False and not self._obstacle_to_tying()

    @property
    def features_width(self) -> int:
        """Width of the output layer's input: the width of the word vectors it is tied to, else the
        body's. A mixture of softmaxes maps the body's width itself."""
        takes_vectors = self.is_tied and self.output_layer != "mos"
        return self.embedding_size if takes_vectors else self.output_width

    def _obstacle_to_tying(self) -> str:
        """Return why output weights and word vectors cannot be shared; "" if they can."""
        if not self.has_word_vectors:
            return "words are read as characters: there are no word vectors"
        if self.output_layer in ("adaptive", "hierarchical"):
            return f"the {self.output_layer} softmax has no weights for each word"
        return ""


@dataclass(frozen=True)
class RecurrentModelSettings(RecurrentSettings, NetworkSettings):
    """Settings of `--model rnn`, `gru`, `lstm` and `qrnn`."""

    activation_penalty: Annotated[
        NonNegative,
        about("AR: weight of the mean square of the output layer's input, after dropout"),
    ] = 0.0
    temporal_penalty: Annotated[
        NonNegative,
        about("TAR: weight of the mean square of its change between positions, before dropout"),
    ] = 0.0


@dataclass(frozen=True)
class JordanSettings(NetworkSettings):
    """Settings of `--model jordan`: the previous output feeds the hidden layer."""

    activation: Annotated[Activation, about(f"activation of the hidden layer{OF_ACTIVATIONS}")] = (
        "sigmoid"
    )
    feedback: Annotated[
        Literal["distribution", "embedding"],
        about(
            "feedback of the previous output to the hidden layer: all its probabilities, or "
            "the expected word vector"
        ),
    ] = "distribution"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.feedback == "embedding" and not self.has_word_vectors:
            raise SettingsError(
                "feedback = embedding needs word vectors",
                "words are read as characters",
                "set characters_beside=true",
            )


@dataclass(frozen=True)
class BatchNormSettings:
    """The setting that networks without recurrence have in common."""

    batch_norm: Annotated[
        bool,
        about(
            "normalise what each hidden layer computes over the batch, before its activation "
            "(Ioffe & Szegedy 2015); evaluation uses running means"
        ),
    ] = False


@dataclass(frozen=True)
class FeedForwardSettings(BatchNormSettings, NetworkSettings):
    """Settings of `--model ffnn`: a window of words, no recurrence."""

    context_words: Annotated[int, about("words of context (N - 1)", ge=1, le=1000)] = 4
    layers: Annotated[
        int,
        about("hidden layers; 0: a softmax of the window's word vectors, log-linear", ge=0, le=100),
    ] = 1
    activation: Annotated[
        Activation,
        about(
            f"activation of the hidden layers{OF_ACTIVATIONS}", extra=needs(layers=range(1, 101))
        ),
    ] = "tanh"
    direct_connections: Annotated[
        bool,
        about(
            "the output layer also reads the window's word vectors",
            extra=needs(layers=range(1, 101)),
        ),
    ] = False

    @property
    def output_width(self) -> int:
        window = self.context_words * self.input_width
        if not self.layers:
            return window
        return self.hidden_size + (window if self.direct_connections else 0)

    def _obstacle_to_tying(self) -> str:
        if not self.layers:
            return "without hidden layers, a word's score after another one would be symmetric"
        if self.direct_connections:
            return "the direct connections have separate weights"
        return super()._obstacle_to_tying()


def kinds() -> dict[str, type[NetworkSettings]]:
    """Return the class of settings of each kind of network."""
    of_cells = dict.fromkeys(cells(), RecurrentModelSettings)
    return {**of_cells, "jordan": JordanSettings, "ffnn": FeedForwardSettings}


def parts_of(model: str) -> list[type]:
    """Return the classes of settings that this kind of network has beside its own: its cell's."""
    return [cell_class(model)] if model in cells() else []


# Settings of training, which change no result of a trained network, besides dropout and `init_...`.
_OF_TRAINING = frozenset(
    {"locked_dropout", "weight_drop", "activation_penalty", "temporal_penalty", "loss", "samples"}
)


def structure(settings: InputSettings) -> dict[str, Any]:
    """Return the settings that determine what a network computes: all but those of its
    initialisation and training, and those without effect."""
    values = dict(vars(settings))

    # The form of the cells, and the width of layers that have no widths of their own.
    if isinstance(settings, RecurrentSettings):
        del values["cell"]
        values |= settings.form
        if settings.layer_sizes:
            del values["hidden_size"]

    # The output layer. Vectors of a mixture of softmaxes are as wide as those of words.
    has_vectors = settings.has_word_vectors
    if isinstance(settings, NetworkSettings):
        values["tied"] = settings.is_tied
        has_vectors = has_vectors or settings.output_layer == "mos"
    if not has_vectors:
        del values["embedding_size"]

    return {
        name: value
        for name, value in values.items()
        if name not in _OF_TRAINING and not name.startswith(("dropout_", "init_"))
    }


def stored(settings: Mapping[str, Any]) -> NetworkSettings:
    """Return the network settings that a model folder stores."""
    kind = settings.get("model")
    if not isinstance(kind, str) or kind not in kinds():
        raise ModelError(
            "the stored settings are damaged", f"model = {kind!r} is not a kind of network"
        )
    return from_stored(kinds()[kind], settings, parts_of(kind))

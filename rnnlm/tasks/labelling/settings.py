"""The shape of each kind of network that tags or classifies: what can be set, and what contradicts
itself. It does not import torch.

A kind belongs to a task and a model: the cell of its recurrent layers, or none (`bag`, `cnn`,
`recursive`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from rnnlm.config import (
    ANY,
    Count,
    NonNegative,
    Positive,
    Probability,
    SettingsLayer,
    about,
    from_stored,
    list_in_text,
    needs,
    resolve,
)
from rnnlm.errors import ModelError, SettingsError
from rnnlm.lm.neural.cells import cells
from rnnlm.lm.neural.settings import (
    BatchNormSettings,
    InputSettings,
    RecurrentSettings,
    Sizes,
    Width,
    parts_of,
    sizes,
)
from rnnlm.lm.neural.training.settings import OptimizationSettings, Seed
from rnnlm.tasks.labelling.options import TaskTokenizerSettings

ContextModels = Annotated[
    str,
    Meta(
        pattern=r"^[0-9a-f]{12}:\d{1,7}(\+\d{1,7}){0,99}"
        r"(,[0-9a-f]{12}:\d{1,7}(\+\d{1,7}){0,99}){0,63}$"
    ),
]
SentencePooling = Literal["last", "mean", "max", "sum", "attention"]
Constrained = Annotated[
    bool, about("restrict label sequences to those that the span scheme allows: no I-X after O")
]


@dataclass(frozen=True)
class TaskSettings(InputSettings):
    """Settings of all networks of tasks. Their texts are smaller than a language model's: narrower
    layers, more dropout."""

    task: Annotated[Literal["tagging", "classification"], about("task to train for")] = "tagging"

    loss: Annotated[
        Literal["cross-entropy", "margin"],
        about(
            "what training minimises; margin: by how much the right label's score is less than "
            "1 above the best other one's (Collobert & Weston 2008)"
        ),
    ] = "cross-entropy"
    embedding_size: Annotated[Width, about("width of the word vectors")] = 100
    hidden_size: Annotated[Width, about("width of the hidden layers, in each direction")] = 200
    characters_beside: Annotated[
        bool, about("read characters in addition to word vectors, not instead of them")
    ] = True
    character_size: Annotated[Width, about("width of the character vectors")] = 25
    character_filters: Annotated[
        Sizes, about("characters=cnn: number of filters of width 1, 2, 3, ...")
    ] = "0,25,50,25"
    character_highways: Annotated[
        int, about("characters=cnn: highway layers after the filters", ge=0, le=100)
    ] = 0
    character_hidden_size: Annotated[Width, about("characters=lstm: width in each direction")] = 50
    dropout_embedding: Annotated[
        Probability,
        about("dropout of whole words: a dropped word is zero at all its places in a batch"),
    ] = 0.05
    lowercase_vectors: Annotated[
        bool,
        about(
            "words that differ only in case share a vector; their characters keep the case",
            extra=needs(characters=("cnn", "lstm")),
        ),
    ] = True
    unknown_words: Annotated[
        NonNegative,
        about(
            "in training, read a word of frequency n as <unk> with probability a / (a + n), "
            "but keep its characters (Kiperwasser & Goldberg 2016); 0: never"
        ),
    ] = 0.25
    dropout_input: Annotated[Probability, about("dropout on the word vectors")] = 0.3
    dropout_output: Annotated[Probability, about("dropout before the output layer")] = 0.3
    context_models: Annotated[
        ContextModels | None,
        about(
            "language models that are additional input, and the widths of their layers; set by "
            "`contextual`"
        ),
    ] = None
    context_size: Annotated[
        Width,
        about(
            "width of the input from each language model of `contextual`",
            extra=needs(contextual=ANY),
        ),
    ] = 200
    locked_dropout: Annotated[
        bool, about("variational dropout: one mask per row for all places of a text")
    ] = False

    @property
    def context_widths(self) -> list[list[int]]:
        """The widths of the layers of each language model that is read beside the words."""
        models = filter(None, (self.context_models or "").split(","))
        widths_of_models = (model.split(":")[1] for model in models)
        return [list(map(int, widths.split("+"))) for widths in widths_of_models]

    @property
    def input_width(self) -> int:
        return super().input_width + len(self.context_widths) * self.context_size


@dataclass(frozen=True)
class RecurrentTaskSettings(TaskSettings, RecurrentSettings):
    """Settings of the recurrent kinds of all tasks."""

    dropout_between: Annotated[Probability, about("dropout between recurrent layers")] = 0.3
    reads_boundary: Annotated[
        bool,
        about(
            "read </s> before each text, in both directions, as language models do; "
            "`init_from` sets it"
        ),
    ] = False
    bidirectional: Annotated[
        bool, about("add a second, backward layer to each layer; false: forward only")
    ] = True
    sentence_pooling: Annotated[
        SentencePooling,
        about(
            "input of a label of the whole text: the last states (backward: at the first word), "
            "or the mean, maximum, sum or weighted mean over the words"
        ),
    ] = "max"

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1


@dataclass(frozen=True)
class TaggingSettings(RecurrentTaskSettings):
    """Settings of `--task tagging`: a label for each word, by recurrent layers."""

    characters: Annotated[
        Literal["cnn", "lstm"] | None,
        about("how words are read by their characters; none: word vectors alone"),
    ] = "cnn"
    output_layer: Annotated[
        Literal["softmax", "crf", "memm"],
        about(
            "output layer; crf is a linear chain that scores all labels of a sentence together; "
            "memm is a softmax that also reads the label before (output connections)"
        ),
    ] = "softmax"
    constrained: Constrained = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss == "margin" and self.output_layer != "softmax":
            raise SettingsError(
                "loss = margin compares the labels of one word",
                f"output_layer = {self.output_layer} scores sequences of labels",
                "set output_layer=softmax, or loss=cross-entropy",
            )


@dataclass(frozen=True)
class ClassificationSettings(TaskSettings):
    """Settings of all classifiers: a label for a text."""

    task: Annotated[Literal["tagging", "classification"], about("task to train for")] = (
        "classification"
    )

    dropout_output: Annotated[Probability, about("dropout before the output layer")] = 0.5


@dataclass(frozen=True)
class RecurrentClassifier(ClassificationSettings, RecurrentTaskSettings):
    """Settings of `--task classification` with recurrent layers."""


@dataclass(frozen=True)
class BagClassifier(BatchNormSettings, ClassificationSettings):
    """Settings of `--task classification --model bag`: the mean of the word vectors, then layers
    (Iyyer et al. 2015)."""

    embedding_size: Annotated[Width, about("width of the word vectors")] = 200
    dropout_embedding: Annotated[
        Probability,
        about("dropout of whole words: a dropped word is zero at all its places in a batch"),
    ] = 0.3
    layers: Annotated[
        int, about("layers after the mean; 0 feeds it to the output layer", ge=0, le=100)
    ] = 1
    activation: Annotated[Literal["tanh", "relu"], about("activation of the layers")] = "relu"
    dropout_between: Annotated[
        Probability, about("dropout between layers", extra=needs(layers=range(2, 101)))
    ] = 0.3

    @property
    def output_width(self) -> int:
        return self.hidden_size if self.layers else self.input_width


@dataclass(frozen=True)
class CnnClassifier(BatchNormSettings, ClassificationSettings):
    """Settings of `--task classification --model cnn`: filters over the words, each at its best
    place (Kim 2014)."""

    hidden_size: Annotated[Width, about("filters of each width")] = 100
    filter_widths: Annotated[Sizes, about("words that each filter covers", examples=["3,4,5"])] = (
        "3,4,5"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        widths = self.words_read
        if min(widths) < 1 or max(widths) > 100:
            raise SettingsError(
                f"filter_widths = {self.filter_widths} is not valid",
                "a filter reads from 1 to 100 words",
            )
        if len(set(widths)) < len(widths):
            raise SettingsError(
                f"filter_widths = {self.filter_widths} has a width twice",
                hint="raise hidden_size for more filters",
            )

    @property
    def words_read(self) -> tuple[int, ...]:
        """The filters' widths."""
        return sizes(self.filter_widths)

    @property
    def output_width(self) -> int:
        return self.hidden_size * len(self.words_read)


@dataclass(frozen=True)
class RecursiveClassifier(BatchNormSettings, ClassificationSettings):
    """Settings of `--task classification --model recursive`: vectors of phrases over a tree (Socher
    et al. 2011, 2013)."""

    embedding_size: Annotated[Width, about("width of the word vectors")] = 50
    hidden_size: Annotated[Width, about("width of the vectors of phrases")] = 50
    composition: Annotated[
        Literal["matrix", "tensor"],
        about(
            "how a node's vector is made of those of its children a and b: tanh(W [a; b] + c), or "
            "with a tensor tanh([a; b]' V [a; b] + W [a; b] + c)"
        ),
    ] = "matrix"
    leaf_map: Annotated[
        bool | None,
        about(
            "map word vectors to the leaves by a linear map of its own; false: only where "
            "embedding_size and hidden_size differ; none: with composition=matrix, as a tensor "
            "learns late with a map"
        ),
    ] = None
    node_loss: Annotated[
        Literal["all", "root"],
        about("nodes that are learned from: all that have labels, or the root alone"),
    ] = "all"

    @property
    def maps_leaves(self) -> bool:
        is_mapped = self.composition == "matrix" if self.leaf_map is None else self.leaf_map
        return is_mapped or self.input_width != self.hidden_size


@dataclass(frozen=True)
class HmmSettings:
    """Settings of `--task tagging --model hmm`: a hidden Markov model (Rabiner 1989), which is
    counted."""

    model: Annotated[str, about("kind of model")] = "hmm"
    task: Annotated[Literal["tagging", "classification"], about("task to train for")] = "tagging"
    additive_k: Annotated[
        Positive, about("added to each count of a word with a label, and of a label after a label")
    ] = 0.01
    constrained: Constrained = True
    seed: Annotated[Seed, about("random seed of the draw of validation data")] = 1


@dataclass(frozen=True)
class HmmTokenizerSettings(TaskTokenizerSettings):
    """Settings for turning words into tokens. Words seen once tell about unknown ones, and are
    words themselves."""

    min_count: Annotated[
        Count, about("words or characters that occur fewer times become <unk>")
    ] = 1


def kinds() -> dict[tuple[str, str], type[TaskSettings]]:
    """Return the class of settings of each kind of network, by its task and name."""
    return {
        **{("tagging", cell): TaggingSettings for cell in cells()},
        **{("classification", cell): RecurrentClassifier for cell in cells()},
        ("classification", "bag"): BagClassifier,
        ("classification", "cnn"): CnnClassifier,
        ("classification", "recursive"): RecursiveClassifier,
    }


def network_settings(task: str, model: str, /, **values: Any) -> TaskSettings:
    """Make the settings of a task's network that is not trained by a command, from values by
    name."""
    kind = kinds()[task, model]
    layer = SettingsLayer("the settings", {"model": model, **values})
    return resolve([kind, *parts_of(model)], [layer]).make(kind)


def stored(task: str, settings: Mapping[str, Any]) -> TaskSettings:
    """Restore the settings of a task's network that a model folder stores."""
    # Folders of before `leaf_map` hold all other settings, and map leaves only where they must.
    if "composition" in settings:
        settings = {"leaf_map": False, **settings}
    kind = settings.get("model")
    if not isinstance(kind, str) or (task, kind) not in kinds():
        raise ModelError(
            "the stored settings are damaged",
            f"model = {kind!r} is not a kind of network for {task}",
        )
    return from_stored(kinds()[task, kind], settings, parts_of(kind))


# ---- How a task's network is trained. Does not import torch.

RateDecay = Annotated[float, Meta(ge=1, le=100)]
_WEIGHT = r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)"
Weights = Annotated[
    str, list_in_text("numbers", rf"^\s*{_WEIGHT}(\s*,\s*{_WEIGHT}){{0,99}}\s*$", "1,0.5")
]


@dataclass(frozen=True)
class TaskFittingSettings(OptimizationSettings):
    """Settings for training a task's network on batches of examples."""

    batch_rows: Annotated[Width, about("examples per batch and process")] = 32
    learning_rate: Annotated[Positive, about("peak learning rate")] = 0.005
    clip_norm: Annotated[
        Positive | None, about("largest global norm of the gradients; longer ones are scaled down")
    ] = 5.0
    ema_decay: Annotated[
        Probability | None,
        about(
            "decay of an exponential moving average of the weights, which is validated and "
            "saved; none: no average"
        ),
    ] = None
    loss_weights: Annotated[
        Weights | None,
        about(
            "weight of each label column's loss, columns of words first, such as 1,0.5; none: all 1"
        ),
    ] = None
    rate_decay_by_layer: Annotated[
        RateDecay,
        about(
            "factor by which the learning rate falls from each layer to the one below (Howard & "
            "Ruder 2018: 2.6); 1 keeps it equal"
        ),
    ] = 1.0
    unfreeze: Annotated[
        Literal["epoch"] | None,
        about(
            "epoch: train only the output layer in the first epoch, and one layer more in each "
            "further epoch (Howard & Ruder 2018); none: train all layers from the start"
        ),
    ] = None
    criterion: Annotated[
        Literal["auto", "accuracy", "f1", "macro_f1", "loss"],
        about(
            "validation metric that selects the best weights; auto: F1 for spans, word error "
            "rate for sounds, else accuracy"
        ),
    ] = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.unfreeze and self.cuda_graphs is True:
            raise SettingsError(
                "unfreeze and cuda_graphs cannot be combined",
                "a recorded step always trains the same layers",
                "set cuda_graphs=false",
            )

    @property
    def varies_by_layer(self) -> bool:
        return self.rate_decay_by_layer != 1 or self.unfreeze is not None

    def rate_factor(self, depth: int, epochs: float) -> float:
        is_frozen = self.unfreeze is not None and depth > int(epochs)
        return 0.0 if is_frozen else self.rate_decay_by_layer**-depth

    def weights_of(self, columns: int) -> tuple[float, ...]:
        """Return the weight of the loss of each column. columns: their number."""
        if self.loss_weights is None:
            return (1.0,) * columns
        weights = tuple(map(float, self.loss_weights.split(",")))
        if not any(weights):
            raise SettingsError(f"loss_weights = {self.loss_weights} leaves nothing to learn")
        if len(weights) != columns:
            raise SettingsError(
                f"loss_weights = {self.loss_weights} has {len(weights)} weights",
                f"{columns} label column{' is' if columns == 1 else 's are'} learned",
                "give each label column one, those of words first",
            )
        return weights

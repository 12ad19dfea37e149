"""The shape of each kind of encoder-decoder: its settings, and their contradictions. It does not
import torch.

The inherited settings of recurrent layers concern the encoder; connections and the form of the cell
hold for the decoder, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from rnnlm.config import (
    ANY,
    Count,
    NonNegative,
    Positive,
    Probability,
    SettingsLayer,
    about,
    from_stored,
    needs,
    resolve,
)
from rnnlm.errors import ModelError, SettingsError
from rnnlm.lm.neural.cells import cells
from rnnlm.lm.neural.settings import (
    Depth,
    Initialisation,
    InputSettings,
    RecurrentSettings,
    Width,
    cell_class,
)
from rnnlm.lm.neural.training.settings import OptimizationSettings

AttentionKind = Literal["dot", "general", "additive"]


@dataclass(frozen=True)
class TargetWords(InputSettings):
    """The target's word vectors, which the output layer may share."""

    shared: bool = True

    @property
    def is_tied(self) -> bool:
        return self.shared


@dataclass(frozen=True)
class Seq2SeqSettings(RecurrentSettings):
    """Settings of all encoder-decoders. Widths of inputs and outputs follow from them: see the
    properties."""

    task: Annotated[Literal["seq2seq"], about("task to train for")] = "seq2seq"

    embedding_size: Annotated[Width, about("width of the word vectors")] = 256
    target_embedding_size: Annotated[
        Width | None, about("width of the target's word vectors; none: that of the source's")
    ] = None
    unknown_words: Annotated[
        NonNegative,
        about(
            "in training, read a source word of frequency n as <unk> with probability a / (a + "
            "n), but keep its characters (Kiperwasser & Goldberg 2016); 0: never"
        ),
    ] = 0.0
    hidden_size: Annotated[Width, about("width of the encoder's layers, in each direction")] = 256
    layers: Annotated[Depth, about("recurrent layers of the encoder")] = 1
    bidirectional: Annotated[
        bool, about("add a second, backward layer to each layer of the encoder")
    ] = True
    decoder_model: Annotated[
        str | None,
        about("kind of the decoder's layers, in its default form; none: that of the encoder's"),
    ] = None
    decoder_layers: Annotated[Depth, about("recurrent layers of the decoder")] = 1
    decoder_hidden_size: Annotated[
        Width | None,
        about("width of the decoder's layers; none: that of the encoder's output for each token"),
    ] = None
    attention: Annotated[
        AttentionKind | None,
        about(
            "attention score of the decoder: h m, h W m (Luong et al. 2015) or v tanh(W h + U m) "
            "(Bahdanau et al. 2015); none: no attention, only the first state"
        ),
    ] = "general"
    attention_size: Annotated[
        Width | None,
        about(
            "attention=additive: width of the compared vectors; none: that of the decoder",
            extra=needs(attention=("additive",)),
        ),
    ] = None
    input_feeding: Annotated[
        bool,
        about(
            "feed the last attentional vector to the decoder with each word (Luong et al. 2015)",
            extra=needs(attention=ANY),
        ),
    ] = False
    bridge: Annotated[
        Literal["last", "mean"] | None,
        about(
            "source of the decoder's first state: a learned map of the encoder's last hidden "
            "states (backward: at the first token), or of the mean of its outputs; none: zeros"
        ),
    ] = "last"
    tied_embeddings: Annotated[
        Literal["target", "all"] | None,
        about(
            "share the output weights with the target's word vectors; all: also with the "
            "source's (one vocabulary for both)"
        ),
    ] = "target"
    init_output: Annotated[
        Initialisation,
        about("how output weights are initialised", extra=needs(tied_embeddings=(None,))),
    ] = "uniform"
    dropout_input: Annotated[
        Probability, about("dropout on the word vectors and on the vectors of input feeding")
    ] = 0.2
    dropout_between: Annotated[
        Probability,
        about(
            "dropout between recurrent layers",
            extra=needs(layers=range(2, 101), decoder_layers=range(2, 101)),
        ),
    ] = 0.2
    dropout_output: Annotated[Probability, about("dropout before the output layer")] = 0.2

    def __post_init__(self) -> None:
        if self.characters:
            raise SettingsError(
                "characters is not possible with task = seq2seq",
                "the network has a vector for each token on either side",
                "set tokenizer=char to read characters",
            )
        super().__post_init__()

        # The decoder has to learn something of its source.
        if not self.attention and not self.bridge:
            raise SettingsError(
                "attention = none and bridge = none hide the source from the decoder",
                hint="set bridge=last or mean, or attention=general",
            )

        # Vectors that are compared or shared have one width.
        if self.attention == "dot" and self.decoder.output_width != self.output_width:
            raise SettingsError(
                "attention = dot needs equal widths",
                f"the encoder gives {self.output_width} numbers for each token, the "
                f"decoder {self.decoder.output_width}",
                "set attention=general, or decoder_hidden_size=none",
            )
        if self.tied_embeddings == "all" and self.target_width != self.embedding_size:
            raise SettingsError(
                "tied_embeddings = all needs word vectors of equal width",
                f"embedding_size is {self.embedding_size}, target_embedding_size is "
                f"{self.target_embedding_size}",
                "set target_embedding_size=none",
            )

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def target_width(self) -> int:
        """Width of the target's word vectors."""
        return self.target_embedding_size or self.embedding_size

    @property
    def decoder_width(self) -> int:
        """Width of the decoder's layers."""
        return self.decoder_hidden_size or self.output_width

    @property
    def features_width(self) -> int:
        """Width of the output layer's input; with attention also of the attentional vector."""
        if self.tied_embeddings:
            return self.target_width
        if self.attention:
            return self.decoder_width
        return self.decoder.output_width

    @property
    def fed_width(self) -> int:
        """Width that input feeding adds to the decoder's input, 0 without it."""
        return self.features_width if self.input_feeding else 0

    @property
    def compared_width(self) -> int:
        """Width of the vectors that additive attention compares."""
        return self.attention_size or self.decoder_width

    def below(self, number: int, layers: int) -> int:
        """Return which layer of the encoder is as high as layer `number` of a decoder of so many:
        its highest one for all above, and for a decoder of fewer layers the highest ones."""
        highest = len(self.widths) - 1
        above = max(0, len(self.widths) - layers)
        return min(number + above, highest)

    @property
    def target_words(self) -> TargetWords:
        """How the target's words are read."""
        return TargetWords(
            embedding_size=self.target_width,
            dropout_embedding=self.dropout_embedding,
            init_range=self.init_range,
            shared=bool(self.tied_embeddings),
        )

    @property
    def decoder(self) -> RecurrentSettings:
        """The decoder's layers: of another cell than the encoder's in its default form, else in the
        encoder's."""
        model = self.decoder_model or self.model
        common = {field.name: getattr(self, field.name) for field in fields(RecurrentSettings)}
        of_decoder = {
            "model": model,
            "cell": self.cell if model == self.model else cell_class(model)(),
            "embedding_size": self.target_width + self.fed_width,
            "hidden_size": self.decoder_width,
            "layers": self.decoder_layers,
            "layer_sizes": None,
        }
        return RecurrentSettings(**common | of_decoder)


def network_settings(model: str, /, **values: Any) -> Seq2SeqSettings:
    """Make the settings of an encoder-decoder that is not trained by a command, from values by
    name."""
    layer = SettingsLayer("the settings", {"model": model, **values})
    return resolve([Seq2SeqSettings, cell_class(model)], [layer]).make(Seq2SeqSettings)


def stored(settings: Mapping[str, Any]) -> Seq2SeqSettings:
    """Restore the settings of an encoder-decoder that a model folder stores."""
    kind = settings.get("model")
    if not isinstance(kind, str) or kind not in cells():
        raise ModelError(
            "the stored settings are damaged", f"model = {kind!r} is not a kind of encoder-decoder"
        )
    return from_stored(Seq2SeqSettings, settings, [cell_class(kind)])


# ---- How an encoder-decoder is trained.


@dataclass(frozen=True)
class Seq2SeqFittingSettings(OptimizationSettings):
    """Settings for training an encoder-decoder on batches of pairs."""

    batch_rows: Annotated[Width, about("pairs per batch and process")] = 64
    learning_rate: Annotated[Positive, about("peak learning rate")] = 0.002
    clip_norm: Annotated[
        Positive | None, about("largest global norm of the gradients; longer ones are scaled down")
    ] = 1.0
    label_smoothing: Annotated[
        Probability,
        about(
            "share of the probability that is spread evenly over all tokens (Szegedy et al. 2016)"
        ),
    ] = 0.1
    own_words: Annotated[
        Probability,
        about(
            "probability that the decoder reads its own likeliest token instead of the "
            "target's (Bengio et al. 2015)"
        ),
    ] = 0.0
    own_words_schedule: Annotated[
        Literal["constant", "linear"],
        about(
            "linear: the probability rises over the budget, from 0 to own_words (Bengio et al. "
            "2015)",
            extra=needs(own_words=ANY),
        ),
    ] = "constant"
    longest: Annotated[
        Count, about("skip training pairs with more tokens than this on either side")
    ] = 250
    criterion: Annotated[
        Literal["loss", "bleu", "chrf", "exact_match", "word_error_rate", "symbol_error_rate"],
        about(
            "validation metric that selects the best weights; all but the loss decode the "
            "validation sources greedily"
        ),
    ] = "loss"

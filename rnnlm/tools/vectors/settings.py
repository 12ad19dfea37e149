"""Settings for learning word vectors from a text, and for vectors of lines."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.config import Count, ValidatedSettings, about
from rnnlm.text.lines import SpecialSymbols

Method = Literal["svd", "glove", "skipgram", "cbow"]
Pooling = Literal["last", "mean", "max"]
# Defaults of each method that reads or goes through its counts again and again.
EPOCHS = {"glove": 15, "skipgram": 5, "cbow": 5}
WIDTH = 100
LEARNING_RATES = {"glove": 0.05, "skipgram": 0.025, "cbow": 0.025}


@dataclass(frozen=True)
class LearningSettings(ValidatedSettings):
    """Settings for learning word vectors."""

    method: Annotated[
        Method, about("learning method: truncated SVD of counts, GloVe, skip-gram or CBOW")
    ] = "svd"
    width: Annotated[
        Count | None, about("number of dimensions; none: 100, fewer if the text has few words")
    ] = None
    window: Annotated[
        Count,
        about(
            "words on each side that count as context; skip-gram and CBOW draw windows of up "
            "to this size"
        ),
    ] = 5
    min_count: Annotated[Count, about("words that occur fewer times get no vector")] = 5
    epochs: Annotated[
        Count | None,
        about(
            "number of passes, over the counts (GloVe) or the text (skip-gram, "
            f"CBOW); none: {EPOCHS['glove']} and {EPOCHS['cbow']}"
        ),
    ] = None
    negative: Annotated[Count, about("number of noise words per pair, for skip-gram and CBOW")] = 5
    learning_rate: Annotated[
        Annotated[float, Meta(gt=0, lt=1)] | None,
        about(
            "learning rate of GloVe, initial learning rate of skip-gram and CBOW; "
            f"none: {LEARNING_RATES['glove']} and {LEARNING_RATES['cbow']}"
        ),
    ] = None
    seed: Annotated[
        int,
        about(
            "random seed; the same seed and number of threads give the same vectors",
            ge=0,
            lt=1 << 32,
        ),
    ] = 1
    threads: Annotated[Count, about("number of CPU threads, for all methods but svd")] = 1


@dataclass(frozen=True)
class EmbeddingSettings(ValidatedSettings):
    """Settings for embedding.

    pooling: of a line "last", after its last token (each direction of a bidirectional layer after
    the token that it reads last), or the "mean" or "max" over its tokens; None: last. layer:
    "input", the vectors that the network reads; 1 and so on, a layer, the lowest first; "features",
    the input of the output layer. None: features; of a classifier, whose features concern the whole
    text, the highest layer if words or a pooling are requested. words: a vector of each word in its
    context instead of one per line. special_symbols: `<s>` and `</s>` in a line are an "error", or
    they "drop" or "replace" it by `<unk>`.
    """

    pooling: Annotated[
        Pooling | None,
        about(
            "vector of a line: that of its last token, or the mean or maximum over its tokens; "
            "none: last; for features of a classifier, its own"
        ),
    ] = None
    layer: Annotated[
        str | int | None,
        about(
            "layer: input (the token vectors), 1 (the lowest layer), 2 and so on, or features "
            "(the input of the output layer); none: features",
            title="LAYER",
        ),
    ] = None
    words: Annotated[
        bool, about("write one vector per word in context instead of one per line")
    ] = False
    special_symbols: Annotated[
        SpecialSymbols, about("<s> or </s> in the text is an error, is dropped, or becomes <unk>")
    ] = "error"

"""What can be asked of word vectors that are learned from a text, and of vectors of lines."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.config import Checked, Count
from rnnlm.text.lines import SpecialSymbols

Method = Literal["svd", "glove", "skipgram", "cbow"]
Pooling = Literal["last", "mean", "max"]
# What each method that reads or goes through its counts again and again does by default.
EPOCHS = {"glove": 15, "skipgram": 5, "cbow": 5}
WIDTH = 100
LEARNING_RATES = {"glove": 0.05, "skipgram": 0.025, "cbow": 0.025}


@dataclass(frozen=True)
class LearningSettings(Checked):
    """How word vectors are learned."""

    method: Annotated[
        Method, Meta(description="singular vectors of counts, GloVe, skip-gram or CBOW")
    ] = "svd"
    width: Annotated[
        Count | None,
        Meta(description="numbers of a vector; none: 100, fewer where a text has few words"),
    ] = None
    window: Annotated[
        Count,
        Meta(
            description="most words on each side that count as context; skip-gram and CBOW draw "
            "the window of each word, up to this one"
        ),
    ] = 5
    min_count: Annotated[Count, Meta(description="rarer words get no vector")] = 5
    epochs: Annotated[
        Count | None,
        Meta(
            description="how often GloVe goes through its counts, and skip-gram and CBOW read the "
            f"text; none: {EPOCHS['glove']} and {EPOCHS['cbow']}"
        ),
    ] = None
    negative: Annotated[
        Count, Meta(description="noise words for each pair of skip-gram and CBOW")
    ] = 5
    learning_rate: Annotated[
        Annotated[float, Meta(gt=0, lt=1)] | None,
        Meta(
            description="learning rate of GloVe, and that of skip-gram and CBOW at the start; "
            f"none: {LEARNING_RATES['glove']} and {LEARNING_RATES['cbow']}"
        ),
    ] = None
    seed: Annotated[
        Annotated[int, Meta(ge=0, lt=1 << 32)],
        Meta(description="the same seed gives the same vectors on the same number of threads"),
    ] = 1
    threads: Annotated[Count, Meta(description="CPU threads, of all methods but svd")] = 1


@dataclass(frozen=True)
class EmbeddingSettings(Checked):
    """Which vectors are made.

    pooling: of a line "last", after its last token (each direction of a bidirectional layer after
    the token that it reads last), or the "mean" or "max" over its tokens; None: last. layer:
    "input", what the network reads of each token; 1 and so on, a layer, the lowest first;
    "features", what the output layer reads. None: features; of a classifier, whose features are
    those of the whole text, the highest layer where words or a pooling are asked for. words: a
    vector of each word in its context instead of one a line. special_symbols: `<s>` and `</s>` in a
    line are an "error", or they "drop" or "replace" it by `<unk>`.
    """

    pooling: Annotated[
        Pooling | None,
        Meta(
            description="the vector of a line: the one after its last token, or the mean or "
            "maximum over its tokens; none: last; of the features of a classifier, its own"
        ),
    ] = None
    layer: Annotated[
        str | int | None,
        Meta(
            title="LAYER",
            description="which layer: input (what is read of each token), 1 (the lowest "
            "layer), 2 and so on, "
            "or features (what the output layer reads); none: features",
        ),
    ] = None
    words: Annotated[
        bool, Meta(description="a vector of each word in its context instead of one of each line")
    ] = False
    special_symbols: Annotated[
        SpecialSymbols, Meta(description="<s> or </s> in the text: an error, dropped, or <unk>")
    ] = "error"

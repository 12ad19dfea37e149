"""How texts are drawn, and how the likeliest are searched for."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from rnnlm.config import Checked, Count, Natural, NonNegative

_Share = Annotated[float, Meta(gt=0, le=1)]
LengthPower = Annotated[float, Meta(ge=0, le=10)]


@dataclass(frozen=True)
class SamplingSettings(Checked):
    """How the next token is drawn, and how long a text may be."""

    temperature: Annotated[
        NonNegative,
        Meta(
            description="divides the log-probabilities: below 1 is safer, 0 always takes the "
            "likeliest"
        ),
    ] = 1.0
    top_k: Annotated[Count | None, Meta(description="draw from the k likeliest tokens only")] = None
    top_p: Annotated[
        _Share | None, Meta(description="draw from the fewest tokens that hold this probability")
    ] = None
    min_p: Annotated[
        _Share | None,
        Meta(description="draw from tokens at least this many times as likely as the likeliest"),
    ] = None
    repetition_penalty: Annotated[
        Annotated[float, Meta(ge=1)],
        Meta(description="multiplies the log-probability of tokens that are there already"),
    ] = 1.0
    max_tokens: Annotated[Count, Meta(description="tokens per sample at most")] = 100
    seed: Annotated[Natural, Meta(description="the same seed and number give the same sample")] = 1
    unknown: Annotated[bool, Meta(description="<unk> may be drawn")] = False
    running: Annotated[
        bool, Meta(description="continuous text across line ends, instead of single sentences")
    ] = False


@dataclass(frozen=True)
class SearchSettings(Checked):
    """How wide the beam is, how texts of different length compare, and how many are wanted."""

    beam: Annotated[
        Annotated[int, Meta(ge=1, le=1 << 16)],
        Meta(description="continuations kept at each step; 1: greedy search"),
    ] = 5
    length_power: Annotated[
        LengthPower,
        Meta(description="0 ranks by probability, which favours short texts, 1 nearly per token"),
    ] = 1.0
    nbest: Annotated[
        Count, Meta(description="texts to give back, at most as many as the beam is wide")
    ] = 1
    unknown: Annotated[bool, Meta(description="<unk> may be written")] = False


@dataclass(frozen=True)
class BeamSettings(Checked):
    """How wide the beam is, and how texts of different length compare."""

    beam: Annotated[
        Annotated[int, Meta(ge=1, le=1 << 16)],
        Meta(description="beginnings that are kept at each step"),
    ] = 8
    length_power: Annotated[
        LengthPower,
        Meta(description="0 ranks by probability, which favours short texts, 1 nearly per token"),
    ] = 0.0
    max_tokens: Annotated[Count, Meta(description="tokens per text at most")] = 100
    unknown: Annotated[bool, Meta(description="<unk> may be written")] = False

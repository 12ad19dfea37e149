"""How the likeliest texts are searched for."""

from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from msgspec import Meta

from rnnlm.config import Checked, Count

LengthPower = Annotated[float, Meta(ge=0, le=10)]


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
    """How many texts are searched for, how they begin, how wide the beam is, and how texts of
    different length compare."""

    prompt: Annotated[str, Meta(description="how each text begins")] = ""
    num: Annotated[
        int, Meta(description="texts to give back, at most as many as the beam is wide")
    ] = 1
    _: KW_ONLY
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

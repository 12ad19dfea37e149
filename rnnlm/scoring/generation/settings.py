"""Settings of beam search."""

from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from msgspec import Meta

from rnnlm.config import Count, ValidatedSettings, about

LengthPower = Annotated[float, Meta(ge=0, le=10)]


@dataclass(frozen=True)
class SearchSettings(ValidatedSettings):
    """The width of the beam, how texts of different length compare, and how many to return."""

    beam: Annotated[
        int,
        about("beam width: continuations kept at each step; 1 is greedy search", ge=1, le=1 << 16),
    ] = 5
    length_power: Annotated[
        LengthPower,
        about(
            "0 ranks texts by probability, which favours short ones; 1 ranks them nearly per token"
        ),
    ] = 1.0
    nbest: Annotated[Count, about("number of texts to return, at most the beam width")] = 1
    unknown: Annotated[bool, about("allow <unk> in the texts")] = False


@dataclass(frozen=True)
class BeamSettings(ValidatedSettings):
    """The number of texts to find, how they begin, the width of the beam, and how texts of
    different length compare."""

    prompt: Annotated[str, about("beginning of each text")] = ""
    num: Annotated[int, about("number of texts to return, at most the beam width")] = 1
    _: KW_ONLY
    beam: Annotated[int, about("beam width: partial texts kept at each step", ge=1, le=1 << 16)] = 8
    length_power: Annotated[
        LengthPower,
        about(
            "0 ranks texts by probability, which favours short ones; 1 ranks them nearly per token"
        ),
    ] = 0.0
    max_tokens: Annotated[Count, about("longest text, in tokens")] = 100
    unknown: Annotated[bool, about("allow <unk> in the texts")] = False

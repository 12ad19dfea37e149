"""Settings of generation: for drawing texts, and for the beam search."""

from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from msgspec import Meta

from rnnlm.config import Count, Natural, NonNegative, ValidatedSettings, about

_Share = Annotated[float, Meta(gt=0, le=1)]
LengthPower = Annotated[float, Meta(ge=0, le=10)]


@dataclass(frozen=True, kw_only=True)
class SamplingSettings(ValidatedSettings):
    """Settings for drawing tokens, and the longest text."""

    repetition_penalty: Annotated[
        float,
        about(
            "factor for the log-probability of tokens that the text already has (after Keskar "
            "et al. 2019)",
            ge=1,
        ),
    ] = 1.0
    temperature: Annotated[
        NonNegative,
        about(
            "divisor of the log-probabilities: below 1 favours likely tokens, 0 always takes "
            "the likeliest"
        ),
    ] = 1.0
    top_k: Annotated[Count | None, about("draw from the k likeliest tokens (Fan et al. 2018)")] = (
        None
    )
    top_p: Annotated[
        _Share | None,
        about(
            "draw from the fewest tokens whose probabilities add up to this (Holtzman et al. 2020)"
        ),
    ] = None
    min_p: Annotated[
        _Share | None,
        about(
            "draw from tokens with at least this share of the likeliest token's probability "
            "(Nguyen et al. 2024)"
        ),
    ] = None
    typical_p: Annotated[
        _Share | None,
        about(
            "draw from the fewest tokens with this probability whose information is nearest to "
            "the entropy (Meister et al. 2023)"
        ),
    ] = None
    max_tokens: Annotated[Count, about("longest sample, in tokens")] = 100
    seed: Annotated[
        Natural, about("random seed; the same seed and sample number give the same sample")
    ] = 1
    unknown: Annotated[bool, about("allow <unk> in samples")] = False
    running: Annotated[
        bool, about("generate continuous text across line ends instead of single sentences")
    ] = False

    @property
    def are_plain(self) -> bool:
        """Whether tokens are drawn by the model's own probabilities."""
        shares = (self.top_k, self.top_p, self.min_p, self.typical_p)
        return self.temperature == self.repetition_penalty == 1 and shares == (None,) * 4


@dataclass(frozen=True)
class GenerationSettings(SamplingSettings):
    """Texts to draw: how they begin, how many, and how the next token is drawn."""

    prompt: Annotated[str, about("beginning of each text")] = ""
    num: Annotated[Count, about("number of texts for each beginning")] = 1


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

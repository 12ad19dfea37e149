"""How the line that answers a source is searched for, and what is told of it."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from rnnlm.config import Count
from rnnlm.errors import UsageError
from rnnlm.generation.beams import LengthPower

Width = Annotated[int, Meta(ge=1, le=1 << 16)]
Factor = Annotated[float, Meta(gt=0, le=1_000_000)]
BEAM_LENGTH_POWER = 1.0  # of beams; greedy search has but one line to rank
LONGER = 10  # tokens that a line may have beyond its factor of the source's


@dataclass(frozen=True)
class DecodingSettings:
    """What is searched for and told. Properties give what follows where a setting is none.

    Raises:
        UsageError: the beam is narrower than `nbest`.
    """

    beam: Annotated[Width | None, Meta(description="lines kept at each step; none: nbest of them; 1: greedy search")] = None
    length_power: Annotated[
        LengthPower | None,
        Meta(description="ranks lines by log p / ((5 + tokens) / 6)^power (Wu et al. 2016); none: 1, for greedy search 0"),
    ] = None
    nbest: Annotated[Count, Meta(description="lines for each source")] = 1
    max_length: Annotated[
        Factor, Meta(description=f"a line has at most so many times the tokens of its source, </s> counted, and {LONGER} more")
    ] = 2.0
    unknown: Annotated[bool, Meta(description="<unk> may be written")] = False
    copy_unknown: Annotated[bool, Meta(description="where <unk> is chosen, the source's word that attention points at stands for it")] = (
        False
    )
    attention: Annotated[bool, Meta(description="tell what each token of a line looked at")] = False

    def __post_init__(self) -> None:
        if self.beam is not None and self.beam < self.nbest:
            raise UsageError(f"a beam of {self.beam} holds fewer than {self.nbest} lines", hint=f"set the beam to {self.nbest} or more")

    @property
    def width(self) -> int:
        """Of the beam."""
        return self.beam or self.nbest

    @property
    def power(self) -> float:
        """The length power in use."""
        if self.length_power is not None:
            return self.length_power
        return BEAM_LENGTH_POWER if self.width > 1 else 0.0

    def limit(self, source_tokens: int) -> int:
        """How many tokens a line may have whose source has so many, `</s>` counted in both."""
        return int(self.max_length * source_tokens) + LONGER

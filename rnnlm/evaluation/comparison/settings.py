"""Settings of the comparison of language models."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.config import Checked, Count, Natural

TOP = 20


@dataclass(frozen=True)
class ComparisonSettings(Checked):
    """How models are compared. block_lines: lines resampled together (None: one, or as many as
    give 10,000 blocks). resamples: of bootstrap and permutation test (None: RESAMPLES and
    PERMUTATIONS). top: lines and words listed for each model of a pair."""

    context: Annotated[
        Literal["carry", "reset"],
        Meta(description="one stream with the state carried across lines, or each line alone"),
    ] = "carry"
    block_lines: Annotated[
        Count | None,
        Meta(description="lines resampled together; none: 1, more from 10,000 lines on"),
    ] = None
    resamples: Annotated[
        Annotated[int, Meta(ge=1, le=10_000_000)] | None,
        Meta(description="how often it is resampled; none: bootstrap 2000, permutation test 9999"),
    ] = None
    seed: Annotated[Natural, Meta(description="seed of the resampling")] = 1
    top: Annotated[Natural, Meta(description="lines and words listed for each model")] = TOP

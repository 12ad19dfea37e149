"""Settings of the comparison of language models."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.config import Count, Natural, ValidatedSettings, about

TOP = 20


@dataclass(frozen=True)
class ComparisonSettings(ValidatedSettings):
    """Settings of a comparison."""

    context: Annotated[
        Literal["carry", "reset"],
        about("read all lines as one stream (carry), or each line alone (reset)"),
    ] = "carry"
    block_lines: Annotated[
        Count | None, about("number of lines left out together; none: 1, more from 10,000 lines on")
    ] = None
    resamples: Annotated[
        Annotated[int, Meta(ge=1, le=10_000_000)] | None,
        about("number of permutations; none: 9999"),
    ] = None
    seed: Annotated[Natural, about("random seed of the permutations")] = 1
    top: Annotated[Natural, about("number of lines and words to list for each model")] = TOP

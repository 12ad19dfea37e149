"""Settings for the analysis of reading times."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.config import Count, Natural, ValidatedSettings, about
from rnnlm.errors import SettingsError, keyword
from rnnlm.text.named_columns import Where

Reason = Literal["first", "last", "unknown", "zero", "bounds"]
REASONS: tuple[Reason, ...] = ("first", "last", "unknown", "zero", "bounds")
Time = Annotated[float, Meta(ge=0)]


@dataclass(frozen=True, kw_only=True)
class ReadingSettings(ValidatedSettings):
    """Settings for the analysis of reading times. Columns that are not named are guessed by their
    usual names, and said."""

    response: Annotated[
        Literal["rt", "log"], about("what is explained: times in ms (rt), or their logarithms")
    ] = "rt"
    baseline: Annotated[
        str | None,
        about(
            "predictors without surprisal, joined by +; none: length, log frequency and position, "
            "and length and log frequency of the one and two words before",
            title="A+B+C",
        ),
    ] = None
    frequency_from: Annotated[
        str | None,
        about(
            "take frequencies from this model's training text, from a table of counts "
            "(such as SUBTLEX) or from a text; none: the first model of words",
            title="MODEL|FILE",
        ),
    ] = None
    orders: Annotated[
        str | None, about("add an n-gram model of each of these orders, such as 1-5", title="N-N")
    ] = None
    counts: Annotated[
        str | None, about("folder of counts that these n-gram models are made from", title="DIR")
    ] = None
    average: Annotated[
        bool, about("take the mean over subjects of each word's times, after exclusion")
    ] = False
    exclude: Annotated[
        tuple[Reason, ...],
        about(
            "leave out first and last words of sentences, unknown words and those after them, zero "
            "times, and times out of bounds"
        ),
    ] = REASONS
    min_time: Annotated[Time, about("least time in ms within bounds")] = 100.0
    max_time: Annotated[Time, about("longest time in ms within bounds")] = 3000.0
    where: Where = ()
    folds: Annotated[Annotated[int, Meta(ge=2)], about("number of folds of whole items")] = 10
    seed: Annotated[Natural, about("seed of folds and permutations")] = 1
    resamples: Annotated[Count | None, about("number of permutations; none: 9999")] = None

    word_column: Annotated[str | None, about("column of the words", title="NAME")] = None
    time_column: Annotated[str | None, about("column of the times in ms", title="NAME")] = None
    subject_column: Annotated[str | None, about("column of the subjects", title="NAME")] = None
    item_column: Annotated[str | None, about("column of the items or texts", title="NAME")] = None
    condition_column: Annotated[str | None, about("column of the conditions", title="NAME")] = None
    sentence_column: Annotated[
        str | None, about("column that tells the sentences of a text apart", title="NAME")
    ] = None
    number_column: Annotated[str | None, about("column that numbers the words", title="NAME")] = (
        None
    )
    region_column: Annotated[
        str | None, about("column of the regions, for the plot", title="NAME")
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_time >= self.max_time:
            raise SettingsError(
                "no time is within the bounds",
                keyword("min_time", self.min_time)
                + " is not below "
                + keyword("max_time", self.max_time),
            )

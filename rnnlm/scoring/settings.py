"""How sentences are read, what is scored, and how much a record holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.config import Checked, Natural
from rnnlm.errors import UsageError
from rnnlm.text.lines import SpecialSymbols, is_blank, single_spaced
from rnnlm.text.pair_columns import ParallelSettings
from rnnlm.text.sources import SourceSettings

Measure = Literal["entropy", "frequency"]

# ---- How sentences are read: of which columns, with what before them, and what goes along.


@dataclass(frozen=True)
class SentenceSettings(Checked):
    """How sentences are read.

    column, id_column, given_column: of tables. id_column None: the column `id` where there is one,
    else the number of the record, over all sources, from 1. given: what comes before each sentence
    in its line, where no column says it. encoding_errors: "strict" makes a line that is not UTF-8 a
    record without a score, "replace" puts U+FFFD. keep: the columns of tables that sentences carry
    with them; None: all but those of the text and of ids. region_mark: what separates regions in a
    text. region_columns: the columns that hold them, instead of `column`. are_pairs: the rows of
    tables are pairs of a source, in `column`, and a text, in `target_column`; without names, the
    columns are found as :mod:`rnnlm.tasks.seq2seq.pairs` finds them. given_source: the source of
    all sentences. strip: white space counts as one space, and at the ends of a sentence as none.
    """

    column: str | None = None
    id_column: Annotated[
        str | None,
        Meta(
            title="NAME",
            description="column of a table that names its rows; none: id if there is one, else "
            "their number",
        ),
    ] = None
    given_column: Annotated[
        str | None, Meta(title="NAME", description="column of a table that holds the given text")
    ] = None
    given: Annotated[
        str,
        Meta(description="text that comes before each sentence: the score is conditional on it"),
    ] = ""
    encoding_errors: Literal["strict", "replace"] = "strict"
    keep: Annotated[
        tuple[str, ...] | None,
        Meta(description="columns of a table to carry into the result; or all, or none"),
    ] = None
    region_mark: Annotated[
        str | None,
        Meta(title="MARK", description='mark that separates regions in the text, such as "|"'),
    ] = None
    region_columns: Annotated[
        tuple[str, ...],
        Meta(description="columns of a table that hold the regions; joined, they are the text"),
    ] = ()
    are_pairs: bool = False
    target_column: Annotated[
        str | None,
        Meta(
            title="NAME",
            description="column of a table that holds the targets; `column` is that of the "
            "sources; none: as rnnlm train finds them",
        ),
    ] = None
    given_source: Annotated[
        str | None, Meta(description="source of all sentences: log p(sentence | source)")
    ] = None

    strip: Annotated[
        bool, Meta(description="read one space between words, and none at the ends of a sentence")
    ] = False

    @property
    def has_regions(self) -> bool:
        """Whether sentences are read with regions."""
        return self.region_mark is not None or bool(self.region_columns)

    def spaced(self, text: str) -> str:
        """Return `text` with the white space that is read."""
        return single_spaced(text) if self.strip else text

    @property
    def wants_table(self) -> bool:
        """Whether a column is named, which only tables have."""
        named = self.column or self.id_column or self.given_column or self.region_columns
        return bool(named or self.are_pairs or self.keep)

    @property
    def source(self) -> SourceSettings:
        """How its texts are taken out of tables and data sets."""
        return SourceSettings(self.column)

    def check(self) -> None:
        """Make sure that the settings do not contradict each other.

        Raises:
            UsageError: they do, or what is to separate regions is white space.
        """
        if self.given and self.given_column:
            raise UsageError("a given text for all, and a column of given texts", hint="choose one")
        if self.given_source is not None and self.target_column:
            raise UsageError(
                "the source is named twice",
                "one source for all targets, and a column of targets beside their sources",
                "choose one",
            )
        # Regions are one text cut into pieces: its pieces cannot come from two places.
        if self.are_pairs and self.region_columns:
            raise UsageError(
                "columns of regions, and pairs",
                "a target is one column",
                "mark regions in it: `regions=MARK`",
            )
        if self.region_columns and (self.column or self.region_mark is not None):
            other = "a text column" if self.column else "a mark between regions"
            raise UsageError(
                f"columns of regions, and {other}",
                "the columns of regions, joined, are the text",
                hint="choose one of them",
            )
        if self.region_mark is not None:
            check_mark(self.region_mark)

    @property
    def pairs(self) -> ParallelSettings:
        """How the columns of pairs are found."""
        return ParallelSettings(column=self.column, target_column=self.target_column)

    @property
    def errors(self) -> str:
        """Python's name of the error handler for bytes that are not UTF-8."""
        return "replace" if self.encoding_errors == "replace" else "surrogateescape"


def check_mark(mark: str) -> None:
    """Make sure that `mark` can separate regions; a UsageError says why not."""
    if is_blank(mark) or "\n" in mark:
        raise UsageError(
            f"{mark!r} cannot separate regions", "it is white space", 'choose a mark such as "|"'
        )


# ---- What is scored, and how much the record holds.


@dataclass(frozen=True, kw_only=True)
class ScoringSettings(Checked):
    """What is scored, and how much the record holds."""

    tokens: Annotated[bool, Meta(description="each token's surprisal, in bits")] = False
    words: Annotated[
        bool, Meta(description="each word's surprisal, in bits, whatever the model's tokens are")
    ] = False
    next_words: Annotated[
        Natural, Meta(description="so many of the likeliest words at each place")
    ] = 0
    eos: Annotated[bool, Meta(description="score sentences with their end, </s>")] = True
    context: Annotated[
        Literal["reset", "carry"], Meta(description="each line alone, or all lines as one stream")
    ] = "reset"
    special_symbols: Annotated[
        SpecialSymbols, Meta(description="<s> or </s> in the text: an error, dropped, or <unk>")
    ] = "error"
    unscorable: Annotated[
        Literal["raise", "null"],
        Meta(description="a line that has no score: an error, or a record without one"),
    ] = "raise"
    split: Annotated[
        Literal["whitespace", "tokens"],
        Meta(
            description="words are those between white space (whitespace) or those of the "
            "tokenizer, marks apart (tokens)"
        ),
    ] = "whitespace"
    measures: Annotated[
        tuple[Measure, ...],
        Meta(
            description="also, for each word, the entropy of the prediction or its frequency in "
            "training (log10)"
        ),
    ] = ()
    with_regions: Annotated[
        bool, Meta(description="surprisals of the regions of sentences that have some")
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        # Next words belong to words, whether or not these are asked for.
        if self.next_words:
            object.__setattr__(self, "words", True)

    @property
    def needs_words(self) -> bool:
        """Whether surprisals of words are worked out."""
        return self.words or self.with_regions


@dataclass(frozen=True, kw_only=True)
class SentenceScoring(ScoringSettings):
    """What is scored of sentences at hand, and what comes with all of them."""

    given: Annotated[
        str | Sequence[str],
        Meta(
            description="what comes before each sentence in the same line, one text for all, or "
            "one for each; scores are conditional on it"
        ),
    ] = ""
    regions: Annotated[
        str | None,
        Meta(
            description='what separates regions in the sentences, such as "|"; it is taken out, '
            "and `region_scores` has the surprisal of each"
        ),
    ] = None
    sources: Annotated[
        str | Sequence[str] | None,
        Meta(
            description="for an encoder-decoder, what each sentence is the target of, one text for "
            "all, or one for each: log p(sentence | source)"
        ),
    ] = None

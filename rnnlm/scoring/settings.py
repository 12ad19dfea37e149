"""Settings for reading and scoring sentences, and for the content of records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from rnnlm import interface, satellites
from rnnlm.config import Natural, ValidatedSettings, about
from rnnlm.errors import UsageError, keyword
from rnnlm.text.lines import SpecialSymbols, is_blank, single_spaced
from rnnlm.text.named_columns import Where
from rnnlm.text.sources import SentenceColumns, SourceSettings

if TYPE_CHECKING:
    from rnnlm.model_methods import SentencePart
else:
    SentencePart = satellites.with_parts(interface.SentencePart)

WordMeasure = Literal["entropy", "frequency", "rank", "order", "lags"]
TOKEN_MEASURES = ("rank", "order")  # of tokens, and of words that are one token

# ---- How sentences are read: from which columns, with which text before them, and with which
# further columns. What some models read beside a sentence, satellites bring.


@dataclass(frozen=True)
class SentenceSettings(SentencePart, ValidatedSettings):
    """How to read sentences.

    Row numbers, the default ids, count the records of all sources, from 1. `given` is one text for
    all sentences, `given_column` has one for each. Without `keep`, all columns are kept but those
    of the text and of ids. `region_columns` replace `column`.

    Attributes:
        column: Column of a table that holds the sentences.
        encoding_errors: "strict" makes a line of invalid UTF-8 a record without a score, "replace"
            inserts U+FFFD.
        unwrap: Whether the lines of text files are joined, as in
            :class:`rnnlm.text.lines.TextSettings`, and their sentences scored.
    """

    column: str | None = None
    id_column: Annotated[
        str | None,
        about(
            "column of a table with the ids of rows; none: id if there is one, else the row number",
            title="NAME",
        ),
    ] = None
    given_column: Annotated[
        str | None,
        about("column of a table that holds the text before each sentence", title="NAME"),
    ] = None
    given: Annotated[str, about("text before each sentence; scores are conditional on it")] = ""
    encoding_errors: Literal["strict", "replace"] = "strict"
    unwrap: bool = False
    keep: Annotated[
        tuple[str, ...] | None, about("columns of a table to copy into the result, or all, or none")
    ] = None
    region_mark: Annotated[
        str | None, about('mark that separates regions in the text, such as "|"', title="MARK")
    ] = None
    region_columns: Annotated[
        tuple[str, ...],
        about("columns of a table that hold the regions; joined, they form the text"),
    ] = ()
    sentence_columns: SentenceColumns = ()
    where: Where = ()
    strip: Annotated[
        bool,
        about("reduce white space to one space between words, and none at the ends of a sentence"),
    ] = False

    @property
    def has_regions(self) -> bool:
        """Whether sentences have regions."""
        return self.region_mark is not None or bool(self.region_columns)

    def spaced(self, text: str) -> str:
        """Reduce the white space of a text if `strip` is set.

        Args:
            text: The text.
        """
        return single_spaced(text) if self.strip else text

    @property
    def wants_table(self) -> bool:
        """Whether a setting names a column, which only tables have."""
        named = self.column or self.id_column or self.given_column or self.region_columns
        return bool(named or self.sentence_columns or self.where or self.keep)

    @property
    def source(self) -> SourceSettings:
        """How to read texts from tables and data sets."""
        return SourceSettings(self.column, self.sentence_columns)

    def check(self) -> None:
        """Make sure that the settings do not contradict each other.

        Raises:
            UsageError: settings contradict each other, or the mark of regions is white space.
        """
        if self.given and self.given_column:
            raise UsageError(
                "a given text for all and a column of given texts cannot be combined",
                hint="choose one",
            )
        # The words of a sentence are in rows of their own.
        if self.sentence_columns and (self.given_column or self.id_column or self.has_regions):
            raise UsageError(
                keyword("sentence_columns") + " cannot be combined with columns of ids or of given "
                "texts, or with regions",
                "each row holds one word of a sentence",
                "leave the others out",
            )
        # Regions are one text cut into pieces: its pieces cannot come from two places.
        if self.region_columns and (self.column or self.region_mark is not None):
            alternative = "a text column" if self.column else "a mark between regions"
            raise UsageError(
                f"region columns cannot be combined with {alternative}",
                "the joined region columns are the text",
                hint="choose one of them",
            )
        if self.region_mark is not None:
            check_mark(self.region_mark)

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


# ---- Settings for scoring, and for the content of records.


@dataclass(frozen=True, kw_only=True)
class ScoringSettings(ValidatedSettings):
    """Settings for scoring, and for the content of records."""

    tokens: Annotated[bool, about("report the surprisal of each token in bits")] = False
    words: Annotated[
        bool, about("report the surprisal of each word in bits, whatever the model's tokens are")
    ] = False
    next_words: Annotated[
        Natural, about("number of likeliest next words to report before each word")
    ] = 0
    eos: Annotated[bool, about("include the end of each sentence, </s>, in its score")] = True
    context: Annotated[
        Literal["reset", "carry"],
        about("score each line alone (reset), or all lines as one stream (carry)"),
    ] = "reset"
    special_symbols: Annotated[
        SpecialSymbols, about("<s> or </s> in the text is an error, is dropped, or becomes <unk>")
    ] = "error"
    unscorable: Annotated[
        Literal["raise", "null"],
        about("treat a line that cannot be scored as an error, or return a record without a score"),
    ] = "raise"
    split: Annotated[
        Literal["whitespace", "tokens"],
        about(
            "count words separated by white space (whitespace), or the tokenizer's words, "
            "punctuation marks apart (tokens)"
        ),
    ] = "whitespace"
    measures: Annotated[
        tuple[WordMeasure, ...],
        about(
            "report for each word also the entropy of the prediction; the word's log10 frequency "
            "in training; its rank among all tokens, and the order of the n-gram found (n-gram "
            "models), of tokens, too; or its frequency and length, and the surprisal, length and "
            "frequency of the one and two words before (lags)"
        ),
    ] = ()
    frequency_from: Annotated[
        str | None,
        about(
            "take frequencies from this model's training text, from a table of counts "
            "(such as SUBTLEX) or from a text",
            title="MODEL|FILE",
        ),
    ] = None
    with_regions: Annotated[
        bool, about("report the surprisals of regions in sentences that have some")
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frequency_from is not None:
            from rnnlm.checks import check_path  # with numpy, which --help does without

            check_path(self.frequency_from, keyword("frequency_from"))
        object.__setattr__(self, "measures", tuple(self.measures))
        # Next words belong to words, whether or not these are asked for.
        if self.next_words:
            object.__setattr__(self, "words", True)
        # Frequencies are among the lagged columns.
        if "lags" in self.measures and "frequency" not in self.measures:
            object.__setattr__(self, "measures", (*self.measures, "frequency"))

    @property
    def needs_words(self) -> bool:
        """Whether surprisals of words are worked out."""
        return self.words or self.with_regions


@dataclass(frozen=True, kw_only=True)
class SentenceScoring(ScoringSettings):
    """Settings for scoring given sentences that apply to all of them."""

    given: Annotated[
        str | Sequence[str],
        about(
            "text before each sentence in its line, one for all or one for each; scores are "
            "conditional on it"
        ),
    ] = ""
    regions: Annotated[
        str | None,
        about(
            'mark that separates regions in the sentences, such as "|"; it is removed, and '
            "`region_scores` has the surprisal of each region"
        ),
    ] = None

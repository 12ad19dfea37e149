"""How sentences are read: of which columns, with what before them, and what goes along."""

from dataclasses import dataclass

from rnnlm.errors import UsageError
from rnnlm.scoring.regions import check_mark
from rnnlm.text.parallel.settings import ParallelSettings
from rnnlm.text.sources import SourceSettings


@dataclass(frozen=True)
class SentenceSettings:
    """How sentences are read.

    column, id_column, given_column: of tables. id_column None: the column `id` where there is one, else the number of the record,
    over all sources, from 1. given: what comes before each sentence in its line, where no column says it.
    encoding_errors: "strict" makes a line that is not UTF-8 a record without a score, "replace" puts U+FFFD.
    keep: the columns of tables that sentences carry with them; None: all but those of the text and of ids.
    region_mark: what separates regions in a text. region_columns: the columns that hold them, instead of `column`.
    are_pairs: the rows of tables are pairs of a source, in `column`, and a text, in `target_column`; without names, the columns are found
    as :mod:`rnnlm.text.parallel` finds them. given_source: the source of all sentences.
    """

    column: str | None = None
    id_column: str | None = None
    given_column: str | None = None
    given: str = ""
    split: str = "train"
    encoding_errors: str = "strict"
    delimiter: str | None = None
    keep: tuple[str, ...] | None = None
    region_mark: str | None = None
    region_columns: tuple[str, ...] = ()
    are_pairs: bool = False
    target_column: str | None = None
    given_source: str | None = None

    @property
    def wants_table(self) -> bool:
        """Whether a column or its separator is named, which only tables have."""
        named = self.column or self.id_column or self.given_column or self.region_columns
        return bool(named or self.are_pairs or self.delimiter or self.keep)

    @property
    def source(self) -> SourceSettings:
        """How its texts are taken out of tables and data sets."""
        return SourceSettings(self.column, self.split, self.delimiter)

    def check(self) -> None:
        """Make sure that the settings do not contradict each other.

        Raises:
            UsageError: they do, or what is to separate regions is white space.
        """
        if self.given and self.given_column:
            raise UsageError("a given text for all, and a column of given texts", hint="choose one")
        if self.are_pairs and self.region_columns:
            raise UsageError("columns of regions, and pairs", "a target stands in one column", "mark regions in it: --regions MARK")
        if self.region_columns and (self.column or self.region_mark is not None):
            other = "a text column" if self.column else "a mark between regions"
            raise UsageError(f"columns of regions, and {other}", "the columns of regions, joined, are the text", hint="choose one of them")
        if self.region_mark is not None:
            check_mark(self.region_mark)

    @property
    def pairs(self) -> ParallelSettings:
        """How the columns of pairs are found."""
        return ParallelSettings(column=self.column, target_column=self.target_column)

    @property
    def errors(self) -> str:
        """How bytes that are not UTF-8 are decoded: Python's name of the error handler."""
        return "replace" if self.encoding_errors == "replace" else "surrogateescape"

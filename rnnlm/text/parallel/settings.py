"""The settings with which pairs are read."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.text.sources import parse_delimiter

Format = Literal["auto", "tsv", "csv", "jsonl", "parquet", "parallel"]


@dataclass(frozen=True)
class ParallelSettings:
    """How pairs are read. Columns are named by the header of a table; numbers, from 1 on, are those of a table without a header."""

    format: Annotated[Format, Meta(description="how pairs are written; auto: told by the name and content of the file")] = "auto"
    column: Annotated[str | None, Meta(description="column of the sources")] = None
    target_column: Annotated[str | None, Meta(description="column of the targets")] = None
    skip_empty: Annotated[bool, Meta(description="pairs whose source or target is empty are left out")] = False
    encoding_errors: Annotated[Literal["strict", "replace"], Meta(description="bad UTF-8 is an error, or becomes U+FFFD")] = "strict"
    delimiter: Annotated[str | None, Meta(description="what separates the cells of a table; none: as its header has it")] = None
    special_symbols: Annotated[
        Literal["error", "drop", "replace"], Meta(description="<s> or </s> in the text: error, dropped, or <unk>")
    ] = "error"

    def __post_init__(self) -> None:
        object.__setattr__(self, "delimiter", parse_delimiter(self.delimiter))

    @property
    def has_header(self) -> bool:
        """Whether tables have one: columns that are called by numbers alone are those of a table without."""
        named = [name for name in (self.column, self.target_column) if name]
        return not named or not all(name.isascii() and name.isdigit() for name in named)

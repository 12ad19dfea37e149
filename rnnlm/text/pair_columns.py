"""Find the columns of a table of pairs: a source and its targets."""

from dataclasses import dataclass
from itertools import permutations
from typing import Annotated, Literal

from rnnlm.config import about
from rnnlm.errors import keyword
from rnnlm.text.named_columns import (
    USUAL_PAIRS,
    InputTable,
    column_named,
    likely_texts,
    unclear,
    usual_among,
)

Format = Literal["auto", "tsv", "csv", "jsonl", "parquet", "parallel"]


@dataclass(frozen=True)
class ParallelSettings:
    """Settings for reading pairs. Columns are named by the header of a table; in a table without a
    header, by their numbers, from 1."""

    format: Annotated[
        Format, about("format of the pairs; auto infers it from the file's name and content")
    ] = "auto"
    column: Annotated[str | None, about("column of the sources", title="NAME")] = None
    target_column: Annotated[
        str | None, about("column of the targets; `column` names that of the sources", title="NAME")
    ] = None
    skip_empty: Annotated[
        bool,
        about(
            "skip pairs with an empty side; without this, an empty line in parallel files is "
            "an error"
        ),
    ] = False
    encoding_errors: Annotated[
        Literal["strict", "replace"],
        about("invalid UTF-8 is an error (strict), or becomes U+FFFD (replace)"),
    ] = "strict"
    special_symbols: Annotated[
        Literal["error", "drop", "replace"],
        about("<s> or </s> in the text is an error, is dropped, or becomes <unk>"),
    ] = "error"


SOURCE, TARGET = "source", "target"  # in place of names of columns
Columns = tuple[str, str]  # of the sources, of the targets


def columns_of(table: InputTable, settings: ParallelSettings) -> Columns:
    """Return the columns of sources and targets of a table: those that are named, else those that
    are usually called so, else the only two in their order."""
    names, where = table.names, table.where
    source = settings.column and column_named(settings.column, names, where)
    target = settings.target_column and column_named(settings.target_column, names, where)
    if source and target:
        return source, target

    candidates = [usual_among(names, usual) for usual in USUAL_PAIRS]
    candidates.append([*names])
    # Where one of two columns is named, the other one is the other side.
    if source is not None or target is not None:
        candidates.append([*reversed(names)])
    for columns in candidates:
        sides = zip((source, target), columns, strict=False)
        if len(columns) == 2 and all(side in (None, column) for side, column in sides):
            return columns[0], columns[1]
    unnamed = [name for name in names if name not in (source, target)]
    others = likely_texts(unnamed, table.sample)
    ways = [
        (keyword("column", source or first) + " and " + keyword("target_column", target or second))
        for first, second in permutations(others[:2], 2)
    ]
    raise unclear(where, names, "the sources, and which the targets", ways)

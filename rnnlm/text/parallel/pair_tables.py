"""Tables of pairs: TSV, CSV, JSON-lines, Parquet. One column holds the sources, another the targets; a list is several references.

In JSON-lines and Parquet both may stand in an object called `translation`, one text for each language, as data sets of the hub have them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rnnlm.errors import TextError
from rnnlm.files import tables
from rnnlm.text.parallel.collecting import PairCollector, Placed
from rnnlm.text.parallel.settings import ParallelSettings
from rnnlm.text.table_columns import KINDS, check_length, no_column, number_of, text_of

USUAL = (("source", "target"), ("src", "tgt"), ("input", "output"), ("question", "answer"), ("prompt", "response"))
TRANSLATION = "translation"
_SENTENCE_ENDS = tuple(".!?…。！？")
_OPTIONS = "name them with --column and --target-column"

Values = Mapping[Any, Any]
Columns = tuple[str, str]  # of the sources, of the targets


def read(source: str, format: str, collector: PairCollector) -> Columns | None:
    """Collect the pairs of a table. Returns the names of their columns; None: it has no rows.

    Raises:
        TextError: it cannot be read, lacks a column, or a row lacks a source or a target.
    """
    settings = collector.settings
    columns: Columns | None = None
    asked = [name for name in (settings.column, settings.target_column) if name]
    rows = tables.rows(source, KINDS[format], settings.encoding_errors, delimiter=settings.delimiter, columns=asked)
    for row in rows:
        check_length(row)
        values, where = values_of(row.values, asked), row.where
        if columns is None:
            columns = columns_of([str(name) for name in values], where, settings)
        for name in columns:
            if name not in values:
                raise no_column(where, name, map(str, values))
        text = _cell(values[columns[0]], where, columns[0])
        collector.add((text, where), _references(values[columns[1]], where, columns[1]), number_of(where), source)
    return columns


def columns_of(names: Sequence[str], where: str, settings: ParallelSettings) -> Columns:
    """The columns of sources and targets of a table that has columns of those `names`: those that are named, else those that are usually
    called so, else the only two in their order.

    Raises:
        TextError: a column does not exist, or it is not clear which is which.
    """
    source, target = settings.column, settings.target_column
    for name in (source, target):
        if name is not None and name not in names:
            raise no_column(where, name, names)
    in_order = [tuple(names)] if len(names) == 2 else []
    turned = [pair[::-1] for pair in in_order] if source or target else []
    for first, second in [pair for pair in USUAL if set(pair) <= set(names)] + in_order + turned:
        if source in (None, first) and target in (None, second):
            return first, second
    if source and target:
        return source, target
    raise TextError(f"{where}: which columns hold the sources and the targets?", "it has " + (", ".join(names) or "none"), _OPTIONS)


def values_of(values: Values, asked: Sequence[str]) -> Values:
    """The columns of a row: its own, or the languages of its `translation`. asked: the names of columns that are asked for."""
    inner = values.get(TRANSLATION)
    return inner if isinstance(inner, dict) and not any(name in values for name in asked) else values


def _references(value: Any, where: str, column: str) -> list[Placed]:
    values = value if isinstance(value, list) else [value]
    return [(_cell(each, where, column), where) for each in values]


def _cell(value: Any, where: str, column: str) -> str:
    """The text of a cell; "" where it holds nothing."""
    return "" if value is None else value if isinstance(value, str) else text_of(value, where, column)

"""Tables of pairs: TSV, CSV, JSON-lines, Parquet. One column holds the sources, another the targets; a list is several references.

In JSON-lines and Parquet both may stand in an object called `translation`, one text for each language, as data sets of the hub have them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rnnlm.errors import TextError, shown
from rnnlm.files import tables
from rnnlm.text.parallel.collecting import PairCollector
from rnnlm.text.parallel.settings import ParallelSettings
from rnnlm.text.table_columns import KINDS, check_length, no_column, text_of

USUAL = (("source", "target"), ("src", "tgt"), ("input", "output"), ("question", "answer"), ("prompt", "response"))
TRANSLATION = "translation"
_SENTENCE_ENDS = tuple(".!?…。！？")
_OPTIONS = "name them with --column and --target-column, by number where there is no header"

Values = Mapping[Any, Any]
Columns = tuple[str, str]  # of the sources, of the targets


def read_pair_table(source: str, format: str, collector: PairCollector) -> Columns | None:
    """Collect the pairs of a table. Returns the names of their columns; None: it has no rows.

    Raises:
        TextError: it cannot be read, lacks a column, or a row lacks a source or a target.
    """
    settings = collector.settings
    columns: Columns | None = None
    asked = [name for name in (settings.column, settings.target_column) if name]
    for row in _rows(source, format, settings, asked):
        check_length(row)
        values, where = values_of(row.values, asked), row.where
        if columns is None:
            columns = columns_of([str(name) for name in values], where, settings)
            _check_header(columns, asked, source, format)
        texts = _texts(values, columns, where, settings)
        collector.add(texts, [where] * len(texts), row.number, source)
    return columns


def _rows(source: str, format: str, settings: ParallelSettings, asked: Sequence[str]) -> Iterator[tables.Row]:
    kind = KINDS[format]
    if kind == tables.PARQUET and len(asked) == 2 and set(asked) <= set(tables.parquet_columns(source)):
        return tables.parquet_rows(source, asked)
    return tables.rows(source, kind, settings.encoding_errors, delimiter=settings.delimiter, columns=asked, has_header=settings.has_header)


def _check_header(columns: Columns, asked: Sequence[str], source: str, format: str) -> None:
    """Whether what nobody named are names of columns, not the texts of a table without a header.

    Raises:
        TextError: one is several words, or ends as a sentence does.
    """
    text = next((name for name in columns if " " in name.strip() or name.strip().endswith(_SENTENCE_ENDS)), None)
    if text is not None and not asked and format in ("tsv", "csv"):
        why = f"its first line is read as the names of its columns, and {shown(text)} looks like a text"
        raise TextError(f"{source}: is there a header?", why, "name the columns: --column 1 --target-column 2 if there is none")


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
    if source and target:
        return source, target
    candidates = [pair for pair in USUAL if set(pair) <= set(names)]
    if len(names) == 2:
        candidates += [(names[0], names[1])] if source is target is None else [(names[0], names[1]), (names[1], names[0])]
    for first, second in candidates:
        if source in (None, first) and target in (None, second):
            return first, second
    raise TextError(f"{where}: which columns hold the sources and the targets?", "it has " + (", ".join(names) or "none"), _OPTIONS)


def values_of(values: Values, asked: Sequence[str]) -> Values:
    """The columns of a row: its own, or the languages of its `translation`. asked: the names of columns that are asked for."""
    inner = values.get(TRANSLATION)
    return inner if isinstance(inner, dict) and not any(name in values for name in asked) else values


def _texts(values: Values, columns: Columns, where: str, settings: ParallelSettings) -> list[str]:
    """The source and the references of a row; "" where there is nothing in a cell."""
    texts: list[str] = []
    for name in columns:
        if name not in values and not settings.skip_empty:
            raise no_column(where, name, map(str, values))
        value = values.get(name)
        if isinstance(value, str):
            texts.append(value)
        else:
            several = value if isinstance(value, list) and texts else [value]
            texts += ["" if each is None else text_of(each, where, name) for each in several]
    return texts

"""Files of sources to be translated: lines of text, or one column of a table."""

from collections.abc import Iterator, Sequence
from typing import Any

from rnnlm.errors import TextError
from rnnlm.files import tables
from rnnlm.files.reading import shown_name
from rnnlm.tasks.labelling.text_files import TEXT_LINES, TextFileSettings, detect_text_format
from rnnlm.text.file_lines import lines_with_ends, without_end
from rnnlm.text.parallel.pair_tables import TRANSLATION, USUAL
from rnnlm.text.parallel.settings import ParallelSettings
from rnnlm.text.table_columns import KINDS, check_length, no_column, text_of

USUAL_COLUMNS = (*(source for source, _ in USUAL), *tables.USUAL_COLUMNS)


def read_sources(file: str, settings: TextFileSettings, usual: Sequence[str] = USUAL_COLUMNS) -> Iterator[str]:
    """The sources of a file, each as one line, those without words, too. usual: what their column may be called where none is named.

    Raises:
        TextError: it cannot be read, lacks the column, or is not a table; it holds nothing.
    """
    form = detect_text_format(file, settings) if settings.format == "auto" else settings.format
    source = None
    for source in _lines(file, settings) if form == TEXT_LINES else _cells(file, form, settings, usual):
        yield source
    if source is None:
        raise TextError(f"no lines in {shown_name(file)}", "nothing stands in it")


def _lines(file: str, settings: TextFileSettings) -> Iterator[str]:
    return (without_end(line) for _, line in lines_with_ends(file, settings.encoding_errors))


def _cells(file: str, form: str, settings: TextFileSettings, usual: Sequence[str]) -> Iterator[str]:
    column = settings.column
    asked = [column] if column else []
    has_header = ParallelSettings(column=column).has_header
    for row in tables.rows(file, KINDS[form], settings.encoding_errors, "raise", settings.delimiter, asked, has_header):
        check_length(row)
        values = _values(row.values, asked)
        column = column or _column([str(name) for name in values], row.where, usual)
        if column not in values:
            raise no_column(row.where, column, map(str, values))
        cell = values[column]
        text = "" if cell is None else text_of(cell, row.where, column)
        yield " ".join(text.strip("\r\n").splitlines()) if "\n" in text else text


def _values(values: dict[Any, Any], asked: Sequence[str]) -> dict[Any, Any]:
    """The columns of a row: its own, or the languages of its `translation`."""
    inner = values.get(TRANSLATION)
    return inner if isinstance(inner, dict) and not any(name in values for name in asked) else values


def _column(names: Sequence[str], where: str, usual: Sequence[str]) -> str:
    found = next((name for name in usual if name in names), names[0] if len(names) == 1 else None)
    if found is None:
        raise TextError(f"{where}: which column holds the sources?", "it has " + (", ".join(names) or "none"), "name it with --column")
    return found

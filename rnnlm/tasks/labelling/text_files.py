"""Files of texts classified: lines of text or tables, each text with its labels and the other columns of its row."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from rnnlm.errors import TextError
from rnnlm.files import tables, tsv
from rnnlm.files.reading import shown_name
from rnnlm.tasks.labelling.classifying import classified
from rnnlm.tasks.labelling.documents import PROBABILITY
from rnnlm.tasks.labelling.results import ClassifiedText
from rnnlm.tasks.labelling.tagging import windows
from rnnlm.tasks.model import TaskModel
from rnnlm.text.file_lines import lines_with_ends, without_end
from rnnlm.text.labelled.example import LABEL_SEPARATOR, labels_in
from rnnlm.text.labelled.labelled_tables import text_column, words_of
from rnnlm.text.labelled.settings import LabelledSettings
from rnnlm.text.table_columns import KINDS

TEXT_LINES = "text"
RANK = "rank"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class TextFileSettings:
    """How texts are read. format: "text", lines of text; "tsv", "csv", "jsonl", "parquet"; "auto": told by suffix and content. column: of
    the text in a table."""

    format: str = "auto"
    column: str | None = None
    delimiter: str | None = None
    encoding_errors: Literal["strict", "replace"] = "strict"


@dataclass(frozen=True)
class Text:
    """A text, or its words, and the row that it stands in."""

    text: str | Sequence[str]
    row: Row


def detect_text_format(source: str, settings: TextFileSettings) -> str:
    """The format of a file where nobody names it.

    Raises:
        TextError: it cannot be read; it has the name of no table, and a column is named.
    """
    kind = tables.kind_with(settings.delimiter, tables.kind_of(source))
    if kind:
        return next(name for name, each in KINDS.items() if each == kind)
    if any(tables.is_json(line) for _, line in islice(lines_with_ends(source, settings.encoding_errors), 1)):
        return "jsonl"
    if settings.column:
        raise TextError(f"{source} does not have a table suffix", "a column is named", "name its format with --format")
    return TEXT_LINES


def read_texts(source: str, format: str, settings: TextFileSettings) -> Iterator[Text]:
    """The texts of a file, those without words, too.

    Raises:
        TextError: it cannot be read, lacks the column, or is not a table; it holds no texts.
    """
    text = None
    for text in (_lines if format == TEXT_LINES else _rows)(source, format, settings):
        yield text
    if text is None:
        raise TextError(f"no texts in {shown_name(source)}", "nothing stands in it")


def with_labels(model: TaskModel, texts: Iterable[Text]) -> Iterator[tuple[Text, ClassifiedText]]:
    """Each text and its labels, in order."""
    for window in windows(texts, lambda text: len(text.text)):
        yield from zip(window, classified(model, [each.text for each in window]), strict=True)


def labelled_rows(row: Row, found: ClassifiedText, names: Sequence[str], top: int | None) -> Iterator[Row]:
    """The row of a text with its label and the label's probability for each of the model's columns `names`; a column of the row's own that
    is called so stays, and "predicted_" comes before the new one's name. top: so many rows, one for each of the most probable labels."""
    for rank in range(1, (top or 1) + 1):
        added: dict[str, Any] = {RANK: rank} if top else {}
        for name in names:
            label, probability = _label(found, name, rank) if top else _best(found, name)
            its_name = f"predicted_{name}" if name in row else name
            added |= {its_name: label, its_name + PROBABILITY: probability}
        if rank == 1 or any(value is not None for key, value in added.items() if key != RANK):
            yield {**row, **added}


def writer(format: str) -> Callable[[Row, bool], str]:
    """What makes text of a row, and of its header where it is the first: "tsv", "csv" or "jsonl"."""
    if format == "jsonl":
        return lambda row, is_first: json.dumps(row, ensure_ascii=False, default=str) + "\n"
    line = _csv_line if format == "csv" else tsv.line
    return lambda row, is_first: (line(map(str, row)) if is_first else "") + line(map(cell, row.values()))


def cell(value: Any) -> str:
    """A value of a row as text; of several probabilities, joined as labels are."""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, tuple):
        return LABEL_SEPARATOR.join(map(cell, value))
    return tables.cell_text(value)


def _best(found: ClassifiedText, name: str) -> tuple[str | None, Any]:
    label = found.labels.get(name)
    if label is None:
        return None, None
    probabilities = found.probabilities[name]
    if label in probabilities:
        return label, probabilities[label]
    return label, tuple(probabilities[each] for each in labels_in(label))


def _label(found: ClassifiedText, name: str, rank: int) -> tuple[str | None, float | None]:
    return next(islice(found.probabilities.get(name, {}).items(), rank - 1, None), (None, None))


def _csv_line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _lines(source: str, format: str, settings: TextFileSettings) -> Iterator[Text]:
    for _, line in lines_with_ends(source, settings.encoding_errors):
        yield Text(without_end(line), {"text": without_end(line)})


def _rows(source: str, format: str, settings: TextFileSettings) -> Iterator[Text]:
    column = None
    asked = [settings.column] if settings.column else []
    for row in tables.rows(source, KINDS[format], settings.encoding_errors, delimiter=settings.delimiter, columns=asked):
        if row.is_too_long:
            raise TextError(f"{row.where}: {tables.TOO_LONG}", hint="a text that holds the delimiter needs quotation marks around it")
        column = column or text_column([str(name) for name in row.values], row.where, LabelledSettings(column=settings.column))
        cell = row.values.get(column)
        text = cell if isinstance(cell, str) else () if cell is None else words_of(cell, row.where, column)
        yield Text(text, {str(name): value for name, value in row.values.items()})

"""A file that labels are to be written into, opened whatever its format."""

from collections.abc import Callable, Collection, Iterator
from itertools import islice
from pathlib import Path

from rnnlm.errors import TextError, UsageError, nearest
from rnnlm.files import tables
from rnnlm.text.file_lines import lines_with_ends
from rnnlm.text.labelled import slashes
from rnnlm.text.labelled.columns import is_document_start
from rnnlm.text.labelled.documents.line_documents import read_columns, read_conllu, read_slashes
from rnnlm.text.labelled.documents.raw_documents import read_raw
from rnnlm.text.labelled.documents.sentence import Sentence
from rnnlm.text.labelled.documents.table_documents import read_table
from rnnlm.text.labelled.formats import SAMPLE_LINES, is_word_of_conllu
from rnnlm.text.labelled.settings import LabelledSettings
from rnnlm.text.labelled.splitting.split_text import SplitText, at_white_space
from rnnlm.text.lines import is_blank, split_words

RAW = "text"
LINES = {"conllu": read_conllu, "columns": read_columns, "slashes": read_slashes}
TABLES = ("tsv", "jsonl")
FORMATS = (*LINES, *TABLES, RAW)
LABELLED = 0.9  # the share of words with known labels by which columns and slashes are told


def detect_document_format(source: str, settings: LabelledSettings, labels: Collection[str] = ()) -> str:
    """The format of a file where nobody names it: CoNLL-U, JSON-lines and tables with their suffix are told, and columns and slashes by the
    labels they hold; all else is raw text. labels: those that a model knows.

    Raises:
        TextError: it cannot be read.
    """
    kind = tables.kind_of(source)
    if kind in (tables.TSV, tables.JSON_LINES):
        return "tsv" if kind == tables.TSV else "jsonl"
    lines = [line for _, line in islice(lines_with_ends(source, settings.encoding_errors), SAMPLE_LINES) if not is_blank(line.rstrip("\n"))]
    if lines and tables.is_json(lines[0]):
        return "jsonl"
    if any(is_word_of_conllu(line) for line in lines):
        return "conllu"
    return _by_labels([split_words(line.rstrip("\n")) for line in lines if not is_document_start(line)], labels)


def _by_labels(rows: list[list[str]], labels: Collection[str]) -> str:
    """Raw text, unless nearly all (LABELLED) of the words have a known label behind them: in a column or behind a slash."""
    if not rows or not labels:
        return RAW
    parsed = [slashes.parse(token) for row in rows for token in row]
    if sum(each is not None and each[1] in labels for each in parsed) >= LABELLED * len(parsed):
        return "slashes"
    is_columns = len(rows) > 1 and len({len(row) for row in rows}) == 1
    columns = list(zip(*rows, strict=True))[1:] if is_columns else []
    return "columns" if any(sum(cell in labels for cell in column) >= LABELLED * len(rows) for column in columns) else RAW


def open_document(
    source: str, format: str, settings: LabelledSettings,
    split: Callable[[str], SplitText] = at_white_space, output: str = "conllu",
) -> Iterator[Sentence]:  # fmt: skip
    """The sentences of a file or of standard input (`-`), one after the other, whether they have labels or not.

    format: of FORMATS. settings: their `column` says where the words are. split, output: for raw text, how it is split into words, and in
    which of the other formats it is written.

    Raises:
        UsageError: there is no such format. TextError: the file cannot be read, or is not as its format has it.
    """
    if Path(source).is_dir():
        raise TextError(f"{source} is a directory", hint="name a file")
    for name, known in ((format, FORMATS), (output, FORMATS[:-1])):
        if name not in known:
            raise UsageError(f"format {name!r} is not one that labels are written in", hint=nearest(name, known))
    if format == RAW:
        return read_raw(source, settings, split, output)
    if format in TABLES:
        return read_table(source, settings, format)
    return LINES[format](source, settings)

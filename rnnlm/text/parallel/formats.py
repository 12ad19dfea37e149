"""The format of a file of pairs, told by its name, else by its first line."""

from rnnlm.errors import TextError, shown
from rnnlm.files import tables
from rnnlm.text.file_lines import lines_with_ends, without_end
from rnnlm.text.lines import is_blank
from rnnlm.text.parallel.settings import ParallelSettings
from rnnlm.text.sources import kind_with
from rnnlm.text.table_columns import KINDS


def detect_format(source: str, settings: ParallelSettings) -> str:
    """The format of a file that holds both sides, as :class:`ParallelSettings` calls it.

    Raises:
        TextError: it cannot be read, or looks like none of them.
    """
    kind = KINDS[settings.format] if settings.format != "auto" else tables.kind_of(source)
    kind = kind_with(settings.delimiter, kind, source)
    if kind is None:
        lines = (without_end(line) for _, line in lines_with_ends(source, settings.encoding_errors))
        first = next((line for line in lines if not is_blank(line)), None)
        kind = tables.TSV if first is None else _by_line(first)  # an empty file is for whoever asked for it to tell
        if kind is None:
            hint = "name its format with --format, or the file of the targets with --target"
            raise TextError(f"{source}: cannot tell how its pairs are written", f"its first line is {shown(first)}", hint)
    return next(name for name, each in KINDS.items() if each == kind)


def _by_line(first: str) -> str | None:
    if tables.is_json(first) or first.strip() == "[":  # an array that begins on a line of its own
        return tables.JSON_LINES
    return tables.TSV if "\t" in first else None

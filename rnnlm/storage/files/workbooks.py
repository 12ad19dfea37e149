"""Write tables as workbooks of Excel (.xlsx), by openpyxl: a text is a cell of text, whatever it
begins with, and a number is a number."""

import contextlib
import math
import re
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from rnnlm.config import plain
from rnnlm.errors import OutputError, require_package
from rnnlm.storage.files.tables import cell_text, is_gap
from rnnlm.storage.files.writing import is_stream, replacing, writing

# The limits of a sheet; cells count in units of UTF-16. Excel keeps 15 digits of a number.
MOST_ROWS, MOST_COLUMNS, LONGEST_CELL, EXACT_BELOW = 1_048_576, 16_384, 32_767, 10**15
# XML cannot hold these characters, and what looks like such an escape would be read as one.
_ESCAPED = re.compile("[\0-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")


def is_workbook(path: Path) -> bool:
    """Return whether the name of a file says that it is a workbook."""
    return path.suffix.lower() == ".xlsx"


def writer_package() -> ModuleType:
    """Return the package that writes workbooks. An error names the extra."""
    return require_package("openpyxl", "xlsx", ".xlsx files")


def save_workbook(path: Path, rows: Iterable[Iterable[object]]) -> None:
    """Write rows, the header first, as the one sheet of a workbook, whole or not at all. Control
    characters are escaped as Excel does (_x0001_). Integers of more than 15 digits are texts, and
    so is infinity."""
    new_cell = writer_package().cell.WriteOnlyCell
    book = writer_package().Workbook(write_only=True)
    sheet = book.create_sheet("rnnlm")

    def cell(value: Any) -> Any:
        value = plain(value)
        is_whole = isinstance(value, int) and abs(value) < EXACT_BELOW
        is_number = is_whole or (isinstance(value, float) and math.isfinite(value))
        if is_number or is_gap(value) or value == "":
            return value if is_number else None

        # A text that begins with = is no formula, and #N/A no error.
        text = _ESCAPED.sub(lambda match: f"_x{ord(match[0]):04X}_", cell_text(value))
        check(len(text.encode("utf-16-le")) // 2, LONGEST_CELL, "characters in a cell")
        written = new_cell(sheet, text)
        written.data_type = "s"
        return written

    def check(size: int, most: int, what: str) -> None:
        if size > most:
            raise OutputError(
                f"row {number:,} does not fit in {path}",
                f"it has {size:,} {what}; a workbook holds {most:,}",
                "write .csv or .jsonl",
            )

    with writing(path), open(path, "wb") if is_stream(path) else replacing(path) as stream:
        try:
            for number, row in enumerate(rows, start=1):
                cells = list(map(cell, row))
                check(number, MOST_ROWS, "rows up to here")
                check(len(cells), MOST_COLUMNS, "cells")
                sheet.append(cells)
            # An archive of openpyxl's own would be left open after an error.
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
                writer_package().writer.excel.ExcelWriter(book, archive).save()
        except BaseException as error:
            with contextlib.suppress(Exception):
                sheet.close()  # openpyxl complains of sheets that are left open
            # Rows wait in a temporary file, of which lxml has errors of its own.
            if type(error).__name__ == "SerialisationError":
                why = f"{error} in {tempfile.gettempdir()}"
                raise OutputError(f"cannot write to {path}", why, "free some space there") from None
            raise

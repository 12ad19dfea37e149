"""Read the sheets of workbooks of Excel (.xlsx) as CSV.

A workbook is an archive of XML, and a small file may unpack to gigabytes. Libraries build trees of
whole parts and rows; here parts are parsed as they are unpacked, and what is kept is limited.
"""

import contextlib
import posixpath
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from xml.parsers import expat

from rnnlm.amounts import plural
from rnnlm.errors import RnnlmError, TextError, first_of, notice, require_package
from rnnlm.storage.files.tables import csv_line
from rnnlm.storage.files.workbooks import EXACT_BELOW, MOST_ROWS

MOST_UNPACKED = 512_000_000  # bytes of all parts
MOST_TEXTS = 150_000_000  # bytes in memory, of the texts that cells share
MOST_OF_ROW = 1 << 24  # characters; also bytes without an element, and of a part that is a list
DEEPEST = 64  # elements within elements
MOST_ERRORS = 8  # different ones, in a message
_CHARACTER = re.compile("_x(?![dD][89a-fA-F])([0-9a-fA-F]{4})_")


def sheet_as_csv(source: str, file: str, sheet: str | None) -> Iterator[bytes]:
    """Yield the rows of a sheet, or of the first one, as lines of CSV, a blank row without cells.

    Numbers are as they are stored, dates in ISO. A notice counts errors of formulas, whose cells
    are empty.
    """
    require_package("openpyxl", "xlsx", ".xlsx files")
    errors: Counter[str] = Counter()
    width, room = 0, MOST_UNPACKED
    try:
        with zipfile.ZipFile(file) as book:
            if sum(part.file_size for part in book.infolist()) > MOST_UNPACKED:
                raise ValueError(f"unpacked, it has more than {MOST_UNPACKED:,} bytes")
            for cells in _rows(book, source, sheet, errors):
                # All rows are as wide as the first, or wider.
                while len(cells) > width and not cells[-1]:
                    del cells[-1]
                width = width or len(cells)
                line = csv_line(cells + [""] * (width - len(cells)) if any(cells) else [])
                room -= len(line)
                if room < 0:
                    raise ValueError(f"its cells hold more than {MOST_UNPACKED:,} characters")
                yield line.encode()
    except (RnnlmError, OSError):
        raise
    except Exception as error:  # of any class: it is damaged
        why = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        hint = "open it in Excel, and save it as .xlsx without a password, or as CSV"
        raise TextError(f"{source} cannot be read as a workbook", why, hint) from None
    if errors:
        are_errors = plural(errors.total(), "cell holds an error", "cells hold errors")
        notice(f"{source}: {are_errors}, and counts as empty: {first_of([*errors])}")


def _rows(
    book: zipfile.ZipFile, source: str, sheet: str | None, errors: Counter[str]
) -> Iterator[list[str]]:
    """Yield the texts of the cells of all rows, from column A on. errors: those in cells, counted
    here."""
    from openpyxl.utils.cell import coordinate_to_tuple

    part, texts, date_styles, first_day = _open_sheet(book, source, sheet)

    def shown(text: str, kind: str, attributes: dict[str, str]) -> str:
        """Return the text of a cell, of what is stored in it."""
        if kind == "s":
            return texts[int(text)]
        if kind == "b":
            return "TRUE" if text == "1" else "FALSE"
        if kind == "e":
            errors[text[:20] if len(errors) < MOST_ERRORS else "others"] += 1
            return ""
        if kind == "n" and text:
            is_date = int(attributes.get("s", 0)) in date_styles
            return _date(float(text), first_day) if is_date else _number(float(text))
        return text

    before, room = 0, MOST_OF_ROW
    cells: list[str] = []
    text, has_formula = "", False
    for element, attributes, value in _elements(book, part):
        # Parts of a cell end before it does.
        if element == "f":
            has_formula = True
        elif element in ("v", "t"):
            text += value
            room -= len(value)

        # A cell, behind the empty ones that are not stored.
        elif element == "c":
            name, kind = attributes.get("r", ""), attributes.get("t", "n")
            if has_formula and not text and kind != "str":
                raise TextError(
                    f"{source}: cell {name} holds a formula without its value",
                    "the program that wrote it does not compute",
                    "open and save it in Excel",
                )
            text = shown(text, kind, attributes)
            place = coordinate_to_tuple(name)[1] if name else len(cells) + 1
            cells += [""] * (place - len(cells) - 1)
            cells.append(_unescaped(text))
            room -= place + len(text)
            text, has_formula = "", False

        # A row, behind the blank ones that are not stored.
        elif element == "row":
            number = int(attributes.get("r", before + 1))
            if not before < number <= MOST_ROWS:
                raise ValueError(f"row {number} comes after row {before}")
            yield from ([] for _ in range(before + 1, number))
            yield cells
            before, cells, room = number, [], MOST_OF_ROW
        if room < 0:
            raise ValueError(f"row {before + 1} has more than {MOST_OF_ROW:,} characters")


def _date(number: float, first_day: datetime) -> str:
    """Return the date or time that a number stands for, as ISO writes it; the number, if none."""
    from openpyxl.utils.datetime import from_excel

    with contextlib.suppress(OverflowError, ValueError):
        return str(from_excel(number, first_day).isoformat()).removesuffix("T00:00:00")
    return _number(number)


def _number(number: float) -> str:
    is_whole = number.is_integer() and abs(number) < EXACT_BELOW
    return str(int(number) if is_whole else number)


def _unescaped(text: str) -> str:
    return _CHARACTER.sub(lambda match: chr(int(match[1], 16)), text)


def _open_sheet(
    book: zipfile.ZipFile, source: str, sheet: str | None
) -> tuple[str, list[str], set[int], datetime]:
    """Return the part that holds a sheet, the texts that its cells refer to, the styles that show
    numbers as dates, and the day from which these count."""
    from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format, is_timedelta_format

    [main] = [part for kind, part in _related(book, "").values() if kind == "officeDocument"]
    related = _related(book, main)
    first_day, parts = datetime(1899, 12, 30), {}
    for element, attributes, _ in _elements(book, main, MOST_OF_ROW):
        if element == "workbookPr" and attributes.get("date1904") in ("1", "true"):
            first_day = datetime(1904, 1, 1)
        if element == "sheet":
            [id] = [value for name, value in attributes.items() if name.endswith(":id")]
            if related[id][0] == "worksheet":  # not of a chart
                parts[attributes["name"]] = related[id][1]
    names = first_of([*parts])
    if not parts or sheet not in (None, *parts):
        raise TextError(f"{source}: there is no such sheet", f"it has {names}")
    if sheet is None and len(parts) > 1:
        notice(f"{source}: the first sheet is read, of {names}")

    # Texts of several fonts are in pieces; another element has how one pronounces them.
    shared = dict(related.values())  # one part of a kind
    texts: list[str] = []
    pieces: list[str] = []
    room = MOST_TEXTS
    for element, _, value in _elements(book, shared.get("sharedStrings")):
        if element == "t":
            pieces.append(value)
        elif element == "rPh":
            del pieces[-1]
        elif element == "si":
            texts.append("".join(pieces))
            pieces = []
        room -= sys.getsizeof(value) if element in ("si", "t") else 0
        if room < 0:
            raise ValueError(f"its texts take more than {MOST_TEXTS:,} bytes in memory")

    # Styles of cells come behind those that are named.
    formats = dict(BUILTIN_FORMATS)
    styles: list[bool] = []
    for element, attributes, _ in _elements(book, shared.get("styles"), MOST_OF_ROW):
        if element == "numFmt":
            formats[int(attributes["numFmtId"])] = attributes["formatCode"]
        elif element == "xf":
            format = formats.get(int(attributes.get("numFmtId", 0)), "")
            styles.append(is_date_format(format) and not is_timedelta_format(format))
        elif element == "cellStyleXfs":
            styles = []
        elif element == "cellXfs":
            break
    dates = {number for number, is_date in enumerate(styles) if is_date}
    return parts[sheet or next(iter(parts))], texts, dates, first_day


def _related(book: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """Return the kind and the name of each part that a part refers to, by its id there."""
    folder, name = posixpath.split(part)
    related = {}
    relations = posixpath.join(folder, "_rels", f"{name}.rels")
    for element, attributes, _ in _elements(book, relations, MOST_OF_ROW):
        if element == "Relationship":
            target = posixpath.normpath(posixpath.join("/", folder, attributes["Target"]))
            kind = attributes["Type"].rpartition("/")[2]
            related[attributes["Id"]] = kind, target.lstrip("/")
    return related


def _elements(
    book: zipfile.ZipFile, part: str | None, most: int = MOST_UNPACKED
) -> Iterator[tuple[str, dict[str, str], str]]:
    """Yield the elements of a part, if there is one, where they end: name, attributes and text."""
    if part is None:
        return
    ended: list[tuple[str, dict[str, str], str]] = []
    begun: list[dict[str, str]] = []
    texts: list[str] = []

    def begin(name: str, attributes: dict[str, str]) -> None:
        begun.append(attributes)
        texts.clear()
        if len(begun) > DEEPEST:
            raise ValueError(f"{part} is nested more than {DEEPEST} deep")

    def end(name: str) -> None:
        ended.append((name.rpartition(":")[2], begun.pop(), "".join(texts)))
        texts.clear()

    def refuse(*_: object) -> None:
        raise ValueError(f"{part} defines entities")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = texts.append, refuse
    member = book.getinfo(part)
    if member.file_size > most or member.compress_type not in (0, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{part} is larger than {most:,} bytes, or compressed in another way")
    with book.open(member) as stream:
        silent = 0
        for piece in iter(lambda: stream.read(1 << 16), b""):
            parser.Parse(piece)
            silent = 0 if ended else silent + len(piece)
            if silent > MOST_OF_ROW:
                raise ValueError(f"{part} has {silent:,} bytes without the end of an element")
            yield from ended
            ended.clear()
        parser.Parse(b"", True)

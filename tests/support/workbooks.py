"""Workbooks, read without the library that writes them."""

import re
import zipfile
from xml.etree import ElementTree

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def rows_of(path):
    """Return the rows of a workbook's sheet, by the names in its first row."""
    sheet = ElementTree.fromstring(zipfile.ZipFile(path).read("xl/worksheets/sheet1.xml"))
    rows = [{cell.get("r").strip("0123456789"): _value(cell) for cell in row}
            for row in sheet.iter(f"{MAIN}row")]  # fmt: skip
    return [{name: row.get(column) for column, name in rows[0].items()} for row in rows[1:]]


def _value(cell):
    text, kind = "".join(cell.itertext()), cell.get("t")
    if kind == "inlineStr":
        return re.sub("_x([0-9A-F]{4})_", lambda match: chr(int(match[1], 16)), text)
    return {"b": bool, "n": float}[kind](float(text))

"""Workbooks of Excel: texts stay texts, numbers numbers, and limits are kept."""

import math
import sys

import numpy as np
import pytest

from rnnlm.errors import OutputError, UsageError
from rnnlm.storage.files import workbooks
from rnnlm.storage.files.outputs import check_file
from support.workbooks import rows_of

TEXTS = ["=1+1", "+1", "1.0", "#N/A", " 007 ", "2020-01-01", "a\x01\r\n\tb", "_x0041_ _x00",
         "\ufeff\ufffe\ud800", "<r>&</r>", "\U0001f600" * 16_383]  # fmt: skip
NUMBERS = [1, -2.5, True, np.int64(3), np.float64(1e300), 10**15 - 1]
OTHERS = {10**15: "1000000000000000", -math.inf: "-inf", None: None, "": None, math.nan: None,
          ("a", 1): '["a", 1]'}  # fmt: skip


def test_texts_stay_texts_and_numbers_numbers(tmp_path):
    values = [*TEXTS, *NUMBERS, *(list(key) if isinstance(key, tuple) else key for key in OTHERS)]
    workbooks.save_workbook(tmp_path / "t.xlsx", [["n", "=v"], *enumerate(values)])
    read = rows_of(tmp_path / "t.xlsx")
    assert [row["=v"] for row in read] == [*TEXTS, *NUMBERS, *OTHERS.values()]
    assert [row["n"] for row in read] == list(range(len(values)))


@pytest.mark.parametrize(("rows", "what"), [
    ([["a"], ["\U0001f600" * 16_384]], "32,768 characters in a cell; a workbook holds 32,767"),
    ([["a"]] * 4, "row 4 does not fit in .*t.xlsx; it has 4 rows up to here"),
    ([["a"] * 6], "6 cells"),
])  # fmt: skip
def test_what_excel_cannot_hold_is_refused(tmp_path, monkeypatch, rows, what):
    monkeypatch.setattr(workbooks, "MOST_ROWS", 3)
    monkeypatch.setattr(workbooks, "MOST_COLUMNS", 5)
    with pytest.raises(OutputError) as caught:
        workbooks.save_workbook(tmp_path / "t.xlsx", rows)
    assert caught.match(what) or what in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_missing_library_is_named_before_time_goes_into_a_file(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(UsageError, match=r"\.xlsx files need the package openpyxl.*\[xlsx\]"):
        check_file(tmp_path / "t.XLSX", overwrite=False)

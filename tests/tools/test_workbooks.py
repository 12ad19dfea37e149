"""Workbooks of Excel as tables."""

import datetime
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import openpyxl
import pytest

from rnnlm.errors import OutputError, TextError
from rnnlm.storage.files.tables import rows
from rnnlm.storage.files.workbooks import save_workbook
from rnnlm.tools.workbooks import reading
from support import forged_files
from support.failures import checked_error, notices_of

RELATION = '<Relationship Id="{0}" Type="http://x/{1}" Target="{2}"/>'
PARTS = {
    "_rels/.rels": "<r>" + RELATION.format("a", "officeDocument", "/xl/workbook.xml") + "</r>",
    "xl/workbook.xml": '<w xmlns:r="r"><workbookPr date1904="1"/><sheet name="S" r:id="a"/></w>',
    "xl/_rels/workbook.xml.rels": "<r>" + RELATION.format("a", "worksheet", "sheet.xml")
    + RELATION.format("b", "sharedStrings", "texts.xml")
    + RELATION.format("c", "styles", "styles.xml") + "</r>",
    "xl/texts.xml": "<x:sst xmlns:x='x'><x:si><x:r><x:t>a </x:t></x:r><x:r><x:t>&lt;_x0042_</x:t>"
    "</x:r><x:rPh><x:t>c</x:t></x:rPh></x:si><x:si><x:t/></x:si></x:sst>",
    "xl/styles.xml": '<s><numFmts><numFmt numFmtId="164" formatCode="[Red]yyyy&quot;h&quot;"/>'
    '<numFmt numFmtId="165" formatCode="[h]:mm"/><numFmt numFmtId="166" formatCode="0&quot;d&quot;"'
    '/></numFmts><cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf numFmtId="166"/>'
    '<xf numFmtId="164"/><xf numFmtId="165"/></cellXfs></s>',
}  # fmt: skip
HEADER = '<row><c t="s"><v>0</v></c><c t="str"><v>n</v></c></row>'


def save(name, *sheets):
    """Write a workbook with openpyxl: the rows of each sheet, called by letters."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for letter, cells in zip("ABC", sheets, strict=False):
        sheet = book.create_sheet(letter)
        for row in cells:
            sheet.append(row)
    book.save(name)


def by_hand(name, cells, **parts):
    """Write a workbook of one sheet as it is stored."""
    parts = {f"xl/{part}.xml": content for part, content in parts.items()}
    with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, content in (PARTS | {"xl/sheet.xml": f"<w>{cells}</w>"} | parts).items():
            archive.writestr(part, content)


def test_cells_are_read_as_the_texts_of_csv(here):
    day = datetime.datetime(2024, 1, 5)
    save("a.xlsx", [
        [], ["text", "n", "when"], ["a\nb", 1.0, day], [], ["#N/A", 0.1, datetime.time(10, 30)],
        ["c,\"d\"", 10**14, day.replace(hour=10)], ["x", True, -2.5], ["", None, None, "more"],
    ])  # fmt: skip
    found = []
    [told] = notices_of(lambda: found.extend(rows("a.xlsx")))
    assert told == "a.xlsx: 1 cell holds an error, and counts as empty: #N/A"
    assert [list(row.values.values()) for row in found] == [
        ["a\nb", "1", "2024-01-05"], ["", "0.1", "10:30:00"],
        ['c,"d"', "100000000000000", "2024-01-05T10:00:00"], ["x", "TRUE", "-2.5"],
        ["", "", "", ["more"]],
    ]  # fmt: skip
    assert [row.number for row in found] == [3, 5, 6, 7, 8]
    assert found[0].where == "a.xlsx, row 3"


def test_a_workbook_is_read_as_it_is_stored(here):
    cells = '<row r="4"><c r="B4" s="1"><v>1</v></c></row><row><c s="2"><v>1.50</v></c>'
    cells += '<c t="inlineStr"><is><t>y</t></is></c></row><row><c><v>1e15</v></c><c/></row>'
    formula = '<row><c t="str"><f>A1</f><v></v></c><c s="1"><f>A1</f><v>1e9</v></c></row>'
    by_hand("a.xlsx", HEADER + cells + formula)
    assert [row.values for row in rows("a.xlsx")] == [
        {"a <B": "", "n": "1904-01-02"}, {"a <B": "1.5", "n": "y"},
        {"a <B": "1000000000000000.0", "n": ""}, {"a <B": "", "n": "1000000000"},
    ]  # fmt: skip


def test_what_is_written_is_read_again(here):
    texts = ["=1+1", "1.0", " 007 ", "a\x01\tb", "_x0041_", "<r>&</r>", "\U0001f600", "x" * 32_767]
    save_workbook(Path("a.xlsx"), [["text", "n"], *([text, 1] for text in texts)])
    assert [row.values["text"] for row in rows("a.xlsx")] == texts


@pytest.mark.parametrize("cells, parts, why", [
    (HEADER + '<row><c r="A2"><f>1+1</f><v/></c></row>', {}, "cell A2 holds a formula without its"),
    ('<row><c t="str"><v>a</v></c><c/><c><v>1</v></c></row><row><c/></row>', {},
     "row 1: column 2 has no name"),
    ("<!DOCTYPE a []>", {"sheet": "<!DOCTYPE a []><a/>"}, "defines entities"),
    ("<a>" * 99, {}, "nested more than 64"), (HEADER + '<row r="1"/>', {}, "row 1 comes after row 1"),
    ('<row r="1048577"/>', {}, "row 1048577 comes"), ("<row><c t='s'><v>9</v></c></row>", {}, "Index"),
    ("<row>" + "<c t='s'><v>0</v></c>" * 9000, {}, "characters"), (HEADER, {"workbook": "<w>"}, "Expat"),
    ("", {"workbook": "<w/>"}, "there is no such sheet"), ("a" * (1 << 17), {}, "without the end of"),
])  # fmt: skip
def test_what_cannot_be_read_ends_in_a_line(cells, parts, why, here, monkeypatch):
    monkeypatch.setattr(reading, "MOST_OF_ROW", 1 << 16)
    by_hand("a.xlsx", cells, **parts)
    with pytest.raises(TextError, match=why) as caught:
        list(rows("a.xlsx"))
    assert "\n" not in str(caught.value)


def test_limits_are_judged_before_and_while_a_workbook_is_opened(here, monkeypatch):
    by_hand("a.xlsx", HEADER + "<row><c><v>1</v></c></row>" * 5000)
    for name, limit in (("MOST_UNPACKED", 9999), ("MOST_TEXTS", 99)):
        with monkeypatch.context() as limits, pytest.raises(TextError, match=r"more than [\d,]+ b"):
            limits.setattr(reading, name, limit)
            list(rows("a.xlsx"))
    for data in (b"PK\3\4", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"text\na\n"):
        Path("b.xlsx").write_bytes(data)
        with pytest.raises(TextError, match="BadZipFile: .*without a password"):
            list(rows("b.xlsx"))


def test_commands_read_sheets_by_name(rnnlm, here):
    save("a.xlsx", [["text", "g"], ["the cat sat", 1]], [["text"], ["no one came"], ["a dog"]])
    noted = rnnlm("score --input a.xlsx --column text")
    assert "a.xlsx: the first sheet is read, of A, B" in noted.err and "the cat sat" in noted.out
    named = rnnlm("score --input a.xlsx#B")
    assert named.code == 0 and "no one came" in named.out and "sheet" not in named.err
    trained = "train a.xlsx#B --model ngram --order 2 --holdout 0 -o out"
    assert rnnlm(trained).code == 0 and "finished" in rnnlm(trained).err
    save("a.xlsx", [["text"]], [["text"], ["no one"], ["a dog"]])
    assert rnnlm(trained).code == 1
    checked_error(rnnlm("score --input a.xlsx#C"), 1, "a.xlsx#C: there is no such sheet")
    checked_error(rnnlm("train b.xlsx#C"), 1, "no such file: b.xlsx#C")
    save("p.xlsx", [["good", "bad", "cond"], ["cats sit", "cats sits", "x"]])
    assert "'cond' (did you mean 'kind'?)" in rnnlm("score --pairs p.xlsx").err
    Path("p").write_bytes(Path("p.xlsx").read_bytes())
    assert "give it a name that ends in .xlsx" in rnnlm("score --input p").err


@pytest.mark.system("posix")
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
def test_a_full_disk_ends_in_a_line(here, recwarn):
    with pytest.raises(OutputError, match="cannot write to /dev/full; No space left"):
        save_workbook(Path("/dev/full"), [["a"]] * 9)

    class SerialisationError(Exception):
        """What lxml raises."""

    def failing():
        yield ["a"]
        raise SerialisationError("IO_ENOSPC")

    with pytest.raises(OutputError, match=r"IO_ENOSPC in .*; free some space there"):
        save_workbook(here / "a.xlsx", failing())
    assert not list(here.iterdir())


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_forged_files_take_little_memory_run_nothing_and_end_in_a_line(seed, here):
    command = [sys.executable, forged_files.__file__]
    subprocess.run([*command, "write", str(seed), "20"], check=True)
    *lines, grown = subprocess.check_output([*command, "read"], text=True).splitlines()
    assert len(lines) == 60 and int(grown) < 250_000_000 and not Path("ran").exists()

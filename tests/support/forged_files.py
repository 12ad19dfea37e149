"""Forge files of PyTorch, pickles of words and workbooks, COUNT of each, in the working folder:
`python forged_files.py write SEED COUNT`. Read them, print a line for each, then by how much the
memory of the process has grown: `python forged_files.py read`."""

import io
import pickle
import random
import sys
import warnings
import zipfile
from pathlib import Path

import openpyxl
import torch

from rnnlm.errors import RnnlmError
from rnnlm.storage.files.tables import rows
from rnnlm.system import peak_bytes
from rnnlm.tools.torch_import.importing import read_network, read_words
from rnnlm.tools.torch_import.reading import naming

RUN = b"cposix\nsystem\n(X\x09\0\0\0touch ranctR0"
# Objects that a pickle makes in few bytes, or claims to have
PICKLES = [
    RUN, b"]" * 99, b"(", b"\x8c\xff", b"X\xff\xff\xff\x7f", b"\x8b\xff\xff\xff\x7f",
    b"\x8d" + b"\xff" * 7 + b"\0", b"r\xff\xff\xff\x7f", b"j\xff\xff\xff\x7f", b"\x81", b"R", b"Q", b"b",
    b"\x96" + b"\xff" * 8, b"ccollections\nOrderedDict\n)R", b"cbuiltins\neval\n(X\1\0\0\x001tR",
]  # fmt: skip
PICKLES = [(b"", piece, times) for piece in PICKLES for times in (1, 9)]
PICKLES += [(b"", piece, 3 * 10**6) for piece in (b"]", b"}", b"(", b"]\x85", b"K\1\x94", b"C\0")]
SHEET, TEXTS = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"
XML = [
    (b"", b"<row/>", 10**7), (b"", b"<c/>", 10**7), (b"", b"<c r='XFD1'/>", 10**6),
    (b"", b"<a>", 10**7), (b"", b"<row r='1048576'/>", 2), (b"<row r='", b"9", 10**5),
    (b"<row><c t='s'><v>", b"9", 9), (b"<row><c t='inlineStr'><is><t>", b"a", 10**8),
    (b"<row a='", b"a", 10**8), (b"", b"<row><c><v>1e999</v></c></row>", 1),
    (b"", b"<row><c s='-1'><v>1</v></c></row>", 1), (b"", b"<row><c t='s'><v>0</v></c></row>", 10**6),
    (b"<row>", b"<c t='s'><v>0</v></c>", 10**6), (b"<row><c r='A", b"9", 99),
    (b"", b"<!DOCTYPE a>", 1), (b"", b"<si><t>aa</t></si>", 10**7), (b"", b"\0", 1),
    (b"", b"<t>ab</t>", 10**7), (b"<si>", b"<t>ab</t>", 10**7), (b"", b"<xf numFmtId='14'/>", 10**6),
    (b"", b"<sheet name='a' r:id='rId1'/>", 10**6), (b"<numFmt a='", b"a", 10**8),
]  # fmt: skip


def parts_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(parts, compression):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return stream.getvalue()


def flipped(data, chance):
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 9)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed[: chance.choice([len(changed), chance.randrange(len(changed))])])


def forged(data, chance, pieces, compression, names):
    """Return a file with an error in its bytes, or in a part of the archive, or too many parts."""
    parts = parts_of(data)
    way = chance.randrange(8)
    if way < 2:
        return flipped(data, chance)
    if way == 2:
        return zipped(parts | {f"a/{number}": b"" for number in range(20_000)}, compression)
    name = chance.choice([name for name in parts if name.endswith(names)])
    if way == 3:
        parts[name] = flipped(parts[name], chance)
        return zipped(parts, compression)
    at = chance.randrange(len(parts[name]))
    if b"<row" in parts[name] and way > 4:
        at = parts[name].index(b"<row")
    if name == TEXTS and way > 4:
        at = parts[name].index(b"<si>")
    cut = chance.choice([at, at, at + 3])
    before, piece, times = chance.choice(pieces)
    parts[name] = parts[name][:at] + before + piece * times + parts[name][cut:]
    return zipped(parts, compression)


def model():
    stream = io.BytesIO()
    module = torch.nn.LSTM(3, 3)
    state = {f"rnn.{name}": weight for name, weight in module.state_dict().items()}
    state |= {"encoder.weight": torch.ones(6, 3), "decoder.weight": torch.ones(6, 3)}
    torch.save(state | {"decoder.bias": torch.ones(6)}, stream)
    return stream.getvalue()


def workbook():
    book, stream = openpyxl.Workbook(), io.BytesIO()
    for number in range(9):
        book.active.append([f"text {number}", number, None, "a" * number])
    book.save(stream)
    return stream.getvalue()


def read(path):
    if path.suffix == ".pt":
        with naming(path):
            read_network(path)
    elif path.suffix == ".pkl":
        read_words(path)
    else:
        for _ in rows(str(path)):
            pass


def write(seed, count):
    chance = random.Random(seed)
    of_torch, of_excel = model(), workbook()
    for number in range(count):
        start, piece, times = chance.choice(PICKLES)
        words = pickle.dumps(["a", "b"])[: chance.randrange(9)] + start + piece * times + b"."
        files = {
            "pt": forged(of_torch, chance, PICKLES, zipfile.ZIP_STORED, "data.pkl"), "pkl": words,
            "xlsx": forged(of_excel, chance, XML, zipfile.ZIP_DEFLATED, (".xml", ".rels")),
        }  # fmt: skip
        for suffix, data in files.items():
            Path(f"{number}.{suffix}").write_bytes(data)


def read_all():
    warnings.simplefilter("ignore")
    before = peak_bytes()
    for path in sorted(Path().iterdir()):
        try:
            read(path)
            said = "read"
        except RnnlmError as error:
            said = f"{type(error).__name__}: {error}"
        print(path, said, flush=True)
    print(peak_bytes() - before)


if __name__ == "__main__":
    write(*map(int, sys.argv[2:])) if sys.argv[1] == "write" else read_all()

"""What is no text is named by its first bytes, whatever its name and whoever reads it."""

import bz2
import gzip
import io
import lzma
import pickle
import sqlite3
import subprocess
import sys
import tarfile
import warnings
import zipfile
from types import SimpleNamespace

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import given, strategies as st

from rnnlm.errors import ModelError, RnnlmError, RnnlmWarning, TextError
from rnnlm.lm.ngram.arpa.reading import read_arpa
from rnnlm.scoring.sentences import read_sentences
from rnnlm.storage.files import file_types, reading
from rnnlm.tasks.labelling.formats.example import LabelledSettings
from rnnlm.tasks.labelling.formats.known_formats import read_labelled
from rnnlm.text.corpus import Corpus
from rnnlm.text.lines import TextSettings, lines_with_ends
from rnnlm.text.sources import SourceSettings, is_plain
from rnnlm.text.vectors import read_all_vectors
from rnnlm.tools.pairs.pair import read_pairs
from rnnlm.tools.prepared.shards import Position, block_of, pieces
from rnnlm.tools.rescoring.files import read_nbest

pytestmark = pytest.mark.needs(
    "tasks/labelling", "tools/pairs", "tools/prepared", "tools/rescoring"
)

LINES = ["the red hen", "the old barn stands", "Gr\u00fc\u00dfe"]
TEXT = "".join(f"{line}\n" for line in LINES).encode()
ARPA = b"\\data\\\nngram 1=2\n\n\\1-grams:\n-0.5\t</s>\n-0.5\thens\n\n\\end\\\n"
COMPRESS = {
    "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE), "zst": zstandard.compress,
    "zst, a skipped frame": lambda data: b"\x53\x2a\x4d\x18\3\0\0\0abc" + zstandard.compress(data),
}  # fmt: skip


def blocks_in_pieces(path):
    """Read a text as one that is prepared."""
    found = pieces([path], SourceSettings(), TextSettings(), Position([path]))
    return [block_of(piece, TextSettings()) for piece in found]


READERS = {
    "corpus": lambda path: list(Corpus((path,)).blocks()),
    "lines": lambda path: list(lines_with_ends(path)),
    "sentences": lambda path: list(read_sentences(path)),
    "pieces": blocks_in_pieces, "vectors": read_all_vectors, "n-best list": read_nbest,
    "pairs": read_pairs, "ARPA": read_arpa,
    "labels": lambda path: read_labelled([path], LabelledSettings(), "word"),
}  # fmt: skip


def archive(make) -> bytes:
    file = io.BytesIO()
    make(file)
    return file.getvalue()


def tar(file, format=tarfile.PAX_FORMAT) -> None:
    with tarfile.open(fileobj=file, mode="w", format=format) as made:
        entry = tarfile.TarInfo("a.txt")
        entry.size = len(TEXT)
        made.addfile(entry, io.BytesIO(TEXT))


def v7_tar() -> bytes:
    """Return a tar file without the word ustar: a header has a checksum alone."""
    header = bytearray(archive(tar)[:512])
    header[257:265] = bytes(8)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + TEXT.ljust(512, b"\0") + bytes(1024)


def zipped(name: str):
    def make(file) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr("[Content_Types].xml" if "/" in name else name, TEXT)
            made.writestr(name, TEXT)

    with warnings.catch_warnings(action="ignore"):
        return archive(make)


def parquet(file) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"text": LINES}), file)


def database() -> bytes:
    made = sqlite3.connect(":memory:")
    made.execute("create table texts (text)")
    return made.serialize()


BINARIES = {
    "tar": (archive(tar), "a tar archive"),
    "GNU tar": (archive(lambda file: tar(file, tarfile.GNU_FORMAT)), "a tar archive"),
    "v7 tar": (v7_tar(), "a tar archive"), "zip": (zipped("a.txt"), "a zip archive"),
    "docx": (zipped("word/document.xml"), "an office document"),
    "xlsx": (zipped("xl/workbook.xml"), "a spreadsheet"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a spreadsheet or another document"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", "a 7z archive"),
    "rar": (b"Rar!\x1a\x07\1\0", "a rar archive"),
    "lz4": (b"\x04\x22\x4d\x18\x64\x40\xa7", "compressed with lz4"),
    "IRSTLM": (b"Qblmt 3 4 2 2\n\x01\x02", "an IRSTLM binary"),
    "SRILM": (b"SRILM_BINARY_NGRAM_002\nmaxorder: 3\n\0", "an SRILM binary"),
    "KenLM": (b"mmap lm http://kheafield.com/code format version 5\n\0", "a KenLM binary"),
    "sentencepiece": (b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\2\n", "a sentencepiece model"),
    "pickle": (pickle.dumps(LINES), "a Python pickle"),
    "pickle, as text": (pickle.dumps(LINES, protocol=0), "a Python pickle"),
    "numpy": (archive(lambda file: np.save(file, np.ones(3))), "a numpy array"),
    "Parquet": (archive(parquet), "a Parquet file"), "SQLite": (database(), "an SQLite database"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
    "RTF": (b"{\\rtf1\\ansi the red hen}\n", "an RTF document"),
    "PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image"),
    "JPEG": (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "a JPEG image"),
    "this Python": (open(sys.executable, "rb").read(4096), "a program"),  # noqa: SIM115
    "twice": (gzip.compress(zstandard.compress(TEXT)), "compressed twice"),
}  # fmt: skip
CUE = "00:00:01{0}000 --> 00:00:02{0}000\n<i>the red hen</i>\n\n"
TRANSCRIPTS = {
    "SRT": f"0\n{CUE.format(',')}1\n{CUE.format(',')}",
    "SRT, of Windows": f"1\n{CUE.format(',')}".replace("\n", "\r\n"),
    "WebVTT": f"WEBVTT\n\nNOTE by hand\n\nfirst\n{CUE.format('.')}",
    "CHAT": "@UTF8\n@Begin\n*CHI:\tthe red\n\then [!] \x150_90\x15\n%mor:\tdet adj n\n@End\n",
    "TextGrid": 'File type = "ooTextFile"\nObject class = "TextGrid"\n  text = "the red hen" \n',
    "EAF": '<?xml version="1.0"?>\n<ANNOTATION_DOCUMENT AUTHOR="">\n'
           "<ANNOTATION_VALUE>the red hen</ANNOTATION_VALUE>\n</ANNOTATION_DOCUMENT>\n",
}  # fmt: skip
ENCODINGS = {
    **{f"{name}, marked": (TEXT.decode().encode(name), name.upper()) for name in
       ("utf-16", "utf-32")},
    "utf-16-be, marked": (b"\xfe\xff" + TEXT.decode().encode("utf-16-be"), "UTF-16"),
    **{name: (TEXT.decode().encode(name), name.upper().replace("-", "").replace("UTF", "UTF-"))
       for name in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")},
    # Without a line end, nor any NUL: not UTF-8, and UTF-8 full of control characters.
    "Chinese": ("\u6211\u4eec\u4eca\u5929\u53bb\u4e0a\u6d77".encode("utf-16-le"), "UTF-16LE"),
    "Russian": ("\u043f\u0440\u0438\u0432\u0435\u0442".encode("utf-16-be"), "UTF-16BE"),
}  # fmt: skip
PLAIN = st.text(st.characters(categories=("L", "N", "P", "Z", "S"), include_characters="\n\t"))


@pytest.mark.parametrize("reader", READERS)
def test_binaries_are_named_by_every_reader(tmp_path, reader):
    for name, (data, what) in BINARIES.items():
        # Compressed files are looked into.
        for number, content in enumerate([data, gzip.compress(data)]):
            if number and name == "twice":
                continue
            path = tmp_path / "file.txt"
            path.write_bytes(content)
            with pytest.raises(RnnlmError) as error:
                READERS[reader](str(path))
            assert error.value.what.startswith(f"{path} is {what}, not "), name
            assert error.value.hint, name


@pytest.mark.parametrize("reader", READERS)
def test_other_encodings_are_named_by_every_reader(tmp_path, reader):
    path = tmp_path / "file.txt"
    for data, name in ENCODINGS.values():
        path.write_bytes(data)
        with pytest.raises(ModelError if reader == "ARPA" else TextError) as error:
            READERS[reader](str(path))
        assert f"iconv -f {name} -t UTF-8" in error.value.hint
    start = ARPA[:-6] if reader == "ARPA" else b"good\tbad\n" if reader == "pairs" else b""
    path.write_bytes(start + "caf\u00e9 0.5\tGr\u00fc\u00dfe 0.5\n".encode("cp1252") * 4)
    with pytest.raises(RnnlmError) as error:
        READERS[reader](str(path))
    line = start.count(b"\n") + 1
    assert error.value.what == f"{path}, line {line}, byte 4: not UTF-8, but Windows-1252"
    assert error.value.why == "byte 0xe9: 'caf\u00e9' in Windows-1252"
    assert error.value.hint == f"convert it: iconv -f WINDOWS-1252 -t UTF-8 {path} > NEW"


@pytest.mark.system("bash")
@pytest.mark.parametrize("bad, good, name", [
    (b"\xed\xa0\xbd\xed\xb8\x80", "\U0001f600", "CESU-8"), (b"\xc0\x80", "", "Java's modified UTF-8"),
])  # fmt: skip
def test_utf8_of_java_is_named_with_the_line_that_converts_it(tmp_path, bad, good, name):
    (tmp_path / "FILE").write_bytes(b"caf\xc3\xa9 " + bad)
    with pytest.raises(TextError, match=f"FILE, line 1, byte 7: not UTF-8, but {name}") as refused:
        list(Corpus((str(tmp_path / "FILE"),)).blocks())
    command = refused.value.hint.removeprefix("convert it: ")
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    assert (tmp_path / "NEW").read_text(encoding="utf-8") == f"caf\u00e9 {good}"


@pytest.mark.parametrize("encoding, name", [("cp1252", "Windows-1252"), ("utf-16", "UTF-16")])
def test_other_encodings_of_settings_are_named(tmp_path, encoding, name):
    path = tmp_path / "recipe.toml"
    path.write_bytes("# Caf\u00e9 au lait\norder = 2\n".encode(encoding))
    with pytest.raises(TextError) as error:
        reading.read_by_hand(path, TextError)
    assert f"iconv -f {name.upper()}" in error.value.hint


RUSSIAN = "Привет, мир. Это простой текст."
POLISH = "za\u017c\u00f3\u0142\u0107 g\u0119\u015bl\u0105, \u017cyli w\u015br\u00f3d r\u00f3\u017c"


@pytest.mark.parametrize("text, encoding, is_named", [
    ("Die Stra\u00dfe \u2013 \u201egro\u00df\u201c f\u00fcr \u00d6fen", "cp1252", True),
    ("l\u2019\u00e9t\u00e9", "cp1252", True), ("d\u00e9j\u00e0 cr\u00e9\u00e9e", "latin-1", True),
    ("\u043f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440", "cp1251", False),
    ("za\u017c\u00f3\u0142\u0107 g\u0119\u015bl\u0105 \u0142\u00f3d\u017a", "cp1250", False),
    ("caf\u00e9 au lait", "mac-roman", False), ("caf\u00e9s d\u00e9j\u00e0", "cp850", False),
    ("\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8", "shift-jis", False),
    ("\u8fd9\u662f\u4e2d\u6587", "gbk", False),
    ("\u039a\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1", "cp1253", False),
])  # fmt: skip
def test_only_words_are_taken_for_windows_1252(text, encoding, is_named):
    assert file_types.is_windows_1252(text.encode(encoding)) == is_named


def test_a_damaged_line_does_not_make_utf8_another_encoding():
    assert file_types.legacy_encoding("d\u00e9j\u00e0 vu\n".encode() * 3 + b"caf\xe9\n") is None


@pytest.mark.parametrize("count, name", [(99, None), (100, "KOI8-R")])
def test_an_encoding_is_guessed_from_a_hundred_bytes_on(monkeypatch, count, name):
    guess = SimpleNamespace(best=lambda: SimpleNamespace(encoding="koi8_r"))
    package = SimpleNamespace(from_bytes=lambda text: guess)
    monkeypatch.setitem(sys.modules, "charset_normalizer", package)
    assert file_types.legacy_encoding(b"a line\n" * 9 + b"\x81" * count) == name


@pytest.mark.parametrize("text, encoding, name", [
    (RUSSIAN, "cp1251", "Windows-1251"), (RUSSIAN, "koi8-r", "KOI8-R"),
    (POLISH, "cp1250", "Windows-1250"), (POLISH, "iso8859-2", None),  # could be several others
    ("\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002", "gb18030", "GB18030"),
    ("caf\u00e9 au lait", "cp1252", "Windows-1252"), ("caf\u00e9 au lait\0", "cp1252", None),
])  # fmt: skip
def test_encodings_of_other_scripts_are_found(tmp_path, text, encoding, name):
    pytest.importorskip("charset_normalizer")
    data = f"{text}\n".encode(encoding) * 40
    assert file_types.legacy_encoding(data) == name
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(TextError) as error, reading.opened(str(tmp_path / "t")) as stream:
        list(reading.text_lines(str(tmp_path / "t"), stream, "strict"))
    if name == "KOI8-R":
        assert f"t, line 1, byte 1: not UTF-8, perhaps {name}" in error.value.what
        assert "'\u041f\u0440\u0438\u0432\u0435\u0442' in KOI8-R" in error.value.why
    assert (f"iconv -f {name}".upper() in error.value.hint.upper()) == (name is not None)


@pytest.mark.filterwarnings("ignore:<unk> :rnnlm.RnnlmWarning")
@pytest.mark.parametrize("compress", COMPRESS.values(), ids=COMPRESS)
@pytest.mark.parametrize("name", ["text", "text.txt", "text.gz", "text.zst"])
def test_the_name_does_not_decide_how_a_file_is_decompressed(tmp_path, stdin, name, compress):
    path = tmp_path / name
    path.write_bytes(compress(TEXT))
    (block,) = Corpus((str(path),)).blocks()
    assert list(block.lines) == LINES
    assert [each.text for each in read_sentences(str(path))] == LINES
    assert not is_plain(str(path), SourceSettings())
    stdin(compress(TEXT))
    assert [line for _, line in lines_with_ends("-")] == [f"{line}\n" for line in LINES]
    path.write_bytes(compress(ARPA))
    assert "hens" in read_arpa(str(path))[0]


def test_a_plain_text_with_a_name_of_compression_is_read_with_a_note(tmp_path):
    path = tmp_path / "text.gz"
    path.write_bytes(TEXT)
    with pytest.warns(RnnlmWarning, match="is not compressed"):
        (block,) = Corpus((str(path),)).blocks()
    assert list(block.lines) == LINES


@pytest.mark.parametrize("once", [False, True])
def test_standard_input_is_looked_at_too(stdin, once):
    for data, what in BINARIES.values():
        stdin(data)
        with (
            pytest.raises(TextError, match=f"standard input is {what}"),
            reading.opened("-", is_kept=not once),
        ):
            pass


def test_lines_that_end_in_carriage_returns_alone_are_said(tmp_path):
    path = tmp_path / "text"
    for data in (b"the red hen\rthe old barn\r", b"one\rtwo"):
        path.write_bytes(data)
        with pytest.warns(RnnlmWarning, match="carriage returns alone.*tr "):
            assert len(list(lines_with_ends(str(path)))) == 1
    for data in (b"one\r", b"one\r\ntwo\r\n", b"one\rtwo\nthree"):
        path.write_bytes(data)
        with warnings.catch_warnings(action="error"):
            list(lines_with_ends(str(path)))


def test_windows_up_to_two_gigabytes_are_read(tmp_path):
    # A frame header without a size (RFC 8878, section 3.1.1.1), one raw block, the last.
    path = tmp_path / "text.zst"
    for exponent, is_read in ((21, True), (22, False)):
        header = b"\x28\xb5\x2f\xfd\0" + bytes([exponent << 3])
        path.write_bytes(header + (len(TEXT) << 3 | 1).to_bytes(3, "little") + TEXT)
        if is_read:
            assert len(list(lines_with_ends(str(path)))) == len(LINES)
            continue
        with pytest.raises(TextError, match="it takes too much memory"):
            list(lines_with_ends(str(path)))


@pytest.mark.parametrize("start", [
    b"PAR1 is a word", b"PK is one", b"ORCHARDS", b"ORC\n\n", b"MZ", b"BM", b"Obj\n", b"GIF", b"ID3",
    b"BZh9 too", b"7z", b"Rar!", b"RIFFRAFF says so", b"GGUF", b"%PDF", b"{\\rtf", b"II", b"LZIP",
    b"07070 12", b"(lp0 is", b"\xe2\x82\xac", b"", b"a" * 600,
])  # fmt: skip
def test_texts_that_begin_like_a_binary_are_texts(start):
    assert file_types.binary_of(start) is None and not file_types.compression_of(start)


@given(PLAIN)
def test_no_text_in_utf8_is_taken_for_anything_else(text):
    data = text.encode()
    assert file_types.binary_of(data) is None and file_types.unmarked_encoding(data) is None


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=4),
       st.sampled_from(["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]))  # fmt: skip
def test_unmarked_encodings_of_ascii_are_told_apart(text, name):
    found = file_types.unmarked_encoding(text.encode(name))
    assert found.replace("-", "").lower() == name.replace("-", "")


@pytest.mark.system("bash")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("content", TRANSCRIPTS.values(), ids=TRANSCRIPTS)
def test_a_transcript_is_refused_with_the_line_that_takes_its_words(tmp_path, content, encoding):
    (tmp_path / "FILE").write_text(content, encoding=encoding, newline="")
    with pytest.raises(TextError, match=r"FILE is a .*not a text") as refused:
        list(Corpus((str(tmp_path / "FILE"),)).blocks())
    command = refused.value.hint.removeprefix("take its words: ")
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    words = (tmp_path / "NEW").read_text(encoding="utf-8").split()
    assert words == "the red hen".split() * content.count("hen")

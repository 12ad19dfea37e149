"""Texts: their encoding, their lines, their compression, where they are."""

import bz2
import gzip
import lzma
import os
import shutil
import zlib

import pytest
import zstandard

pytestmark = pytest.mark.needs(
    "tasks/labelling", "tasks/seq2seq", "tools/huggingface", "tools/mixtures"
)

TINY = "--set hidden_size=8 --set embedding_size=8 --precision fp32 --budget 2steps"
GOOD = b"the man was here\nand the day was long\n" * 20
LONG = b"a" * (1 << 20)  # of it, a line that does not end is made
COMPRESS = {
    ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard.compress,
}  # fmt: skip
ENCODINGS = {
    "empty": (b"", "no text in text"),
    "NUL": (b"good\nthe\0man\0\n", "text, line 2, byte 4: a NUL byte"),
    "invalid UTF-8": (b"good\nbad \xff\n", "text, line 2, byte 5: not UTF-8"),
    "a surrogate": (b"good \xed\xa0\x80\n", "text, line 1, byte 6: not UTF-8"),
    "cut-off UTF-8": (b"caf\xc3", "text, line 1, byte 4: not UTF-8"),
    "UTF-16": ("text".encode("utf-16"), "text is in UTF-16, not in UTF-8"),
    "UTF-16, unmarked": ("text\n".encode("utf-16-le"), "text is in UTF-16LE, not in UTF-8"),
    "<s> within": (b"good\na <s> b\n", "text, line 2: the text holds <s>"),
    "</s> at the end": (b"a </s>\n", "text, line 1: the text holds </s>"),
    "a program": (b"\x7fELF\x02\x01\x01\0\0\xff\xfe", "text is a program, not a text"),
    "a safetensors file": (
        b"\x88" + bytes(7) + b'{"a":1}',
        "text is a safetensors file, not a text",
    ),
}
READERS = {
    "train": "train text --model unigram -o out",
    "train a network": f"train text --model lstm {TINY} -o out",
    "valid": f"train {{text}} --valid text --model lstm {TINY} -o out",
    "test": "train {text} --test text --model unigram -o out",
    "count": "count text -o out",
    "compare": "compare {unigram} {ngram} --on text",
    "compare, train": "compare {unigram} {ngram} --on {valid} --train text",
    "tune": "tune -m {unigram}+unigram --on text",
    "tune, statistics": "tune -m {lstm}+dynamic --on {valid} --statistics text --tokens 50",
    "mix": "mix {lstm} {ngram} --on text -o out",
    "mix, static": "mix {ngram} {ngram} --static --on text -o out.arpa",
    "prune": "prune -m {ngram} --threshold 1e-7 --on text -o out",
}
ODD = {
    "a byte order mark": b"\xef\xbb\xbfthe man\n", "NULs part words": b"the\0man\0\0\n",
    "bad UTF-8, replaced": b"the \xff\xfe man\n", "no newline at the end": b"the man",
    "old line ends": b"the man\rthe day\r\n",
    **{f"{suffix} without its suffix": compress(GOOD) for suffix, compress in COMPRESS.items()},
}  # fmt: skip
MISSING = {
    "missing": ("text", "no such file: text"), "a directory": (".", ". is a directory"),
    "no match": ("*.nope", "no file matches *.nope"),
    "a name that is too long": ("n" * 300, "no such file: nnn"),
    "a name with NUL": ("a\0b", "no such file: a\\x00b"),
    "a link to nowhere": ("nowhere", "no such file: nowhere"),
    "a link to itself": ("itself", "no such file: itself"),
    "nothing on stdin": ("-", "no text in -"),
    "blank lines without end": ("blank.gz", "no text in blank.gz"),
    "a dictionary of 4 GB": ("dictionary.xz", "cannot read dictionary.xz"),
}  # fmt: skip
BOMBS = {suffix: lambda compress=compress: compress(LONG) * 160
         for suffix, compress in COMPRESS.items()}  # fmt: skip
BOMBS[".zst"] = lambda: zstandard.compress(b"a" * (200 << 20))
BOMBS["zeros.zst"] = lambda: zstandard.compress(bytes(1 << 26)) * 16
MET = ".gz"  # the others are long proofs


@pytest.mark.parametrize(("content", "what"), ENCODINGS.values(), ids=ENCODINGS)
def test_a_text_that_is_none_is_refused_with_its_line(refused, here, content, what):
    (here / "text").write_bytes(content)
    refused("eval -m {unigram} text", what)


@pytest.mark.parametrize("name", ["empty", "invalid UTF-8"])
@pytest.mark.parametrize("command", READERS.values(), ids=READERS)
def test_each_command_that_reads_texts_refuses_it(refused, here, command, name):
    content, what = ENCODINGS[name]
    (here / "text").write_bytes(content)
    refused(command, what)


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_an_odd_text_is_read(harmless, here, content):
    (here / "text").write_bytes(content)
    harmless("eval -m {unigram} text --encoding-errors replace")


@pytest.mark.system("links")
@pytest.mark.parametrize(("name", "what"), MISSING.values(), ids=map(ascii, MISSING))
def test_a_place_without_text_is_named(refused, here, name, what):
    (here / "nowhere").symlink_to("elsewhere")
    (here / "itself").symlink_to("itself")
    (here / "blank.gz").write_bytes(gzip.compress(b"\n" * (1 << 20)) * 3)
    (here / "dictionary.xz").write_bytes(huge_dictionary())
    refused(f"eval -m {{unigram}} '{name}'", what)


def huge_dictionary() -> bytes:
    """Return a whole .xz file that requires a dictionary of 4 GB."""
    data = bytearray(lzma.compress(GOOD))
    size = (data[12] + 1) * 4  # of the header of the block (tukaani.org/xz/xz-file-format.txt, 3.1)
    data[data.index(b"\x21\x01", 12) + 2] = 40
    data[8 + size : 12 + size] = zlib.crc32(data[12 : 8 + size]).to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_compressed_text_that_is_damaged_is_refused(refused, harmless, here, suffix):
    compress, name = COMPRESS[suffix], f"text{suffix}"
    noise = compress(os.urandom(2000))[:1000]
    for damaged in (compress(GOOD)[:-9], noise + bytes(100) + compress(GOOD)):
        (here / name).write_bytes(damaged)
        refused(f"eval -m {{unigram}} {name}", f"cannot read {name}")
    (here / name).write_bytes(GOOD)
    harmless(f"eval -m {{unigram}} {name}")  # it is not compressed, whatever its name says


@pytest.mark.parametrize("suffix", [
    suffix if suffix == MET else pytest.param(suffix, marks=pytest.mark.soak) for suffix in BOMBS
])  # fmt: skip
def test_a_line_without_end_is_not_read_to_its_end(refused, here, suffix):
    name = f"t{suffix}"
    (here / name).write_bytes(BOMBS[suffix]())
    refused(f"eval -m {{unigram}} {name}", f"{name}, line 1: longer than")


@pytest.mark.system("proc")
@pytest.mark.soak
@pytest.mark.parametrize("command", ["eval -m {unigram}", "score -m {unigram} --input"])
def test_a_device_without_end_is_not_read_to_its_end(refused, command):
    refused(f"{command} /dev/zero", "/dev/zero, line 1: longer than")


def test_a_model_is_not_replaced_where_the_text_is_bad(refused, here, there):
    shutil.copytree(there["unigram"], here / "m")
    what = "standard input, line 1, byte 1: not UTF-8"
    refused("train - --model unigram -o m --overwrite", what, stdin=b"\xff\n")


def test_scoring_refuses_what_is_no_text(refused, here):
    (here / "text").write_bytes("text".encode("utf-16"))
    refused("score -m {lstm} --input text", "text is in UTF-16, not in UTF-8")
    refused("score -m {unigram} --input .", ". is a directory")
    (here / "t.gz").write_bytes(gzip.compress(GOOD)[:-9])
    refused("score -m {unigram} --input t.gz -o out.tsv", "cannot read t.gz", keeps=False)


def test_a_data_set_that_is_none_is_refused(refused, here):
    (here / "d").mkdir()
    (here / "d/state.json").write_bytes(b"x")
    (here / "d/data.arrow").write_bytes(b"\xff" * 99)
    refused("eval -m {unigram} d", "cannot load data set d")
    refused("eval -m {unigram} hf:", "hf: names no data set", code=2)

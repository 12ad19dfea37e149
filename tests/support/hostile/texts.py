"""Texts: their encoding, their lines, their compression, where they are."""

import functools
import gzip
import lzma
import os
import zlib

from support.hostile.cases import COMPRESS, TINY, Bad, copy, fine, folder, large, repeated

GOOD = b"the man was here\nand the day was long\n" * 20
LONG = b"a" * (1 << 20)  # of it, a line that does not end is made

ENCODINGS = {
    "empty": (b"", "no text in text"),
    "blank": (b"\n \t\r\n\n", "no text in text"),
    "NUL": (b"good\nthe\0man\0\n", "text, line 2, byte 4: a NUL byte"),
    "invalid UTF-8": (b"good\nbad \xff\n", "text, line 2, byte 5: not UTF-8"),
    "an overlong encoding": (b"good \xc0\xaf\n", "text, line 1, byte 6: not UTF-8"),
    "a surrogate": (b"good \xed\xa0\x80\n", "text, line 1, byte 6: not UTF-8"),
    "beyond Unicode": (b"\xf4\x90\x80\x80\n", "text, line 1, byte 1: not UTF-8"),
    "cut-off UTF-8": (b"caf\xc3", "text, line 1, byte 4: not UTF-8"),
    "UTF-16": ("text".encode("utf-16"), "text is in UTF-16, not in UTF-8"),
    "UTF-16, big endian": (b"\xfe\xff\0t\0e", "text is in UTF-16, not in UTF-8"),
    "UTF-16, unmarked": ("text\n".encode("utf-16-le"), "text, line 1, byte 2: a NUL byte"),
    "UTF-32": ("text".encode("utf-32"), "text is in UTF-32, not in UTF-8"),
    "Latin-1": ("the café\n".encode("latin-1"), "text, line 1, byte 8: not UTF-8"),
    "<s> within": (b"good\na <s> b\n", "text, line 2: the text holds <s>"),
    "</s> at the end": (b"a </s>\n", "text, line 1: the text holds </s>"),
    "a program": (b"\x7fELF\x02\x01\x01\0\0\xff\xfe", "text is a program, not a text"),
    "a safetensors file": (
        bytes([0x88, 0, 0, 0, 0, 0, 0, 0]) + b'{"a":1}',
        "text is a file of weights, not a text",
    ),
}
COMMANDS = {
    "eval": "eval -m {unigram} text",
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
BOMBS = {
    **{
        suffix: large(functools.partial(repeated, LONG, 160, suffix))
        for suffix in (".gz", ".bz2", ".xz")
    },
    ".zst": large(lambda: COMPRESS[".zst"](b"a" * (200 << 20))),
}
ZEROS = large(functools.partial(repeated, bytes(1 << 26), 16, ".zst"))


def huge_dictionary() -> bytes:
    """Return a whole .xz file that requires a dictionary of 4 GB."""
    data = bytearray(lzma.compress(GOOD))
    size = (data[12] + 1) * 4  # of the header of the block (tukaani.org/xz/xz-file-format.txt, 3.1)
    data[data.index(b"\x21\x01", 12) + 2] = 40
    data[8 + size : 12 + size] = zlib.crc32(data[12 : 8 + size]).to_bytes(4, "little")
    return bytes(data)


ROWS = [Bad(f"{name}: {how}", COMMANDS[how], what, {"text": content})
        for name, (content, what) in ENCODINGS.items() for how in ("eval", "train")]  # fmt: skip
ROWS += [Bad(f"{name}: {how}", command, ENCODINGS[name][1], {"text": ENCODINGS[name][0]})
         for how,
         command in COMMANDS.items() if how not in ("eval", "train") for name in ("invalid UTF-8",
             "<s> within",
             "empty")]  # fmt: skip
ROWS += [Bad(f"truncated{suffix}", f"eval -m {{unigram}} t{suffix}", f"cannot read t{suffix}",
             {f"t{suffix}": compress(GOOD)[:-9]})
         for suffix, compress in COMPRESS.items()]  # fmt: skip
ROWS += [Bad(f"damaged{suffix}", f"eval -m {{unigram}} t{suffix}", f"cannot read t{suffix}",
             {f"t{suffix}": compress(os.urandom(2000))[:1000] + bytes(100) + compress(GOOD)}) for suffix,
                 compress in COMPRESS.items()]  # fmt: skip
ROWS += [fine(f"not {suffix} at all", f"train t{suffix} --model unigram -o out",
              {f"t{suffix}": GOOD})
         for suffix in COMPRESS]  # fmt: skip
ROWS += [fine(f"{suffix} without its suffix", "eval -m {unigram} text", {"text": compress(GOOD)})
         for suffix, compress in COMPRESS.items()]  # fmt: skip
ROWS += [Bad(f"a line without end: {how}, {suffix}", COMMANDS[how].replace("text", f"t{suffix}"),
             f"t{suffix}, line 1: longer than",
             {f"t{suffix}": bomb}) for suffix, bomb in BOMBS.items()
         for how in ("eval",
                     *(["train a network", "count"] if suffix == ".gz" else []))]  # fmt: skip
ROWS += [
    Bad("a gigabyte of zeros", "eval -m {unigram} t.zst", "t.zst, line 1: longer than",
        {"t.zst": ZEROS}),
    Bad("no end", "eval -m {unigram} /dev/zero", "/dev/zero, line 1: longer than"),
    Bad("blank lines without end do", "eval -m {unigram} t.gz", "no text in t.gz",
        {"t.gz": repeated(b"\n" * (1 << 20), 3, ".gz")}),
    Bad("an xz file that claims a dictionary of 4 GB", "eval -m {unigram} t.xz", "cannot read t.xz",
        {"t.xz": huge_dictionary()}),
    Bad("missing", "eval -m {unigram} text", "no such file: text"),
    Bad("a directory", "eval -m {unigram} .", ". is a directory"),
    Bad("no match", "eval -m {unigram} *.nope", "no file matches *.nope"),
    Bad("a name that is too long", f"eval -m {{unigram}} {'n' * 300}", "no such file: nnn"),
    Bad("a name with NUL", "eval -m {unigram} a\0b", "no such file: a\\x00b"),
    Bad("a link to nowhere", "eval -m {unigram} text", "no such file: text",
        {"text": lambda path, models: path.symlink_to("nowhere")}),
    Bad("a link to itself", "eval -m {unigram} text", "no such file: text",
        {"text": lambda path, models: path.symlink_to("text")}),
    Bad("nothing on stdin", "eval -m {unigram} -", "no text in -"),
    Bad("bad UTF-8 on stdin", "train - --model unigram -o out", "-, line 1, byte 1: not UTF-8",
        stdin=b"\xff\n"),
    Bad("score: UTF-16", "score -m {lstm} --input text", "text is in UTF-16, not in UTF-8",
        {"text": "text".encode("utf-16")}),
    Bad("a model is not replaced where the text is bad",
        "train text --model unigram -o m --overwrite", "text, line 2, byte 5: not UTF-8",
        {"text": b"good\nbad \xff\n", "m": copy("unigram")}),
    Bad("score: a line without end", "score -m {unigram} --input t.gz", "t.gz, line 1: longer than",
        {"t.gz": BOMBS[".gz"]}),
    Bad("score: truncated, with output", "score -m {unigram} --input t.gz -o out.tsv",
        "cannot read t.gz",
        {"t.gz": gzip.compress(GOOD)[:-9]}, keeps=False),
    Bad("score: a directory", "score -m {unigram} --input .", ". is a directory"),
    Bad("a data set that is damaged", "eval -m {unigram} d", "cannot load data set d",
        {"d": folder(**{"state.json": b"x",
        "data.arrow": b"\xff" * 99})}),
    Bad("hf: without a name", "eval -m {unigram} hf:", "hf: names no data set", code=2),
    fine("a byte order mark", "eval -m {unigram} text", {"text": b"\xef\xbb\xbfthe man\n"}),
    fine("NULs part words", "eval -m {unigram} text --encoding-errors replace", {"text": b"the\0man\0\0\n"}),
    fine("bad UTF-8, replaced", "eval -m {unigram} text --encoding-errors replace",
         {"text": b"the \xff\xfe man\n"}),
    fine("no newline at the end", "eval -m {unigram} text", {"text": b"the man"}),
    fine("old line ends", "eval -m {unigram} text", {"text": b"the man\rthe day\r\n"}),
]  # fmt: skip

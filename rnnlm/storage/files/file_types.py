"""Tell a file's type by its first bytes, and read and write compressed files.

A file is compressed, an archive, a binary of another program, or a text in some encoding; its name
does not tell. Compressed files, .gz, .xz, .bz2 and .zst, are read as their first bytes say, and
written as their suffix says.
"""

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import os
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from rnnlm.errors import keyword
from rnnlm.system import quoted

# ---- Compressed files.

CHUNK_BYTES = 1 << 22
READ_BYTES = 1 << 16  # of a compressed file at a time: more would jump ahead of what is shown
PIECE_BYTES = 1 << 11  # decompressed at a time: 4 bytes of .zst may hold 128 KiB
XZ_MEMORY = 1 << 29  # xz -9 takes an eighth of it
ZSTD_WINDOW = 1 << 31  # bytes; of zstd --long=31, which is the longest
SUFFIXES = (".gz", ".xz", ".bz2", ".zst")


def decompressed(stream: IO[bytes]) -> IO[bytes]:
    """Return the decompressed bytes of a file, of which nothing has been read yet. `stream` holds
    those on disk, and can be peeked into.

    Reading may raise OSError or zlib.error where the file is damaged, EOFError where it is
    truncated.
    """
    suffix = compression_of(stream.peek(ENOUGH))  # type: ignore[attr-defined]
    if suffix == ".gz":
        return cast(IO[bytes], gzip.open(stream, "rb"))
    if suffix == ".bz2":
        return cast(IO[bytes], bz2.open(stream, "rb"))
    if suffix == ".xz":
        frames = _Frames(
            stream, lambda: lzma.LZMADecompressor(memlimit=XZ_MEMORY), lzma.LZMAError, padding=b"\0"
        )
    elif suffix == ".zst":
        import zstandard

        decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
        frames = _Frames(stream, decompressor.decompressobj, zstandard.ZstdError)
    else:
        return stream
    return io.BufferedReader(frames, CHUNK_BYTES)


def is_compressed(path: str) -> bool:
    """Return whether the file at `path` can be read and begins like a compressed one."""
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        return compression_of(stream.read(ENOUGH)) != ""
    return False


def compressed(pieces: Iterable[bytes | memoryview], suffix: str) -> Iterator[bytes | memoryview]:
    """Yield `pieces` as a file with this suffix holds them."""
    made = compressor(suffix)
    if made is None:
        yield from pieces
        return
    yield from map(made.compress, pieces)
    yield made.flush()


def compressor(suffix: str) -> Any:
    """Return a compressor for a file with this suffix, which has `compress` and `flush`; None if
    the file is not compressed."""
    suffix = suffix.lower()
    if suffix not in SUFFIXES:
        return None
    if suffix == ".zst":
        import zstandard

        return zstandard.ZstdCompressor().compressobj()
    if suffix == ".gz":
        return zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    return lzma.LZMACompressor() if suffix == ".xz" else bz2.BZ2Compressor()


def without_suffix(path: str) -> str:
    """Return `path` without its suffix of compression."""
    suffix = Path(path).suffix
    return path.removesuffix(suffix) if suffix.lower() in SUFFIXES else path


class _Frames(io.RawIOBase):
    """All frames (or streams) of a compressed file, decompressed a little at a time, regardless of
    the size they claim.

    zstandard's own reader stops after the first frame, and treats a truncated one as complete;
    lzma's allocates as large a dictionary as the file asks for.
    """

    def __init__(
        self,
        compressed: IO[bytes],
        start: Callable[[], Any],
        damage: type[Exception],
        padding: bytes = b"",
    ) -> None:
        self.compressed = compressed
        self.start = start  # makes the decompressor of a new frame
        self.damage = damage  # the error that it raises
        self.padding = padding  # bytes that may lie between frames
        self.frame: Any = None  # the decompressor of the frame being read
        self.rest = memoryview(b"")  # read from the file, not yet decompressed
        self.text = memoryview(b"")  # decompressed, not yet taken

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # Some input gives no text, such as padding or the header of a frame.
        while not self.text:
            if not self.rest:
                self.rest = memoryview(self.compressed.read(READ_BYTES))
            if not self.rest:
                if self.frame is not None:
                    raise EOFError("truncated")
                return 0
            self._decompress()
        count = min(len(buffer), len(self.text))
        buffer[:count] = self.text[:count]
        self.text = self.text[count:]
        return count

    def close(self) -> None:
        self.compressed.close()
        super().close()

    def _decompress(self) -> None:
        """Decompress the next few bytes of `rest` into `text`."""
        piece = bytes(self.rest[:PIECE_BYTES])

        # Between frames, skip the padding first.
        if self.frame is None:
            padded = len(piece) - len(piece.lstrip(self.padding))
            if padded:
                self.rest = self.rest[padded:]
                return
            self.frame = self.start()

        try:
            self.text = memoryview(self.frame.decompress(piece))
        except self.damage as error:
            is_too_large = "memory" in str(error).lower()
            why = "it takes too much memory" if is_too_large else "it is damaged"
            raise OSError(f"{why}: {error}") from None

        # The bytes after the frame's end begin the next one.
        self.rest = self.rest[len(piece) - len(self.frame.unused_data) :]
        if self.frame.eof:
            self.frame = None


# ---- The type of a file.

COMPRESSED = {
    rb"\x1f\x8b\x08": ".gz",
    rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)": ".bz2",
    rb"\xfd7zXZ\0|\]\0\0": ".xz",  # and its forerunner, .lzma
    rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18": ".zst",  # a frame, or one that is skipped
}
ENOUGH = 16  # bytes that identify a compression

_UNPACK = "unpack it, and name the texts inside"
_DECOMPRESS = "decompress it first; rnnlm reads .gz, .xz, .bz2 and .zst"
_AS_TEXT = "save it as plain text (UTF-8) in the program that made it"
_AS_CSV = "export it as CSV (UTF-8), and name the text column with " + keyword("column")
_AS_TABLE = "save it as Parquet or JSON lines"
_AS_UTF8 = "save its texts as UTF-8"
_NAME_TEXT = "name a text"
# Where a text may begin like that, more than the mark of the format is asked for.
_BINARIES = {
    rb"PK\x03\x04(?=.*?/data\.pkl)": ("a PyTorch file", _NAME_TEXT),
    # Documents are zip archives, too: the names of their parts, near the beginning, identify them.
    rb"PK\x03\x04(?=.*?xl/)": ("a spreadsheet", "give it a name that ends in .xlsx"),
    rb"PK\x03\x04(?=.*?opendocument\.spreadsheet)": ("a spreadsheet", _AS_CSV),
    rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("a spreadsheet or another document", _AS_CSV),
    rb"PK\x03\x04(?=.*?(?:word/|ppt/|opendocument))": ("an office document", _AS_TEXT),
    rb"PK\x03\x04(?=.*?epub\+zip)": ("an e-book", _AS_TEXT),
    rb"PK(?:\x03\x04|\x05\x06|\x07\x08)": ("a zip archive", _UNPACK),
    rb"7z\xbc\xaf\x27\x1c": ("a 7z archive", _UNPACK),
    rb"Rar!\x1a\x07": ("a rar archive", _UNPACK),
    rb"07070[127][0-9a-fA-F]{40}|\xc7\x71": ("a cpio archive", _UNPACK),
    rb"!<arch>\n|xar!\0|MSCF\0|\xed\xab\xee\xdb": ("an archive", _UNPACK),
    rb"\x04\x22\x4d\x18|\x02\x21\x4c\x18": ("compressed with lz4", _DECOMPRESS),
    rb"LZIP\x01": ("compressed with lzip", _DECOMPRESS),
    rb"\x1f[\x9d\xa0\x1e]": ("compressed with compress", _DECOMPRESS),
    rb"\xff\x06\0\0sNaPpY": ("compressed with snappy", _DECOMPRESS),
    rb"\x89LZO\0": ("compressed with lzop", _DECOMPRESS),
    rb"%PDF-": ("a PDF document", "extract its text with pdftotext, and name that file"),
    rb"%!PS-Adobe": ("a PostScript document", "extract its text with ps2ascii, and name that file"),
    rb"\{\\rtf1": ("an RTF document", _AS_TEXT),
    rb"mmap lm http": ("a KenLM binary", "name the ARPA file it was made from"),
    rb"\n[\x08-\x1f]\n[\x03-\x1a][<\[][\w/]+[>\]]\x15": ("a sentencepiece model", _NAME_TEXT),
    rb"Q?blmtI? \d": ("an IRSTLM binary", "convert it: compile-lm --text yes FILE FILE.arpa"),
    rb"SRILM_BINARY_": ("an SRILM binary", "convert it: ngram -lm FILE -write-lm FILE.arpa"),
    rb"\x80[\x02-\x05]|\([ld]p[01]\n|ccopy_reg\n": ("a Python pickle", _AS_UTF8),
    rb"PAR1\x15": ("a Parquet file", "give it a name that ends in .parquet"),
    rb"ARROW1\0|FEA1\0|\xff{4}.{3}\0": ("an Arrow file", _AS_TABLE),
    rb"ORC[\x08\n][\0-\x08\v\f\x0e-\x1f]": ("an ORC file", _AS_TABLE),
    rb"Obj\x01": ("an Avro file", _AS_TABLE),
    rb"SQLite format 3\0": ("an SQLite database", "save the text column as CSV"),
    rb"\x89HDF\r\n": ("an HDF5 file", _AS_UTF8),
    rb"\x93NUMPY": ("a numpy array", _NAME_TEXT),
    rb".{5}\0\0\0\{\"": ("a safetensors file", _NAME_TEXT),
    rb"GGUF[\x01-\x09]\0": ("a weights file", _NAME_TEXT),
    rb"\xba\x16\x4f\x2f": ("a fastText model", _NAME_TEXT),
    rb"\x89PNG\r\n": ("a PNG image", _NAME_TEXT),
    rb"\xff\xd8\xff": ("a JPEG image", _NAME_TEXT),
    rb"GIF8[79]a": ("a GIF image", _NAME_TEXT),
    rb"II\*\0|MM\0\*|RIFF.{4}WEBP|\0\0\x01\0|8BPS\0|BM.{4}\0{4}": ("an image", _NAME_TEXT),
    rb"RIFF.{4}(?:WAVE|AVI )|OggS\0|fLaC\0|ID3[\x02-\x04]|\xff[\xfb\xf3\xf2]": (
        "an audio or video file", _NAME_TEXT
    ),
    rb"\0\0\0.ftyp|\x1aE\xdf\xa3": ("a film", _NAME_TEXT),
    rb"\x7fELF|MZ.\0|\xfe\xed\xfa[\xce\xcf]|[\xce\xcf]\xfa\xed\xfe|\xca\xfe\xba\xbe|\0asm": (
        "a program", _NAME_TEXT
    ),
}  # fmt: skip
# Texts whose words stand among times and names, with a command that takes the words out.
_CUES = r"awk '/-->/ {is_text = 1; next} /^\r?$/ {is_text = 0} is_text' | sed 's/<[^>]*>//g'"
_CHAT_LINES = r"awk '/^[*%@]/ {is_text = /^\*/} is_text'"
_CHAT_WORDS = r"""awk '{sub(/^[^\t]*\t/, ""); gsub(/\025[^\025]*\025|\[[^]]*\]/, "")} 1'"""
_TRANSCRIPTS = {
    rb"WEBVTT\s": ("a file of subtitles (WebVTT)", _CUES),
    rb"\d+\r?\n\d+:\d\d:\d\d[,.]\d+ --> ": ("a file of subtitles (SRT)", _CUES),
    rb"@(?:UTF8|Begin)\s": ("a transcript (CHAT)", f"{_CHAT_LINES} | {_CHAT_WORDS}"),
    rb"File type = \"ooTextFile": ("a file of Praat", "sed -n 's/^ *text = \"\\(.*\\)\".*/\\1/p'"),
    rb"<\?xml.{,1000}<ANNOTATION_DOCUMENT": (
        "a transcript (EAF of ELAN)",
        r"sed -n 's/.*<ANNOTATION_VALUE>\(.*\)<\/ANNOTATION_VALUE>.*/\1/p'",
    ),
}  # fmt: skip
_MARKED = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_UNMARKED = ("UTF-32LE", "UTF-32BE", "UTF-16LE", "UTF-16BE")
MANY_NULS = 0.4  # of the bytes of a text in UTF-16 that is mostly ASCII, it is half
_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x19\x1c-\x1f]")
MANY_CONTROLS = 0.2  # of the bytes of a text in UTF-8
_JOINING = set("’‘'´·–—…-­\u00a0")  # bytes between the letters of two words, or of one
_NO_LETTERS = set("ƒˆ")  # signs that Unicode counts among letters
_STRAY = re.compile("[\udc80-\udcff]")  # a byte that is not UTF-8, as "surrogateescape" reads it
_NOT_ASCII = re.compile(r"[^\0-\x7f]")
MOST_ODD = 0.1  # of the characters beyond ASCII in a text whose encoding is right
MOST_DOUBLE = 1 / 3  # of them, letters before another such letter
ENOUGH_TO_GUESS = 100  # bytes beyond ASCII: of fewer, charset-normalizer guesses wrong
_NO_TEXT = ("Cc", "Cn", "Co", "Cs")  # control characters, and those that are unassigned or private


def compression_of(start: bytes) -> str:
    """Return the suffix of the compression of a file that begins so; "" for none."""
    suffixes = (suffix for pattern, suffix in COMPRESSED.items() if re.match(pattern, start))
    return next(suffixes, "")


def binary_of(start: bytes) -> tuple[str, str] | None:
    """Return the kind of a file that begins so and holds no plain text, and a hint."""
    if compression_of(start):
        return "compressed twice", "decompress it once"
    for pattern, kind_and_hint in _BINARIES.items():
        if re.match(pattern, start, re.DOTALL):
            return kind_and_hint
    # A header of tar has a checksum.
    import tarfile

    try:
        tarfile.TarInfo.frombuf(start[:512], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return _transcript_of(start)
    return "a tar archive", _UNPACK


def _transcript_of(start: bytes) -> tuple[str, str] | None:
    """Return the kind of a transcript that begins so, and the command that takes its words."""
    encoding = marked_encoding(start)
    text = start.decode(encoding or "utf-8-sig", "ignore").encode("utf-8")
    for pattern, (kind, command) in _TRANSCRIPTS.items():
        if re.match(pattern, text, re.DOTALL):
            to_text = f"iconv -f {encoding} -t UTF-8 FILE" if encoding else "cat FILE"
            return kind, f"take its words: {to_text} | {command} > NEW"
    return None


def marked_encoding(start: bytes) -> str | None:
    """Return the encoding given by the byte order mark, except for UTF-8."""
    encodings = (encoding for mark, encoding in _MARKED.items() if start.startswith(mark))
    return next(encodings, None)


def unmarked_encoding(start: bytes) -> str | None:
    """Return the encoding, UTF-16 or UTF-32, of a text that begins so and has no byte order mark.
    None: it looks like UTF-8 or another encoding, or like no text."""
    # A text in UTF-8 is one without its NUL bytes, too, unless they are very many. Where there are
    # none, few bytes of other encodings than UTF-16 are control characters.
    nuls = start.count(0)
    if nuls:
        is_other = nuls < MANY_NULS * len(start) and _is_text(start.replace(b"\0", b""), "UTF-8")
    else:
        is_utf8 = _decoded(start, "UTF-8") != "\0"
        is_other = len(_CONTROL.findall(start)) <= is_utf8 * MANY_CONTROLS * len(start)
    if is_other:
        return None

    # In the wrong order of bytes, ASCII becomes other characters, and one script many.
    likely = []
    for name in _UNMARKED:
        if _is_text(start, name):
            text = _decoded(start, name)
            blocks = {ord(character) >> 8 for character in text}
            likely.append((sum(map(str.isascii, text)), -len(blocks), name))
    count, _, likeliest = max(likely, default=(0, 0, None))
    return likeliest if count or not nuls else None


def legacy_encoding(text: bytes) -> str | None:
    """Return the encoding in which a text that is not UTF-8 reads like words: Windows-1252, or what
    charset-normalizer finds, where it is installed. None: it is damaged, or unclear."""
    # Where most of the characters beyond ASCII are UTF-8, the others are damage.
    read = text.decode("utf-8", "surrogateescape")
    is_damaged = len(_NOT_ASCII.findall(read)) > 2 * len(_STRAY.findall(read))
    if is_damaged or b"\0" in text or _CONTROL.search(text):
        return None
    if is_windows_1252(text):
        return "Windows-1252"
    if sum(byte > 0x7F for byte in text) < ENOUGH_TO_GUESS:
        return None
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        return None
    likeliest = from_bytes(text).best()
    if likeliest is None:
        return None

    # Old encodings of Latin letters differ too little for that.
    name = codecs.lookup(likeliest.encoding).name.replace("_", "-").upper()
    letters = "".join(_NOT_ASCII.findall(str(likeliest)))
    latin = sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    if 2 * latin > len(letters) and not name.startswith("CP125"):
        return None
    return name.replace("CP125", "Windows-125")


def is_windows_1252(text: bytes) -> bool:
    """Return whether a text that is not UTF-8 reads like words in Windows-1252."""
    try:
        read = text.decode("cp1252")
    except UnicodeDecodeError:
        return False

    # In a wrong encoding, words hold symbols, capitals after small letters, and many accents.
    places = [match.start() for match in _NOT_ASCII.finditer(read)]
    odd = in_words = double = 0
    for at in places:
        before, character, after = read[at - 1 : at], read[at], read[at + 1 : at + 2]
        in_words += any(side.isascii() and side.isalpha() for side in (before, after))
        if character.isalpha() and character not in _NO_LETTERS:
            odd += character.isupper() and before.islower()
            double += after.isalpha() and not after.isascii()
        else:
            odd += before.isalpha() and after.isalpha() and character not in _JOINING
    is_odd = odd > MOST_ODD * len(places) or double > MOST_DOUBLE * len(places)
    return in_words > 0 and not is_odd


def to_utf8(encoding: str, source: str = "FILE") -> str:
    """Return the hint that a text is to be converted."""
    name = "FILE"
    if os.path.isfile(source) and not source.endswith(tuple(COMPRESSED.values())):
        name = quoted(f"./{source}" if source.startswith("-") else source)
    return f"convert it: iconv -f {encoding} -t UTF-8 {name} > NEW"


def _decoded(start: bytes, encoding: str) -> str:
    """Return the text, of which the last character may be cut off."""
    width = {"UTF-8": 1, "UTF-16LE": 2, "UTF-16BE": 2}.get(encoding, 4)
    try:
        return start[: len(start) // width * width].decode(encoding)
    except UnicodeDecodeError as error:
        is_cut_off = error.end == len(start) // width * width and error.start > 0
        return start[: error.start].decode(encoding) if is_cut_off else "\0"


def _is_text(start: bytes, encoding: str) -> bool:
    text = _decoded(start, encoding)
    characters = set(text) - set("\t\n\r\f")
    return bool(text) and all(
        unicodedata.category(character) not in _NO_TEXT for character in characters
    )

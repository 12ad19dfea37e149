"""Binary files of KenLM: what the header says, and the words at the end.

A header (`lm/binary_format.hh` of KenLM) has a line with the version, numbers that show how the
machine stored them, the order and other parameters, and the count of n-grams of each order. The
words follow the tables, each with a NUL behind it, `<unk>` first.
"""

import functools
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rnnlm.config import about
from rnnlm.errors import ModelError
from rnnlm.interface import BOUNDARY, SENTENCE_START, UNKNOWN, Shapes, Tokenizer, keeps
from rnnlm.registry import Library
from rnnlm.storage.files.reading import binary_at
from rnnlm.storage.files.writing import entry_of
from rnnlm.storage.manifest import Manifest
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import Vocabulary
from rnnlm.text.tokenizers.word import WordTokenizer
from rnnlm.tools.kenlm_binaries import KIND

if TYPE_CHECKING:
    from rnnlm.tools.kenlm_binaries.model import KenlmModel

HEADER = struct.Struct("<88xB3xfIB3xI")  # the order, ..., whether there are words, ...
FIRST = f"{UNKNOWN}\0".encode()


@dataclass(frozen=True)
class KenlmSettings:
    """A model that KenLM stores."""

    model: Annotated[Literal["kenlm"], about("kind of model: one of KenLM")] = "kenlm"


@keeps(Library)
class KenlmFiles:
    """The binary files of KenLM as :class:`rnnlm.registry.Library` asks for them."""

    def folder(self, name: str, needs_model: bool = True) -> Path:
        path = Path(name.removeprefix("kenlm:"))
        if not _is_binary(path):
            is_there = path.is_file()
            raise ModelError(
                f"{path} is no binary of KenLM" if is_there else f"no file {path}",
                hint="import an ARPA file: rnnlm import" if is_there else "write kenlm:FILE",
            )
        return path

    def manifest(self, folder: Path) -> Manifest | None:
        if not _is_binary(folder):
            return None
        return Manifest(
            model="kenlm",
            family="foreign",
            settings={"model": "kenlm"},
            tokenizer=self.tokenizer(folder).to_settings(),
            files={str(folder.absolute()): entry_of(folder, "weights")},
            training={"imported_from": "a binary of KenLM", "ngrams": list(_counts(folder))},
        )

    def tokenizer(self, folder: Path) -> Tokenizer:
        stat = folder.stat()
        return _tokenizer(folder, stat.st_size, stat.st_mtime_ns)

    def shapes(self, folder: Path, manifest: Manifest) -> Shapes:
        """Return a log-probability and a backoff weight for each n-gram, however they are
        stored."""
        counts = enumerate(_counts(folder), start=1)
        return {f"{n}-grams": ("F32", (count, 2)) for n, count in counts}

    def model(self, folder: Path, manifest: Manifest, device: str) -> "KenlmModel":
        from rnnlm.tools.kenlm_binaries.model import load

        return load(folder, self.tokenizer(folder), manifest.fingerprint)


FILES = KenlmFiles()


def _is_binary(path: Path) -> bool:
    return path.is_file() and binary_at(path) == KIND


def _counts(path: Path) -> tuple[int, ...]:
    """Return how many n-grams there are of each order; refuse a file without words."""
    with open(path, "rb") as stream:
        start = stream.read(HEADER.size + 8 * 255)
    try:
        order, _, _, has_words, _ = HEADER.unpack_from(start)
        counts = struct.unpack_from(f"<{order}Q", start, HEADER.size)
    except struct.error:
        raise ModelError(f"{path} is damaged", "its header is truncated") from None
    if not has_words or not order:
        raise ModelError(
            f"{path} has no words",
            "it was built without them, so that nothing can be predicted (build_binary -v)",
            "build it again without -v",
        )
    return counts


@functools.lru_cache(maxsize=8)
def _tokenizer(path: Path, size: int, changed: int) -> Tokenizer:
    """Return the tokenizer of a file of that size, changed at that time: `</s>`, `<unk>`, then its
    words in the order of the file."""
    words = read_words(path)
    others = [word for word in words if word not in (BOUNDARY, UNKNOWN, SENTENCE_START)]
    if BOUNDARY not in words:
        raise ModelError(f"{path} cannot be used", f"it has no {BOUNDARY}, which ends each line")
    return WordTokenizer(TokenizerSettings(), Vocabulary((BOUNDARY, UNKNOWN, *others), None))


def read_words(path: Path) -> list[str]:
    """Return the words of a file in the order of their numbers, `<unk>` first."""
    # A model of an ARPA file without <unk> does not count it.
    size = _counts(path)[0]
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at, words = len(data), [b""]
        # A longer word may end in <unk>, too.
        while at >= 0 and len(words) - 1 < size:
            at = data.rfind(FIRST, 0, at)
            words = data[max(at, 0) :].split(b"\0")
    if at < 0 or len(words) - 1 not in (size, size + 1):
        raise ModelError(f"{path} is damaged", f"its {size:,} words do not stand at the end")
    try:
        return [word.decode("utf-8") for word in words[:-1]]
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} cannot be used", f"a word is not in UTF-8: {error}") from None

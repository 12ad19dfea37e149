"""Binary files of KenLM: what the header says, and the words at the end.

A header (`lm/binary_format.hh` of KenLM) has a line with the version, numbers that show how the
machine stored them, the order and other parameters, and the count of n-grams of each order. The
words follow the tables, each with a NUL behind it, `<unk>` first.

In the models of CCNet (Wenzek et al. 2020), words are pieces of a sentencepiece model, which lies
beside the binary: `en.sp.model` beside `en.arpa.bin`.
"""

import functools
import itertools
import mmap
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import numpy as np

from rnnlm.config import about
from rnnlm.errors import ModelError, SettingsError, UsageError, keyword, notice
from rnnlm.interface import (
    BOUNDARY,
    SENTENCE_START,
    UNKNOWN,
    Encoded,
    Shapes,
    Tokenizer,
    keeps,
)  # fmt: skip
from rnnlm.lm.base.loading import load_tokenizer
from rnnlm.registry import Library
from rnnlm.storage import model_folder
from rnnlm.storage.files.reading import binary_at
from rnnlm.storage.files.writing import FileEntry, entry_of
from rnnlm.storage.manifest import Manifest, ModelArrays, part_folders, read_manifest
from rnnlm.system import free_processors, quoted
from rnnlm.text import tokenizers
from rnnlm.text.tokenizer_settings import CCNET, TokenizerSettings
from rnnlm.text.tokenizers.sentencepiece import (
    MODEL_FILE,
    SentencePieceTokenizer,
    processor_of,
)  # fmt: skip
from rnnlm.text.tokenizers.vocabulary import (
    Vocabulary,
    cut_into_lines,
    newline_error,
    stored_vocabulary,
)
from rnnlm.text.tokenizers.word import WordTokenizer
from rnnlm.tools.kenlm_binaries import KIND, PIECES

if TYPE_CHECKING:
    from rnnlm.tools.kenlm_binaries.model import KenlmModel

HEADER = struct.Struct("<88xB3xfIB3xI")  # the order, ..., whether there are words, ...
FIRST = f"{UNKNOWN}\0".encode()
SPECIAL = (BOUNDARY, UNKNOWN, SENTENCE_START)
SPACE = "\u2581"  # as sentencepiece writes it
NOT_IN_CCNET = re.compile("[A-Z1-9]")
MOST_OTHERS = 0.01  # share of CCNet's pieces that may hold such a character


@dataclass(frozen=True)
class KenlmSettings:
    """A model that KenLM stores."""

    model: Annotated[Literal["kenlm"], about("kind of model: one of KenLM")] = "kenlm"


@keeps(Library)
class KenlmFiles:
    """The binary files of KenLM as :class:`rnnlm.registry.Library` asks for them."""

    def folder(self, name: str, needs_model: bool = True) -> Path:
        path = Path(name.removeprefix("kenlm:"))
        if not _is(KIND, path):
            is_there = path.is_file()
            raise ModelError(
                f"{path} is no binary of KenLM" if is_there else f"no file {path}",
                hint="import an ARPA file: rnnlm import" if is_there else "write kenlm:FILE",
            )
        tokenizer = self.tokenizer(path)
        if isinstance(tokenizer, PieceTokenizer):
            notice(f"the words of {path.name} are pieces of the sentencepiece model beside it")
            tokenizer.tell_form()
        elif _are_pieces(tokenizer.symbols()):
            notice(
                f"the words of {path.name} are pieces, and no sentencepiece model lies beside it, "
                "so that most words are unknown to it: rnnlm import --tokenizer-from FILE.model"
            )
        return path

    def manifest(self, folder: Path) -> Manifest | None:
        files = _files_of(folder)
        if not files:
            return None
        ngrams = list(_counts(folder)) if _is(KIND, folder) else []
        return Manifest(
            model="kenlm",
            family="foreign",
            settings={"model": "kenlm"},
            tokenizer=self.tokenizer(folder).to_settings(),
            files={str(path.absolute()): entry for path, entry in files.items()},
            training={"imported_from": "a binary of KenLM", "ngrams": ngrams},
        )

    def tokenizer(self, folder: Path) -> Tokenizer:
        if folder.is_dir():
            manifest = read_manifest(folder)
            files = model_folder.read_codec_files(folder, manifest)
            return tokenizers.load(manifest.tokenizer, files)
        return _tokenizer(*_files_of(folder).items())

    def shapes(self, folder: Path, manifest: Manifest) -> Shapes:
        """Return a log-probability and a backoff weight for each n-gram, however they are
        stored."""
        counts = enumerate(_counts(_binary_of(folder, manifest)), start=1)
        return {f"{n}-grams": ("F32", (count, 2)) for n, count in counts}

    def model(self, folder: Path, manifest: Manifest, device: str) -> "KenlmModel":
        from rnnlm.tools.kenlm_binaries.model import load

        binary = _binary_of(folder, manifest)
        return load(binary, self.tokenizer(folder), manifest.fingerprint)


FILES = KenlmFiles()


def import_binary(
    file: Path,
    output: Path,
    overwrite: bool,
    settings: TokenizerSettings,
    tokenizer_from: str | None = None,
    normalise: str | None = None,
) -> str:
    """Save a model whose binary stays where it is, with another tokenizer, or other forms of texts,
    than `kenlm:FILE` takes."""
    if tokenizer_from is None and normalise is None:
        raise UsageError(
            f"{file} is a binary of KenLM, which is not imported",
            "it is read where it is",
            f"name it: -m kenlm:{file}",
        )
    pieces = load_tokenizer(tokenizer_from or file)
    if not isinstance(pieces, PieceTokenizer):
        raise UsageError(
            f"{tokenizer_from or file} has no pieces",
            hint="name a sentencepiece model: " + keyword("tokenizer_from", "FILE.model"),
        )
    tokenizer = pieces.with_words(read_words(file), normalise)
    facts = {"imported_from": str(file), "ngrams": list(_counts(file))}
    with model_folder.owned(output, overwrite, "import"):
        arrays = ModelArrays(tokenizer, {})
        model_folder.save(output, arrays, "kenlm", {"model": "kenlm"}, 0, facts, parts=[file])
    return f"a model of KenLM, V = {tokenizer.size:,}, which reads {file} where it is"


def _binary_of(folder: Path, manifest: Manifest) -> Path:
    """Return the binary of a model: the file itself, or the one that a folder refers to."""
    binary = part_folders(folder, manifest)[0] if manifest.parts else folder
    if not _is(KIND, binary):
        raise ModelError(
            f"{binary} is a tokenizer, not a model",
            hint="import the model with it: "
            f"rnnlm import MODEL --tokenizer-from {quoted(str(binary))}",
        )
    return binary


def _files_of(path: Path) -> dict[Path, FileEntry]:
    """Return a binary, with the sentencepiece model beside it, or a sentencepiece model alone;
    nothing of other files."""
    stem = path.name.removesuffix(".bin").removesuffix(".arpa")
    paths = {path: MODEL_FILE} if _is(PIECES, path) else {}
    if _is(KIND, path):
        beside = path.with_name(f"{stem}.sp.model")
        paths = {path: "weights"} | ({beside: MODEL_FILE} if _is(PIECES, beside) else {})
    return {file: entry_of(file, role) for file, role in paths.items()}


def _is(kind: str, path: Path) -> bool:
    return path.is_file() and binary_at(path) == kind


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


class PieceTokenizer(SentencePieceTokenizer):
    """Ids: `<unk>` 0, `</s>` 1, then the words of a model, most of them pieces of a sentencepiece
    model that normalises by itself. A character that it does not know is a piece of its own, which
    may be a word."""

    name = "pieces"

    @functools.cached_property
    def _id_of(self) -> dict[str, int]:
        return {symbol: id for id, symbol in enumerate(self.vocabulary.symbols)}

    @classmethod
    def train(cls, settings: TokenizerSettings, blocks: Iterable[Sequence[str]]) -> NoReturn:
        """Refuse to make a tokenizer: this one is taken from a file."""
        raise SettingsError(
            "tokenizer = pieces cannot be trained",
            hint="name the file of another program: " + keyword("tokenizer_from", "FILE.model"),
        )

    @classmethod
    def load(cls, settings: TokenizerSettings, files: dict[str, bytes]) -> "PieceTokenizer":
        """Return the tokenizer of a model folder, with any sentencepiece model."""
        if MODEL_FILE not in files:
            raise ModelError("the model has no tokenizer", f"{MODEL_FILE} is missing")
        return cls(settings, stored_vocabulary(files, (UNKNOWN, BOUNDARY)), files[MODEL_FILE])

    def with_words(self, words: Iterable[str], forms: str | None = None) -> "PieceTokenizer":
        """Return the tokenizer of a model with these words. forms: in which texts are read; None:
        as here, which is said."""
        if forms is None:
            self.tell_form()
            forms = self.settings.normalise
        settings = replace(self.settings, normalise=forms)
        return PieceTokenizer(settings, _vocabulary(words), self._model)

    def tell_form(self) -> None:
        """Say in which form texts are read, if it is that of CCNet, which nobody asked for."""
        if self.settings.normalise:
            notice(
                f"texts are read in the form {self.settings.normalise}, as the pieces have neither "
                "capitals nor digits but 0; rnnlm import --normalise takes another"
            )

    @property
    def rewriting(self) -> str:
        return ",".join(filter(None, (super().rewriting, "normaliser=sentencepiece")))

    def encode(self, lines: Sequence[str]) -> Encoded:
        pieces = itertools.chain.from_iterable(self.surfaces(lines))
        ids = np.array([self._id_of.get(piece, self.unk_id) for piece in pieces], dtype=np.int32)
        return cut_into_lines(ids, self.boundary_id, lines, np.flatnonzero(ids == self.unk_id))

    def spans(self, lines: Sequence[str]) -> list[np.ndarray]:
        """Return for each normalised line (T, 2), the characters that each token was made of."""
        spans = []
        for line, pieces in zip(lines, self.surfaces(lines), strict=True):
            # Where each character comes from that sentencepiece made, and where the last one ends.
            # The space before a word belongs to no token.
            _, origins = self._processor.normalize(line, with_offsets=True)
            ends_T = np.cumsum([len(piece) for piece in pieces[:-1]], dtype=np.int64)
            starts_T = np.append(0, ends_T[:-1])[: len(ends_T)]
            starts_T += [piece.startswith(SPACE) for piece in pieces[:-1]]
            spans.append(np.array(origins, dtype=np.int64)[np.stack([starts_T, ends_T], axis=1)])
        return spans

    def _surfaces(self, lines: Sequence[str]) -> list[list[str]]:
        reads = list(self.normalise(lines))
        if any("\n" in line for line in reads):
            raise newline_error()
        encoded = self._processor.encode(reads, out_type=str, num_threads=free_processors())
        return [[*pieces, BOUNDARY] for pieces in encoded]


@functools.lru_cache(maxsize=8)
def _tokenizer(*files: tuple[Path, FileEntry]) -> Tokenizer:
    """Return the tokenizer of the words of a binary, or of the pieces of a sentencepiece model, if
    there is one among the files."""
    paths = {entry.role: path for path, entry in files}
    binary, model = paths.get("weights"), paths.get(MODEL_FILE)
    words = read_words(binary) if binary else []
    if binary and BOUNDARY not in words:
        raise ModelError(f"{binary} cannot be used", f"it has no {BOUNDARY}, which ends each line")
    if not model or (binary and not _are_pieces(words)):
        others = [word for word in words if word not in SPECIAL]
        return WordTokenizer(TokenizerSettings(), Vocabulary((BOUNDARY, UNKNOWN, *others), None))

    # CCNet's texts have neither capitals nor digits but 0.
    content = model.read_bytes()
    processor = processor_of(content)
    pieces = list(map(processor.id_to_piece, range(processor.get_piece_size())))
    odd = sum(map(bool, map(NOT_IN_CCNET.search, pieces)))
    forms = CCNET if odd < MOST_OTHERS * len(pieces) else None
    settings = TokenizerSettings(tokenizer="pieces", literal_unk="spell", normalise=forms)
    return PieceTokenizer(settings, _vocabulary(words or pieces), content)


def _are_pieces(words: Sequence[str]) -> bool:
    return any(word.startswith(SPACE) for word in words[:1000])


def _vocabulary(words: Iterable[str]) -> Vocabulary:
    others = [word for word in words if word not in SPECIAL]
    return Vocabulary((UNKNOWN, BOUNDARY, *others), None)


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

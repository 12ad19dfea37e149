"""Keep counts of n-grams in a folder, to be printed, merged, and estimated from.

counts.json describes the counted text, and names the pieces of each order and the files of the
tokenizer with their lengths and hashes. All of them are written under new names, then counts.json
is replaced, then the files of earlier counts are deleted: a reader sees the old counts or the new.
"""

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm.amounts import plural
from rnnlm.config import as_text, from_stored
from rnnlm.errors import ModelError, UsageError, keyword
from rnnlm.interface import BOUNDARY, UNKNOWN, Tokenizer
from rnnlm.lm.ngram.counting.count_trie import Level, level_fault
from rnnlm.parallel import in_threads
from rnnlm.storage.files import tensors, writing
from rnnlm.storage.files.folder import FolderFiles, check_place, foreign_names, remove_files
from rnnlm.storage.files.reading import read_json
from rnnlm.storage.files.resuming import ExistingWork, NextStep, next_step, tell_finished
from rnnlm.system import processors
from rnnlm.text import tokenizers
from rnnlm.text.encoding import EncodedText
from rnnlm.text.lines import TextSettings
from rnnlm.text.tokenizer_settings import CHOOSING, TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import VOCABULARY_FILE, Vocabulary
from rnnlm.text.tokenizers.word import WordCounts
from rnnlm.tools.counting.source import COUNTED, COUNTS
from rnnlm.tools.counting.store import Piece, Store, columns_of, facts_of, read_level, read_levels

FORMAT_VERSION = 1
PIECE_NGRAMS = 1 << 22
LARGEST_INDEX = 64 << 20
OURS = re.compile(r"counts-[0-9a-f]{8}-[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class CountedSource:
    """A counted text. lines, words and tokens as a model reads them; new_words: those that the
    vocabulary lacks. text_settings: how lines are read."""

    text_settings: dict[str, Any]
    lines: int
    words: int
    tokens: int
    new_words: int

    @classmethod
    def of(cls, text: EncodedText, settings: TextSettings) -> "CountedSource":
        """Return the facts of a text that was encoded."""
        stored = asdict(settings)
        return cls(stored, text.sentences, text.words, text.tokens, text.oov_words)

    def with_other(self, other: "CountedSource") -> "CountedSource":
        """Return the facts of both texts as one."""
        names = ("lines", "words", "tokens", "new_words")
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        return CountedSource(self.text_settings, **sums)


@dataclass(frozen=True)
class CountsIndex:
    """The content of counts.json.

    order: of the longest n-grams that were counted; there are none where no line is that long.
    prefix: before the names of all files. identity: of the work that counted, by
    :mod:`rnnlm.storage.files.resuming`. pieces: as in :class:`rnnlm.tools.counting.store.Store`.
    """

    order: int
    source: CountedSource
    vocabulary_size: int
    tokenizer: dict[str, Any]
    tokenizer_fingerprint: str
    tokenizer_files: dict[str, writing.FileEntry]
    prefix: str
    identity: dict[str, str]
    pieces: list[Piece] = field(default_factory=list)
    format_version: int = FORMAT_VERSION


# ---- Reading.


@dataclass(frozen=True)
class CountsFolder:
    """The counts in a folder; their arrays are mapped when they are asked for."""

    folder: Path
    index: CountsIndex

    @property
    def _files(self) -> FolderFiles:
        return _files_of(self.folder)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the text."""
        return self.read_tokenizer()

    def read_tokenizer(self) -> Tokenizer:
        """Read the tokenizer, for callers that do not keep it."""
        index = self.index
        return tokenizers.load_from(
            self._files,
            index.tokenizer_files,
            index.tokenizer,
            index.tokenizer_fingerprint,
            index.vocabulary_size,
        )

    @property
    def text_settings(self) -> TextSettings:
        """How the lines of the text were read."""
        return from_stored(TextSettings, self.index.source.text_settings)

    @cached_property
    def _store(self) -> Store:
        store = Store(self.folder)
        store.pieces.update({piece.name: piece for piece in self.index.pieces})
        return store

    def level(self, n: int) -> Level | None:
        """Return an order; None where there are no n-grams that long."""
        return read_level(self._store, self.index.prefix, n)

    def levels(self, order: int | None = None) -> list[Level]:
        """Return the orders up to `order`; None: all."""
        return list(read_levels(self._store, self.index.prefix, order or self.index.order))

    @property
    def hash(self) -> str:
        """A name for these counts, of 12 hexadecimal digits."""
        hashes = [piece.sha256.encode() for piece in self.index.pieces]
        return writing.digest([self.index.tokenizer_fingerprint.encode(), *hashes])[:12]

    def check(self) -> None:
        """Read all of it, and make sure that nothing has changed since it was written, and that the
        numbers refer to n-grams and words that exist."""
        levels = self.levels()
        if not levels:
            raise self._files.error("it has no n-grams")
        pieces = [
            (f"{piece.name}.safetensors", piece.bytes, piece.sha256)
            for piece in self.index.pieces
            if piece.bytes
        ]
        list(in_threads(lambda piece: self._files.plain_file(*piece), pieces, processors()))
        below = None
        for n, level in enumerate(levels, start=1):
            if level.size != self.index.vocabulary_size:
                raise self._files.error(f"order {n} has another vocabulary")
            why = level_fault(level, below)
            if why:
                raise self._files.error(f"order {n}: {why}")
            below = level


def load(folder: str | Path) -> CountsFolder:
    """Return the counts in `folder`. Only counts.json is read."""
    folder = Path(folder)
    if not COUNTED.is_in(folder):
        why = f"there is no {COUNTS}" if folder.exists() else "there is no such folder"
        raise ModelError(f"no counts in {folder}", why, "make them with rnnlm count TEXT -o FOLDER")
    index = read_json(
        folder / COUNTS,
        CountsIndex,
        ModelError,
        _files_of(folder).damaged,
        format=(f"the folder {folder}", FORMAT_VERSION),
        limit=LARGEST_INDEX,
        has_hash=True,
    )
    # No name may lead out of the folder.
    names = [*index.tokenizer_files, *(piece.name for piece in index.pieces)]
    strange = [name for name in names if not OURS.fullmatch(name)]
    if strange:
        raise _files_of(folder).error(f"{COUNTS}: unexpected file name: {strange[0]!r}")
    keys = set(facts_of(_NO_LEVEL))
    for piece in index.pieces:
        wanted = {"ngrams"} if piece.bytes else keys
        if piece.facts.keys() != wanted or min(piece.facts.values()) < -1:
            raise _files_of(folder).error(f"{COUNTS}: {piece.name} is not described")
    return CountsFolder(folder, index)


def tokenizer_in(folder: Path) -> Tokenizer:
    """Return the tokenizer of the counts in `folder`."""
    return load(folder).read_tokenizer()


_NO_LEVEL = Level(1, np.zeros(0, np.uint64), np.zeros(0, np.int32), np.zeros(0, np.int32), 0)


def _files_of(folder: Path) -> FolderFiles:
    hint = "copy the folder again, or count again"
    return FolderFiles(folder, f"the counts in {folder} are damaged", hint)


def check_alike(several: Sequence[CountsFolder]) -> None:
    """Make sure that counts can be added up: of one order, one way of reading and one tokenizer,
    which may know other words in each."""
    first = several[0]
    for other in several[1:]:
        if other.index.order != first.index.order:
            highest = max(first.index.order, other.index.order)
            raise UsageError(
                f"{first.folder} and {other.folder} have different orders",
                f"{first.index.order} and {other.index.order}",
                "count both with " + keyword("order", highest),
            )
        unlike = _difference(first.index.source.text_settings, other.index.source.text_settings)
        if unlike:
            raise UsageError(
                f"the texts of {first.folder} and {other.folder} were read differently",
                unlike,
                "count both in the same way",
            )
        if other.index.tokenizer_fingerprint != first.index.tokenizer_fingerprint:
            _check_tokenizers(first, other)


def _check_tokenizers(first: CountsFolder, other: CountsFolder) -> None:
    """Make sure that two different tokenizers differ in their words alone."""
    difference = _difference(first.index.tokenizer, other.index.tokenizer, left_out=CHOOSING)
    if difference:
        raise UsageError(
            f"{first.folder} and {other.folder} have different tokenizers",
            difference,
            "count both in the same way",
        )
    kind = first.index.tokenizer.get("tokenizer")
    if kind not in ("word", "char"):
        raise UsageError(
            f"{first.folder} and {other.folder} have different {kind} tokenizers",
            "only vocabularies of words or characters can be joined",
            "count the text again with " + keyword("tokenizer_from", first.folder),
        )


def _difference(
    first: Mapping[str, Any], second: Mapping[str, Any], left_out: Iterable[str] = ()
) -> str:
    """Say in which settings two groups differ; "" if in none."""
    return ", ".join(
        f"{name} is {as_text(first.get(name))} and {as_text(second.get(name))}"
        for name in sorted({*first, *second}.difference(left_out))
        if first.get(name) != second.get(name)
    )


# ---- Writing.


def next_step_in(folder: Path, identity: dict[str, str], overwrite: bool) -> NextStep:
    """Return the next step for counts in `folder`, which the caller owns, by the rule of
    :mod:`rnnlm.storage.files.resuming`. Say so if they are finished."""
    # The folder holds finished work if its index and all files that the index names are whole.
    existing = None
    index = None
    if COUNTED.is_in(folder):
        try:
            index = load(folder).index
            files = _files_of(folder)
            for name, entry in index.tokenizer_files.items():
                files.plain_file(name, entry.bytes)
            for piece in filter(attrgetter("bytes"), index.pieces):
                files.plain_file(f"{piece.name}.safetensors", piece.bytes)
            existing = ExistingWork(index.identity, is_finished=True)
        except ModelError as error:
            existing = ExistingWork(fault=error.why)

    def foreign(names: list[str]) -> list[str]:
        return [] if index is not None else foreign_names(names, COUNTS, _is_ours)

    # Refuse a folder with other content, then compare the identities.
    check_place(folder, "counts", foreign)
    step = next_step(folder, existing, identity, overwrite)
    if step is NextStep.FINISHED and index is not None:
        _remove_unnamed(folder, index.prefix)
        tokens = plural(index.source.tokens, "token")
        tell_finished(folder, f"counts of {tokens} up to order {index.order}")
    return step


def _is_ours(name: str) -> bool:
    return writing.whole_name(name) == COUNTS or _is_data(name)


def _is_data(name: str) -> bool:
    return bool(OURS.fullmatch(writing.whole_name(name)))


def save(
    folder: Path,
    levels: Iterable[Level],
    order: int,
    source: CountedSource,
    tokenizer: Tokenizer,
    identity: dict[str, str],
) -> CountsFolder:
    """Write counts of n-grams up to `order` into `folder`, which the caller owns, level by level.
    Earlier counts stay whole until all is written."""
    prefix = f"counts-{secrets.token_hex(4)}-"
    pieces: list[Piece] = []
    files: dict[str, writing.FileEntry] = {}
    try:
        with writing.writing(folder):
            for n, level in enumerate(levels, start=1):
                pieces += _write_level(folder, f"{prefix}order-{n}", level)
            for role, data in tokenizer.to_files().items():
                name = f"{prefix}{role}"
                writing.replace_file(folder / name, data)
                files[name] = writing.FileEntry(role, len(data), writing.digest([data]))
            index = CountsIndex(
                order=order,
                source=source,
                vocabulary_size=tokenizer.size,
                tokenizer=tokenizer.to_settings(),
                tokenizer_fingerprint=tokenizer.fingerprint,
                tokenizer_files=files,
                prefix=prefix,
                identity=identity,
                pieces=pieces,
            )
            writing.write_facts(folder / COUNTS, index)
    except BaseException:
        remove_files(folder, lambda name: name.startswith(prefix))
        raise
    _remove_unnamed(folder, prefix)
    return CountsFolder(folder, index)


def _remove_unnamed(folder: Path, prefix: str) -> None:
    """Delete the files of earlier counts, and of writers that were killed."""
    remove_files(
        folder, lambda name: _is_ours(name) and name != COUNTS and not name.startswith(prefix)
    )


def _write_level(folder: Path, name: str, level: Level) -> Iterator[Piece]:
    """Write an order, in pieces. Yield these, and a note of their common facts."""
    for number, start in enumerate(range(0, len(level), PIECE_NGRAMS)):
        columns = columns_of(level, start, start + PIECE_NGRAMS)
        data = list(tensors.chunks(columns))
        piece = f"{name}-{number:06d}"
        writing.replace_file(folder / f"{piece}.safetensors", data)
        size = sum(map(len, data))
        yield Piece(piece, size, writing.digest(data), {"ngrams": len(columns["keys"])})
    yield Piece(name, 0, "", facts_of(level))


# ---- Joining counts of several vocabularies: the vocabulary of all. Vocabularies are read one at a
# time, and of their words only one table is held.

SPECIALS = (BOUNDARY, UNKNOWN)  # the first symbols of words and of characters


def joint_tokenizer(several: Sequence[CountsFolder]) -> Tokenizer:
    """Return the tokenizer with the symbols of all, by descending count, as if all texts had been
    counted at once. One that is the same for all, and was made from another text, stays as it is.

    The counts are alike (:func:`rnnlm.tools.counting.counts_folder.check_alike`).
    """
    if len({counts.index.tokenizer_fingerprint for counts in several}) == 1:
        return _with_sums(several)

    # Add up how often each symbol occurs; a vocabulary may hold some that its text lacks.
    occurrences = WordCounts()
    for counts in several:
        symbols = counts.read_tokenizer().symbols()
        counts_V = _unigram_counts(counts)
        for id, special in enumerate(SPECIALS):
            occurrences.specials[special] += int(counts_V[id])
        names = [symbol.encode("utf-8", "surrogatepass") for symbol in symbols[len(SPECIALS) :]]
        occurrences.add(names, counts_V[len(SPECIALS) :])
    vocabulary = occurrences.vocabulary(min_count=0)

    # Settings that limit a vocabulary have had their effect on the parts.
    unlimited = {
        name: getattr(TokenizerSettings, name) for name in ("min_count", "max_vocab", "vocab")
    }
    stored = {**several[0].index.tokenizer, **unlimited}
    return tokenizers.load(stored, {VOCABULARY_FILE: vocabulary.to_bytes()})


def _with_sums(several: Sequence[CountsFolder]) -> Tokenizer:
    """Return the tokenizer that all share. If each has counts of its own text, they are added
    up."""
    first = several[0].read_tokenizer()
    total_V = np.zeros(first.size, dtype=np.int64)
    for counts in several:
        text_V, known_V = _unigram_counts(counts), counts.read_tokenizer().counts_V
        if known_V is None or not np.array_equal(text_V, known_V):
            return first
        total_V += text_V
    vocabulary = Vocabulary(tuple(first.symbols()), total_V)
    files = {**first.to_files(), VOCABULARY_FILE: vocabulary.to_bytes()}
    return tokenizers.load(first.to_settings(), files)


def _unigram_counts(counts: CountsFolder) -> np.ndarray:
    """Return how often each symbol occurs in the text, (V,)."""
    unigrams = counts.level(1)
    assert unigrams is not None  # counts that were checked have them
    return np.asarray(unigrams.counts_M)[:-1].astype(np.int64)


def ids_in(tokenizer: Tokenizer, id_of: Mapping[str, int]) -> np.ndarray:
    """Return the id that each symbol of `tokenizer` has in `id_of`, (V,)."""
    return np.fromiter(map(id_of.__getitem__, tokenizer.symbols()), np.int64, tokenizer.size)

"""Split text into subword pieces with sentencepiece (Kudo & Richardson 2018): unigram or byte-pair
encoding, losslessly.

White space is kept, other characters fall back to bytes, and sentencepiece normalises nothing: so
decode(encode(line)) is the line, normalised as the settings say. A space is put before every line,
so that its first word is the same piece as inside a line. sentencepiece writes a space as U+2581;
that character itself is therefore encoded by its bytes.
"""

import hashlib
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rnnlm.errors import ModelError, SettingsError, notice
from rnnlm.interface import BOUNDARY, UNKNOWN, Encoded, Tokenizer, keeps
from rnnlm.system import free_processors
from rnnlm.text.lines import WORD_SPACE
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import (
    VOCABULARY_FILE,
    Vocabulary,
    VocabularyTokenizer,
    cut_into_lines,
    newline_error,
    rewritten,
    stored_vocabulary,
)

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

MODEL_FILE = "tokenizer.model"
TRAINING_LINES = 1_000_000  # sentencepiece sees this many lines at most
TRAINING_CHARACTERS = 4000  # a longer line is shown to it in parts
_SPACE = "\u2581"
_WORD_SPACE = WORD_SPACE.encode()


@keeps(Tokenizer)
class SentencePieceTokenizer(VocabularyTokenizer):
    """Ids are sentencepiece's, with `<unk>` 0 (only a literal one) and `</s>` 1."""

    name = "sentencepiece"
    boundary_id = 1
    unk_id = 0
    relevant = ("literal_unk",)

    def __init__(self, settings: TokenizerSettings, vocabulary: Vocabulary, model: bytes) -> None:
        super().__init__(settings, vocabulary)
        self._model = model
        self.segmentation = hashlib.sha256(model).hexdigest()
        self._processor = processor_of(model)
        self._bytes = list(map(_piece_bytes, vocabulary.symbols))
        self._bytes[self.boundary_id] = b"\n"
        self._byte_ids = [self._processor.piece_to_id(f"<0x{byte:02X}>") for byte in range(256)]
        literal = f"{UNKNOWN}|" if settings.literal_unk == "symbol" else ""
        self._special = re.compile(f"({literal}{_SPACE})")

    @classmethod
    def train(
        cls, settings: TokenizerSettings, blocks: Iterable[Sequence[str]]
    ) -> "SentencePieceTokenizer":
        """Return the tokenizer whose pieces are found in these lines, block after block.

        Raises:
            SettingsError: this text cannot give the vocabulary asked for.
        """
        # sentencepiece itself holds the text that it trains on, so holding it here costs no more.
        held = [rewritten(lines, settings) for lines in blocks]
        model = _train(settings, itertools.chain.from_iterable(held))

        # Count the pieces with a tokenizer that has no counts yet.
        processor = processor_of(model)
        pieces = tuple(processor.id_to_piece(id) for id in range(processor.get_piece_size()))
        counts_V = np.zeros(len(pieces), dtype=np.int64)
        uncounted = cls(settings, Vocabulary(pieces, counts_V.copy()), model)
        for lines in held:
            counts_V += np.bincount(uncounted.encode(lines).ids, minlength=len(pieces))
        return cls(settings, Vocabulary(pieces, counts_V), model)

    @classmethod
    def load(cls, settings: TokenizerSettings, files: dict[str, bytes]) -> "SentencePieceTokenizer":
        """Return the tokenizer whose settings and `to_files()` these are.

        Raises:
            ModelError: a file is missing or damaged.
        """
        if MODEL_FILE not in files:
            raise ModelError("the model has no tokenizer", f"{MODEL_FILE} is missing")
        vocabulary = stored_vocabulary(files, (UNKNOWN, BOUNDARY))
        _check_rewrites_nothing(files[MODEL_FILE])
        tokenizer = cls(settings, vocabulary, files[MODEL_FILE])
        tokenizer._check_pieces()
        return tokenizer

    def _check_pieces(self) -> None:
        """Make sure that the pieces of a line are the line: sentencepiece's pieces are the symbols
        of the vocabulary, and bytes are bytes."""
        processor, symbols = self._processor, self.vocabulary.symbols
        if processor.get_piece_size() != len(symbols):
            why = f"{MODEL_FILE} and {VOCABULARY_FILE} differ in size"
        elif list(map(processor.id_to_piece, range(len(symbols)))) != list(symbols):
            why = f"{MODEL_FILE} and {VOCABULARY_FILE} have other pieces"
        elif not all(map(processor.is_byte, self._byte_ids)):
            why = f"{MODEL_FILE} has no pieces for single bytes"
        else:
            return
        raise ModelError("the tokenizer is damaged", why)

    @property
    def starts_word_V(self) -> np.ndarray:
        starts = np.array([bool(data) and data[0] in _WORD_SPACE for data in self._bytes])
        starts[self.boundary_id] = True
        return starts

    def token_bytes(self) -> list[bytes]:
        return list(self._bytes)

    def to_files(self) -> dict[str, bytes]:
        return {**super().to_files(), MODEL_FILE: self._model}

    def spelling(self) -> "SentencePieceTokenizer":
        return self  # every text is made of its pieces: none is unseen

    def encode(self, lines: Sequence[str]) -> Encoded:
        # Only lines with <unk> or U+2581 need care, which takes longer. All lines at once are
        # searched faster than one by one.
        prepared = [_prepared(line, self.settings) for line in self.normalise(lines)]
        whole = "\n".join(prepared)
        has_special = _SPACE in whole or (
            self.settings.literal_unk == "symbol" and UNKNOWN in whole
        )
        # To sentencepiece a newline is a byte piece like any other.
        if whole.count("\n") >= max(1, len(prepared)):
            raise newline_error()
        if has_special:
            encoded = list(map(self._encode_line, prepared))
        else:
            # By itself it would take all processors, also the ones of other threads.
            encoded = self._processor.encode(prepared, out_type=int, num_threads=free_processors())

        for ids in encoded:
            ids.append(self.boundary_id)
        total = sum(map(len, encoded))
        joined = np.fromiter(itertools.chain.from_iterable(encoded), dtype=np.int32, count=total)
        return cut_into_lines(joined, self.boundary_id, lines)

    def _encode_line(self, line: str) -> list[int]:
        ids: list[int] = []
        for part in self._special.split(line):
            if part == _SPACE:
                ids += [self._byte_ids[byte] for byte in part.encode("utf-8")]
            elif part == UNKNOWN and self.settings.literal_unk == "symbol":
                ids.append(self.unk_id)
            elif part:
                ids += self._processor.encode(part, out_type=int)
        return ids

    def _decode(self, ids: Sequence[int] | np.ndarray) -> str:
        text = b"".join(self._bytes[id] for id in ids).decode("utf-8", "replace")
        return text.removesuffix("\n").removeprefix(" ").replace("\n ", "\n")


def _prepared(line: str, settings: TokenizerSettings) -> str:
    """Return `line` as sentencepiece sees it: after a space, so that its first word is a piece like
    any other."""
    if not line:
        return ""
    return " " + (line.lower() if settings.lowercase else line)


def _train(settings: TokenizerSettings, lines: Iterable[str]) -> bytes:
    """Return a sentencepiece model. A vocabulary too large for the text is lowered, with a
    notice."""
    import sentencepiece

    text = list(itertools.islice(_training_lines(lines, settings), TRAINING_LINES))
    vocab_size = settings.vocab_size
    # Only sentencepiece knows how many pieces a text yields, and names the number in its error.
    while True:
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(text),
                model_writer=model,
                model_type=settings.sentencepiece_model,
                vocab_size=vocab_size,
                hard_vocab_limit=False,
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                add_dummy_prefix=False,
                byte_fallback=True,
                character_coverage=0.9995,
                required_chars=_SPACE,  # however rare: as bytes it would come back as U+2581 itself
                unk_id=0, eos_id=1, bos_id=-1, pad_id=-1,
                unk_piece=UNKNOWN, eos_piece=BOUNDARY,
                max_sentence_length=8 * TRAINING_CHARACTERS,
                minloglevel=2,
            )  # fmt: skip
            break
        except (RuntimeError, ValueError, OSError) as error:
            vocab_size = _possible_size(str(error), vocab_size)
    size = processor_of(model.getvalue()).get_piece_size()
    if size < settings.vocab_size:
        notice(
            f"the text has only {size} pieces: the vocabulary is {size} instead of "
            f"{settings.vocab_size}"
        )
    return model.getvalue()


def _training_lines(lines: Iterable[str], settings: TokenizerSettings) -> Iterator[str]:
    for line in lines:
        prepared = _prepared(line, settings)
        for start in range(0, len(prepared), TRAINING_CHARACTERS):
            part = prepared[start : start + TRAINING_CHARACTERS]
            yield part.replace(_SPACE, " ").replace(UNKNOWN, " ").replace("\0", " ")


def _possible_size(message: str, vocab_size: int) -> int:
    """Return the largest size that sentencepiece offers in its error `message`. Raise SettingsError
    where it wants a larger one, or failed for another reason."""
    offered = re.search(r"value <= (\d+)", message)
    if offered and 0 < int(offered[1]) < vocab_size:
        return int(offered[1])
    needed = re.search(r"smaller than required_chars\.? *(\d+) vs (\d+)", message)
    if needed:
        least = max(int(needed[1]), int(needed[2]))
        raise SettingsError(
            f"vocab_size = {vocab_size} is too small",
            "256 bytes and the text's characters need a piece each",
            f"set vocab_size to {least} or more",
        )  # fmt: skip
    raise SettingsError(
        "sentencepiece cannot make a vocabulary of this text", message.strip().splitlines()[-1]
    )


def processor_of(model: bytes) -> "SentencePieceProcessor":
    """Return sentencepiece's object for the bytes of a model."""
    import sentencepiece

    try:
        return sentencepiece.SentencePieceProcessor(model_proto=model)
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError("the tokenizer is damaged", f"{MODEL_FILE}: {error}") from None


# ---- The parts of a sentencepiece model that say how it rewrites text, from its bytes: Python's
# package does not show them, and its message class needs the package protobuf.

# Numbers of fields in sentencepiece_model.proto
_NORMALIZER, _DENORMALIZER = 3, 5  # of a model
_CHARSMAP, _DUMMY_PREFIX, _REMOVE_SPACES, _ESCAPE_SPACES = 2, 3, 4, 5  # of a normaliser
# Settings that a normaliser must have: its defaults are to put a space first and to drop some
_IDENTITY: dict[int, int | bytes] = {
    _CHARSMAP: b"",
    _DUMMY_PREFIX: 0,
    _REMOVE_SPACES: 0,
    _ESCAPE_SPACES: 1,
}
_DEFAULTS: dict[int, int | bytes] = {
    _CHARSMAP: b"",
    _DUMMY_PREFIX: 1,
    _REMOVE_SPACES: 1,
    _ESCAPE_SPACES: 1,
}
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5  # how a field is written
_FIXED = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}


def _check_rewrites_nothing(model: bytes) -> None:
    """Refuse a sentencepiece model that normalises text. It would score and count other words than
    those it is given, and may make thousands of tokens of a letter; without it, each character
    gives four tokens at most, its bytes."""
    normalizer: dict[int, int | bytes] = {**_DEFAULTS}
    denormalizer: dict[int, int | bytes] = {}
    try:
        for number, value in _fields(model):
            if number == _NORMALIZER and isinstance(value, bytes):
                normalizer.update(_fields(value))
            elif number == _DENORMALIZER and isinstance(value, bytes):
                denormalizer.update(_fields(value))
    except (IndexError, ValueError):
        raise ModelError(
            "the tokenizer is damaged", f"{MODEL_FILE}: it is not a sentencepiece model"
        ) from None
    is_other = any(normalizer[number] != value for number, value in _IDENTITY.items())
    if is_other or denormalizer.get(_CHARSMAP):
        raise ModelError(
            "the tokenizer rewrites text",
            f"{MODEL_FILE} has a normaliser of its own",
            "train the tokenizer again: rnnlm train --tokenizer sentencepiece, with --normalise",
        )


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and the value of each field of a protobuf message; raise IndexError or
    ValueError where it is none."""
    at = 0

    # Numbers are written in groups of seven bits, the lowest first.
    def varint() -> int:
        nonlocal at
        value = 0
        for shift in range(0, 70, 7):
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a number of more than ten bytes")

    # A tag holds the number of the field, and how its value is written.
    while at < len(message):
        tag = varint()
        written = tag & 7
        if written == _VARINT:
            yield tag >> 3, varint()
            continue
        size = varint() if written == _BYTES else _FIXED.get(written, len(message))
        if at + size > len(message):
            raise ValueError("a field ends behind the message, or is of an unknown type")
        yield tag >> 3, message[at : at + size]
        at += size


def _piece_bytes(piece: str) -> bytes:
    byte = re.fullmatch(r"<0x([0-9A-F]{2})>", piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace(_SPACE, " ").encode("utf-8")

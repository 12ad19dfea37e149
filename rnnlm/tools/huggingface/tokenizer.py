"""Read text as another model does: any `tokenizer.json` of the package `tokenizers` as a tokenizer
of rnnlm, with the same ids.

Each line is split alone, nothing is put around it, and the model's own end token is the boundary.
Its special tokens, written in a text, are ordinary text. The file's truncation and padding are
ignored, as is random dropout of merges.
"""

import base64
import binascii
import contextlib
import functools
import hashlib
import itertools
import json
import os
import re
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from rnnlm.errors import (
    ModelError,
    RnnlmError,
    SettingsError,
    TextError,
    keyword,
    notice,
    require_package,
    shown,
)
from rnnlm.interface import BOUNDARY, UNKNOWN, Encoded, Tokenizer, keeps
from rnnlm.storage.files.reading import decode_json, read_json, read_small
from rnnlm.text.lines import WORD_SPACE
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import (
    Vocabulary,
    VocabularyTokenizer,
    check_lines,
    newline_error,
)

if TYPE_CHECKING:
    import tokenizers

TOKENIZER_FILE, IDS_FILE = "tokenizer.json", "tokenizer-ids.json"
LARGEST_TOKENIZER = 1 << 27  # bytes: those of 260,000 pieces take 34 MB
MOST_PIECES = 1 << 22
MOST_GROWTH = 256  # how many times as long a normaliser may make a text
MOST_ADDED = 1 << 18  # added tokens: of known models, a few thousand
MOST_STEPS = 64  # of a normaliser and the like: of known models, ten
LONGEST_PREFIX = 64  # characters that it may put before a line
_SPACE = "\u2581"
# What ends a word: no line holds a newline, but other models predict it after one.
_WORD_SPACE = f"{WORD_SPACE}\n".encode()
_BYTE = re.compile("<0x([0-9A-F]{2})>")
# Names that end tokens usually have, where no file names the end token
_ENDS = ("</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>", "<|im_end|>", "[EOS]", "[SEP]")
# Before the name of a special token, so that no text holds it: a code point that is no character
_HIDDEN = "\U0010ffff"
_DAMAGED = "the tokenizer is damaged"
STDERR = 2  # its number
_panicking = threading.Lock()
_DEFAULTS = {"use_regex": True, "split": True}  # of a tokenizer.json; of other flags: false


class _AddedToken(msgspec.Struct):
    id: int
    content: str
    special: bool = False


class _Model(msgspec.Struct):
    unk_token: str | None = None
    unk_id: int | None = None
    byte_fallback: bool = False
    continuing_subword_prefix: str | None = None
    end_of_word_suffix: str | None = None


class _Spec(msgspec.Struct):
    """What is read of a tokenizer.json, beside what the package `tokenizers` reads."""

    model: _Model
    added_tokens: list[_AddedToken] = []
    normalizer: Any = None
    pre_tokenizer: Any = None
    post_processor: Any = None
    decoder: Any = None


class _Ids(msgspec.Struct):
    """What is stored in IDS_FILE. size: V, which may be larger than the tokenizer's vocabulary."""

    boundary: int
    size: int


def _without_defaults(value: Any) -> Any:
    """Return a part of a tokenizer.json without the settings that older files leave out."""
    if isinstance(value, list):
        return [_without_defaults(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: item if key in ("vocab", "merges") else _without_defaults(item)
        for key, item in value.items()
        if not (item is None or item == "" or item is _DEFAULTS.get(key, False))
    }


@keeps(Tokenizer)
class HuggingFaceTokenizer(VocabularyTokenizer):
    """A `tokenizer.json`, given as bytes. boundary_id: its end token. size: V, where a model has
    vectors for more tokens than the tokenizer makes, as their number is rounded up.

    Raises:
        ModelError: it is damaged, or what it does to a text has no bounds.
    """

    name: Literal["huggingface"] = "huggingface"
    literal_unk: Literal["spell"] = "spell"

    def __init__(self, data: bytes, boundary_id: int, size: int | None = None) -> None:
        self._data = data
        self._spec = spec = _spec_of(data)
        self._tokenizer, self._template = _opened(data)
        self._normalisers = _steps_of(self._tokenizer.normalizer)
        self._steps = [*self._normalisers, *_steps_of(self._tokenizer.pre_tokenizer)]
        _check_growth(self._normalisers)
        self.boundary_id = boundary_id
        self._has_told = False  # that a text has the end token as a word

        # The tokens by id, with names for the numbers that no token has.
        pieces = self._tokenizer.get_vocab(with_added_tokens=True)
        ids = {id: piece for piece, id in pieces.items()}
        self.unk_id = self._unknown_id(pieces)
        special = [token for token in spec.added_tokens if token.special]
        # Trainers may list the bytes to fall back to as special: texts are made of them, too.
        reserved = {token.id for token in special if not self._is_byte(token.content)}
        reserved |= {boundary_id}
        self._check_ids(ids, reserved, size)
        self._pieces = {id: ids[id] for id in sorted(ids) if size is None or id < size}
        self._reserved = sorted(reserved & self._pieces.keys())
        self._hide_reserved()

        V = size or max(ids) + 1
        self._is_reserved_V = np.zeros(max(V, max(ids) + 1), dtype=bool)
        self._is_reserved_V[list(reserved - {self.unk_id})] = True
        self._bytes = self._bytes_of_pieces(V)
        self._puts_space = self._reads_words_alone or self._starts_with_space()
        settings = TokenizerSettings(tokenizer=self.name, literal_unk=self.literal_unk)
        super().__init__(settings, Vocabulary(self._symbols(V), None))

    def __reduce__(self) -> tuple[object, ...]:
        # Settings beside the file would be lost.
        return HuggingFaceTokenizer, (self._data, self.boundary_id, self.size)

    @classmethod
    def train(
        cls, settings: TokenizerSettings, blocks: Iterable[Sequence[str]]
    ) -> "HuggingFaceTokenizer":
        """Refuse to make a tokenizer: this one is taken from a model.

        Raises:
            SettingsError: always.
        """
        raise SettingsError(
            "tokenizer = huggingface cannot be trained",
            "it is the tokenizer of another model",
            "name that model: " + keyword("tokenizer_from", "hf:FOLDER"),
        )

    @classmethod
    def load(cls, settings: TokenizerSettings, files: dict[str, bytes]) -> "HuggingFaceTokenizer":
        """Return the tokenizer whose settings and `to_files()` these are.

        Raises:
            ModelError: a file is missing or damaged.
        """
        for name in (TOKENIZER_FILE, IDS_FILE):
            if name not in files:
                raise ModelError("the model has no tokenizer", f"{name} is missing")
        try:
            ids = decode_json(files[IDS_FILE], _Ids)
        except ValueError as error:
            raise ModelError(_DAMAGED, f"{IDS_FILE}: {error}") from None
        return cls(files[TOKENIZER_FILE], ids.boundary, ids.size)

    # ---- What the file says

    def _unknown_id(self, pieces: dict[str, int]) -> int | None:
        """Return the id of what the tokenizer does not know; refuse one that drops it."""
        model, kind = self._spec.model, type(self._tokenizer.model).__name__
        if kind == "Unigram":
            unknown = model.unk_id
        else:
            unknown = pieces.get(model.unk_token or "")
        if self._knows_all_bytes(pieces):
            return None if unknown == self.boundary_id else unknown
        if unknown is None:
            raise ModelError(
                "the tokenizer cannot read every text",
                f"its model ({kind}) has neither a token for what it does not know nor one for "
                "each byte",
            )
        if unknown == self.boundary_id:
            raise ModelError(
                "the tokenizer has one token for the end and for what it does not know",
                f"id {unknown}",
            )
        return unknown

    def _knows_all_bytes(self, pieces: dict[str, int]) -> bool:
        """Return whether any text can be written in its tokens, byte by byte if need be."""
        if self._has_byte_alphabet:
            # Some bytes are in no text, and a line holds no newline.
            never = {*b"\n\xc0\xc1", *range(0xF5, 0x100)}
            return all(
                letter in pieces for letter, byte in byte_of_letter().items() if byte not in never
            )
        return self._spec.model.byte_fallback and all(
            f"<0x{byte:02X}>" in pieces for byte in range(256)
        )

    def _check_ids(self, ids: dict[int, str], reserved: set[int], size: int | None) -> None:
        """Make sure that the boundary is a token, and that no text has ids from `size` on."""
        if self.boundary_id not in ids:
            raise ModelError(
                f"the end token, id {self.boundary_id}, is not in the tokenizer",
                f"{TOKENIZER_FILE} has {len(ids):,} tokens",
            )
        if max(ids) >= MOST_PIECES or (size or 0) > MOST_PIECES:
            raise ModelError(_DAMAGED, f"an id is beyond {MOST_PIECES:,}")
        beyond = [] if size is None else [id for id in ids if id >= size and id not in reserved]
        if beyond or (size is not None and self.boundary_id >= size):
            raise ModelError(
                f"the tokenizer has ids up to {max(ids):,}, the model {size:,} tokens",
                "tokens of a text would have no vector",
                f"give the {TOKENIZER_FILE} that belongs to the model",
            )

    @functools.cached_property
    def _has_byte_alphabet(self) -> bool:
        """Whether a letter of its pieces is a byte of the text, as GPT-2 has it."""
        return any(step["type"] == "ByteLevel" for step in self._steps)

    @functools.cached_property
    def _space(self) -> str:
        """What its pieces have for a space, if not the space itself."""
        for step in self._steps:
            if step["type"] == "Metaspace":
                return str(step.get("replacement", _SPACE))
            if step["type"] == "Replace" and step.get("pattern") == {"String": " "}:
                return str(step.get("content"))
        return " "

    @functools.cached_property
    def _continuing(self) -> str:
        """What a piece begins with that continues a word; "" where none is marked so."""
        prefix = self._spec.model.continuing_subword_prefix or ""
        if type(self._tokenizer.model).__name__ == "WordPiece" and not prefix:
            return "##"
        return "" if self._has_byte_alphabet or self._space != " " else prefix

    @functools.cached_property
    def _ending(self) -> str:
        """What a piece ends with that ends a word; "" where none is marked so."""
        return self._spec.model.end_of_word_suffix or ""

    @functools.cached_property
    def _reads_words_alone(self) -> bool:
        """Whether the space between words is part of no token, and its place cannot be seen in the
        tokens, or only by the mark of pieces that continue a word."""
        if self._has_byte_alphabet or self._space != " " or self._ending:
            return False
        return not any(start <= 1 < end for start, end in self._probe("a a").offsets)

    def _starts_with_space(self) -> bool:
        first = self._probe("a").ids[:1]
        return bool(first) and self._bytes[first[0]][:1] == b" "

    @property
    def keeps_case(self) -> bool:
        if self._tokenizer.normalizer is None:
            return True
        with _naming_failures(ModelError, _DAMAGED, f"{TOKENIZER_FILE}: "):
            return "A" in self._tokenizer.normalizer.normalize_str("A")

    @property
    def rewriting(self) -> str:
        changing = []
        for step in self._normalisers:
            if step["type"] == "Replace" and _is_about_spaces(step):
                continue
            # Canonical composition: nearly all text has it already, and means the same.
            if step["type"] not in ("ByteLevel", "Lowercase", "NFC", "Prepend", "Strip"):
                changing.append(step["type"])
        return f"normaliser={'+'.join(changing)}" if changing else ""

    @property
    def keeps_text(self) -> bool:
        has_spaces = not (self._reads_words_alone or self._ending)
        return has_spaces and self.keeps_case and not self.rewriting

    # ---- Its tokens

    @property
    def end_token(self) -> str:
        """The boundary, as the file names it."""
        return self._pieces[self.boundary_id]

    def _hide_reserved(self) -> None:
        """Give special tokens names that no text holds, where the model would find them in one."""
        # Does the model find any of them, written alone or among words?
        names = [self._pieces[id] for id in self._reserved]
        found = set()
        for name in names:
            for probe in (name, f"a {name} a", f"a{name}a"):
                found |= {*self._probe(probe).ids}
        if found.isdisjoint(self._reserved):
            return

        # Rename them wherever the file has them. Of two tokenizers, only one is kept in memory.
        del self._tokenizer
        content = msgspec.json.decode(self._data)
        hidden = {name: _HIDDEN + name for name in names}
        for token in content.get("added_tokens", []):
            token["content"] = hidden.get(token["content"], token["content"])
        model = content["model"]
        if isinstance(model["vocab"], dict):
            model["vocab"] = {hidden.get(name, name): id for name, id in model["vocab"].items()}
        else:
            for entry in model["vocab"]:
                entry[0] = hidden.get(entry[0], entry[0])
        if model.get("unk_token") in hidden:
            model["unk_token"] = hidden[model["unk_token"]]
        data = msgspec.json.encode(content)
        del content
        self._tokenizer, _ = _opened(data)

    def _probe(self, line: str) -> Any:
        with _naming_failures(ModelError, _DAMAGED, f"{TOKENIZER_FILE}: "):
            return self._tokenizer.encode(line, add_special_tokens=False)

    def _bytes_of_pieces(self, V: int) -> list[bytes]:
        """Return what each token adds to a text."""
        added = [token for token in self._spec.added_tokens if not self._is_byte(token.content)]
        names = {token.id: token.content for token in added}
        data: list[bytes] = []
        for id in range(V):
            piece = self._pieces.get(id, "")
            if id in names and id != self.unk_id:
                data.append(names[id].encode("utf-8"))
            else:
                data.append(self._bytes_of(piece))
        data[self.boundary_id] = b"\n"
        return data

    def _is_byte(self, piece: str) -> bool:
        return self._spec.model.byte_fallback and _BYTE.fullmatch(piece) is not None

    def _bytes_of(self, piece: str) -> bytes:
        if self._is_byte(piece):
            return bytes([int(piece[3:5], 16)])

        # Marks of where words begin and end are no text.
        begins = self._reads_words_alone
        if self._continuing and piece.startswith(self._continuing):
            piece = piece.removeprefix(self._continuing)
            begins = False
        ends = bool(self._ending) and piece.endswith(self._ending)
        if ends:
            piece = piece.removesuffix(self._ending)
        data = b""
        if self._has_byte_alphabet:
            with contextlib.suppress(KeyError):  # a token that is no bytes
                data = bytes(map(byte_of_letter().__getitem__, piece))
        data = data or piece.replace(self._space, " ").encode("utf-8")
        return b" " * begins + data + b" " * ends

    def _symbols(self, V: int) -> tuple[str, ...]:
        """Return the tokens as people are shown them: a space as U+2581, a piece of a character as
        its bytes. No two are the same."""
        symbols: dict[str, int] = {}
        for id, data in enumerate(self._bytes):
            if id not in self._pieces:
                symbol = f"<unused-{id}>"
            elif id in (self.boundary_id, self.unk_id):
                symbol = BOUNDARY if id == self.boundary_id else UNKNOWN
            else:
                symbol = self._shown(data, self._pieces[id])
            while symbol in symbols:
                symbol += f"#{id}"
            symbols[symbol] = id
        return tuple(symbols)

    def _shown(self, data: bytes, piece: str) -> str:
        if self._is_byte(piece) or self._reads_words_alone or self._ending:
            return piece
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = ""
        if not text or _SPACE in text or not text.isprintable():
            letters = [_SPACE if byte == ord(" ") else f"<0x{byte:02X}>" for byte in data]
            return "".join(letters) or piece
        return text.replace(" ", _SPACE)

    @functools.cached_property
    def seen_text(self) -> tuple[str, bytes]:
        texts, single = [], set()
        for data in self._bytes:
            try:
                texts.append(data.decode("utf-8"))
            except UnicodeDecodeError:
                single |= {*data}
            if len(data) == 1:
                single |= {*data}
        return "\n".join(texts), bytes(sorted(single))

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @functools.cached_property
    def _fingerprint(self) -> str:
        # The same for a file that was saved again: by other versions, with another template.
        file = msgspec.json.decode(self._data)
        model = file["model"]
        model.pop("dropout", None)
        if "merges" in model:
            model["merges"] = [
                pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]
            ]
        names = ("added_tokens", "normalizer", "pre_tokenizer", "model")
        rules = _without_defaults({name: file.get(name) for name in names})
        content = hashlib.sha256(f"{self.name} {self.boundary_id} {self.size}".encode())
        content.update(msgspec.json.encode(rules, order="deterministic"))
        return content.hexdigest()[:12]

    @property
    def starts_word_V(self) -> np.ndarray:
        if self._continuing:
            starts = np.ones(self.size, dtype=bool)
            for id, piece in self._pieces.items():
                starts[id] = not piece.startswith(self._continuing)
        elif self._reads_words_alone or self._ending:
            # Any piece may begin a word: nothing tells which ones do.
            starts = np.ones(self.size, dtype=bool)
        else:
            starts = np.array([bool(data) and data[0] in _WORD_SPACE for data in self._bytes])
        # Behind a special token no word goes on.
        starts[self._reserved] = True
        if self.unk_id is not None:
            starts[self.unk_id] = self._reads_words_alone or bool(self._ending)
        return starts

    @property
    def special_ids(self) -> list[int]:
        """The ids of its special tokens, the boundary among them."""
        return list(self._reserved)

    @property
    def special_tokens(self) -> dict[str, int]:
        """The ids of its special tokens by their names in the file."""
        return {self._pieces[id]: id for id in self._reserved}

    @property
    def template_begin(self) -> tuple[int, ...]:
        """The ids that its template puts before a text."""
        if self._template is None:
            return ()
        probed = self._probe("a")
        with _naming_failures(ModelError, _DAMAGED, f"{TOKENIZER_FILE}: "), _keeping_panics_off():
            filled = self._template.process(probed)
        is_text = [not special for special in filled.special_tokens_mask]
        return tuple(filled.ids[: is_text.index(True)] if any(is_text) else ())

    @property
    def is_text_V(self) -> np.ndarray:
        """Whether each id is a token that a text may have, (V,) bool."""
        is_text = np.zeros(self.size, dtype=bool)
        is_text[list(self._pieces)] = True
        is_text[[id for id in self._reserved if id != self.unk_id]] = False
        return is_text

    def token_bytes(self) -> list[bytes]:
        return list(self._bytes)

    def spelling(self) -> "HuggingFaceTokenizer":
        return self  # unseen words are made of its pieces

    def to_files(self) -> dict[str, bytes]:
        ids = msgspec.json.encode(_Ids(self.boundary_id, self.size))
        return {TOKENIZER_FILE: self._data, IDS_FILE: ids}

    # ---- Text to ids and back

    def encode(self, lines: Sequence[str]) -> Encoded:
        ids_L = [encoding.ids for encoding in self._encodings(lines)]
        length_L = np.fromiter(map(len, ids_L), dtype=np.int64, count=len(ids_L))
        offsets = np.concatenate(([0], np.cumsum(length_L + 1)))
        ids = np.empty(offsets[-1], dtype=np.int32)
        is_end = np.zeros(len(ids), dtype=bool)
        is_end[offsets[1:] - 1] = True
        ids[~is_end] = np.fromiter(itertools.chain.from_iterable(ids_L), dtype=np.int32)

        # No text becomes a special token.
        is_reserved = self._is_reserved_V[ids[~is_end]]
        if is_reserved.any():
            token = self._pieces.get(int(ids[~is_end][is_reserved][0]), "a special token")
            raise TextError(
                f"the text holds {token}", "it is a special token of the tokenizer", "remove it"
            )
        ids[is_end] = self.boundary_id
        oov = np.zeros(0, dtype=np.int64)
        if self.unk_id is not None:
            oov = np.flatnonzero(ids == self.unk_id)
        return Encoded(ids, offsets, oov)

    def _encodings(self, lines: Sequence[str], with_offsets: bool = False) -> "list[Any]":
        # One search over all lines is faster than one in each.
        check_lines(lines)
        lines = list(lines)
        whole = "\n".join(lines)
        if whole.count("\n") >= max(1, len(lines)):
            raise newline_error()
        end = self.end_token
        if not self._has_told and end in whole and self._end_alone.search(whole):
            self._has_told = True
            notice(
                f"the text has the word {end}, the end token of the tokenizer: it is read as text, "
                "and ends nothing"
            )

        # Offsets take time.
        encode = self._tokenizer.encode_batch
        if not with_offsets:
            encode = self._tokenizer.encode_batch_fast
        with _naming_failures(TextError, "the tokenizer cannot read a line"):
            encodings: list[Any] = encode(lines, add_special_tokens=False)
        return encodings

    @functools.cached_property
    def _end_alone(self) -> re.Pattern[str]:
        """The end token as a word of a text."""
        end = re.escape(self.end_token)
        return re.compile(rf"(?<![^{WORD_SPACE}\n]){end}(?![^{WORD_SPACE}\n])")

    def spans(self, lines: Sequence[str]) -> list[np.ndarray]:
        """Return for each line (T, 2), the characters that each token was made of, in order,
        without `</s>`."""
        spans = []
        for encoding in self._encodings(lines, with_offsets=True):
            spans_T2 = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
            spans.append(np.maximum.accumulate(spans_T2))
        return spans

    def _surfaces(self, lines: Sequence[str]) -> list[list[str]]:
        symbols = self.vocabulary.symbols
        surfaces = []
        for line, encoding in zip(lines, self._encodings(lines, with_offsets=True), strict=True):
            tokens = []
            for id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
                tokens.append(line[start:end] if id == self.unk_id else symbols[id])
            surfaces.append([*tokens, BOUNDARY])
        return surfaces

    def _decode(self, ids: Sequence[int] | np.ndarray) -> str:
        text = b"".join(self._bytes[id] for id in ids).decode("utf-8", "replace")
        text = text.removesuffix("\n")
        if self._ending:
            text = text.replace(" \n", "\n").removesuffix(" ")
        if self._puts_space:
            text = text.removeprefix(" ").replace("\n ", "\n")
        return text


@functools.cache
def byte_of_letter() -> dict[str, int]:
    """Return the byte that each letter of GPT-2's alphabet writes: itself where it is printable in
    Latin-1, else one from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = itertools.count(0x100)
    return {chr(byte if byte in printable else next(others)): byte for byte in range(256)}


# ---- Reading a tokenizer.json: what a stranger's file may hold.


def _spec_of(data: bytes) -> _Spec:
    try:
        spec = msgspec.json.decode(data, type=_Spec)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = str(error).replace("`", "'")
        raise ModelError(_DAMAGED, f"{TOKENIZER_FILE}: {why}") from None
    if not all(token.content for token in spec.added_tokens):
        raise ModelError(_DAMAGED, f"{TOKENIZER_FILE}: an added token has no text")
    if len(spec.added_tokens) > MOST_ADDED:
        raise ModelError(
            "the tokenizer is too large",
            f"{TOKENIZER_FILE} adds {len(spec.added_tokens):,} tokens, more than {MOST_ADDED:,}",
        )
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        if _steps_within(getattr(spec, part)) > MOST_STEPS:
            raise ModelError(
                "the tokenizer is too large",
                f"the {part} in {TOKENIZER_FILE} has more than {MOST_STEPS} steps",
            )
    return spec


def _steps_within(part: Any) -> int:
    """Return how many steps a part of a tokenizer.json has, in sequences of any depth."""
    count, waiting = 0, [part]
    while waiting:
        step = waiting.pop()
        if isinstance(step, dict):
            count += 1
            for name in ("normalizers", "pretokenizers", "processors", "decoders"):
                inner = step.get(name)
                waiting += inner if isinstance(inner, list) else []
    return count


def _opened(data: bytes) -> "tuple[tokenizers.Tokenizer, Any]":
    """Return the tokenizer of the package `tokenizers`, which puts nothing around a line, cuts
    nothing off, and finds no special tokens in it; and what would put its template around one."""
    package = require_package("tokenizers", "hf", "tokenizers of Hugging Face")
    with _naming_failures(ModelError, _DAMAGED, f"{TOKENIZER_FILE}: "), _keeping_panics_off():
        tokenizer: tokenizers.Tokenizer = package.Tokenizer.from_buffer(data)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        template = tokenizer.post_processor
        tokenizer.post_processor = None
        tokenizer.encode_special_tokens = True
        if getattr(tokenizer.model, "dropout", None):
            tokenizer.model.dropout = None
    return tokenizer, template


@contextlib.contextmanager
def _naming_failures(kind: type[RnnlmError], what: str, where: str = "") -> Iterator[None]:
    """Turn errors of the package `tokenizers` in this context into one of that kind."""
    try:
        yield
    except (RnnlmError, KeyboardInterrupt, SystemExit, MemoryError, GeneratorExit):
        raise
    except BaseException as error:  # a panic of Rust is no Exception
        raise kind(what, f"{where}{shown(str(error))}") from None


@contextlib.contextmanager
def _keeping_panics_off() -> Iterator[None]:
    """Keep the traces that Rust writes on a failure off the terminal. What others write meanwhile
    comes afterwards."""
    with _panicking, contextlib.ExitStack() as kept:
        try:
            written = kept.enter_context(tempfile.TemporaryFile())
            terminal = os.dup(STDERR)
        except OSError:  # it is closed, or there is no room for a file
            yield
            return
        os.dup2(written.fileno(), STDERR)
        try:
            yield
            written.seek(0)
            os.write(terminal, written.read())
        finally:
            os.dup2(terminal, STDERR)
            os.close(terminal)


def _steps_of(part: Any) -> list[dict[str, Any]]:
    """Return the steps of a normaliser or pre-tokenizer as the package understood them: a file may
    leave out what they are."""
    return [] if part is None else _flat(json.loads(part.__getstate__()))


def _flat(step: dict[str, Any]) -> list[dict[str, Any]]:
    if step["type"] != "Sequence":
        return [step]
    inner = step.get("normalizers", step.get("pretokenizers", []))
    return list(itertools.chain.from_iterable(map(_flat, inner)))


def _check_growth(normalisers: list[dict[str, Any]]) -> None:
    """Refuse a normaliser that may make a text many times as long: it would score and count other
    words than those it is given."""
    growth, before = 1.0, 0
    for step in normalisers:
        before += len(str(step.get("prepend", "")))
        growth *= _growth_of(step)
    if growth > MOST_GROWTH or before > LONGEST_PREFIX:
        raise ModelError(
            "the tokenizer rewrites text without bounds",
            f"the normaliser in {TOKENIZER_FILE} may make a line {growth:,.0f} times as long, "
            f"with {before:,} characters before it",
        )


def _growth_of(step: dict[str, Any]) -> float:
    """Return how many times as long a step of a normaliser may make a text."""
    if step["type"] == "Replace":
        content = str(step.get("content", ""))
        pattern = step.get("pattern") or {}
        text = pattern.get("String")
        if re.fullmatch(r"\[[^][]+\]", str(pattern.get("Regex"))):
            text = "x"  # a class matches one character
        # Other regular expressions may match what is between two characters.
        if not text:
            return 1.0 + len(content)
        return max(1.0, len(content) / len(text))
    if step["type"] == "Precompiled":
        return max(1.0, _longest_replacement(str(step.get("precompiled_charsmap", ""))))
    return 1.0


def _longest_replacement(charsmap: str) -> int:
    """Return the number of bytes of the longest text that a character becomes by the map of
    sentencepiece: the size of its index, the index, and the texts with a NUL after each."""
    try:
        data = base64.b64decode(charsmap, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ModelError(_DAMAGED, f"{TOKENIZER_FILE}: precompiled_charsmap: {error}") from None
    index = int.from_bytes(data[:4], "little")
    return max(map(len, data[4 + index :].split(b"\0")), default=0)


def _is_about_spaces(step: dict[str, Any]) -> bool:
    """Return whether a replacement changes white space alone."""
    pattern = step.get("pattern") or {}
    found = str(pattern.get("String", pattern.get("Regex", "")))
    is_space = not found.strip(" \u2581{}0123456789,+\\s")
    return is_space and not str(step.get("content", "")).strip(f" {_SPACE}")


# ---- The tokenizer of a folder that another program wrote.


def tokenizer_in(folder: Path) -> HuggingFaceTokenizer:
    """Return the tokenizer in the folder of a model of Hugging Face. V is the model's, where
    config.json says it.

    Raises:
        ModelError: there is no tokenizer.json, it is damaged, or nothing names its end token.
    """
    try:
        data = read_small(folder / TOKENIZER_FILE, LARGEST_TOKENIZER)
    except FileNotFoundError:
        raise _no_tokenizer(folder) from None
    except OSError as error:
        raise ModelError(
            f"cannot read {folder / TOKENIZER_FILE}", error.strerror or str(error)
        ) from None
    config = _json_in(folder, "config.json")
    size = _named(config, "vocab_size")
    if padding_rows(config):
        size = config["predicted_size"]
        data = _without_token(data, config["pad_token_id"])
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise ModelError(f"{folder / 'config.json'} is damaged", f"vocab_size is {shown(size)}")
    try:
        return HuggingFaceTokenizer(data, _end_of(folder, config, data), size)
    except ModelError as error:
        raise ModelError(f"{folder}: {error.what}", error.why, error.hint) from None


def padding_rows(config: dict[str, Any]) -> int:
    """Return how many rows at the end of the model's vocabulary are padding, which is no part of V:
    those of `rnnlm export --hf`, unless words were added behind them."""
    predicted, size = config.get("predicted_size"), config.get("vocab_size")
    if not (isinstance(predicted, int) and isinstance(size, int)):
        return 0
    is_last = config.get("pad_token_id") == size - 1
    return size - predicted if is_last and 0 < predicted < size else 0


def _without_token(data: bytes, id: int) -> bytes:
    """Return a tokenizer.json without an added token."""
    with _naming_failures(ModelError, _DAMAGED, f"{TOKENIZER_FILE}: "):
        content = decode_json(data, dict[str, Any])
        tokens = [token for token in content["added_tokens"] if token["id"] != id]
        return json.dumps(content | {"added_tokens": tokens}).encode()


def _no_tokenizer(folder: Path) -> ModelError:
    if not folder.is_dir():
        return ModelError(f"no folder at {folder}")
    slow = [
        name for name in ("tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
        if (folder / name).exists()
    ]  # fmt: skip
    if not slow:
        return ModelError(
            f"{folder} has no tokenizer",
            f"{TOKENIZER_FILE} is missing",
            f"AutoTokenizer.from_pretrained(NAME).save_pretrained({str(folder)!r}) writes it",
        )
    return ModelError(
        f"{folder} has no {TOKENIZER_FILE}",
        f"it has {slow[0]}, of a tokenizer of another form",
        f"convert it: AutoTokenizer.from_pretrained({str(folder)!r}).save_pretrained(FOLDER)",
    )


def _json_in(folder: Path, name: str) -> dict[str, Any]:
    if not (folder / name).exists():
        return {}
    return read_json(folder / name, dict[str, Any], ModelError, f"{folder / name} is damaged")


def _named(config: dict[str, Any], name: str) -> Any:
    """Return a setting of a model; of one that also reads pictures or sound, that of its text."""
    of_text = config.get("text_config")
    if config.get(name) is None and isinstance(of_text, dict):
        return of_text.get(name)
    return config.get(name)


def beginning_in(folder: Path, tokenizer: HuggingFaceTokenizer) -> tuple[tuple[int, ...], bool]:
    """Return the ids that the model in a folder reads before a text, and whether its tokenizer puts
    them there: those of its template, else what the settings name as the first token. () where
    nothing says it."""
    in_template = tokenizer.template_begin
    if in_template and max(in_template) < tokenizer.size:
        return in_template, True

    about = _json_in(folder, "tokenizer_config.json")
    named = tokenizer.special_tokens.get(_name_in(about, "bos_token"))
    if named is not None and about.get("add_bos_token") is True:
        return (named,), True
    in_settings = [
        _named(_json_in(folder, name), "bos_token_id")
        for name in ("config.json", "generation_config.json")
    ]
    # The default of a family may be any token of this tokenizer.
    for id in (*in_settings, named):
        if type(id) is int and id in tokenizer.special_ids:
            return (id,), False
    return (), False


def _name_in(settings: dict[str, Any], token: str) -> str:
    """Return the name of a token in tokenizer_config.json; "" if there is none."""
    named = settings.get(token)
    if isinstance(named, dict):
        named = named.get("content")
    return named if isinstance(named, str) else ""


def _end_of(folder: Path, config: dict[str, Any], data: bytes) -> int:
    """Return the id of the end token: the one that the model names, else its tokenizer, else the
    usual ones."""
    for settings in (config, _json_in(folder, "generation_config.json")):
        end = _named(settings, "eos_token_id")
        first = end[0] if isinstance(end, list) and end else end
        if isinstance(first, int) and not isinstance(first, bool):
            return first

    tokens = {token.content: token.id for token in _spec_of(data).added_tokens}
    named = _name_in(_json_in(folder, "tokenizer_config.json"), "eos_token")
    for name in (named, *_ENDS):
        if name in tokens:
            return tokens[name]
    raise ModelError(
        "it names no end token",
        "looked for eos_token_id in config.json and generation_config.json, eos_token in "
        f"tokenizer_config.json, and {', '.join(_ENDS)} among the special tokens",
        "name it in config.json: eos_token_id",
    )

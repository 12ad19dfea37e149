"""Read text as another model does: any `tokenizer.json` of the package `tokenizers` as a tokenizer
of rnnlm, with the same ids; and find it in the folder of a model of transformers, with what its
texts begin and end with.

Each line is split alone, nothing is put around it, and the model's own end token is the boundary.
Its special tokens, written in a text, are ordinary text. The file's truncation and padding are
ignored, as is random dropout of merges.
"""

import contextlib
import functools
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from rnnlm.errors import ModelError, SettingsError, TextError, keyword, notice, shown
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
from rnnlm.tools.huggingface.tokenizer_file import (
    DAMAGED,
    MOST_PIECES,
    SPACE,
    TOKENIZER_FILE,
    Step,
    TokenizerFile,
    naming_failures,
)

# ---- The tokenizer.

IDS_FILE = "tokenizer-ids.json"
# What ends a word: no line holds a newline, but other models predict it after one.
_WORD_SPACE = f"{WORD_SPACE}\n".encode()
_BYTE = re.compile("<0x([0-9A-F]{2})>")
_DEFAULTS = {"use_regex": True, "split": True}  # of a tokenizer.json; of other flags: false


class _Ids(msgspec.Struct):
    """What is stored in IDS_FILE. size: V, which may be larger than the tokenizer's vocabulary."""

    boundary: int
    size: Annotated[int, msgspec.Meta(ge=1, le=MOST_PIECES)]


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
        ModelError: it is damaged, or has steps or sizes that no known model has.
    """

    name: Literal["huggingface"] = "huggingface"
    literal_unk: Literal["spell"] = "spell"

    def __init__(self, data: bytes, boundary_id: int, size: int | None = None) -> None:
        self._data = data
        self._file = file = TokenizerFile(data)
        self._steps = [*file.normalisers, *file.pre_tokenizers]
        # Whether a letter of its pieces is a byte of the text, as GPT-2 has it
        self._has_byte_alphabet = any(step.type == "ByteLevel" for step in self._steps)
        self._ending = file.model.end_of_word_suffix or ""  # what pieces that end a word end with
        self.template_begin = file.template_begin  # the ids that its template puts before a text
        self.boundary_id = boundary_id
        self._has_told = False  # that a text has the end token as a word

        # The tokens by id. Trainers may list the bytes to fall back to as special: texts are made
        # of them, too.
        added = {token.id: token for token in file.added_tokens if not self._is_byte(token.content)}
        reserved = {id for id, token in added.items() if token.special} | {boundary_id}
        self._check_ids(reserved, size)
        self.unk_id = self._unknown_id()
        V = size or len(file.pieces)
        pieces = [*file.pieces[:V], *[""] * (V - len(file.pieces))]
        self.special_tokens = {pieces[id]: id for id in sorted(reserved) if id < V}
        self.special_ids = list(self.special_tokens.values())
        self.end_token = pieces[boundary_id]
        self._is_reserved_V = np.zeros(max(V, len(file.pieces)), dtype=bool)
        self._is_reserved_V[list(reserved - {self.unk_id})] = True
        self.is_text_V = np.array([bool(piece) for piece in pieces]) & ~self._is_reserved_V[:V]

        # A fingerprint that is the same for a file that was saved again: by other versions, with
        # another template.
        model = {name: part for name, part in file.content["model"].items() if name != "dropout"}
        if "merges" in model:
            model["merges"] = [
                pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]
            ]
        names = ("added_tokens", "normalizer", "pre_tokenizer")
        rules = _without_defaults(
            {**{name: file.content.get(name) for name in names}, "model": model}
        )
        content = hashlib.sha256(f"{self.name} {self.boundary_id} {V}".encode())
        content.update(msgspec.json.encode(rules, order="deterministic"))
        self._fingerprint = content.hexdigest()[:12]

        # What each token adds to a text, and how it is shown.
        self._tokenizer = file.opened(reserved)
        self._bytes = [
            added[id].content.encode("utf-8")
            if id in added and id != self.unk_id
            else self._bytes_of(piece)
            for id, piece in enumerate(pieces)
        ]
        self._bytes[boundary_id] = b"\n"
        ids = self._tokenizer.encode("a", add_special_tokens=False).ids[:1]
        self._puts_space = self._reads_words_alone or [self._bytes[id][:1] for id in ids] == [b" "]
        settings = TokenizerSettings(tokenizer=self.name, literal_unk=self.literal_unk)
        super().__init__(settings, Vocabulary(self._symbols(pieces), None))

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
            raise ModelError(DAMAGED, f"{IDS_FILE}: {error}") from None
        return cls(files[TOKENIZER_FILE], ids.boundary, ids.size)

    # ---- What the file says

    def _unknown_id(self) -> int | None:
        """Return the id of what the tokenizer does not know; refuse one that drops it."""
        model, pieces = self._file.model, self._file.pieces
        unknown = model.unk_id
        if model.unk_token in pieces:
            unknown = pieces.index(model.unk_token)
        if self._knows_all_bytes():
            return None if unknown == self.boundary_id else unknown
        if unknown is None:
            raise ModelError(
                "the tokenizer cannot read every text",
                "it has neither a token for what it does not know nor one for each byte",
            )
        if unknown == self.boundary_id:
            raise ModelError(
                "the tokenizer has one token for the end and for what it does not know",
                f"id {unknown}",
            )
        return unknown

    def _knows_all_bytes(self) -> bool:
        """Return whether any text can be written in its tokens, byte by byte if need be."""
        needed = {f"<0x{byte:02X}>" for byte in range(256)}
        if self._has_byte_alphabet:
            # Some bytes are in no text, and a line holds no newline.
            never = {*b"\n\xc0\xc1", *range(0xF5, 0x100)}
            needed = {letter for letter, byte in byte_of_letter().items() if byte not in never}
        elif not self._file.model.byte_fallback:
            return False
        return needed <= {*self._file.pieces}

    def _check_ids(self, reserved: set[int], size: int | None) -> None:
        """Make sure that the boundary is a token, and that no text has ids from `size` on."""
        pieces = self._file.pieces
        if not 0 <= self.boundary_id < len(pieces) or not pieces[self.boundary_id]:
            raise ModelError(
                f"the end token, id {self.boundary_id}, is not in the tokenizer",
                f"{TOKENIZER_FILE} has {len(pieces):,} tokens",
            )
        size = size or len(pieces)
        beyond = {id for id in range(size, len(pieces)) if pieces[id]} - reserved
        if beyond or self.boundary_id >= size:
            raise ModelError(
                f"the tokenizer has ids up to {len(pieces) - 1:,}, the model {size:,} tokens",
                "tokens of a text would have no vector",
                f"give the {TOKENIZER_FILE} that belongs to the model",
            )

    @functools.cached_property
    def _space(self) -> str:
        """What its pieces have for a space, if not the space itself."""
        for step in self._steps:
            if step.type == "Metaspace":
                return step.replacement
            if step.type == "Replace" and step.pattern == {"String": " "}:
                return step.content
        return " "

    @functools.cached_property
    def _continuing(self) -> str:
        """What a piece begins with that continues a word; "" where none is marked so."""
        is_marked = not self._has_byte_alphabet and self._space == " "
        return (self._file.model.continuing_subword_prefix or "") if is_marked else ""

    @functools.cached_property
    def _reads_words_alone(self) -> bool:
        """Whether the space between words is part of no token, and its place cannot be seen in the
        tokens, or only by the mark of pieces that continue a word."""
        if self._has_byte_alphabet or self._space != " " or self._ending:
            return False
        found = self._tokenizer.encode("a a", add_special_tokens=False)
        return not any(start <= 1 < end for start, end in found.offsets)

    @property
    def keeps_case(self) -> bool:
        normaliser = self._tokenizer.normalizer
        return normaliser is None or "A" in normaliser.normalize_str("A")

    @property
    def rewriting(self) -> str:
        # Canonical composition (NFC): nearly all text has it already, and means the same.
        keeping = ("ByteLevel", "Lowercase", "NFC", "Prepend", "Strip")
        steps = [step for step in self._file.normalisers if step.type not in keeping]
        changing = [step.type for step in steps if not _is_about_spaces(step)]
        return f"normaliser={'+'.join(changing)}" if changing else ""

    @property
    def keeps_text(self) -> bool:
        return self.keeps_case and not (self._reads_words_alone or self._ending or self.rewriting)

    # ---- Its tokens

    def _is_byte(self, piece: str) -> bool:
        return self._file.model.byte_fallback and _BYTE.fullmatch(piece) is not None

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

    def _symbols(self, pieces: Sequence[str]) -> tuple[str, ...]:
        """Return the tokens as people are shown them: a space as U+2581, a piece of a character as
        its bytes. No two are the same."""
        symbols: dict[str, None] = {}
        for id, (piece, data) in enumerate(zip(pieces, self._bytes, strict=True)):
            symbol = self._shown(data, piece) if piece else f"<unused-{id}>"
            if id in (self.boundary_id, self.unk_id):
                symbol = BOUNDARY if id == self.boundary_id else UNKNOWN
            while symbol in symbols:
                symbol += f"#{id}"
            symbols[symbol] = None
        return tuple(symbols)

    def _shown(self, data: bytes, piece: str) -> str:
        if self._is_byte(piece) or self._reads_words_alone or self._ending:
            return piece
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = ""
        if not text or SPACE in text or not text.isprintable():
            letters = [SPACE if byte == ord(" ") else f"<0x{byte:02X}>" for byte in data]
            return "".join(letters) or piece
        return text.replace(" ", SPACE)

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

    @property
    def starts_word_V(self) -> np.ndarray:
        # Where pieces have no marks, any of them may begin a word.
        starts = np.ones(self.size, dtype=bool)
        if self._continuing:
            for id, piece in enumerate(self._file.pieces[: self.size]):
                starts[id] = not piece.startswith(self._continuing)
        elif not (self._reads_words_alone or self._ending):
            starts = np.array([bool(data) and data[0] in _WORD_SPACE for data in self._bytes])
        # Behind a special token no word goes on.
        starts[self.special_ids] = True
        if self.unk_id is not None:
            starts[self.unk_id] = self._reads_words_alone or bool(self._ending)
        return starts

    def token_bytes(self) -> list[bytes]:
        return list(self._bytes)

    def spelling(self) -> "HuggingFaceTokenizer":
        return self  # unseen words are made of its pieces

    def to_files(self) -> dict[str, bytes]:
        ids = msgspec.json.encode(_Ids(self.boundary_id, self.size))
        return {TOKENIZER_FILE: self._data, IDS_FILE: ids}

    # ---- Text to ids and back

    def encode(self, lines: Sequence[str]) -> Encoded:
        ids_L = [[*encoding.ids, self.boundary_id] for encoding in self._encodings(lines)]
        length_L = np.fromiter(map(len, ids_L), dtype=np.int64, count=len(ids_L))
        offsets = np.concatenate(([0], np.cumsum(length_L)))
        ids = np.fromiter(itertools.chain.from_iterable(ids_L), dtype=np.int32)

        # No text becomes a special token.
        is_reserved = self._is_reserved_V[ids]
        is_reserved[offsets[1:] - 1] = False
        if is_reserved.any():
            token = self._file.pieces[ids[is_reserved][0]]
            raise TextError(
                f"the text holds {token}", "it is a special token of the tokenizer", "remove it"
            )
        unknown = -1 if self.unk_id is None else self.unk_id
        return Encoded(ids, offsets, np.flatnonzero(ids == unknown))

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
        tokenizer = self._tokenizer
        encode = tokenizer.encode_batch if with_offsets else tokenizer.encode_batch_fast
        with naming_failures(TextError, "the tokenizer cannot read a line"):
            encodings: list[Any] = encode(lines, add_special_tokens=False)
        return encodings

    @functools.cached_property
    def _end_alone(self) -> re.Pattern[str]:
        """The end token as a word of a text."""
        return re.compile(
            rf"(?<![^{WORD_SPACE}\n]){re.escape(self.end_token)}(?![^{WORD_SPACE}\n])"
        )

    def spans(self, lines: Sequence[str]) -> list[np.ndarray]:
        """Return for each line (T, 2), the characters that each token was made of, in order,
        without `</s>`."""
        encodings = self._encodings(lines, with_offsets=True)
        spans = [np.array(encoding.offsets, dtype=np.int64) for encoding in encodings]
        return [np.maximum.accumulate(spans_T2.reshape(-1, 2)) for spans_T2 in spans]

    def _surfaces(self, lines: Sequence[str]) -> list[list[str]]:
        symbols = self.vocabulary.symbols
        surfaces = []
        for line, encoding in zip(lines, self._encodings(lines, with_offsets=True), strict=True):
            tokens = [
                line[start:end] if id == self.unk_id else symbols[id]
                for id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
            ]
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


def _is_about_spaces(step: Step) -> bool:
    """Return whether a step replaces white space by white space."""
    found = "".join(step.pattern.values())
    is_space = bool(found) and not found.strip(" \u2581{}0123456789,+\\s")
    return is_space and not step.content.strip(f" {SPACE}")


# ---- The tokenizer of a folder.

LARGEST_TOKENIZER = 1 << 27  # bytes: 260,000 pieces take 34 MB
# Names that end tokens usually have, where no file names the end token
_ENDS = ("</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>", "<|im_end|>", "[EOS]", "[SEP]")


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

    # Rows that an export has added for padding are no part of V.
    config = _json_in(folder, "config.json")
    size = _named(config, "vocab_size")
    if padding_rows(config):
        size = config["predicted_size"]
        data = _without_token(data, config["pad_token_id"])
    if size is not None and (type(size) is not int or not 1 <= size <= MOST_PIECES):
        raise ModelError(f"{folder / 'config.json'} is damaged", f"vocab_size is {shown(size)}")
    try:
        return HuggingFaceTokenizer(data, _end_of(folder, config, data), size)
    except ModelError as error:
        raise ModelError(f"{folder}: " + error.what, error.why, error.hint) from None


def padding_rows(config: dict[str, Any]) -> int:
    """Return how many rows at the end of the model's vocabulary are padding, which is no part of V:
    the rows that `rnnlm export --hf` adds, unless words were added behind them."""
    predicted, size = config.get("predicted_size"), config.get("vocab_size")
    if not (isinstance(predicted, int) and isinstance(size, int)):
        return 0
    is_last = config.get("pad_token_id") == size - 1
    return size - predicted if is_last and 0 < predicted < size else 0


def _without_token(data: bytes, id: int) -> bytes:
    """Return a tokenizer.json without an added token."""
    with naming_failures(ModelError, DAMAGED, f"{TOKENIZER_FILE}: "):
        content = decode_json(data, dict[str, Any])
        tokens = [token for token in content["added_tokens"] if token["id"] != id]
        return json.dumps(content | {"added_tokens": tokens}).encode()


def _no_tokenizer(folder: Path) -> ModelError:
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
    """Return a setting of a model; if it also reads pictures or sound, the setting for its text."""
    of_text = config.get("text_config")
    if config.get(name) is None and isinstance(of_text, dict):
        return of_text.get(name)
    return config.get(name)


def beginning_in(folder: Path, tokenizer: HuggingFaceTokenizer) -> tuple[tuple[int, ...], bool]:
    """Return the ids that the model in a folder reads before a text, and whether its tokenizer puts
    them there: the ids of its template, else the first token that the settings name. () where
    nothing says it."""
    in_template = tokenizer.template_begin
    if in_template and max(in_template) < tokenizer.size:
        return in_template, True

    about = _json_in(folder, "tokenizer_config.json")
    named = tokenizer.special_tokens.get(_name_in(about, "bos_token"))
    if named is not None and about.get("add_bos_token") is True:
        return (named,), True
    files = ("config.json", "generation_config.json")
    in_settings = [_named(_json_in(folder, name), "bos_token_id") for name in files]
    # The default of a family may be any token of this tokenizer.
    for id in (*in_settings, named):
        if type(id) is int and id in tokenizer.special_ids:
            return (id,), False
    return (), False


def _name_in(settings: dict[str, Any], token: str) -> str:
    """Return the name of a token in tokenizer_config.json; "" if there is none."""
    named = settings.get(token)
    name = named.get("content") if isinstance(named, dict) else named
    return name if isinstance(name, str) else ""


def _end_of(folder: Path, config: dict[str, Any], data: bytes) -> int:
    """Return the id of the end token: the one that the model names, else its tokenizer, else the
    usual ones."""
    for settings in (config, _json_in(folder, "generation_config.json")):
        end = _named(settings, "eos_token_id")
        first = end[0] if isinstance(end, list) and end else end
        if isinstance(first, int) and not isinstance(first, bool):
            return first

    tokens = {token.content: token.id for token in TokenizerFile(data).added_tokens}
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

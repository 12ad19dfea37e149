"""Read a `tokenizer.json` of strangers, and check it before the package `tokenizers` sees it.

The package is given only what splits a text, and only steps that known models have. A regular
expression that tries too many ways raises an error in the package; one that takes long on a long
line, but ends, is not found.
"""

import contextlib
import itertools
import os
import re
import tempfile
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from rnnlm import system
from rnnlm.errors import ModelError, RnnlmError, require_package, shown, visible
from rnnlm.storage.files.reading import as_type

if TYPE_CHECKING:
    import tokenizers

TOKENIZER_FILE = "tokenizer.json"
DAMAGED = "the tokenizer is damaged"
SPACE = "\u2581"
# The steps that known models have, and how many characters each makes of one at most. The growth by
# replacements and maps is counted.
STEPS = {
    "BertNormalizer": 3, "ByteLevel": 4, "Lowercase": 3, "NFC": 3, "NFD": 4, "NFKC": 18,
    "NFKD": 18, "Nmt": 1, "Precompiled": 1, "Prepend": 1, "Replace": 1, "Strip": 1,
    "StripAccents": 1, "BertPreTokenizer": 1, "CharDelimiterSplit": 1, "Digits": 1, "Metaspace": 2,
    "Punctuation": 1, "Split": 1, "UnicodeScripts": 1, "Whitespace": 1, "WhitespaceSplit": 1,
}  # fmt: skip
MOST_STEPS = 64  # of known models, ten
MOST_GROWTH = 1 << 12  # by all steps; of known models, nearly as much
SPLITTING = ("version", "added_tokens", "normalizer", "pre_tokenizer", "model")
MOST_PIECES = 1 << 20  # of known models, 900,000
_CLASS = re.compile(r"\[[^][]+\]")
# Before the name of a special token, so that no text holds it: a code point that is no character
_HIDDEN = "\U0010ffff"
# Split when a tokenizer is opened: what is damaged, or matches for ever, fails here.
_TRIALS = [
    "", "a", "A", "a a",
    f" \t 1.\u4e2d\U0001f600e\u0301\u00fc{'a' * 64}{' ' * 64}{'0' * 64}!",
]  # fmt: skip
STDERR = 2  # its number
_panicking = threading.Lock()

Id = Annotated[int, msgspec.Meta(ge=0, lt=MOST_PIECES)]


class AddedToken(msgspec.Struct):
    id: Id
    content: Annotated[str, msgspec.Meta(min_length=1, max_length=1 << 12)]
    special: bool = False


class Model(msgspec.Struct):
    vocab: dict[str, Id] | Annotated[list[tuple[str, float]], msgspec.Meta(max_length=MOST_PIECES)]
    merges: list[Any] = []
    unk_token: str | None = None
    unk_id: int | None = None
    byte_fallback: bool = False
    continuing_subword_prefix: str | None = None
    end_of_word_suffix: str | None = None
    max_input_chars_per_word: Annotated[int, msgspec.Meta(le=1 << 10)] = 0  # its square is time


class Step(msgspec.Struct):
    """A step that rewrites or cuts a text."""

    type: str
    pattern: dict[str, Annotated[str, msgspec.Meta(max_length=1 << 16)]] = {}
    content: str = ""
    prepend: Annotated[str, msgspec.Meta(max_length=4)] = ""
    replacement: str = SPACE
    precompiled_charsmap: bytes = b""


class Processor(msgspec.Struct):
    """A step that puts tokens around a text."""

    processors: list["Processor"] = []
    cls: tuple[str, Id] | None = None
    single: list[dict[str, dict[str, Any]]] = []
    special_tokens: dict[str, dict[str, Any]] = {}


class _Spec(msgspec.Struct):
    """What is read of the file."""

    model: Model
    added_tokens: Annotated[list[AddedToken], msgspec.Meta(max_length=1 << 18)] = []
    normalizer: Any = None
    pre_tokenizer: Any = None
    post_processor: Processor | None = None


class TokenizerFile:
    """The content of a tokenizer.json.

    Raises:
        ModelError: it is damaged, or has what no known model has.
    """

    def __init__(self, data: bytes) -> None:
        with naming_failures(ModelError, DAMAGED, f"{TOKENIZER_FILE}: "):
            self.content = msgspec.json.decode(data, type=dict[str, Any])
            spec = as_type(self.content, _Spec)
            self.model, self.added_tokens = spec.model, spec.added_tokens
            self.normalisers = _steps_of(spec.normalizer, "normalizers")
            self.pre_tokenizers = _steps_of(spec.pre_tokenizer, "pretokenizers")
            _check_growth([*self.normalisers, *self.pre_tokenizers])
            self.template_begin = _begin_of(spec.post_processor)

        # The tokens by id, "" for numbers that no token has
        vocab = self.model.vocab
        if isinstance(vocab, list):
            vocab = {name: id for id, (name, _) in enumerate(vocab)}
        added = {token.content: token.id for token in self.added_tokens}
        self.pieces = [""] * (1 + max([*vocab.values(), *added.values()], default=-1))
        for name, id in itertools.chain(vocab.items(), added.items()):
            self.pieces[id] = name

    def opened(self, special: Iterable[int]) -> "tokenizers.Tokenizer":
        """Return the tokenizer of the package `tokenizers`, which puts nothing around a line, cuts
        nothing off, and finds no `special` tokens in it. It takes the place of the content, since
        a large vocabulary is held once."""
        # Rename special tokens wherever the file has them.
        content, self.content = self.content, {}
        model = content["model"]
        for id in special:
            name = self.pieces[id]
            if isinstance(model["vocab"], list):
                if id < len(model["vocab"]):
                    model["vocab"][id][0] = _HIDDEN + name
            elif name in model["vocab"]:
                model["vocab"][_HIDDEN + name] = model["vocab"].pop(name)
            if model.get("unk_token") == name:
                model["unk_token"] = _HIDDEN + name
        hidden = {self.pieces[id] for id in special}
        added = content.get("added_tokens", [])
        for token in added:
            if token["content"] in hidden:
                token["content"] = _HIDDEN + token["content"]

        # Let the package see what splits a text, and nothing else.
        model.pop("dropout", None)
        data = msgspec.json.encode({part: content[part] for part in SPLITTING if part in content})
        del content, model
        self.model = msgspec.structs.replace(self.model, vocab={}, merges=[])
        with naming_failures(ModelError, DAMAGED, f"{TOKENIZER_FILE}: "), _keeping_panics_off():
            tokenizer: tokenizers.Tokenizer = require_package(
                "tokenizers", "hf", "tokenizers of Hugging Face"
            ).Tokenizer.from_buffer(data)
            tokenizer.encode_special_tokens = True
            for token in added:
                if tokenizer.token_to_id(token["content"]) != token["id"]:
                    raise ValueError(f"{token['id']} is not the id of an added token")
            tokenizer.encode_batch(_TRIALS, add_special_tokens=False)
        del data
        system.trim()
        return tokenizer


def _steps_of(part: Any, inner: str) -> list[Step]:
    """Return the steps of a normaliser or pre-tokenizer, in sequences of any depth."""
    steps: list[Step] = []
    waiting = [part] if part else []
    for _ in range(MOST_STEPS + 1):
        if not waiting:
            return steps
        step = waiting.pop()
        if isinstance(step, dict) and step.get("type") == "Sequence":
            waiting += reversed(as_type(step.get(inner), list[Any])[: MOST_STEPS + 1])
            continue
        steps.append(as_type(step, Step))
        if steps[-1].type not in STEPS:
            raise ValueError(f"{shown(steps[-1].type)} is no step of a known model")
    raise ValueError(f"its {inner} are more than {MOST_STEPS} steps")


def _check_growth(steps: list[Step]) -> None:
    """Refuse steps that may make a text many times as long: it would be scored and counted as other
    words than it has."""
    growth = 1.0
    for step in steps:
        growth *= STEPS[step.type]
        # Regular expressions other than a class may match what is between two characters.
        is_class = _CLASS.fullmatch(step.pattern.get("Regex", ""))
        matched = 1 if is_class else len(step.pattern.get("String", ""))
        growth *= max(1.0, len(step.content) / matched) if matched else 1 + len(step.content)
        # The map of sentencepiece: the size of its index, the index, and texts that end in NUL
        if step.precompiled_charsmap:
            start = 4 + int.from_bytes(step.precompiled_charsmap[:4], "little")
            texts = step.precompiled_charsmap[start:].decode("utf-8", "replace").split("\0")
            growth *= max(1, *map(len, texts))
    if growth > MOST_GROWTH:
        raise ValueError(f"its steps may make a text {growth:,.0f} times as long")


def _begin_of(processor: Processor | None) -> tuple[int, ...]:
    """Return the ids that a post-processor puts before a text."""
    if processor is None:
        return ()
    if processor.cls:
        return (processor.cls[1],)
    # Each step puts its own around what the one before it made.
    begin = list(itertools.chain.from_iterable(map(_begin_of, reversed(processor.processors))))
    for part in processor.single:
        if "Sequence" in part:
            return tuple(begin)
        token = part.get("SpecialToken", {}).get("id")
        if token not in processor.special_tokens:
            raise ValueError(f"its post_processor has no entry for {shown(token)}")
        begin += as_type(processor.special_tokens[token].get("ids"), list[Id])
    return () if processor.single else tuple(begin)


@contextlib.contextmanager
def naming_failures(kind: type[RnnlmError], what: str, where: str = "") -> Iterator[None]:
    """Turn errors of the package `tokenizers` in this context into one of that kind."""
    try:
        yield
    except (RnnlmError, KeyboardInterrupt, SystemExit, MemoryError, GeneratorExit):
        raise
    except BaseException as error:  # a panic of Rust is no Exception
        why = visible(str(error).replace("`", "'"))[:200]  # it may quote a whole file
        raise kind(what, f"{where}{why}") from None


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

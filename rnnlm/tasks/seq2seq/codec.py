"""How an encoder-decoder encodes pairs of lines as numbers: the tokenizer of what it reads, and that of what it writes."""

import hashlib
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from rnnlm.errors import ModelError
from rnnlm.files.reading import decode_json
from rnnlm.interface import Tokenizer
from rnnlm.text import tokenizers

FILE = "pairs.json"
TARGET = "target-"  # before the names of the files of the target's tokenizer


class PairCodec:
    """Two tokenizers, or one for both sides. A model stores it where a language model stores its tokenizer.

    details: what a model's folder says of its data, in JSON's types: `spelled`, whether sources are spelled (letters split by spaces), so
    that a word's symbols are those of its line; `column`, what their column is called.
    """

    def __init__(self, source: Tokenizer, target: Tokenizer | None = None, details: Mapping[str, Any] | None = None) -> None:
        self.source, self.target = source, source if target is None else target
        self.is_shared = target is None
        self.details = dict(details or {})

    @property
    def spelled(self) -> bool:
        """Whether the sources of the training data are spelled."""
        return bool(self.details.get("spelled"))

    @property
    def column(self) -> str | None:
        """What the column of the sources is called in the training data."""
        return self.details.get("column")

    @property
    def name(self) -> str:
        """Of the source's tokenizer."""
        return self.source.name

    @property
    def size(self) -> int:
        """How many tokens the decoder predicts, the boundary included."""
        return self.target.size

    @property
    def is_reversed(self) -> bool:
        """False: the target is written from its beginning, in whatever direction the source is read."""
        return False

    def spelling(self) -> NoReturn:
        """An encoder-decoder reads no characters beside its tokens."""
        raise NotImplementedError

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits over both tokenizers."""
        return hashlib.sha256(f"{self.source.fingerprint}:{self.target.fingerprint}".encode()).hexdigest()[:12]

    def to_settings(self) -> dict[str, Any]:
        """Those of the source's tokenizer."""
        return self.source.to_settings()

    def to_files(self) -> dict[str, bytes]:
        """The files from which :func:`codec` restores it, by role."""
        target = {} if self.is_shared else {TARGET + name: data for name, data in self.target.to_files().items()}
        stored = {"shared": self.is_shared, "target": self.target.to_settings(), **self.details}
        return {**self.source.to_files(), **target, FILE: msgspec.json.format(msgspec.json.encode(stored), indent=1)}


class _Stored(msgspec.Struct):
    shared: bool
    target: dict[str, Any]
    spelled: bool = False
    column: str | None = None


def codec(tokenizer: Tokenizer, files: dict[str, bytes]) -> PairCodec:
    """The codec whose `to_files()` are in a model's folder.

    Raises:
        ModelError: a file is missing or damaged.
    """
    if FILE not in files:
        raise ModelError("the model has no tokenizer for its target", f"{FILE} is missing")
    try:
        stored = decode_json(files[FILE], _Stored)
        details = decode_json(files[FILE], dict[str, Any])
    except ValueError as error:
        raise ModelError(f"{FILE} is damaged", str(error)) from None
    for name in ("shared", "target"):
        details.pop(name)
    if stored.shared:
        return PairCodec(tokenizer, None, details)
    of_target = {name.removeprefix(TARGET): data for name, data in files.items() if name.startswith(TARGET)}
    target = tokenizers.load(stored.target, of_target)
    if target.is_reversed:
        raise ModelError(f"{FILE} is damaged", "no model writes its target from the end")
    return PairCodec(tokenizer, target, details)

"""Pairs of lines as numbers: what the encoder reads and what the decoder writes."""

import dataclasses
import hashlib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, NoReturn

import msgspec
import numpy as np
from msgspec import Meta

from rnnlm.config import Resolved, as_text, describe
from rnnlm.errors import ModelError, SettingsError, UsageError
from rnnlm.files.reading import decode_json
from rnnlm.interface import Encoded, Tokenizer
from rnnlm.models import loading
from rnnlm.tasks.request import TrainingRequest
from rnnlm.text import tokenizers
from rnnlm.text.lines import Block
from rnnlm.text.pairs import Pair, ParallelText
from rnnlm.text.tokenizer_settings import TokenizerSettings

# ---- How an encoder-decoder encodes pairs of lines as numbers: the tokenizer of what it reads, and
# that of what it writes.

FILE = "pairs.json"
TARGET = "target-"  # before the names of the files of the target's tokenizer


class PairCodec:
    """Two tokenizers, or one for both sides. A model stores it where a language model stores its
    tokenizer.

    details: what a model's folder says of its data, in JSON's types: `spelled`, whether sources are
    spelled (letters split by spaces), so that a word's symbols are those of its line; `column`,
    what their column is called.
    """

    def __init__(
        self,
        source: Tokenizer,
        target: Tokenizer | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
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
        """False: the target is written from its beginning, in whatever direction the source is
        read."""
        return False

    def spelling(self) -> NoReturn:
        """An encoder-decoder reads no characters beside its tokens."""
        raise NotImplementedError

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits over both tokenizers."""
        return hashlib.sha256(
            f"{self.source.fingerprint}:{self.target.fingerprint}".encode()
        ).hexdigest()[:12]

    def to_settings(self) -> dict[str, Any]:
        """Those of the source's tokenizer."""
        return self.source.to_settings()

    def to_files(self) -> dict[str, bytes]:
        """The files from which :func:`codec` restores it, by role."""
        target = (
            {}
            if self.is_shared
            else {TARGET + name: data for name, data in self.target.to_files().items()}
        )
        stored = {"shared": self.is_shared, "target": self.target.to_settings(), **self.details}
        return {
            **self.source.to_files(),
            **target,
            FILE: msgspec.json.format(msgspec.json.encode(stored), indent=1),
        }


class _Stored(msgspec.Struct):
    shared: bool
    target: dict[str, Any]
    spelled: bool = False
    column: str | None = None


def codec(tokenizer: Tokenizer, files: dict[str, bytes]) -> PairCodec:
    """The codec whose `to_files()` are in a model's folder."""
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
    of_target = {
        name.removeprefix(TARGET): data for name, data in files.items() if name.startswith(TARGET)
    }
    target = tokenizers.load(stored.target, of_target)
    if target.is_reversed:
        raise ModelError(f"{FILE} is damaged", "no model writes its target from the end")
    return PairCodec(tokenizer, target, details)


# ---- data


@dataclass(frozen=True)
class PairedData:
    """P pairs of a source and one reference each, encoded.

    text: what was read. source, target: P lines each, one for each reference of the text in its
    order, but for those that are left out; the boundary ends them.
    """

    text: ParallelText
    source: Encoded
    target: Encoded

    @property
    def lines_hash(self) -> str:
        """Identifies the data when a run is resumed."""
        return self.text.content_hash

    @cached_property
    def groups(self) -> tuple[Pair, ...]:
        """Each source of the text once, with all references that it has: what is decoded and
        compared."""
        return self.text.grouped().pairs

    @cached_property
    def source_lengths(self) -> np.ndarray:
        """Tokens of each source, `</s>` counted, (P,)."""
        return np.diff(self.source.offsets)

    @cached_property
    def target_lengths(self) -> np.ndarray:
        """Tokens of each reference, `</s>` counted, (P,)."""
        return np.diff(self.target.offsets)

    @property
    def tokens(self) -> int:
        """Of both sides."""
        return len(self.source.ids) + len(self.target.ids)

    @property
    def words(self) -> int:
        """Of both sides, split at white space."""
        pairs = self.text.pairs
        return sum(
            len(each.source.split()) + sum(len(reference.split()) for reference in each.references)
            for each in pairs
        )

    @property
    def sentences(self) -> int:
        """How many pairs there are."""
        return len(self.source.offsets) - 1


@dataclass(frozen=True)
class PairTrainingData:
    """What an encoder-decoder is trained on; tokenizer: the codec. valid: None where nothing is
    held out."""

    tokenizer: PairCodec
    train: PairedData
    valid: PairedData | None


def encode_pairs(codec: PairCodec, text: ParallelText, longest: int | None = None) -> PairedData:
    """The pairs of a text as an encoder-decoder reads them. longest: pairs with more tokens on
    either side are left out."""
    source = codec.source.encode([each.source for each in text.pairs for _ in each.references])
    target = codec.target.encode(
        [reference for each in text.pairs for reference in each.references]
    )
    if longest is not None:
        is_short_P = (np.diff(source.offsets) <= longest) & (np.diff(target.offsets) <= longest)
        if not is_short_P.all():
            chosen = np.flatnonzero(is_short_P)
            source, target = taken(source, chosen), taken(target, chosen)
    return PairedData(text, source, target)


def taken(lines: Encoded, chosen: np.ndarray) -> Encoded:
    """The lines of these numbers, in that order; which of their tokens are unknown is not kept."""
    return joined(rows(lines, chosen))


def joined(lines: Sequence[np.ndarray]) -> Encoded:
    """Lines given as the tokens of each; which of them are unknown is not kept."""
    offsets = np.append(0, np.cumsum([len(line) for line in lines], dtype=np.int64))
    ids = np.concatenate(lines) if lines else np.zeros(0, dtype=np.int32)
    return Encoded(ids, offsets, np.zeros(0, dtype=np.int64))


def rows(lines: Encoded, chosen: np.ndarray | Sequence[int]) -> list[np.ndarray]:
    """The tokens of each of these lines."""
    return [lines.ids[lines.offsets[each] : lines.offsets[each + 1]] for each in chosen]


# ---- The tokenizers of pairs: one for each side, or one for both.

ENCODER, DECODER = "--init-encoder-from", "--init-decoder-from"  # language models of either side
OF_TARGET = "target_"  # begins the names of the settings of the target's tokenizer


@dataclasses.dataclass(frozen=True)
class SourceTokenizerSettings(TokenizerSettings):
    """How the source's lines become tokens, and the target's where they have no settings of their
    own."""

    tokenizer: Annotated[
        typing.Literal["word", "char", "byte", "sentencepiece"],
        Meta(description="how text becomes tokens; of the target, too"),
    ] = "sentencepiece"
    shared_vocabulary: Annotated[
        bool, Meta(description="both sides have one tokenizer, made from the text of both")
    ] = False


def _target_fields() -> list[tuple[str, object, object]]:
    hints, about = (
        typing.get_type_hints(TokenizerSettings, include_extras=True),
        describe(TokenizerSettings),
    )
    names = [
        field.name for field in dataclasses.fields(TokenizerSettings) if field.name != "reversed"
    ]
    said = {name: f"of the target's lines: {about[name]}; none: as the source's" for name in names}
    return [
        (OF_TARGET + name, Annotated[hints[name] | None, Meta(description=said[name])], None)
        for name in names
    ]


TargetTokenizerSettings: type[Any] = dataclasses.make_dataclass(
    "TargetTokenizerSettings",
    _target_fields(),
    frozen=True,
    namespace={"__doc__": "How the target's lines become tokens."},
)


def make_codec(
    request: TrainingRequest, resolved: Resolved, train: ParallelText, details: dict[str, Any]
) -> tuple[PairCodec, Resolved]:
    """Make the tokenizers that are asked for from the training text, or take them from models.
    Return them, and the settings with what was decided on the way."""
    own = resolved.make(SourceTokenizerSettings)
    of_target = _of_target(resolved)
    if own.shared_vocabulary and (
        differing := [name for name, value in of_target.items() if value != getattr(own, name)]
    ):
        what = f"shared_vocabulary=true, but {OF_TARGET}{differing[0]} differs from {differing[0]}"
        raise SettingsError(
            what, "one tokenizer reads both sides", f"leave {OF_TARGET}{differing[0]} out"
        )
    if request.tokenizer_from is not None:
        codec = _taken_over(request.tokenizer_from, own.shared_vocabulary, details)
        brings = f"{'--resume' if request.resume else '--tokenizer-from'} brings"
        _check_asked("shared_vocabulary", codec.is_shared, brings, resolved)
        resolved = _with_tokenizer(codec.source, "", brings, resolved)
        if not codec.is_shared:
            resolved = _with_tokenizer(codec.target, OF_TARGET, brings, resolved)
        for name, value in codec.source.to_settings().items() if codec.is_shared else ():
            if resolved.values.get(OF_TARGET + name) is not None:
                _check_asked(OF_TARGET + name, value, brings, resolved)
    else:
        codec, resolved = _made(request, resolved, train, details)
    if resolved.values["shared_vocabulary"] != codec.is_shared:
        resolved = resolved.with_found("the tokenizer", {"shared_vocabulary": codec.is_shared})
    if resolved.values["tied_embeddings"] == "all" and not codec.is_shared:
        why = "the vectors of both sides are the same, and each side has a vocabulary of its own"
        raise SettingsError(
            "tied_embeddings = all needs one vocabulary",
            why,
            "set shared_vocabulary=true, or tied_embeddings=target",
        )
    return codec, resolved


def _made(
    request: TrainingRequest, resolved: Resolved, train: ParallelText, details: dict[str, Any]
) -> tuple[PairCodec, Resolved]:
    """Take tokenizers from the language models that the network starts from, and make the others
    from the training text."""
    sources = [each.source for each in train.pairs for _ in each.references]
    targets = [reference for each in train.pairs for reference in each.references]
    source, target = (
        (loading.load_tokenizer(name), f"{option} {name} brings") if name else None
        for name, option in (
            (request.init_encoder_from, ENCODER),
            (request.init_decoder_from, DECODER),
        )
    )
    if target is not None and target[0].is_reversed:
        raise UsageError(
            f"{DECODER} {request.init_decoder_from}: it reads lines from their end",
            "a target is written from its beginning",
        )
    if resolved.values["shared_vocabulary"]:
        if source and target and source[0].fingerprint != target[0].fingerprint:
            why = (
                f"{request.init_encoder_from} and {request.init_decoder_from} have "
                "tokenizers of their own"
            )
            raise UsageError(
                "shared_vocabulary=true needs one tokenizer",
                why,
                "train one with --tokenizer-from the other",
            )
        shared, brings = (
            source or target or (tokenizers.train(_plain(resolved), _blocks(sources, targets)), "")
        )
        return PairCodec(shared, None, details), _with_tokenizer(shared, "", brings, resolved)
    first, brings = source or (tokenizers.train(_plain(resolved), _blocks(sources)), "")
    # whose settings the target's are where it has none
    resolved = _with_tokenizer(first, "", brings, resolved)
    second, brings = target or (
        tokenizers.train(TokenizerSettings(**_of_target(resolved)), _blocks(targets)),
        "",
    )
    resolved = _with_tokenizer(second, OF_TARGET, brings, resolved)
    return PairCodec(first, second, details), resolved


def _plain(resolved: Resolved) -> TokenizerSettings:
    return TokenizerSettings(
        **{
            field.name: resolved.values[field.name]
            for field in dataclasses.fields(TokenizerSettings)
        }
    )


def _of_target(resolved: Resolved) -> dict[str, Any]:
    """The settings of the target's tokenizer: where none is given the source's, if both are of one
    kind, else the defaults."""
    names = [field.name for field in dataclasses.fields(TargetTokenizerSettings)]
    kind = resolved.values[f"{OF_TARGET}tokenizer"] or resolved.values["tokenizer"]
    is_same = kind == resolved.values["tokenizer"]
    found: dict[str, Any] = {}
    for name in names:
        plain, value = name.removeprefix(OF_TARGET), resolved.values[name]
        if value is None:
            value = resolved.values[plain] if is_same else getattr(TokenizerSettings, plain)
        found[plain] = value
    return found | {"tokenizer": kind}


def _taken_over(name: str, is_shared: bool, details: dict[str, Any]) -> PairCodec:
    """The tokenizers of an encoder-decoder, or the one of another model for both sides."""
    codec = loading.load_codec(name)
    if isinstance(codec, PairCodec):
        return PairCodec(codec.source, None if codec.is_shared else codec.target, details)
    if not is_shared:
        why = "it has one tokenizer, and each side is to have its own"
        raise SettingsError(
            f"--tokenizer-from {name} serves one side", why, "set shared_vocabulary=true"
        )
    # of a task without the labels
    return PairCodec(loading.load_tokenizer(name).in_direction(False), None, details)


def _with_tokenizer(tokenizer: Tokenizer, prefix: str, brings: str, resolved: Resolved) -> Resolved:
    """Return the settings with those of a tokenizer, under names that begin with `prefix`.

    brings: says which model has it; "" where it was made as asked for.
    """
    differing = {}
    for name, value in tokenizer.to_settings().items():
        setting = prefix + name
        if setting in resolved.values and resolved.values[setting] != value:
            if brings:
                _check_asked(setting, value, brings, resolved)
            differing[setting] = value
    return resolved.with_found("the tokenizer", differing)


def _check_asked(setting: str, value: object, brings: str, resolved: Resolved) -> None:
    """Raises UsageError: a person asked for another value of a setting than a model brings."""
    asked = resolved.values[setting]
    if asked != value and resolved.is_asked(setting):
        raise UsageError(
            f"{brings} {setting} = {as_text(value)}",
            f"{as_text(asked)} was asked for",
            "give one of them",
        )


def _blocks(*sides: Sequence[str]) -> list[Block]:
    return [Block(list(lines), []) for lines in sides]


def check_target(tokenizer: Tokenizer) -> None:
    """Raises SettingsError: the target would be written from its end."""
    if tokenizer.is_reversed:
        raise SettingsError(
            "the target's tokenizer reads lines from their end",
            "a target is written from its beginning",
        )

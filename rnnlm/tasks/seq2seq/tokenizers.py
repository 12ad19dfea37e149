"""The tokenizers of pairs: one for each side, or one for both."""

import dataclasses
import typing
from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta

from rnnlm.config import ASKED, Resolved, as_text, describe
from rnnlm.errors import SettingsError, UsageError
from rnnlm.interface import Tokenizer
from rnnlm.models import loading
from rnnlm.tasks.seq2seq.codec import PairCodec
from rnnlm.text import tokenizers
from rnnlm.text.lines import Block
from rnnlm.text.parallel.pair import ParallelText
from rnnlm.text.tokenizers import TokenizerSettings

ENCODER, DECODER = "--init-encoder-from", "--init-decoder-from"  # language models of either side
OF_TARGET = "target_"  # begins the names of the settings of the target's tokenizer


@dataclasses.dataclass(frozen=True)
class SourceTokenizerSettings(TokenizerSettings):
    """How the source's lines become tokens, and the target's where they have no settings of their own."""

    tokenizer: Annotated[
        typing.Literal["word", "char", "byte", "sentencepiece"], Meta(description="how text becomes tokens; of the target, too")
    ] = "sentencepiece"
    shared_vocabulary: Annotated[bool, Meta(description="both sides have one tokenizer, made from the text of both")] = False


def _target_fields() -> list[tuple[str, Any, Any]]:
    hints, about = typing.get_type_hints(TokenizerSettings, include_extras=True), describe(TokenizerSettings)
    names = [field.name for field in dataclasses.fields(TokenizerSettings) if field.name != "reversed"]
    said = {name: f"of the target's lines: {about[name]}; none: as the source's" for name in names}
    return [(OF_TARGET + name, Annotated[hints[name] | None, Meta(description=said[name])], None) for name in names]


TargetTokenizerSettings: type[Any] = dataclasses.make_dataclass(
    "TargetTokenizerSettings", _target_fields(), frozen=True, namespace={"__doc__": "How the target's lines become tokens."}
)


def make_codec(request: Any, resolved: Resolved, train: ParallelText, details: dict[str, Any]) -> PairCodec:
    """The tokenizers that are asked for, made from the training text or taken from models. What is decided on the way goes into `resolved`.

    Raises:
        SettingsError: the settings of the target contradict each other, or one vocabulary; the vectors of both sides are to be the same,
            and the vocabularies are not. ModelError: a model cannot be read. UsageError: another tokenizer was asked for than a model
            brings.
    """
    own = resolved.make(SourceTokenizerSettings)
    of_target = _of_target(resolved)
    if own.shared_vocabulary and (differing := [name for name, value in of_target.items() if value != getattr(own, name)]):
        what = f"shared_vocabulary=true, but {OF_TARGET}{differing[0]} differs from {differing[0]}"
        raise SettingsError(what, "one tokenizer reads both sides", f"leave {OF_TARGET}{differing[0]} out")
    if request.tokenizer_from is not None:
        codec = _taken_over(request.tokenizer_from, own.shared_vocabulary, details)
        brings = f"{'--resume' if request.resume else '--tokenizer-from'} brings"
        _check_asked("shared_vocabulary", codec.is_shared, brings, resolved)
        _record(codec.source, "", brings, resolved)
        if not codec.is_shared:
            _record(codec.target, OF_TARGET, brings, resolved)
        for name, value in codec.source.to_settings().items() if codec.is_shared else ():
            if resolved.values.get(OF_TARGET + name) is not None:
                _check_asked(OF_TARGET + name, value, brings, resolved)
    else:
        codec = _made(request, resolved, train, details)
    resolved.values["shared_vocabulary"] = codec.is_shared
    if resolved.values["tied_embeddings"] == "all" and not codec.is_shared:
        why = "the vectors of both sides are the same, and each side has a vocabulary of its own"
        raise SettingsError("tied_embeddings = all needs one vocabulary", why, "set shared_vocabulary=true, or tied_embeddings=target")
    return codec


def _made(request: Any, resolved: Resolved, train: ParallelText, details: dict[str, Any]) -> PairCodec:
    """Tokenizers of the language models that the network starts from, and of the training text."""
    sources = [each.source for each in train.pairs for _ in each.references]
    targets = [reference for each in train.pairs for reference in each.references]
    source, target = (
        (loading.load_tokenizer(name), f"{option} {name} brings") if name else None
        for name, option in ((request.init_encoder_from, ENCODER), (request.init_decoder_from, DECODER))
    )
    if target is not None and target[0].is_reversed:
        raise UsageError(f"{DECODER} {request.init_decoder_from}: it reads lines from their end", "a target is written from its beginning")
    if resolved.values["shared_vocabulary"]:
        if source and target and source[0].fingerprint != target[0].fingerprint:
            why = f"{request.init_encoder_from} and {request.init_decoder_from} have tokenizers of their own"
            raise UsageError("shared_vocabulary=true needs one tokenizer", why, "train one with --tokenizer-from the other")
        shared, brings = source or target or (tokenizers.train(_plain(resolved), _blocks(sources, targets)), "")
        _record(shared, "", brings, resolved)
        return PairCodec(shared, None, details)
    first, brings = source or (tokenizers.train(_plain(resolved), _blocks(sources)), "")
    _record(first, "", brings, resolved)  # whose settings the target's are where it has none
    second, brings = target or (tokenizers.train(TokenizerSettings(**_of_target(resolved)), _blocks(targets)), "")
    _record(second, OF_TARGET, brings, resolved)
    return PairCodec(first, second, details)


def _plain(resolved: Resolved) -> TokenizerSettings:
    return TokenizerSettings(**{field.name: resolved.values[field.name] for field in dataclasses.fields(TokenizerSettings)})


def _of_target(resolved: Resolved) -> dict[str, Any]:
    """The settings of the target's tokenizer: where none is given the source's, if both are of one kind, else the defaults."""
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
        raise SettingsError(f"--tokenizer-from {name} serves one side", why, "set shared_vocabulary=true")
    return PairCodec(loading.load_tokenizer(name).in_direction(False), None, details)  # of a task without the labels


def _record(tokenizer: Tokenizer, prefix: str, brings: str, resolved: Resolved) -> None:
    """What a tokenizer is goes into `resolved`. brings: says which model has it; "" where it was made as asked for.

    Raises:
        UsageError: another one was asked for.
    """
    for name, value in tokenizer.to_settings().items():
        if (setting := prefix + name) in resolved.values and resolved.values[setting] != value:
            if brings:
                _check_asked(setting, value, brings, resolved)
            resolved.values[setting], resolved.origins[setting] = value, "the tokenizer"


def _check_asked(setting: str, value: Any, brings: str, resolved: Resolved) -> None:
    """Raises UsageError: a person asked for another value of a setting than a model brings."""
    asked = resolved.values[setting]
    if asked != value and resolved.origins[setting] in ASKED:
        raise UsageError(f"{brings} {setting} = {as_text(value)}", f"{as_text(asked)} was asked for", "give one of them")


def _blocks(*sides: Sequence[str]) -> list[Block]:
    return [Block(list(lines), []) for lines in sides]


def check_target(tokenizer: Tokenizer) -> None:
    """Raises SettingsError: the target would be written from its end."""
    if tokenizer.is_reversed:
        raise SettingsError("the target's tokenizer reads lines from their end", "a target is written from its beginning")

"""The tokenizers of pairs: one for each side, or one for both."""

import dataclasses
import typing
from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta

from rnnlm.config import Resolved, describe
from rnnlm.errors import SettingsError
from rnnlm.interface import Tokenizer
from rnnlm.models import loading
from rnnlm.tasks.seq2seq.codec import PairCodec
from rnnlm.text import tokenizers
from rnnlm.text.lines import Block
from rnnlm.text.parallel.pair import ParallelText
from rnnlm.text.tokenizers import TokenizerSettings

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
        SettingsError: the settings of the target contradict each other, or one vocabulary. ModelError: a model cannot be read.
    """
    own, of_target = resolved.make(SourceTokenizerSettings), _of_target(resolved)
    if own.shared_vocabulary and (differing := [name for name, value in of_target.items() if value != getattr(own, name)]):
        what = f"shared_vocabulary=true, but {OF_TARGET}{differing[0]} differs from {differing[0]}"
        raise SettingsError(what, "one tokenizer reads both sides", f"leave {OF_TARGET}{differing[0]} out")
    if request.tokenizer_from is not None:
        codec = _taken_over(request.tokenizer_from, own.shared_vocabulary, details)
    else:
        source_from, target_from = request.init_encoder_from, request.init_decoder_from
        sources = [each.source for each in train.pairs for _ in each.references]
        targets = [reference for each in train.pairs for reference in each.references]
        if own.shared_vocabulary and not (source_from or target_from):
            return PairCodec(tokenizers.train(_plain(own), _blocks(sources, targets)), None, details)
        source = loading.load_tokenizer(source_from) if source_from else tokenizers.train(_plain(own), _blocks(sources))
        settings = TokenizerSettings(**of_target)
        target = loading.load_tokenizer(target_from) if target_from else tokenizers.train(settings, _blocks(targets))
        codec = PairCodec(source, target, details)
    _record(codec, resolved)
    return codec


def _plain(settings: SourceTokenizerSettings) -> TokenizerSettings:
    names = [field.name for field in dataclasses.fields(TokenizerSettings)]
    return TokenizerSettings(**{name: getattr(settings, name) for name in names})


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
    return PairCodec(codec.in_direction(False), None, details)


def _record(codec: PairCodec, resolved: Resolved) -> None:
    """What the tokenizers are goes into `resolved`."""
    for prefix, tokenizer in (("", codec.source), (OF_TARGET, codec.target)):
        for name, value in tokenizer.to_settings().items():
            if prefix + name in resolved.values and resolved.values[prefix + name] != value:
                resolved.values[prefix + name], resolved.origins[prefix + name] = value, "the tokenizer"
    resolved.values["shared_vocabulary"] = codec.is_shared


def _blocks(*sides: Sequence[str]) -> list[Block]:
    return [Block(list(lines), []) for lines in sides]


def check_target(tokenizer: Tokenizer) -> None:
    """Raises SettingsError: the target would be written from its end."""
    if tokenizer.is_reversed:
        raise SettingsError("the target's tokenizer reads lines from their end", "a target is written from its beginning")

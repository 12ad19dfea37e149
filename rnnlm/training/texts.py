"""The texts of a training run: read and encoded, or prepared before, with what is held out for validation and the tokenizer."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rnnlm import corpora
from rnnlm.config import Resolved
from rnnlm.errors import SettingsError, UsageError, notice
from rnnlm.interface import Tokenizer
from rnnlm.models import loading, registry
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Corpus, Progress, Text, TextSettings, Watched, hold_out, no_text
from rnnlm.text.encoding import PreEncoded, TrainingData, encode_text
from rnnlm.text.prepared import prepared_text
from rnnlm.text.prepared.index import is_prepared
from rnnlm.text.prepared.prepared_text import PreparedText
from rnnlm.text.sources import SourceSettings
from rnnlm.text.tokenizers import TokenizerSettings
from rnnlm.training.request import DEMO_CORPUS, HoldoutSettings, Request

SINGLE_LINE = "none: the text is a single line"
MOST_HELD_OUT = 250_000  # tokens of a prepared text, unless a share is asked for: as many as WikiText-103 has for validation
ASKED = ("--set", "the command line")  # origins of what a person asks for with this very run


@dataclass(frozen=True)
class Texts:
    """What is trained on; validation and test text as the final evaluation reads them. valid_is: the first of these in words."""

    data: TrainingData
    valid: Text | PreEncoded | None
    valid_is: str
    test: Text | PreEncoded | None


def open_texts(request: Request, resolved: Resolved, kind: registry.Kind, report: Progress) -> Texts:
    """Read and encode the texts of a :class:`Request`; `resolved` takes on the settings of a tokenizer that is given.

    Raises:
        TextError, ModelError: a text, or the model that the tokenizer is of, cannot be read. UsageError: what is given contradicts what is asked for.
    """
    train = _text(request.text or _bundled(request, "train"), resolved)
    if isinstance(train, PreparedText):
        _take_over(train, request, resolved)
    valid, test = (_text(getattr(request, part) or _bundled(request, part), resolved) for part in ("valid", "test"))
    train, valid, valid_is = _validation(train, valid, kind, resolved)
    if isinstance(train, PreparedText):
        tokenizer = train.tokenizer
    else:
        train = Watched(train, report)
        tokenizer = _tokenizer(request, resolved, train)
    if resolved.values.get("characters"):
        tokenizer = tokenizer.spelling()
    encoded = train.encoded_by(tokenizer, is_mapped=True) if isinstance(train, PreparedText) else encode_text(train, tokenizer)
    data = TrainingData(tokenizer, encoded, encode_text(valid, tokenizer) if valid else None)
    if valid_is == SINGLE_LINE:
        notice("the text is a single line: nothing is held out for validation, the last weights are kept")
    return Texts(data, valid, valid_is, _readable(test, tokenizer))


def held_out_share(kind: registry.Kind, resolved: Resolved) -> float:
    """The share of the training text that is held out where no validation text is named: by kinds that do so, or if asked for."""
    return resolved.make(HoldoutSettings).holdout if kind.holds_out or _is_share_asked(resolved) else 0.0


def _is_share_asked(resolved: Resolved) -> bool:
    return resolved.origins["holdout"] != "default"


def _bundled(request: Request, part: str) -> tuple[str, ...]:
    """The part of the bundled corpus, where no text is named."""
    return () if request.text else (str(corpora.part(DEMO_CORPUS, part)),)


def _text(names: tuple[str, ...], resolved: Resolved) -> Corpus | PreparedText | None:
    """The text of these names, of which a prepared one stands alone.

    Raises:
        UsageError: it does not. ModelError: it is damaged, or not finished.
    """
    prepared = [name for name in names if is_prepared(name)]
    if not prepared:
        return Corpus(names, resolved.make(TextSettings), resolved.make(SourceSettings)) if names else None
    if len(names) > 1:
        raise UsageError(f"{prepared[0]} is a prepared text, which is read alone", hint="prepare all of the text into one folder")
    return prepared_text.load(Path(prepared[0]))


def _take_over(text: PreparedText, request: Request, resolved: Resolved) -> None:
    """How a prepared text was made is how it is: its settings go into `resolved`.

    Raises:
        UsageError: something else was asked for.
    """
    folder = text.sources[0]
    if request.tokenizer_from and loading.load_tokenizer(request.tokenizer_from).fingerprint != text.tokenizer.fingerprint:
        option = "--resume" if request.resume else "--tokenizer-from"
        raise UsageError(
            f"{option} brings another tokenizer than {folder} is prepared with",
            hint=f"prepare the text with --tokenizer-from {request.tokenizer_from}",
        )
    for name in (field.name for field in fields(SourceSettings)):
        if resolved.origins[name] in ASKED:
            raise UsageError(f"{folder} is prepared: {name} has no meaning there", "it says how a text is read", "leave it out")
    stored = {**text.tokenizer.to_settings(), **{field.name: getattr(text.settings, field.name) for field in fields(TextSettings)}}
    _adopt(stored, resolved, f"{folder} is prepared with", f"prepared text {folder}")


def _adopt(stored: dict[str, Any], resolved: Resolved, brings: str, origin: str) -> None:
    """Settings that come with a tokenizer or a prepared text go into `resolved`.

    Raises:
        UsageError: another one was asked for.
    """
    for name, value in stored.items():
        if resolved.origins[name] in ASKED and resolved.values[name] != value:
            raise UsageError(f"{brings} {name} = {value}", f"{resolved.values[name]} was asked for", "give one of them")
    resolved.values.update(stored)
    resolved.origins.update(dict.fromkeys(stored, origin))


def _validation(
    train: Corpus | PreparedText, valid: Corpus | PreparedText | None, kind: registry.Kind, resolved: Resolved
) -> tuple[Text | PreparedText, Text | PreparedText | None, str]:
    """(what is trained on, what is validated on, in words)."""
    if valid:
        return train, valid, ", ".join(map(corpora.title, valid.sources))
    share = held_out_share(kind, resolved)
    if not share:
        return train, None, "none"
    if isinstance(train, PreparedText):
        most = None if _is_share_asked(resolved) else MOST_HELD_OUT
        parts = train.hold_out(share, most)
    else:
        parts = hold_out(train, share)
    if parts is None:
        return train, None, SINGLE_LINE
    if isinstance(train, PreparedText) and parts[1].stop - parts[1].start < round(train.stop * share):
        return *parts, f"the last {parts[1].stop - parts[1].start:,} lines of the training text, held out"
    return *parts, f"the last {share:.0%} of the training text, held out"


def _tokenizer(request: Request, resolved: Resolved, text: Text) -> Tokenizer:
    if request.tokenizer_from is None:
        try:
            return tokenizers.train(resolved.make(TokenizerSettings), text.blocks())
        except SettingsError:
            if not any(True for _ in text.blocks()):
                raise no_text(text) from None
            raise
    tokenizer = loading.load_tokenizer(request.tokenizer_from)
    option = "--resume" if request.resume else "--tokenizer-from"
    _adopt(tokenizer.to_settings(), resolved, f"{option} brings", f"tokenizer of {request.tokenizer_from}")
    return tokenizer


def _readable(text: Corpus | PreparedText | None, tokenizer: Tokenizer) -> Corpus | PreparedText | None:
    """`text`, read through once: what is wrong with it is said now, not after hours of training."""
    if isinstance(text, PreparedText):
        text.check_tokenizer(tokenizer)
    elif text and not any([bool(block.lines) for block in text.blocks()]):
        raise no_text(text)
    return text

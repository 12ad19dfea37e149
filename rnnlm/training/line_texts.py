"""Read the lines of a training run: encode them, or open a prepared text, with lines held out for
validation and the tokenizer.
"""

from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import rnnlm.corpora as corpora
from rnnlm import registry
from rnnlm.amounts import plural
from rnnlm.choices import THE_DATA
from rnnlm.config import AUTO, ResolvedSettings
from rnnlm.errors import SettingsError, UsageError, keyword, notice
from rnnlm.interface import Tokenizer
from rnnlm.lm.base import loading
from rnnlm.system import quoted
from rnnlm.text import tokenizers
from rnnlm.text.corpus import Split, Text, lines_of_sample, open_text, tell_blank
from rnnlm.text.encoding import EncodedText, TrainingData
from rnnlm.text.line_forms import tell_form, tell_unspaced_words
from rnnlm.text.lines import HoldoutSettings, Progress, TextSettings, no_text, watched
from rnnlm.text.marks import tell_unseen, watch_forms
from rnnlm.text.sources import SourceSettings, column_of
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.unknown_words import tell_glued_in, tell_unsplit
from rnnlm.training.overlaps import called, overlaps, warn_of
from rnnlm.training.request import Overlap, Texts, TrainingRequest

# A text is worth a notice if the share of its tokens that are unknown is so much larger than in the
# training text, and if they are more than a few.
MUCH_UNKNOWN, FEW_UNKNOWN = 0.4, 50

CORPUS = "english"  # the bundled one, which is read if no text is named


def open_texts(
    request: TrainingRequest, resolved: ResolvedSettings, kind: registry.Kind, progress: Progress
) -> Texts:
    """Read and encode the texts of a :class:`TrainingRequest`. A given tokenizer or a prepared text
    brings its settings. A notice is sent if much of the evaluation text is in the training text."""
    if request.counts is not None:
        return _of_counts(request.counts, request, resolved, kind)

    # The texts, and the tokenizer that they are read with. A kind may read the text in another way.
    text, valid, test, resolved = _opened(request, resolved)
    tokenizer, resolved = _tokenizer_for(text, request, resolved)
    share = held_out_share(request, resolved)
    data_source = registry.data_source(resolved)
    if data_source:
        text = data_source.text(text, tokenizer, share, resolved, progress)
    tokenizer = text.tokenizer or tokenizer
    split = text.split(share, is_share_chosen(resolved))
    data = _encode(split, text, tokenizer, resolved, progress)

    # The text decided against splitting, or has a vocabulary that nobody asked for.
    is_unsplit = resolved.values["split_punctuation"] is False
    if is_unsplit and resolved.origins["split_punctuation"] == THE_DATA:
        tell_unsplit(data.tokenizer)
    option, source = _given(request)
    share_unknown = data.train.unknown_share
    if source and option == "init_from" and share_unknown > MUCH_UNKNOWN:
        notice(
            f"{share_unknown:.0%} of the tokens of the training text are unknown to {source}: "
            "without " + keyword(option) + " the model has the vocabulary of the text"
        )

    # The usual validation, if there is no text for it.
    valid_is = "none"
    if valid:
        data = replace(data, valid=valid.encode(data.tokenizer))
        valid_is = ", ".join(map(corpora.title, valid.sources))
    elif data.valid:
        valid_is = f"the last {split.held_out} of the training text, held out"
    elif share:
        valid_is = "none: the text is a single line"
        notice("the text is a single line: nothing is held out for validation")
    tested = test.encode(data.tokenizer) if test else None

    overlap_of = _notice_oddities(data, tested, holds_out=not valid)
    holds_out = data.valid is not None and not valid
    return Texts(resolved, data, valid_is, tested, holds_out, overlap_of)


def _opened(
    request: TrainingRequest, resolved: ResolvedSettings
) -> tuple[Text, Text | None, Text | None, ResolvedSettings]:
    """Open the texts for training, validation and test. Return them, and the settings of the first:
    a prepared text brings those by which the others are read, too."""
    names, as_given = request.text or _bundled(request, "train"), resolved
    resolved = _with_column(names, resolved)
    text = _open(names, resolved)
    if text.tokenizer:
        prepared = Path(text.sources[0])
        resolved = _with_read(prepared, text.settings, text.tokenizer, request, resolved)
    others = resolved if text.tokenizer else as_given  # another table may have another column
    valid, test = (
        _open(names, _with_column(names, others)) if names else None
        for names in (
            request.valid or _bundled(request, "valid"),
            request.test or _bundled(request, "test"),
        )
    )
    return text, valid, test, resolved


def _tokenizer_for(
    text: Text, request: TrainingRequest, resolved: ResolvedSettings
) -> tuple[Tokenizer | None, ResolvedSettings]:
    """Return the tokenizer of a prepared text, or a given one, and the settings with those that it
    brings. None: one is made of the text, which decides whether marks are split off."""
    if text.tokenizer:
        return text.tokenizer, resolved

    # A text that is read as it is may be other than its lines look.
    sample, (option, source) = lines_of_sample(text), _given(request)
    tell_form(sample, resolved.values["unwrap"] or resolved.is_requested("unwrap"))

    tokenizer = loading.load_tokenizer(source) if source else None
    if source and tokenizer:
        brings, origin = keyword(option) + " has", f"tokenizer of {source}"
        resolved = _with_stored(tokenizer.to_settings(), resolved, brings, origin)
        tell_glued_in(sample, tokenizer, source)
    else:
        tell_unspaced_words(sample, resolved.values["tokenizer"])
        if resolved.values["split_punctuation"] == AUTO:
            splits, why = tokenizers.splits_marks(sample)
            resolved = resolved.choose(THE_DATA, why, {"split_punctuation": splits})

    # Characters make running text, to which blank lines belong.
    skips = resolved.values["blank_lines"] == "skip" and not resolved.is_requested("blank_lines")
    if skips and resolved.values["tokenizer"] == "char":
        tell_blank(sample)
    return tokenizer, resolved


def _encode(
    split: Split,
    text: Text,
    tokenizer: Tokenizer | None,
    resolved: ResolvedSettings,
    progress: Progress,
) -> TrainingData:
    """Encode the training text and its held-out part. Without a tokenizer, one is made of the
    text."""
    # Words are numbered while the text is encoded; others need two readings.
    settings = resolved.make(TokenizerSettings)
    spells = bool(resolved.values.get("characters"))
    if not tokenizer and not spells and tokenizers.is_made_on_the_way(settings):
        data = TrainingData(*split.encode_once(settings, progress))
        tokenizers.tell_empty(data.tokenizer, settings)
    else:
        made = tokenizer or _new_tokenizer(settings, split, text, progress)
        made = made.spelling() if spells else made
        data = TrainingData(made, *split.encode(made, progress))
    return data


def _notice_oddities(
    data: TrainingData, tested: EncodedText | None, holds_out: bool
) -> dict[str, Overlap]:
    """Warn of marks, words and lines that make metrics worse, or better than they are: unknown
    ones, and repeated lines. Return how much of the validation and the test text is in the training
    text."""
    texts = {"valid": data.valid, "test": tested}
    others = {name: encoded for name, encoded in texts.items() if encoded is not None}
    marks = sum((Counter(text.marks) for text in (data.train, *others.values())), Counter[str]())
    tell_unseen(marks, {"the model": data.tokenizer})
    for name, encoded in others.items():
        further = encoded.unknown_share - data.train.unknown_share
        if further > MUCH_UNKNOWN and len(encoded.oov) > FEW_UNKNOWN:
            notice(
                f"{encoded.unknown_share:.0%} of the tokens of {called(name)} are unknown to the "
                "model: choose a text that is more like the training text"
            )
    overlap_of = overlaps(data.train, others)
    hashes = {name: encoded.lines_hash for name, encoded in others.items()}
    warn_of(overlap_of, hashes, holds_out)
    return overlap_of


def held_out_share(request: TrainingRequest, resolved: ResolvedSettings) -> float:
    """Return the share of the training text that is held out for validation: none beside a
    validation text, of a bundled corpus, which has its own, or of counts."""
    if request.valid or not request.text:
        return 0.0
    return resolved.make(HoldoutSettings).holdout


def is_share_chosen(resolved: ResolvedSettings) -> bool:
    """Return whether the share is another one than the usual, of which a prepared text need not
    hold out all."""
    return bool(resolved.values["holdout"] != resolved.defaults["holdout"])


def _bundled(request: TrainingRequest, part: str) -> tuple[str, ...]:
    """Return the part of the bundled corpus, if no text is named."""
    return () if request.text else (str(corpora.part(CORPUS, part)),)


def _with_column(names: tuple[str, ...], resolved: ResolvedSettings) -> ResolvedSettings:
    """Return the settings with the column of the text, where these are tables and none is named."""
    errors = resolved.make(TextSettings).encoding_errors
    found = column_of(names, resolved.make(SourceSettings), errors)
    if found is None:
        return resolved
    column, count = found
    return resolved.choose(THE_DATA, f"one of {plural(count, 'column')}", {"column": column})


def _open(names: tuple[str, ...], resolved: ResolvedSettings) -> Text:
    return open_text(names, resolved.make(TextSettings), resolved.make(SourceSettings))


def _of_counts(
    folder: str, request: TrainingRequest, resolved: ResolvedSettings, kind: registry.Kind
) -> Texts:
    """Open counts in place of the training text, and read the texts beside it as theirs was."""
    # Counts hold no lines, so nothing can be held out.
    if resolved.is_requested("holdout") and resolved.values["holdout"]:
        raise UsageError(
            f"nothing can be held out of the counts in {folder}",
            "they hold no lines",
            "name a validation text with "
            + keyword("valid")
            + ", and leave "
            + keyword("holdout")
            + " out",
        )

    # Tokenizer and settings of the counted text hold for the other texts.
    source = registry.source_of_counts(kind, resolved)
    counts, resolved = source.open_counts(folder, resolved)
    tokenizer = counts.tokenizer
    resolved = _with_read(counts.folder, counts.text_settings, tokenizer, request, resolved)
    named = {"valid": request.valid, "test": request.test}
    encoded = {
        name: _open(names, resolved).encode(tokenizer) for name, names in named.items() if names
    }

    # Warn of marks that the counted text does not have.
    marks = sum((Counter(text.marks) for text in encoded.values()), Counter[str]())
    tell_unseen(marks, {"the model": tokenizer})
    valid_is = ", ".join(map(corpora.title, request.valid)) or "none"
    if not request.valid:
        notice("nothing can be held out of counts: name a validation text with " + keyword("valid"))
    return Texts(resolved, counts.with_valid(encoded.get("valid")), valid_is, encoded.get("test"))


def _with_read(
    folder: Path,
    settings: TextSettings,
    tokenizer: Tokenizer,
    request: TrainingRequest,
    resolved: ResolvedSettings,
) -> ResolvedSettings:
    """Return the settings with those by which a text was prepared, or counted, into a folder."""
    # Nothing else may be asked for: another tokenizer, another way to read.
    form = registry.text_folder(folder)
    assert form is not None  # as it was opened
    option, source = _given(request)
    if source:
        given = loading.load_tokenizer(source)
        if given.fingerprint != tokenizer.fingerprint:
            called = quoted(source)
            raise UsageError(
                keyword(option) + f" names another tokenizer than {folder} was {form.made} with",
                hint=f"rnnlm {form.command} TEXT --tokenizer-from {called}",
            )

    # How the text was read is long decided.
    for field in fields(SourceSettings):
        if resolved.is_requested(field.name):
            raise UsageError(
                f"{folder} is {form.noun}: {field.name} has no effect",
                "it says how a text is read",
                "leave it out",
            )

    read = {field.name: getattr(settings, field.name) for field in fields(TextSettings)}
    stored = {**tokenizer.to_settings(), **read}
    origin = f"{form.noun.removeprefix('a ')} {folder}"
    return _with_stored(stored, resolved, f"{folder} was {form.made} with", origin)


def _with_stored(
    stored: dict[str, Any], resolved: ResolvedSettings, brings: str, origin: str
) -> ResolvedSettings:
    """Return the settings with those that come with a tokenizer or a prepared text."""
    for name, value in stored.items():
        if resolved.is_requested(name) and resolved.values[name] not in (value, AUTO):
            raise UsageError(
                brings + f" {name} = {value}",
                f"{resolved.values[name]} was requested",
                "leave one of them out",
            )
    return resolved.with_layer(origin, stored)


def _new_tokenizer(
    settings: TokenizerSettings, split: Split, text: Text, progress: Progress
) -> Tokenizer:
    """Make a tokenizer from the training text."""
    blocks = watch_forms(watched(split.blocks(), progress), settings)
    try:
        return tokenizers.train(settings, blocks)
    except SettingsError:
        # Of an empty text the settings are not at fault.
        if not any(True for _ in text.blocks()):
            raise no_text(text.sources) from None
        raise


def _given(request: TrainingRequest) -> tuple[str, str | None]:
    """Return the option that names the model whose tokenizer is used, and that model."""
    option = "tokenizer_from" if request.tokenizer_from else "init_from"
    return option, getattr(request, option)

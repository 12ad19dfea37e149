"""The data of a task's training run: examples read, labels made into columns, all of it as numbers;
and the figures at the end."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

import rnnlm.corpora as corpora
from rnnlm.config import Count, Resolved
from rnnlm.errors import SettingsError, UsageError, notice
from rnnlm.interface import Tokenizer
from rnnlm.models import loading, registry
from rnnlm.tasks.labels import contextual, sounds, splitting
from rnnlm.tasks.labels import data as codecs
from rnnlm.tasks.labels.data import LEVELS, Codec, LabelColumn, TaskData, encode_examples, one_token
from rnnlm.tasks.labels.evaluation_data import notice_unseen_labels
from rnnlm.tasks.request import Texts, TrainingRequest
from rnnlm.text import tokenizers
from rnnlm.text.corpus import HoldoutSettings
from rnnlm.text.labelled import schemes
from rnnlm.text.labelled.example import LabelledSettings, LabelledText, labels_in
from rnnlm.text.labelled.reading import read_labelled
from rnnlm.text.lines import Block, Progress
from rnnlm.text.tokenizer_settings import TokenizerSettings


@dataclass(frozen=True)
class TaskTokenizerSettings(TokenizerSettings):
    """How words become tokens. Words seen once are unknown ones, so that a network learns what to
    make of those."""

    min_count: Annotated[Count, Meta(description="rarer words or characters are <unk>")] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reversed:
            why = "labels belong to words in their order, and a task's network reads them both ways"
            raise SettingsError(
                "reversed=true is a setting of language models",
                why,
                "leave it out; bidirectional=true is the default",
            )


TEXT_SETTINGS = (TaskTokenizerSettings, LabelledSettings, HoldoutSettings)


def open_texts(
    request: TrainingRequest, resolved: Resolved, kind: registry.Kind, progress: Progress
) -> Texts:
    """Read and encode what a :class:`rnnlm.training.request.Request` asks for. What is found out on
    the way goes into the settings: format and columns of the data, and the settings of a given
    tokenizer."""
    # The training data, which say how the others are read.
    names, resolved = _parts(request, resolved, kind)
    settings = resolved.make(LabelledSettings)
    _check_task(settings, kind.task)
    train = _read(names, "train", request, settings, kind)
    resolved = _with_detected(train, resolved)
    settings = resolved.make(LabelledSettings)

    # The other parts.
    valid, test = (
        _read(names, part, request, settings, kind) if names[part] else None
        for part in ("valid", "test")
    )
    valid_is = ", ".join(map(corpora.title, names["valid"])) or "none"
    if valid is None and (share := resolved.make(HoldoutSettings).holdout):
        train, valid, valid_is = _held_out(train, share)

    # Labels and words as numbers.
    gold = {name: each for name, each in (("valid", valid), ("test", test)) if each is not None}
    learned, labelled = train, gold
    if settings.align:
        train, learned, labelled = sounds.with_labels(train, gold, progress)
    tokenizer, resolved = _tokenizer(request, resolved, learned)
    details = splitting.details_of(train, names["train"], settings)
    codec = _codec(tokenizer, resolved, settings, learned, details)
    for name, text in gold.items():
        notice_unseen_labels(codec, text, {"valid": "validation data", "test": "test data"}[name])
    codec.beside, resolved = contextual.opened(request, resolved)
    others = {name: encode_examples(codec, gold[name], labelled[name]) for name in gold}
    return Texts(
        resolved,
        TaskData(codec, encode_examples(codec, train, learned), others.get("valid")),
        valid_is,
        others.get("test"),
    )


def _check_task(settings: LabelledSettings, task: str) -> None:
    if settings.multi_label and task == "tagging":
        why = "a word has one label of each column"
        raise SettingsError(
            "multi_label is not for tagging", why, "leave it out, or use --task classification"
        )
    if settings.align and task == "classification":
        why = "it gives each letter of a word its sounds"
        raise SettingsError(
            "align is not for classification", why, "leave it out, or use --task tagging"
        )


def _read(
    names: dict[str, tuple[str, ...]],
    part: str,
    request: TrainingRequest,
    settings: LabelledSettings,
    kind: registry.Kind,
) -> LabelledText:
    labels = request.labels if part == "train" else getattr(request, f"{part}_labels")
    return read_labelled(
        names[part], settings, LEVELS[kind.task], labels, aligned=not settings.align
    )


def _parts(
    request: TrainingRequest, resolved: Resolved, kind: registry.Kind
) -> tuple[dict[str, tuple[str, ...]], Resolved]:
    """Return the files of each part, and the settings: those that are named, or those of a bundled
    corpus with its columns."""
    names = {
        "train": request.text or (registry.task(kind.task).usual_corpus,),
        "valid": request.valid,
        "test": request.test,
    }
    # a folder may be a model
    bundled = [corpora.labelled(name) for name in names["train"] if not Path(name).is_file()]
    if not bundled or (corpus := bundled[0]) is None:
        return names, resolved
    name = names["train"][0]
    if len(names["train"]) > 1:
        raise UsageError(
            f"{name} is a bundled corpus, which is trained on alone",
            hint=f"rnnlm train {name} --task {kind.task}",
        )
    if kind.task not in corpus.tasks:
        raise UsageError(
            f"the bundled corpus {name} is not for {kind.task}",
            hint=f"use --task {corpus.tasks[0]}",
        )
    words = corpus.word_columns if kind.task == "tagging" else ()
    told = {
        "column": corpus.column,
        "label_column": ",".join(words or corpus.text_columns),
        "sentence_label_column": ",".join(corpus.text_columns) if words else None,
    }
    columns = {name: value or None for name, value in told.items() if not resolved.is_asked(name)}
    files = {
        part: names[part] if part != "train" and names[part] else (str(getattr(corpus, part)),)
        for part in names
    }
    return files, resolved.with_found("the bundled corpus", columns)


def _with_detected(text: LabelledText, resolved: Resolved) -> Resolved:
    """Return the settings with the format, columns and scheme that were detected in the training
    data, so that all parts are read alike."""
    scheme = next(iter(text.scheme.values()), schemes.NONE)
    same = len(set(text.scheme.values())) <= 1
    told = {
        "format": text.format,
        "label_column": ",".join(text.word_columns) or ",".join(text.text_columns) or None,
        "sentence_label_column": ",".join(text.text_columns)
        if text.word_columns and text.text_columns
        else None,
        "scheme": scheme if same else "auto",
    }
    detected = {
        name: value
        for name, value in told.items()
        if value is not None and resolved.values[name] in (None, "auto")
    }
    resolved = resolved.with_found("the data", detected)

    # The words of --align are letters, which have no characters of their own.
    of_characters = [name for name in resolved.origins if name.startswith("character")]
    is_default = all(resolved.origins[name] == "default" for name in of_characters)
    if resolved.values["align"] and is_default:
        resolved = resolved.with_found("--align", {"characters": None})
    return resolved


def _held_out(text: LabelledText, share: float) -> tuple[LabelledText, LabelledText | None, str]:
    """The text without its last `share`, and that share. Of texts with one label each, which are
    often sorted by label, the share is drawn at random, the same one each time."""
    count = round(len(text.examples) * share)
    if not count or count == len(text.examples):
        notice(
            "there are too few examples to hold some out for validation: the last weights are kept"
        )
        return text, None, "none: there are too few examples"
    if text.word_columns:
        train, held_out = text.examples[:-count], text.examples[-count:]
        return (
            replace(text, examples=train),
            replace(text, examples=held_out),
            f"the last {count:,} examples, held out",
        )
    drawn = set(np.random.default_rng(0).permutation(len(text.examples))[:count].tolist())
    train, held_out = (
        tuple(each for place, each in enumerate(text.examples) if (place in drawn) == is_held)
        for is_held in (False, True)
    )
    return (
        replace(text, examples=train),
        replace(text, examples=held_out),
        f"{count:,} examples drawn at random, held out",
    )


def _codec(
    tokenizer: Tokenizer, resolved: Resolved, settings: LabelledSettings, train: LabelledText,
    details: dict[str, Any]
) -> Codec:  # fmt: skip
    if resolved.values.get("characters"):
        tokenizer = tokenizer.spelling()
    is_chained = resolved.values.get("output_layer") == "crf" or resolved.values.get("constrained")
    columns: list[LabelColumn] = []
    for place, name in enumerate(train.word_columns):
        rows = [(each.word_labels[place], each.words) for each in train.examples]
        scheme = train.scheme.get(name, schemes.NONE)
        inner = schemes.BIOES if is_chained and scheme != schemes.NONE else scheme
        form = codecs.SOUNDS if settings.align else codecs.EDIT if name == "lemma" else codecs.PLAIN
        columns.append(codecs.column_of(name, codecs.WORD, rows, scheme, inner, form))
    form = codecs.MULTI if settings.multi_label else codecs.PLAIN
    for place, name in enumerate(train.text_columns):
        rows = [
            (
                labels_in(each.text_labels[place])
                if settings.multi_label
                else (each.text_labels[place],),
                (),
            )
            for each in train.examples
        ]
        columns.append(codecs.column_of(name, codecs.TEXT, rows, schemes.NONE, schemes.NONE, form))
    return Codec(tokenizer, columns, details)


def _tokenizer(
    request: TrainingRequest, resolved: Resolved, train: LabelledText
) -> tuple[Tokenizer, Resolved]:
    """Make a tokenizer of the training data, or load the given one. Return it, and the settings
    with its own."""
    source = request.tokenizer_from or request.init_from
    if source is None:
        lines = [" ".join(map(one_token, each.words)) for each in train.examples]
        made = tokenizers.train(resolved.make(TaskTokenizerSettings), [Block(lines, [])])
        return made, resolved
    tokenizer = loading.load_tokenizer(source).in_direction(False)
    return tokenizer, resolved.with_found(f"tokenizer of {source}", tokenizer.to_settings())

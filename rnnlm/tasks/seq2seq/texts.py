"""Read the data of an encoder-decoder's training run: pairs, those held out, and all of them as
numbers."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

import rnnlm.corpora as corpora
from rnnlm.config import Resolved
from rnnlm.errors import TextError, UsageError, notice
from rnnlm.models import registry
from rnnlm.tasks.line_texts import examples_in_train
from rnnlm.tasks.request import Texts, TrainingRequest
from rnnlm.tasks.seq2seq.data import PairTrainingData, encode_pairs, make_codec
from rnnlm.tasks.seq2seq.settings import Seq2SeqFittingSettings
from rnnlm.text.batches import is_surely_short
from rnnlm.text.lines import HoldoutSettings, Progress
from rnnlm.text.pairs import ParallelSettings, ParallelText, read_pairs
from rnnlm.text.sources import settings_for


def open_texts(
    request: TrainingRequest, resolved: Resolved, kind: registry.Kind, progress: Progress
) -> Texts:
    """Read and encode the data of a :class:`rnnlm.training.request.Request`. What is found on the
    way goes into the settings: format and columns of the data, and the settings of given
    tokenizers."""
    # The training data say how the others are read, which may be in another format.
    names = _parts(request)
    train = read_pairs(names["train"], resolved.make(ParallelSettings), _targets(request.target))
    resolved = _with_columns(train, resolved)
    settings = resolved.make(ParallelSettings)
    if train.format == "parallel":
        settings = replace(settings, format="auto")
    valid = _read(names["valid"], settings, request.valid_target)
    test = _read(names["test"], settings, request.test_target)

    # Without validation data, a share of the training data is held out for it.
    valid_is = ", ".join(map(corpora.title, names["valid"])) or "none"
    share = resolved.make(HoldoutSettings).holdout
    is_named = valid is not None
    if not is_named and share:
        train, valid, valid_is = _held_out(train, share)

    # Tokenizers are made from the training data alone.
    details = {"spelled": is_spelled(train), "column": train.source_name}
    codec, resolved = make_codec(request, resolved, train, details)

    # Very long pairs would take the memory of a whole batch. All that is evaluated on is kept.
    longest = resolved.make(Seq2SeqFittingSettings).longest
    encoded = encode_pairs(codec, train, longest)
    if not encoded.sentences:
        raise TextError(
            "no pairs are left to train on",
            f"all have more than {longest:,} tokens",
            "raise longest",
        )
    left_out = sum(len(each.references) for each in train.pairs) - encoded.sentences
    if left_out:
        notice(
            f"{left_out:,} training pairs have more than {longest:,} tokens on a side and are "
            f"left out (longest={longest})"
        )
    others = {"valid": valid, "test": test}
    evaluated = {name: encode_pairs(codec, text) for name, text in others.items() if text}
    data = PairTrainingData(codec, encoded, evaluated.get("valid"))
    holds_out = valid is not None and not is_named
    compared = {name: _lines(text) for name, text in others.items() if text}
    overlaps = examples_in_train(_lines(train), compared, codec.source.keeps_case, holds_out)
    return Texts(resolved, data, valid_is, evaluated.get("test"), holds_out, overlaps)


def _lines(text: ParallelText) -> tuple[str, list[str]]:
    """Return the hash of a text, and its sources."""
    return text.content_hash, [pair.source for pair in text.pairs]


def is_spelled(text: ParallelText) -> bool:
    """Return whether the sources are spelled: letters split by spaces."""
    for pair in text.pairs:
        if any(len(word) > 1 for word in pair.source.split()):
            return False
    return any(" " in pair.source for pair in text.pairs)


def _targets(files: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Return the target files of the training text, one for each of its files."""
    return (files,) if files else ()


def _read(
    names: tuple[str, ...], settings: ParallelSettings, targets: tuple[str, ...]
) -> ParallelText | None:
    """Read a text that is evaluated on; None where none is named. targets: files, each of them one
    reference."""
    if not names:
        return None
    # Files of targets have no columns.
    if targets:
        settings = replace(settings, format="auto", column=None, target_column=None)
    else:
        settings = ParallelSettings(**settings_for(names, asdict(settings)))
    return read_pairs(names, settings, [(each,) for each in targets])


def _parts(request: TrainingRequest) -> dict[str, tuple[str, ...]]:
    """Return the files of each part: those that are named, or those of a bundled corpus."""
    names = {
        "train": request.text or (registry.task("seq2seq").usual_corpus,),
        "valid": request.valid,
        "test": request.test,
    }
    name = names["train"][0]
    if Path(name).is_file() or name not in corpora.names():
        return names
    corpus = corpora.paired(name)
    if corpus is None:
        task = corpora.TASKS[name][0]
        if task == registry.LANGUAGE_MODEL:
            hint = "leave `task` out"
        else:
            hint = f'use `task="{task}"`'
        raise UsageError(f"the bundled corpus {name} is not for seq2seq", hint=hint)
    if len(names["train"]) > 1:
        raise UsageError(
            f"{name} is a bundled corpus, which cannot be combined with other texts",
            hint=f"rnnlm train {name} --task seq2seq",
        )

    # Files that are named replace its other parts.
    files = {}
    for part in names:
        files[part] = names[part]
        if part == "train" or not names[part]:
            files[part] = (str(getattr(corpus, part)),)
    return files


def _with_columns(text: ParallelText, resolved: Resolved) -> Resolved:
    """Return the settings with the columns that were detected in the training data, so that all
    parts are read alike, whatever the format of each."""
    if text.format == "parallel":
        return resolved
    columns = {"column": text.source_name, "target_column": text.target_name}
    detected = {name: value for name, value in columns.items() if not resolved.is_asked(name)}
    return resolved.with_found("the data", detected)


def _held_out(text: ParallelText, share: float) -> tuple[ParallelText, ParallelText | None, str]:
    """Return the text without a share of its sources, that share, and what it is. Sources are drawn
    at random, the same ones each time; pairs of one source stay together. Long ones, which perhaps
    cannot be read, are not drawn."""
    short = [pair.source for pair in text.pairs if is_surely_short(pair.source, *pair.references)]
    sources = list(dict.fromkeys(short))
    count = max(1, round(len(sources) * share))
    if count >= len(sources):
        notice("there are too few pairs to hold some out for validation: the last weights are kept")
        return text, None, "none: there are too few pairs"
    order = np.random.default_rng(0).permutation(len(sources)).tolist()
    drawn = {sources[place] for place in order[:count]}
    kept = tuple(pair for pair in text.pairs if pair.source not in drawn)
    held = tuple(pair for pair in text.pairs if pair.source in drawn)
    return (
        replace(text, pairs=kept),
        replace(text, pairs=held),
        f"{len(held):,} pairs drawn at random, held out",
    )

"""The data of an encoder-decoder's training run: pairs read, held out, and encoded; and the figures
at the end."""

from dataclasses import replace
from pathlib import Path

import numpy as np

import rnnlm.corpora as corpora
from rnnlm.config import Resolved
from rnnlm.errors import TextError, UsageError, notice
from rnnlm.models import registry
from rnnlm.tasks.request import Texts, TrainingRequest
from rnnlm.tasks.seq2seq.data import (
    PairTrainingData,
    SourceTokenizerSettings,
    TargetTokenizerSettings,
    check_target,
    encode_pairs,
    make_codec,
)
from rnnlm.tasks.seq2seq.settings import Seq2SeqFittingSettings
from rnnlm.text.corpus import HoldoutSettings
from rnnlm.text.lines import Progress
from rnnlm.text.pairs import ParallelSettings, ParallelText, read_pairs

TEXT_SETTINGS = (
    SourceTokenizerSettings,
    TargetTokenizerSettings,
    ParallelSettings,
    HoldoutSettings,
)


def open_texts(
    request: TrainingRequest, resolved: Resolved, kind: registry.Kind, progress: Progress
) -> Texts:
    """Read and encode what a :class:`rnnlm.training.request.Request` asks for. What is found out on
    the way goes into the settings: format and columns of the data, and the settings of given
    tokenizers."""
    names = _parts(request)
    train = read_pairs(names["train"], resolved.make(ParallelSettings), _targets(request.target))
    resolved = _with_columns(train, resolved)
    settings = resolved.make(ParallelSettings)
    if train.format == "parallel":  # other parts may be in another format
        settings = replace(settings, format="auto")
    valid, test = (
        _read(names[part], settings, getattr(request, f"{part}_target"))
        for part in ("valid", "test")
    )
    valid_is = ", ".join(map(corpora.title, names["valid"])) or "none"
    if valid is None and (share := resolved.make(HoldoutSettings).holdout):
        train, valid, valid_is = _held_out(train, share)
    codec, resolved = make_codec(
        request, resolved, train, {"spelled": is_spelled(train), "column": train.source_name}
    )
    check_target(codec.target)
    longest = resolved.make(Seq2SeqFittingSettings).longest
    encoded = encode_pairs(codec, train, longest)
    if not encoded.sentences:
        raise TextError(
            "no pairs are left to train on",
            f"all have more than {longest:,} tokens",
            "raise longest",
        )
    if left_out := sum(len(each.references) for each in train.pairs) - encoded.sentences:
        notice(
            f"{left_out:,} training pairs have more than {longest:,} tokens on a side and are "
            f"left out (longest={longest})"
        )
    others = [None if each is None else encode_pairs(codec, each) for each in (valid, test)]
    return Texts(resolved, PairTrainingData(codec, encoded, others[0]), valid_is, others[1])


def is_spelled(text: ParallelText) -> bool:
    """Whether the sources are spelled: letters split by spaces."""
    return all(len(each) == 1 for pair in text.pairs for each in pair.source.split()) and any(
        " " in each.source for each in text.pairs
    )


def _targets(files: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The target files of the training text, one for each of its files."""
    return (files,) if files else ()


def _read(
    names: tuple[str, ...], settings: ParallelSettings, targets: tuple[str, ...]
) -> ParallelText | None:
    """A text that is evaluated on; None where none is named. targets: files, each of them one
    reference."""
    if not names:
        return None
    if targets:  # which have no columns
        settings = replace(settings, format="auto", column=None, target_column=None, delimiter=None)
    return read_pairs(names, settings, [(each,) for each in targets])


def _parts(request: TrainingRequest) -> dict[str, tuple[str, ...]]:
    """The files of each part: those that are named, or those of a bundled corpus."""
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
        hint = "leave --task out" if task == registry.LANGUAGE_MODEL else f"use --task {task}"
        raise UsageError(f"the bundled corpus {name} is not for seq2seq", hint=hint)
    if len(names["train"]) > 1:
        raise UsageError(
            f"{name} is a bundled corpus, which is trained on alone",
            hint=f"rnnlm train {name} --task seq2seq",
        )
    return {
        part: names[part] if part != "train" and names[part] else (str(getattr(corpus, part)),)
        for part in names
    }


def _with_columns(text: ParallelText, resolved: Resolved) -> Resolved:
    """Return the settings with the columns that were detected in the training data, so that all
    parts are read alike, whatever the format of each."""
    if text.format == "parallel":
        return resolved
    columns = {"column": text.source_name, "target_column": text.target_name}
    detected = {name: value for name, value in columns.items() if not resolved.is_asked(name)}
    return resolved.with_found("the data", detected)


def _held_out(text: ParallelText, share: float) -> tuple[ParallelText, ParallelText | None, str]:
    """The text without a share of its sources, drawn at random, the same ones each time, and that
    share. Pairs of one source stay together."""
    sources = list(dict.fromkeys(each.source for each in text.pairs))
    count = round(len(sources) * share)
    if not count or count == len(sources):
        notice("there are too few pairs to hold some out for validation: the last weights are kept")
        return text, None, "none: there are too few pairs"
    drawn = {
        sources[place]
        for place in np.random.default_rng(0).permutation(len(sources))[:count].tolist()
    }
    train, held_out = (
        tuple(each for each in text.pairs if (each.source in drawn) == is_held)
        for is_held in (False, True)
    )
    return (
        replace(text, pairs=train),
        replace(text, pairs=held_out),
        f"{len(held_out):,} pairs drawn at random, held out",
    )

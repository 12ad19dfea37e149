"""Pairs that a model is evaluated on: read as its training data were, unless something else is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import rnnlm.corpora as corpora
from rnnlm.config import Layer, from_stored, resolve
from rnnlm.errors import TextError, UsageError
from rnnlm.models.manifest import read_manifest
from rnnlm.tasks.seq2seq.data import PairedData, encode_pairs
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.text.marks import count_marks, tell_unseen
from rnnlm.text.parallel.pair import ParallelText
from rnnlm.text.parallel.reading import read_pairs
from rnnlm.text.parallel.settings import ParallelSettings

PARALLEL = "parallel"
Pathname = str | PathLike[str]


def open_pairs(
    model: Seq2SeqModel, paths: Sequence[Pathname], target: Sequence[Pathname] = (), overrides: Mapping[str, Any] | None = None,
    called: str = "",
) -> PairedData:  # fmt: skip
    """The pairs of some files as `model` reads them. A bundled corpus is named, and stands for its test part.

    target: files with the targets, line by line, where these are in files of their own: one for each of `paths`, and as many again for
    each further reference. overrides: settings of :class:`~rnnlm.text.parallel.settings.ParallelSettings` that are not to be those of the
    training data. called: the model, in notices.

    Raises:
        TextError: a file cannot be read, lacks a column, or has another number of lines than its target. UsageError: the targets are not
            as many as the files. ModelError: the model's folder is damaged.
    """
    if len(target) % len(paths):
        why = f"there are {len(paths)} of sources and {len(target)} of targets"
        raise UsageError("the files do not go together", why, "name one target for each source, or as many again for more references")
    references = [target[start : start + len(paths)] for start in range(0, len(target), len(paths))]
    bundled = next((found for path in paths if (found := _bundled(path))), None)
    settings = _settings(model, bool(target), overrides or {}, bundled)
    files = [path if (corpus := _bundled(path)) is None else corpus.test for path in paths]
    return encoded_pairs(model, read_pairs(files, settings, references), called)


def encoded_pairs(model: Seq2SeqModel, text: ParallelText, called: str = "") -> PairedData:
    """The pairs of a text as the model reads them; a notice names marks, such as quotes of some form, that its tokenizers never saw.

    Raises:
        TextError: there are none.
    """
    if not text.pairs:
        raise TextError("there are no pairs to read", "the text is empty")
    name = called or "the model"
    codec = model.codec
    tell_unseen(count_marks(each.source for each in text.pairs), {f"what {name} reads": codec.source})
    targets = (reference for each in text.pairs for reference in each.references)
    tell_unseen(count_marks(targets), {f"what {name} writes": codec.target})
    return encode_pairs(codec, text)


def _bundled(path: Pathname) -> corpora.Paired | None:
    """The bundled corpus of that name. A file of that name comes first; a folder is no data, but perhaps a model."""
    return None if Path(path).is_file() else corpora.paired(str(path))


def _settings(model: Seq2SeqModel, has_targets: bool, overrides: Mapping[str, Any], bundled: corpora.Paired | None) -> ParallelSettings:
    """How the model's training data were read, but for what is asked for; a model in memory knows nothing of that."""
    stored: dict[str, Any] = {}
    if model.origin is not None:
        stored = asdict(from_stored(ParallelSettings, read_manifest(Path(model.origin[0])).settings))
    if bundled is not None:
        stored |= {"format": "auto", "column": bundled.column, "target_column": bundled.target_column, "delimiter": None}
    asked = {name: value for name, value in overrides.items() if value is not None}
    if has_targets or stored.get("format") == PARALLEL:
        asked = {"format": PARALLEL if has_targets else "auto", **asked}
    if asked.get("format", stored.get("format")) != stored.get("format"):  # columns of another format have other names
        stored = {name: value for name, value in stored.items() if "column" not in name}
    return resolve([ParallelSettings], [Layer("the model", stored), Layer("what is asked for", asked)]).make(ParallelSettings)

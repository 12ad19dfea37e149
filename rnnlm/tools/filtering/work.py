"""Do the tasks of a filter: read, judge and write a shard; compute the perplexities of a reference.

A task takes paths and numbers and returns names and counts, so that any executor can run it whose
workers see the files under the same names. Its files have new names, until the process that owns
the folder gives them their own: a task that is killed, late or run twice changes nothing.
"""

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from rnnlm.errors import RnnlmWarning, TextError
from rnnlm.interface import LanguageModel
from rnnlm.lm.base.loading import NamedModel, load_all
from rnnlm.parallel import in_threads
from rnnlm.storage.files.writing import unfinished, writing
from rnnlm.system import one_processor
from rnnlm.text.line_forms import tell_unspaced
from rnnlm.text.unknown_words import MOST_UNKNOWN
from rnnlm.tools.filtering.judging import Documents, Judge, document_scores, perplexities
from rnnlm.tools.filtering.settings import FilterRule
from rnnlm.tools.filtering.shards import (
    Columns,
    DocumentChunk,
    ShardOutput,
    ShardReadSettings,
    added_columns,
    open_shard,
)

T = TypeVar("T")


@dataclass(frozen=True)
class FilterSetup:
    """The data that all tasks of a run share. threads: of each task."""

    models: tuple[NamedModel, ...]
    device: str
    rule: FilterRule
    reading: ShardReadSettings
    perplexity_column: str
    threads: int = 1


@dataclass(frozen=True)
class ShardCounts:
    """The counts of a shard. files: by group, the names of the written files, until they are put in
    their places. documents, words: by group; the ones outside the thresholds and the empty ones
    come last. notices: for people."""

    files: dict[str, str]
    documents: tuple[int, ...]
    words: tuple[int, ...]
    text_bytes: int
    seconds: float
    notices: tuple[str, ...] = ()


def try_shard(work: FilterSetup, source: str, folder: str) -> ShardCounts | TextError:
    """Filter a shard, as :func:`filter_shard` does; return the error if it cannot be read, so that
    the others go on."""
    try:
        return filter_shard(work, source, folder)
    except TextError as error:
        return error


def filter_shard(work: FilterSetup, source: str, folder: str) -> ShardCounts:
    """Write the documents of a shard that are kept into `folder`, by group, under new names."""
    began = time.perf_counter()
    rule = work.rule
    shard = open_shard(source, work.reading)
    paths = rule.layout.paths(Path(folder), Path(source).name)
    judge = Judge(_models(work), rule)

    groups = len(rule.groups) + 2  # two more: outside, and empty
    documents, words = np.zeros(groups), np.zeros(groups)
    text_bytes = 0
    outputs: dict[str, ShardOutput] = {}
    names: dict[str, str] = {}
    with _collecting_notices() as notices, contextlib.ExitStack() as files:
        for chunk, verdicts in _judged(shard.chunks(), judge, work):
            if not text_bytes:
                tell_unspaced(chunk.documents.lines[:MOST_UNKNOWN], "words are counted as phrases")
            documents += np.bincount(verdicts.group_D, minlength=groups)
            words += np.bincount(verdicts.group_D, verdicts.words_D, minlength=groups)
            text_bytes += len(chunk.documents.data)
            columns: Columns = {}
            if shard.has_columns:
                columns = added_columns(verdicts, rule, work.perplexity_column)

            for group, path in paths.items():
                chosen = np.flatnonzero(verdicts.group_D == rule.groups.index(group))
                if not len(chosen):
                    continue
                # A file is made when there is something to write.
                if group not in outputs:
                    stream = files.enter_context(_unfinished(path))
                    outputs[group] = shard.output(stream)
                    names[group] = Path(stream.name).name
                with writing(path):
                    outputs[group].write(chunk.chosen(chosen, columns))

        # The ends of all files, before any of them is closed.
        for group, output in outputs.items():
            with writing(paths[group]):
                output.finish()
    return ShardCounts(
        files=names,
        documents=tuple(documents.astype(int).tolist()),
        words=tuple(words.astype(int).tolist()),
        text_bytes=text_bytes,
        seconds=time.perf_counter() - began,
        notices=tuple(notices),
    )


@contextlib.contextmanager
def _unfinished(path: Path) -> Iterator[BinaryIO]:
    with writing(path):
        path.parent.mkdir(exist_ok=True)
        with unfinished(path) as stream:
            yield stream


def reference_perplexities(work: FilterSetup, source: str, target: str) -> str:
    """Write the perplexities of a reference's documents, as float64, to a file of a new name beside
    `target`. Return its name."""
    model, *_ = _models(work).values()  # not the general one

    def known_perplexities(documents: Documents) -> np.ndarray:
        perplexity_D = perplexities(*document_scores(model, documents))
        return perplexity_D[~np.isnan(perplexity_D)]

    shard = open_shard(source, work.reading)
    path = Path(target)
    with _collecting_notices(), writing(path), unfinished(path, is_lasting=False) as stream:
        for _, perplexity_D in _judged(shard.chunks(), known_perplexities, work):
            stream.write(perplexity_D.tobytes())
    return Path(stream.name).name


def _judged(
    chunks: Iterator[DocumentChunk], judge: Callable[[Documents], T], work: FilterSetup
) -> Iterator[tuple[DocumentChunk, T]]:
    """Yield each chunk with the result of `judge` for its documents, in order."""

    def judged(chunk: DocumentChunk) -> tuple[DocumentChunk, T]:
        return chunk, judge(chunk.documents)

    with one_processor() if work.threads == 1 else contextlib.nullcontext():
        yield from in_threads(judged, chunks, work.threads)


@contextlib.contextmanager
def _collecting_notices() -> Iterator[list[str]]:
    """Collect the notices of this context: a worker cannot show them."""
    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RnnlmWarning)
        yield messages
    messages += [
        str(warning.message) for warning in caught if issubclass(warning.category, RnnlmWarning)
    ]


def _models(work: FilterSetup) -> dict[str, LanguageModel]:
    """Return the models of a run, by language."""
    labels = [model.label for model in work.models]
    return dict(zip(labels, load_all(work.models, work.device), strict=True))

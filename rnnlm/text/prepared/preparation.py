"""The work itself: tokenizer, then shard after shard, each event told as it happens."""

import itertools
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rnnlm.files import lock
from rnnlm.text.lines import no_text
from rnnlm.text.prepared.collecting import Collector, FullShard
from rnnlm.text.prepared.events import Encoding, Event, Prepared, Sampled, Sampling
from rnnlm.text.prepared.index import Index, Sample
from rnnlm.text.prepared.messages import Learn, Learned, Setup
from rnnlm.text.prepared.pieces import Piece, Position, is_read_once, pieces
from rnnlm.text.prepared.prepared_text import tokenizer_files
from rnnlm.text.prepared.request import Request, Task, resolve_request
from rnnlm.text.prepared.tokenizer_sample import LENIENT, sampled, start_of, way_of
from rnnlm.text.prepared.workers import Workers, learn
from rnnlm.text.prepared.writer import add_shard, begin, begun, check_output, finish, is_finished


def prepare(text: str | Path | list[str], output: str | Path, **request: Any) -> Iterator[Event]:
    """Make a text into a folder of token ids that :func:`rnnlm.train` reads without loading it; the events of the work, as it lasts.

    The keywords are those of :class:`rnnlm.text.prepared.request.Request`; other ones are settings of tokenizer and text:
    `prepare("text.txt", "prepared", workers=4, max_vocab=50_000)`.

    Raises:
        RnnlmError: the request contradicts itself, the text cannot be read, the folder cannot be written, a worker died.
    """
    names = (str(text),) if isinstance(text, (str, Path)) else tuple(map(str, text))
    known = {name: request.pop(name) for name in Request.__dataclass_fields__ if name in request}
    flags = {**known.pop("flags", {}), **request}
    yield from run(Request(names, Path(output), flags=flags, **known))


def run(request: Request) -> Iterator[Event]:
    """As :func:`prepare`."""
    began = time.perf_counter()
    task = resolve_request(request)
    check_output(request.output, request.resume, request.overwrite)
    with lock.held(request.output, ".", "preparation"):
        index = begun(request.output, task.identity()) if request.resume else None
        if index is None or not is_finished(request.output):
            index = yield from _finish(task, index, began)
    yield _prepared(request.output, index, began)


def _finish(task: Task, index: Index | None, began: float) -> Iterator[Event]:
    """All that is not done yet; the index of all."""
    position = Position(task.names)
    every = pieces(task.names, task.source, task.text.encoding_errors, position)
    if index is None:
        sample, every = _sample_of(task, every)
        index = yield from _begin(task, sample, began)
    index = yield from _encode(task, index, every, position)
    if not index.counts.lines:
        raise no_text(task.names)
    finish(task.request.output, index)
    return index


def _sample_of(task: Task, every: Iterator[Piece]) -> tuple[Iterable[Piece], Iterator[Piece]]:
    """The pieces that the vocabulary is made of, and all pieces: of what can be read once only, the sample is kept."""
    if task.tokenizer is not None:
        return (), every
    if not any(map(is_read_once, task.names)):
        return sampled(task.names, task.source, task.text, _how(task), task.sample_bytes), every
    held, size = [], 0
    for piece in every:
        held.append(piece)
        size += len(piece)
        if size >= task.sample_bytes:
            break
    return start_of(iter(held), task.sample_bytes), itertools.chain(held, every)


def _how(task: Task) -> str:
    return way_of(task.names, task.source, task.sample_bytes)


def _begin(task: Task, sample: Iterable[Piece], began: float) -> Iterator[Event]:
    """Make the tokenizer, and write it; the index so far."""
    if task.tokenizer is not None:
        how, size, tokenizer = str(task.request.tokenizer_from), [0], Learned.of(task.tokenizer, [])
    else:
        how, size = _how(task), [0]
        yield Sampling(how, task.sample_bytes)
        text = replace(task.text, **LENIENT) if how == "even" else task.text
        asked = Learn(asdict(text), asdict(task.tokenizer_settings))
        tokenizer = learn(asked, _counted(sample, size), in_worker=task.workers > 0)
    index = begin(task.request.output, task.identity(), task.text, tokenizer, Sample(how, size[0]))
    described = f"{index.tokenizer['tokenizer']}:{tokenizer.fingerprint}"
    yield Sampled(how, size[0], described, tokenizer.size, time.perf_counter() - began)
    return index


def _counted(sample: Iterable[Piece], size: list[int]) -> Iterator[Piece]:
    for piece in sample:
        size[0] += len(piece)
        yield piece


def _encode(task: Task, index: Index, every: Iterator[Piece], position: Position) -> Iterator[Event]:
    """Encode and write what is not there yet; the index with all shards. A shard is written while the next one is filled."""
    collector = Collector(index.shards, task.text.blank_lines == "documents")
    setup = Setup(asdict(task.text), index.tokenizer, tokenizer_files(task.request.output, index))
    progress = _Progress(position)
    with Workers(task.workers, setup) as workers, ThreadPoolExecutor(1) as writer:
        writing: Future[Index] = writer.submit(lambda: index)
        for piece, encoded in workers.encode_all(every, collector.wants_ids):
            if encoded.arrays is None and not collector.passes_over(encoded):
                encoded = workers.encode_again(piece)
            is_skipping = not collector.wants_ids()
            for shard in collector.add(encoded):
                writing = _next_shard(task, writer, writing, shard)
            yield progress.event(collector, is_skipping)
        for shard in collector.rest():
            writing = _next_shard(task, writer, writing, shard)
        return writing.result()


def _next_shard(task: Task, writer: ThreadPoolExecutor, writing: "Future[Index]", shard: FullShard) -> "Future[Index]":
    """Write `shard` when the one before is written."""
    return writer.submit(add_shard, task.request.output, writing.result(), shard)


class _Progress:
    """How fast the work goes, and how long it will take."""

    def __init__(self, position: Position) -> None:
        self.position = position
        self.began = time.perf_counter()

    def event(self, collector: Collector, is_skipping: bool) -> Encoding:
        seconds, share = time.perf_counter() - self.began, self.position.share
        left = seconds * (1 - share) / share if share else None
        return Encoding(
            collector.text_bytes, collector.tokens, collector.shards, share, seconds, collector.text_bytes / seconds, left, is_skipping
        )


def _prepared(folder: Path, index: Index, began: float) -> Prepared:
    counts = index.counts
    return Prepared(
        str(folder), counts.lines, counts.documents, counts.tokens, counts.words, counts.oov_words, counts.characters, counts.bytes,
        len(index.shards), sum(shard.file_bytes for shard in index.shards), index.vocabulary_size, index.lines_hash,
        time.perf_counter() - began,
    )  # fmt: skip

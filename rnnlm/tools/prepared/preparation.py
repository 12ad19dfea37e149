"""Prepare a text: make a tokenizer, then shard after shard. Each step is reported as an event, a
frozen value."""

import functools
import itertools
import os
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from rnnlm import system
from rnnlm.amounts import amount, plural
from rnnlm.checks import several
from rnnlm.config import (
    AUTO,
    DEFAULT,
    USER,
    ResolvedSettings,
    SettingsLayer,
    SettingValue,
    check_needs,
    resolve,
)
from rnnlm.errors import SettingsError, UsageError, keyword, notice
from rnnlm.interface import Tokenizer
from rnnlm.parallel import TICK_SECONDS, WorkerPool, inline_pool, process_pool, thread_pool
from rnnlm.storage.files import lock
from rnnlm.storage.files.folder import check_place
from rnnlm.storage.files.reading import STANDARD_INPUT
from rnnlm.storage.files.resuming import (
    NextStep,
    merged,
    next_step,
    settings_identity,
    tell_finished,
    text_signatures,
)
from rnnlm.text import sources
from rnnlm.text.corpus import Border
from rnnlm.text.encoding import MOST_THREADS
from rnnlm.text.lines import TextSettings, lines_of, no_text
from rnnlm.text.samples import judged, lines_looked_at, sampling_method
from rnnlm.text.tokenizer_settings import NewTokenizerSettings, TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import MemoryLimit, VocabularyCheck, accept_any_size
from rnnlm.tools.prepared.index import PreparedIndex, TokenizerSample, read_index
from rnnlm.tools.prepared.prepared_text import load_tokenizer, tokenizer_files
from rnnlm.tools.prepared.shards import (
    SHARD_BYTES,
    Collector,
    EncodedPiece,
    FullShard,
    PieceEncoder,
    Position,
    RawPiece,
    TokenizerFiles,
    add_shard,
    begin,
    begun,
    block_of,
    finish,
    foreign,
    found,
    is_read_once,
    pieces,
    remove_unnamed,
)
from rnnlm.tools.prepared.tokenizer_sample import FileSample, learn, lenient, start_of

# ---- A request to `prepare`, with every setting resolved.

SAMPLES = {"sentencepiece": "10M"}  # it takes about thirty times the memory of its text
SAMPLE = "32M"
ALL = "all"
MOST_WORKERS = 1024


@dataclass(frozen=True)
class PreparationRequest:
    """A request and its settings.

    shared_tokenizer: encodes the text; None: one is made from a sample. tokenizer_name: its origin,
    for the record. sample: bytes of text that the vocabulary is made from, such as 32M, or "all",
    which reads the text twice. workers: processes that encode; None: one for each processor, 0: no
    other process.
    """

    text: tuple[str, ...]
    output: Path
    assignments: dict[str, str] = field(default_factory=dict)
    flags: dict[str, Any] = field(default_factory=dict)
    shared_tokenizer: Tokenizer | None = None
    tokenizer_name: str = "given"
    sample: str | None = None
    workers: int | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class PreparationJob:
    """A request with every setting resolved.

    sample_bytes: None: the vocabulary is made from all of the text, but for the last share of it
    that is `held_out`. bounds: None: memory is not limited.
    """

    request: PreparationRequest
    names: list[str]
    text: TextSettings
    source: sources.SourceSettings
    tokenizer_settings: TokenizerSettings
    sample_bytes: int | None
    workers: int
    held_out: float = 0.0
    bounds: "ResourceLimits | None" = None

    @functools.cached_property
    def identity(self) -> dict[str, str]:
        """The facts that must be the same for the work to resume."""
        shared = self.request.shared_tokenizer
        if shared is not None:
            made = {"tokenizer_from": shared.fingerprint}
        else:
            sample = ALL if self.sample_bytes is None or self.bounds else str(self.sample_bytes)
            made = merged(settings_identity(self.tokenizer_settings), {"sample": sample})
        return merged(
            text_signatures(self.names),
            settings_identity(self.source, self.text),
            made,
            {
                "held_out": str(self.held_out),
                "shard_bytes": str(SMALL_SHARD_BYTES if self.bounds else SHARD_BYTES),
            },
        )


def resolve_request(request: PreparationRequest) -> PreparationJob:
    """Return the request with every setting resolved and its sources found. An error names the
    fault."""
    # The request must not contradict itself.
    if not request.text:
        raise UsageError("there is no text to prepare", hint="name files, -, or hf:OWNER/NAME")
    if request.workers is not None and not 0 <= request.workers <= MOST_WORKERS:
        raise SettingsError(
            f"workers = {request.workers} is not valid", f"it must be from 1 to {MOST_WORKERS}"
        )
    layers = [
        SettingsLayer(USER, request.assignments, is_text=True),
        SettingsLayer(USER, request.flags),
    ]
    keywords = [field.name for field in fields(request)]
    resolved = resolve(
        (NewTokenizerSettings, TextSettings, sources.SourceSettings), layers, keywords
    )
    check_needs(resolved)

    # A tokenizer that exists allows no other settings.
    if request.shared_tokenizer is not None:
        _check_tokenizer(request.shared_tokenizer, request.sample, resolved)

    # Find the text, and warn of likely mistakes.
    names = sources.expand(request.text)
    sources.warn_of_repeats(names)
    if names.count("-") > 1:
        raise UsageError("standard input is named twice", "it can be read only once")
    settings = resolved.make(NewTokenizerSettings)
    source = resolved.make(sources.SourceSettings)
    sources.tell_of_text_files(names, source)

    default_sample = SAMPLES.get(settings.tokenizer, SAMPLE)
    sample = default_sample if request.sample is None else request.sample
    is_all = sample == ALL
    if is_all:
        _check_read_again(names)
    return PreparationJob(
        request,
        names,
        resolved.make(TextSettings),
        source,
        settings,
        sample_bytes=None if is_all else system.parse_size(sample, "sample"),
        workers=system.processors() if request.workers is None else request.workers,
    )


def _check_read_again(names: Sequence[str]) -> None:
    """Make sure that the text can be read twice."""
    for name in filter(is_read_once, names):
        raise UsageError(
            f"{'standard input' if name == STANDARD_INPUT else name} can be read only once",
            "building a vocabulary from the whole text reads it twice",
            "write the text to a file first",
        )


def _check_tokenizer(tokenizer: Tokenizer, sample: str | None, resolved: ResolvedSettings) -> None:
    """Make sure that no setting asks for another tokenizer than the one that exists already."""
    if sample is not None:
        raise UsageError(
            keyword("tokenizer_from") + " and " + keyword("sample") + " cannot be combined",
            "that tokenizer already exists",
            "leave one of them out",
        )
    for name, value in tokenizer.to_settings().items():
        is_left = resolved.origins[name] == DEFAULT or resolved.values[name] == AUTO
        if not is_left and resolved.values[name] != value:
            raise UsageError(
                keyword("tokenizer_from") + f" has {name} = {value}",
                f"{resolved.values[name]} was requested",
                "leave one of them out",
            )


# ---- The work itself.


@dataclass(frozen=True)
class Sampling:
    """A tokenizer is being made from a sample.

    Attributes:
        how: The sample is "all" of the text, "even" stretches of it, or its "start".
        bytes: Requested size of the sample, in bytes; 0 if it is not known.
    """

    how: str
    bytes: int


@dataclass(frozen=True)
class CountingWords:
    """Progress of counting the words of the whole text.

    Attributes:
        share: Share of the text that is done, 0 to 1; None if its length is not known beforehand.
        seconds: Time since counting began, in seconds.
        seconds_left: Seconds until the count ends; None while unknown.
    """

    share: float | None
    seconds: float
    seconds_left: float | None


@dataclass(frozen=True)
class Sampled:
    """The tokenizer is ready.

    Attributes:
        how: The sample, as in :class:`Sampling`, or the model that the tokenizer comes from.
        bytes: Size of the sample, in bytes.
        tokenizer: Kind and fingerprint of the tokenizer, as KIND:FINGERPRINT.
        vocabulary_size: Number of tokens of the vocabulary.
        seconds: Duration, in seconds.
    """

    how: str
    bytes: int
    tokenizer: str
    vocabulary_size: int
    seconds: float


@dataclass(frozen=True)
class Encoding:
    """Progress of the work.

    Attributes:
        text_bytes: Bytes of the lines that are kept, so far.
        tokens: Number of tokens so far.
        shards: Number of shards so far.
        share: Share of the text that is done, 0 to 1; None if its length is not known beforehand.
        seconds: Time since encoding began, in seconds.
        bytes_per_second: Speed, in bytes of text per second.
        seconds_left: Seconds until the work ends; None while unknown.
        is_skipping: Whether it is reading text that was encoded before the work was interrupted.
    """

    text_bytes: int
    tokens: int
    shards: int
    share: float | None
    seconds: float
    bytes_per_second: float
    seconds_left: float | None
    is_skipping: bool = False


@dataclass(frozen=True)
class Prepared:
    """The folder holds all of the text.

    Attributes:
        folder: The folder.
        lines: Number of lines.
        documents: Number of documents.
        tokens: Number of tokens.
        words: Number of words.
        oov_words: Number of words with an unknown token.
        characters: Number of characters.
        bytes: Number of bytes of text.
        shards: Number of shards.
        file_bytes: Size of the files, in bytes.
        vocabulary_size: Number of tokens of the vocabulary.
        lines_hash: Hash of the lines.
        seconds: Duration, in seconds.
    """

    folder: str
    lines: int
    documents: int
    tokens: int
    words: int
    oov_words: int
    characters: int
    bytes: int
    shards: int
    file_bytes: int
    vocabulary_size: int
    lines_hash: str
    seconds: float


Event = Sampling | CountingWords | Sampled | Encoding | Prepared
Steps = Generator[Event, None, PreparedIndex]  # events, and in the end the index


def prepare(
    text: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    tokenizer: Tokenizer | str | None = None,
    sample: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    tokenizer_name: str = "given",
    **settings: SettingValue,
) -> Iterator[Event]:
    """Encode a text as a folder of token ids that :func:`rnnlm.train` reads without loading it.
    Yield events as the work proceeds.

    Args:
        text: One or more paths.
        output: The folder.
        tokenizer: An existing tokenizer, such as `rnnlm.load_tokenizer("model")`, or the kind to
            build from the text: "word", "char", ... None: "word".
        sample: Bytes of text to build the vocabulary from, such as "32M", or "all". None: the
            default of the tokenizer.
        workers: Number of encoding processes; 0: only this process. None: one per processor.
        overwrite: Replace an existing folder. Without it, the same call resumes an interrupted one.
        tokenizer_name: Origin of an existing tokenizer, for the record.
        **settings: Settings of tokenizer and text: `prepare("text.txt", "prepared", workers=4,
            max_vocab=50_000)`.

    Yields:
        Events, the last of which is :class:`Prepared`.

    Raises:
        RnnlmError: The arguments contradict each other, the text cannot be read, the folder cannot
            be written, or a worker process died.
    """
    given = [text] if isinstance(text, (str, os.PathLike)) else several(text, "text")
    names = tuple(os.fspath(name) for name in given)
    kind = {"tokenizer": tokenizer} if isinstance(tokenizer, str) else {}
    request = PreparationRequest(
        names,
        Path(output),
        flags={**settings, **kind},
        shared_tokenizer=None if isinstance(tokenizer, str) else tokenizer,
        tokenizer_name=tokenizer_name,
        sample=sample,
        workers=workers,
        overwrite=overwrite,
    )
    yield from run(request)


def run(request: PreparationRequest) -> Iterator[Event]:
    """Prepare a text as :func:`prepare` does, which makes the request."""
    yield from _run(resolve_request(request))


def _run(job: PreparationJob) -> Iterator[Event]:
    began = time.perf_counter()
    request = job.request
    with lock.held(request.output, "preparation"):
        check_place(request.output, "prepared text", functools.partial(foreign, request.output))
        step = next_step(request.output, found(request.output), job.identity, request.overwrite)
        if step is NextStep.FINISHED:
            index = read_index(request.output)
            remove_unnamed(request.output, index)
            # In bounded memory, this is a step of other work.
            if job.bounds is None:
                tell_finished(request.output, plural(index.counts.tokens, "token"))
        else:
            index = yield from _finish(job, step, began)
    counts = index.counts
    yield Prepared(
        folder=str(request.output),
        lines=counts.lines,
        documents=counts.documents,
        tokens=counts.tokens,
        words=counts.words,
        oov_words=counts.oov_words,
        characters=counts.characters,
        bytes=counts.bytes,
        shards=len(index.shards),
        file_bytes=sum(shard.file_bytes for shard in index.shards),
        vocabulary_size=index.vocabulary_size,
        lines_hash=index.lines_hash,
        seconds=time.perf_counter() - began,
    )


# ---- All of a text in bounded memory.

LEAST_MEMORY = 300_000_000
# Memory of libraries, and of shards that are filled and written (measured)
LIBRARY_BYTES, SHARDS_BYTES = 70_000_000, 50_000_000
THREAD_SHARE = 30  # memory of a thread for a piece of different words, times its bytes (measured)
SMALL_SHARD_BYTES = 8 << 20
SMALLEST_PIECE, LARGEST_PIECE = 1 << 20, 1 << 22
MEMORY_OF_SENTENCEPIECE = 40  # times the bytes of its text


@dataclass(frozen=True)
class ResourceLimits:
    """The memory and threads that the work may use; all is done in one process."""

    threads: int
    piece_bytes: int
    largest_piece: int
    limit: MemoryLimit


def resource_limits(memory: int, folder: Path) -> ResourceLimits:
    """Return the limits that fit in so many bytes of private memory, besides the memory of this
    process now. Raise SettingsError if that is too little."""
    held = max(LIBRARY_BYTES, system.private_bytes())
    least = max(LEAST_MEMORY, held + SHARDS_BYTES + 2 * THREAD_SHARE * SMALLEST_PIECE)
    if memory < least:
        size = f"{memory / 1e6:,.0f}M" if memory >= 1e6 else f"{memory:,} bytes"
        raise SettingsError(
            f"memory = {size} is too little",
            f"the program itself uses {amount(held, unit='bytes')}",
            f"at least {least / 1e6:.0f}M are needed",
        )
    free = memory - held
    # Words that come again within a piece are counted fastest.
    piece_bytes = min(max(SMALLEST_PIECE, memory // 300), LARGEST_PIECE)
    thread_bytes = THREAD_SHARE * piece_bytes
    threads = max(1, min(system.processors(), MOST_THREADS, free // (3 * thread_bytes)))
    # Words are counted before there are shards.
    counting = max(0, free - threads * thread_bytes)
    # Encoding needs 2/3 of the memory that training the tokenizer needs.
    vocabulary = min(free, 3 * max(0, counting - SHARDS_BYTES) // 2)
    limit = MemoryLimit(counting, vocabulary, folder, threads)
    largest_piece = int(free // (threads * THREAD_SHARE))
    return ResourceLimits(threads, piece_bytes, largest_piece, limit)


def prepare_exactly(
    names: Sequence[str],
    folder: Path,
    *,
    tokenizer: Tokenizer | TokenizerSettings,
    text_settings: TextSettings,
    source_settings: sources.SourceSettings,
    memory: int,
    held_out: float = 0.0,
    check: VocabularyCheck = accept_any_size,
) -> Iterator[Event]:
    """Prepare a text as :func:`prepare` does, but in two passes and in `memory` bytes of private
    memory: all words are counted, then all lines encoded. The vocabulary is the same as in training
    on the text itself.

    tokenizer: one that exists, or the settings of the one to make; sentencepiece is made from a
    sample. held_out: share of the lines, at the end, whose words are not counted; they are encoded
    like the others. check: called as a vocabulary of words grows.

    Raises:
        SettingsError: the memory is too little for anything, or for this vocabulary.
    """
    bounds = resource_limits(memory, folder)
    bounds = replace(bounds, limit=replace(bounds.limit, check=check))
    system.return_freed()
    shared = None if isinstance(tokenizer, TokenizerSettings) else tokenizer
    settings = tokenizer if isinstance(tokenizer, TokenizerSettings) else TokenizerSettings()
    request = PreparationRequest(tuple(names), folder, shared_tokenizer=shared)
    sample_bytes = None
    if settings.tokenizer in SAMPLES:
        most = bounds.limit.vocabulary // MEMORY_OF_SENTENCEPIECE
        sample_bytes = min(most, system.parse_size(SAMPLES[settings.tokenizer]))
    expanded = sources.expand(tuple(names))
    _check_read_again(expanded)
    yield from _run(
        PreparationJob(
            request=request,
            names=expanded,
            text=text_settings,
            source=source_settings,
            tokenizer_settings=settings,
            sample_bytes=sample_bytes,
            workers=bounds.threads,
            held_out=held_out,
            bounds=bounds,
        )
    )


def _finish(job: PreparationJob, step: NextStep, began: float) -> Steps:
    """Do the remaining work. Return the index of all."""
    folder = job.request.output
    index = begun(folder, job.identity, job.text) if step is NextStep.RESUME else None

    # The tokenizer first; a text that can be read only once gives its sample on the way.
    position = Position(job.names)
    every = _pieces(job, position)
    if index is None:
        settings, every = _decided(job, every)
        sample: Iterable[RawPiece] = ()
        if job.request.shared_tokenizer is None:
            sample, every = _sample_of(job, every)
        index = yield from _begin(job, settings, sample, began)

    index = yield from _encode(job, index, every, position)
    finish(folder, index)
    return index


def _pieces(job: PreparationJob, position: Position) -> Iterator[RawPiece]:
    if not job.bounds:
        yield from pieces(job.names, job.source, job.text, position)
        return
    # A piece is as long as its longest line.
    for piece in pieces(job.names, job.source, job.text, position, job.bounds.piece_bytes):
        if len(piece) > job.bounds.largest_piece:
            raise SettingsError(
                f"a line of {piece.source} is too long for the memory allowed",
                f"line {piece.first_line} or one of the next has "
                f"{amount(len(piece) - job.bounds.piece_bytes, unit='bytes')} or more",
                "give more memory, or break the line",
            )
        yield piece


def _decided(
    job: PreparationJob, every: Iterator[RawPiece]
) -> tuple[TokenizerSettings, Iterator[RawPiece]]:
    """Return the settings of the tokenizer, with what the start of the text decides, and all pieces
    again. Raise TextError where they hold no line: what the folder holds is replaced only by a
    text."""
    # Pieces that are read here are held, to be read again.
    held = []
    for piece in every:
        held.append(piece)
        if block_of(piece, job.text)[0].lines:
            break
    else:
        raise no_text(job.names)

    every = itertools.chain(held, every)
    if job.bounds is not None:  # a step of other work, which has looked at the text
        return job.tokenizer_settings, every

    # A text that can be read only once shows its first lines alone.
    errors = job.text.encoding_errors
    if any(map(is_read_once, job.names)):
        lines = lines_of(held[-1].whole, held[-1].source, held[-1].first_line, errors)
    else:
        lines = lines_looked_at(job.names, job.source, errors)
    tokenizer = job.request.shared_tokenizer or job.tokenizer_settings
    decided = judged(lines, job.text, tokenizer, job.request.tokenizer_name)
    settings = decided if isinstance(decided, TokenizerSettings) else job.tokenizer_settings
    return settings, every


def _sample_of(
    job: PreparationJob, every: Iterator[RawPiece]
) -> tuple[Iterable[RawPiece], Iterator[RawPiece]]:
    """Return the pieces that the vocabulary is made from, and all pieces."""
    if job.sample_bytes is None:
        return (), every
    if not any(map(is_read_once, job.names)):
        return FileSample(job.names, job.source, job.text, _how(job), job.sample_bytes), every

    # Of a text that can be read only once, the sample is kept in memory to be encoded later.
    assert job.sample_bytes is not None
    held = []
    size = 0
    for piece in every:
        held.append(piece)
        size += len(piece)
        if size >= job.sample_bytes:
            break
    return list(start_of(iter(held), job.sample_bytes)), itertools.chain(held, every)


def _how(job: PreparationJob) -> str:
    if job.sample_bytes is None:
        return ALL
    return sampling_method(job.names, job.source, job.sample_bytes)


def _pool(job: PreparationJob, workers: int) -> AbstractContextManager[WorkerPool]:
    """Return a new pool of `workers` processes, or of threads where memory is limited."""
    if job.bounds:
        return thread_pool(job.bounds.threads, most=job.bounds.threads + 1)
    return process_pool(workers) if workers else inline_pool()


def _begin(
    job: PreparationJob, settings: TokenizerSettings, sample: Iterable[RawPiece], began: float
) -> Steps:
    """Make the tokenizer and write it. Return the index so far."""
    shared = job.request.shared_tokenizer
    if shared is not None:
        how = job.request.tokenizer_name
        tokenizer = TokenizerFiles.of(shared)
    else:
        how = _how(job)
        yield Sampling(how, job.sample_bytes or Position(job.names).total or 0)
        if job.sample_bytes is None:
            tokenizer = yield from _learn_all(job, settings)
        else:
            text = lenient(job.text) if how == "even" else job.text
            # A separate process makes it, whose memory is free again afterwards.
            with _pool(job, min(1, job.workers)) as pool:
                tokenizer = pool.submit(learn, sample, text, settings).result()
        for message in tokenizer.notices:
            notice(message)

    size = tokenizer.sample_bytes
    index = begin(
        job.request.output, job.identity, job.names, job.text, tokenizer, TokenizerSample(how, size)
    )
    described = f"{index.tokenizer['tokenizer']}:{tokenizer.fingerprint}"
    yield Sampled(how, size, described, tokenizer.size, time.perf_counter() - began)
    return index


def _learn_all(
    job: PreparationJob, settings: TokenizerSettings
) -> Generator[Event, None, TokenizerFiles]:
    """Make the tokenizer from all of the text, except for the held-out part, in a thread of this
    process. Return it; yield how far reading is."""
    position = Position(job.names)
    readings = 2 if job.held_out else 1
    began = time.perf_counter()
    is_wanted = True
    passed = before = 0  # bytes of text in this reading, and on disk before it

    def read() -> Iterator[RawPiece]:
        nonlocal passed, before
        passed, before = 0, position.read
        for piece in _pieces(job, position):
            if not is_wanted:
                return
            passed += len(piece)
            yield piece

    def share_read() -> float | None:
        # Reading is ahead of the pieces; of a compressed text, these are larger than the files.
        return min(passed, position.read - before) / position.total if position.total else None

    def made() -> TokenizerFiles:
        lines = None
        if job.held_out:
            # The border is known once all lines are counted.
            border = Border(job.held_out, job.text.blank_lines == "documents")
            for piece in read():
                border.read(block_of(piece, job.text)[0])
                border.earliest()
            lines = border.place() or None
        limit = replace(job.bounds.limit, share=share_read) if job.bounds else None
        return learn(read(), job.text, settings, limit, lines)

    with thread_pool(1) as pool:
        future = pool.submit(made)
        try:
            while not wait([future], TICK_SECONDS).done:
                total = position.total
                share = min(1.0, position.read / total / readings) if total else None
                seconds = time.perf_counter() - began
                yield CountingWords(
                    share, seconds, seconds * (1 - share) / share if share else None
                )
        finally:
            is_wanted = False
        return future.result()


def _encode(
    job: PreparationJob, index: PreparedIndex, every: Iterator[RawPiece], position: Position
) -> Steps:
    """Encode and write the missing shards. Return the index with all shards."""
    folder = job.request.output
    tokenizer_files(folder, index)  # damaged ones are an error here, before any work
    shard_bytes = SMALL_SHARD_BYTES if job.bounds else None
    collector = Collector(index.shards, job.text.blank_lines == "documents", shard_bytes)
    # Where memory is limited, all threads have one tokenizer.
    tokenizer = None
    if job.bounds:
        tokenizer = job.request.shared_tokenizer or load_tokenizer(folder, index)
    encoder = PieceEncoder(job.text, folder.absolute(), index.tokenizer_fingerprint, tokenizer)
    began = time.perf_counter()
    with (
        closing(_encoded(job, encoder, every, collector)) as pieces_encoded,
        thread_pool(1) as writer,
    ):
        # A shard is written while the next one is filled.
        writing: Future[PreparedIndex] = writer.submit(lambda: index)
        for encoded in pieces_encoded:
            is_skipping = not collector.wants_ids()
            for shard in collector.add(encoded):
                writing = _next_shard(job, writer, writing, shard)
            share, seconds = position.share, time.perf_counter() - began
            yield Encoding(
                text_bytes=collector.text_bytes,
                tokens=collector.tokens,
                shards=collector.shards,
                share=share,
                seconds=seconds,
                bytes_per_second=collector.text_bytes / seconds,
                seconds_left=seconds * (1 - share) / share if share else None,
                is_skipping=is_skipping,
            )

        for shard in collector.rest():
            writing = _next_shard(job, writer, writing, shard)
        return writing.result()


def _encoded(
    job: PreparationJob, encoder: PieceEncoder, every: Iterator[RawPiece], collector: Collector
) -> Generator[EncodedPiece, None, None]:
    """Yield the pieces, encoded, in order."""
    # Whether a piece needs ids is known when it is handed out.
    tasks = ((piece, collector.wants_ids()) for piece in every)
    with _pool(job, job.workers) as pool:
        for done in pool.run(encoder.encode, tasks, "in turn"):
            if done is None:
                continue
            (piece, _), encoded = done
            # Submitted without ids, as shards were left to skip; but it reaches beyond the last.
            if encoded.arrays is None and not collector.passes_over(encoded):
                encoded = pool.submit(encoder.encode, (piece, True)).result()
            yield encoded


def _next_shard(
    job: PreparationJob, writer: WorkerPool, writing: "Future[PreparedIndex]", shard: FullShard
) -> "Future[PreparedIndex]":
    """Write `shard` once the one before is written."""
    return writer.submit(add_shard, job.request.output, writing.result(), shard)

"""Filter many shards: settle the request, run its tasks on an executor, and sum up the results."""

import functools
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from rnnlm.amounts import plural
from rnnlm.errors import SettingsError, TextError, UsageError, first_of, keyword, notice
from rnnlm.lm.base import loading
from rnnlm.parallel import inline_pool, process_pool, reporting_to
from rnnlm.storage.files import lock
from rnnlm.storage.files.file_types import SUFFIXES as COMPRESSED
from rnnlm.storage.files.resuming import (
    NextStep,
    in_one_spelling,
    merged,
    next_step,
    settings_identity,
    signature,
    tell_finished,
    text_signatures,
)
from rnnlm.storage.files.tables import SUFFIXES as TABLES
from rnnlm.storage.files.writing import remove_unfinished
from rnnlm.system import processors
from rnnlm.text.lines import Progress, TextSettings, no_text, silent
from rnnlm.text.sources import expand_files
from rnnlm.tools.filtering.journal import (
    CutoffsEntry,
    FilterState,
    JobEntry,
    ShardFinished,
    ShardStarted,
    is_plain,
    read_state,
)
from rnnlm.tools.filtering.judging import check_languages, difference_unit
from rnnlm.tools.filtering.settings import (
    AGAINST,
    DIFFERENCE,
    EMPTY,
    OUTSIDE,
    FilterSettings,
    rule_of,
)
from rnnlm.tools.filtering.shards import ShardReadSettings, open_shard
from rnnlm.tools.filtering.work import FilterSetup, reference_perplexities, try_shard

Result = TypeVar("Result")

REFERENCE = ".reference"  # the perplexities of one, until they are read
MOST_WORKERS = 1024


# ---- A request, with everything found that it names.


@dataclass(frozen=True)
class FilterRequest:
    """A request and its settings.

    shards: names and globs of files. models: by language; one model has the name "". against: the
    general model. reference: a text whose perplexities give the borders of buckets. workers: how
    many processors to use, in processes with a shard each, or in threads where there are fewer
    shards; None: all, or one process where the model is a network.
    """

    shards: tuple[str, ...]
    output: Path
    models: Mapping[str, str]
    settings: FilterSettings = FilterSettings()
    against: str | None = None
    column: str | None = None
    text: TextSettings = TextSettings(special_symbols="replace")
    reference: tuple[str, ...] = ()
    device: str = "auto"
    workers: int | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class FilterJob:
    """A request with its files and models found. shards: paths, by the names of their results.
    signatures: signatures of the shards, by the same names. references: paths. identity: facts that
    must be the same for the work to be resumed. difference_unit: what differences are bits per."""

    request: FilterRequest
    shards: dict[str, str]
    signatures: dict[str, str]
    references: list[str]
    work: FilterSetup
    workers: int
    reads_in_threads: bool
    identity: dict[str, str]
    has_buckets: bool  # whether documents are sorted by borders of perplexity
    difference_unit: str | None


def resolve_request(request: FilterRequest) -> FilterJob:
    """Find the files and models that a request names. An error names the fault."""
    _check_request(request)
    shards = _by_name(expand_files(request.shards, "texts", ".jsonl"))
    references = expand_files(request.reference, "texts", ".jsonl")
    settings = request.settings
    languages = tuple(label for label in request.models if label)
    has_buckets = bool(references) or settings.cutoffs is not None
    rule = rule_of(settings, languages, has_buckets, request.against is not None)

    for label in languages:
        if not is_plain(label):
            raise UsageError(
                f"{label!r} cannot be the name of a language", "the name is used for a folder"
            )

    # Models: they are loaded here, so that a wrong one is an error before any work.
    loaded, named = {}, []
    names = dict(request.models)
    if request.against is not None:
        names[AGAINST] = request.against
    for label, name in names.items():
        loaded[label] = loading.language_model_of(name, request.device)
        named.append(loading.NamedModel.of(label, name, loaded[label]))
    if languages:
        check_languages(loaded)
    reads_in_threads = all(model.boundary_resets_state for model in loaded.values())
    workers = request.workers or (processors() if reads_in_threads else 1)

    # How shards are read, which is known before any of them is.
    difference_column = DIFFERENCE if request.against else None
    added = tuple(filter(None, (settings.perplexity_column, difference_column, rule.column)))
    for column in added:
        if added.count(column) > 1:
            raise SettingsError(f"two columns are called {column!r}", hint="choose different names")
    reading = ShardReadSettings(request.column, request.text, added)
    for source in (*shards.values(), *references):
        open_shard(source, reading)

    work = FilterSetup(tuple(named), request.device, rule, reading, settings.perplexity_column)
    return FilterJob(
        request=request,
        shards=shards,
        signatures={name: signature(source) for name, source in shards.items()},
        references=references,
        work=work,
        workers=workers,
        reads_in_threads=reads_in_threads,
        identity=merged(
            {f"model {model.label}".strip(): model.fingerprint for model in named},
            settings_identity(request.settings, request.text),
            {"column": in_one_spelling(request.column)},
            text_signatures(references, "reference"),
        ),
        has_buckets=has_buckets,
        difference_unit=difference_unit(loaded, rule, tell=True),
    )


def _check_request(request: FilterRequest) -> None:
    # Contradictions.
    if not request.shards:
        raise UsageError("there are no files to filter", hint="name files or glob patterns")
    if request.reference and request.settings.cutoffs is not None:
        raise UsageError(
            "a reference and cutoffs cannot be combined",
            "both set the bucket boundaries",
            "leave one of them out",
        )
    if request.workers is not None and not 1 <= request.workers <= MOST_WORKERS:
        raise SettingsError(
            f"workers = {request.workers} is not valid", f"it must be from 1 to {MOST_WORKERS}"
        )

    # A name of a file, where a folder is made.
    output = request.output
    is_file = output.suffix.lower() in (*TABLES, *COMPRESSED, ".txt")
    if (is_file and not output.is_dir()) or str(output) == "-":
        raise UsageError(
            f"{output}: the result is a folder",
            "it holds one file for each input file",
            "name a folder: " + keyword("output", "kept"),
        )


def _by_name(sources: Iterable[str]) -> dict[str, str]:
    """Return the paths of shards by their names; refuse two of one name, as their results would be
    one file."""
    paths: dict[str, str] = {}
    for source in sources:
        name = Path(source).name
        if name in paths:
            raise UsageError(
                f"two files are called {name}",
                f"{paths[name]} and {source}",
                "filter them into different folders, or rename one",
            )
        if not is_plain(name):
            raise UsageError(f"{name} cannot be the name of a filtered file", hint="rename it")
        paths[name] = source
    return paths


# ---- Events.


@dataclass(frozen=True)
class BordersFound:
    """The borders between buckets. documents: of the reference; None: the borders were given."""

    cutoffs: tuple[float, float]
    documents: int | None


@dataclass(frozen=True)
class ShardFiltered:
    """A shard is finished. done, shards: how many of how many; share: of all bytes on disk, the
    reference included."""

    shard: str
    done: int
    shards: int
    share: float
    text_bytes_per_second: float


@dataclass(frozen=True)
class ShardFailed:
    """A shard cannot be read, so nothing of it was written; the others go on. why: the error."""

    shard: str
    why: str


@dataclass(frozen=True)
class DocumentGroup:
    """The documents of a bucket or language, outside the thresholds, or without words. share: of
    all documents; None where there are none. kept: whether they were written."""

    name: str
    documents: int
    words: int
    share: float | None
    kept: bool


@dataclass(frozen=True)
class FilterFinished:
    """All shards are finished but the ones that `failed`. shards_before: how many were finished
    before this run, which `text_bytes` and `seconds` do not count. cutoffs: the borders between
    buckets; reference_documents: of how many documents they are quantiles. difference_unit: "token"
    or "byte", what differences are bits per; None: there is no general model."""

    output: str
    shards: int
    shards_before: int
    documents: int
    words: int
    cutoffs: tuple[float, float] | None
    reference_documents: int | None
    difference_unit: str | None
    groups: tuple[DocumentGroup, ...]
    text_bytes: int
    seconds: float
    text_bytes_per_second: float
    failed: tuple[ShardFailed, ...] = ()


Event = BordersFound | ShardFiltered | ShardFailed | FilterFinished
MOST_FAILED = 3  # shards that the last error quotes; each has an event of its own


# ---- The work itself.


def run(request: FilterRequest, progress: Progress = silent) -> Iterator[Event]:
    """Filter shards. Yield the events of the work while it lasts.

    progress: called with how far the work is, within files, too.

    Raises:
        TextError: after the last event, if some shards cannot be read. All others are finished.
        RnnlmError: the request contradicts itself, the folder cannot be written, a worker died.
            Finished shards stay, and the same request resumes.
    """
    began = time.perf_counter()
    job = resolve_request(request)
    with lock.held(request.output, "filtering"):
        # All objections to the folder come before anything is written there.
        state = read_state(request.output)
        step = _next_step(job, state)
        if step is NextStep.FINISHED and state is not None:
            # A run that was killed at its very end may have left something.
            state.clean()
            state.write()
            result = _filtered(job, state, [], time.perf_counter() - began)
            what = f"{plural(result.shards, 'file')}, {plural(result.documents, 'document')}"
            tell_finished(request.output, what)
            yield result
            return

        failed: list[ShardFailed] = []
        try:
            state = _begun(job, state, step)
            before = len(state.done)
            reading = _reading_progress(job, state, progress)
            if job.has_buckets:
                yield from _find_borders(job, state, reading)
                assert state.borders is not None
                rule = replace(job.work.rule, cutoffs=state.borders.cutoffs)
                job = replace(job, work=replace(job.work, rule=rule))
            for event in _filter(job, state, began, reading):
                yield event
                if isinstance(event, ShardFailed):
                    failed.append(event)
        finally:
            # A worker may have written late, until it was waited for.
            if state is not None:
                state.clean()
                remove_unfinished(request.output / REFERENCE)
        state.write()
    now = [state.done[name] for name in list(state.done)[before:]]
    result = _filtered(job, state, now, time.perf_counter() - began, failed)
    yield result
    if failed:
        raise TextError(
            f"{len(failed):,} of {plural(len(job.shards), 'file')} could not be filtered",
            first_of([failure.why for failure in result.failed], MOST_FAILED, "; "),
            "the other files are finished; repair or leave out these, and run the same command "
            "again",
        )


def _next_step(job: FilterJob, state: FilterState | None) -> NextStep:
    """Return whether the work starts, resumes (perhaps with more shards), or is finished."""
    request = job.request
    if state is None:
        return NextStep.START
    wanted = state.identity_with(job.identity, job.signatures)
    step = next_step(request.output, state.existing_work(job.shards), wanted, request.overwrite)
    if step is not NextStep.START:
        state.check_apart(job.shards)
    return step


def _begun(job: FilterJob, state: FilterState | None, step: NextStep) -> FilterState:
    """Return the state of the work that starts or resumes."""
    begun = JobEntry(job.identity, job.work.rule.layout)
    if state is not None and step is NextStep.RESUME:
        state.begun = begun
        # Files of killed tasks may be left, and half a line at the end of the journal.
        state.clean()
    else:
        if state is not None:
            state.delete()
        state = FilterState(job.request.output, begun)
        state.check_apart(job.shards)
    state.write()
    return state


@dataclass
class ReadingProgress:
    """How much of all files is read: of the reference, then of the shards.

    sizes: bytes on disk by path. total, done: bytes of all files, and of the finished ones. stage:
    how messages begin.
    """

    sizes: dict[str, int]
    total: int
    done: int
    report: Progress
    stage: str = "reading the reference"
    furthest: float = 0.0

    def share(self, running: float = 0.0) -> float:
        """Return the share of all bytes that is read, with so many of unfinished files."""
        # A file that has just ended may count neither as running nor as done.
        self.furthest = max(self.furthest, (self.done + running) / max(1, self.total))
        return self.furthest

    def __call__(self, running: float) -> None:
        """Report the progress, with so many bytes of unfinished files."""
        # What is read is not yet written.
        share = min(0.99, self.share(running))
        self.report(f"{self.stage}, {share:.0%} of all files")


def _reading_progress(job: FilterJob, state: FilterState, report: Progress) -> ReadingProgress:
    """Return the progress of a run that begins or resumes."""
    sources = [*job.references, *job.shards.values()]
    sizes = {source: os.path.getsize(source) for source in sources}
    done = [source for name, source in job.shards.items() if name in state.done]
    if state.borders is not None:
        done += job.references
    total, done_bytes = (sum(sizes[path] for path in paths) for paths in (sources, done))
    return ReadingProgress(sizes, total, done_bytes, report)


def _find_borders(job: FilterJob, state: FilterState, reading: ReadingProgress) -> Iterator[Event]:
    """Find the borders between buckets, unless they are known, and take note of them."""
    settings = job.request.settings
    if state.borders is None and settings.cutoffs is not None:
        low, high = map(float, settings.cutoffs)
        state.add(CutoffsEntry((low, high), 0))
    elif state.borders is None:
        perplexity_D = _reference_perplexities(job, reading)
        low, high = borders_of(perplexity_D, settings.quantiles, job.references)
        state.add(CutoffsEntry((low, high), len(perplexity_D)))
    borders = state.borders
    assert borders is not None
    if settings.cutoffs is None:
        yield BordersFound(borders.cutoffs, borders.documents)


def borders_of(
    perplexity_D: np.ndarray, quantiles: tuple[float, ...], names: Iterable[str]
) -> tuple[float, float]:
    """Return the two quantiles of a reference's perplexities, interpolated between neighbours."""
    if not len(perplexity_D):
        raise no_text(names)
    with np.errstate(invalid="ignore"):  # between two that are infinite
        low, high = np.quantile(perplexity_D, quantiles).tolist()
    if not math.isfinite(low) or not math.isfinite(high):
        raise TextError(
            "the reference gives no bucket boundaries",
            "the model gives probability zero to too many of its documents",
            "use a smoothed model, or another reference",
        )
    return low, high


def processes_and_threads(workers: int, tasks: int, reads_in_threads: bool) -> tuple[int, int]:
    """Share so many processors: a process for each of several tasks, and threads in each where
    there are fewer tasks."""
    processes = max(1, min(workers, tasks))
    return processes, workers // processes if reads_in_threads else 1


def _results(
    job: FilterJob,
    function: Callable[..., Result],
    work: FilterSetup,
    sources: Iterable[str],
    count: int,
    reading: ReadingProgress,
) -> Iterator[tuple[str, Result]]:
    """Yield each of so many sources with the function's result for it, as they end. After an error
    no more begin; it is raised when the running ones have ended."""
    processes, threads = processes_and_threads(job.workers, count, job.reads_in_threads)
    function = functools.partial(function, replace(work, threads=threads))

    # Other processes report to their pool, this one at once.
    def watched(source: str) -> Result:
        with reporting_to(reading):
            return function(source)

    with process_pool(processes) if processes > 1 else inline_pool() as pool:
        for done in pool.run(function if processes > 1 else watched, sources, "as they end"):
            if done is None:
                reading(pool.begun)
            else:
                reading.done += reading.sizes[done[0]]
                yield done


def _reference_perplexities(job: FilterJob, reading: ReadingProgress) -> np.ndarray:
    """Return the perplexities of all documents of the reference. Each file is a task, which writes
    them to a file."""
    # A reference may have columns of these names: nothing is added to it.
    work = replace(job.work, reading=replace(job.work.reading, added=()))
    target = job.request.output / REFERENCE
    perplexities = functools.partial(reference_perplexities, target=str(target))
    count = len(job.references)
    try:
        parts = {
            source: np.frombuffer(target.with_name(name).read_bytes())
            for source, name in _results(job, perplexities, work, job.references, count, reading)
        }
    finally:
        remove_unfinished(target)
    return np.concatenate([parts[source] for source in job.references])


def _filter(
    job: FilterJob, state: FilterState, began: float, reading: ReadingProgress
) -> Iterator[ShardFiltered | ShardFailed]:
    """Filter the shards that are not finished, the largest first, so that the last ones to end are
    small."""
    left = [name for name in job.shards if name not in state.done]
    left.sort(key=lambda name: (-reading.sizes[job.shards[name]], name))

    def sources() -> Iterator[str]:
        for name in left:
            state.add(ShardStarted(name))
            yield job.shards[name]

    # Shards end in any order. A notice that several of them give is shown once.
    text_bytes = 0
    sent_notices: set[str] = set()
    names = {source: name for name, source in job.shards.items()}
    finished = len(state.done.keys() & job.shards.keys())
    reading.stage = f"{finished:,} of {len(job.shards):,} files filtered"
    filtered = functools.partial(try_shard, folder=str(job.request.output))
    for source, counts in _results(job, filtered, job.work, sources(), len(left), reading):
        name = names[source]
        if isinstance(counts, TextError):
            state.started.discard(name)  # nothing of it was written
            yield ShardFailed(name, str(counts))
            continue
        if signature(source) != job.signatures[name]:
            raise TextError(
                f"{source} changed while it was filtered",
                hint="run the same command again once the file is complete",
            )
        state.finish(name, job.signatures[name], counts)
        for message in counts.notices:
            if message not in sent_notices:
                notice(message)
                sent_notices.add(message)
        text_bytes += counts.text_bytes
        speed = text_bytes / (time.perf_counter() - began)
        finished += 1
        reading.stage = f"{finished:,} of {len(job.shards):,} files filtered"
        yield ShardFiltered(name, finished, len(job.shards), reading.share(), speed)


def _filtered(
    job: FilterJob,
    state: FilterState,
    now: list[ShardFinished],
    seconds: float,
    failed: Iterable[ShardFailed] = (),
) -> FilterFinished:
    """Add up the results of all shards of the folder."""
    rule = job.work.rule
    names = (*rule.groups, OUTSIDE, EMPTY)
    documents: Counter[str] = Counter()
    words: Counter[str] = Counter()
    for entry in state.done.values():
        documents.update(dict(zip(names, entry.documents, strict=True)))
        words.update(dict(zip(names, entry.words, strict=True)))
    total = documents.total()
    groups = [
        DocumentGroup(
            name=name,
            documents=documents[name],
            words=words[name],
            share=documents[name] / total if total else None,
            kept=name in rule.kept,
        )
        for name in names
        if not (name == OUTSIDE and rule.languages)  # by language, it is in none of them
    ]
    text_bytes = sum(entry.text_bytes for entry in now)
    borders = state.borders
    return FilterFinished(
        output=str(job.request.output),
        shards=len(state.done),
        shards_before=len(state.done) - len(now),
        documents=total,
        words=words.total(),
        cutoffs=borders.cutoffs if borders else None,
        reference_documents=borders.documents if borders and job.references else None,
        difference_unit=job.difference_unit,
        groups=tuple(groups),
        text_bytes=text_bytes,
        seconds=seconds,
        text_bytes_per_second=text_bytes / seconds,
        failed=tuple(sorted(failed, key=lambda failure: failure.shard)),
    )

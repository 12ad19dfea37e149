"""Count the n-grams of a text, or add up folders of counts. What is found is reported as events,
frozen values."""

import itertools
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from rnnlm.checks import several
from rnnlm.config import USER, ResolvedSettings, SettingsLayer, SettingValue, resolve
from rnnlm.errors import SettingsError, UsageError, keyword
from rnnlm.events import Counted as CountedOrder
from rnnlm.interface import Tokenizer
from rnnlm.lm.ngram.counting.count_trie import Level
from rnnlm.lm.ngram.settings import NgramSettings
from rnnlm.storage.files import lock, outputs
from rnnlm.storage.files.resuming import (
    NextStep,
    in_one_spelling,
    merged,
    settings_identity,
    text_signatures,
)
from rnnlm.text import sources
from rnnlm.text.corpus import Text, identity_of, open_text
from rnnlm.text.lines import Progress, TextSettings, silent
from rnnlm.text.sources import SourceSettings
from rnnlm.text.tokenizer_settings import NewTokenizerSettings, TokenizerSettings
from rnnlm.tools.counting import counted_data, counts_folder, strings
from rnnlm.tools.counting.counted_data import Counted
from rnnlm.tools.counting.counts_folder import CountedSource
from rnnlm.tools.counting.source import COUNTED
from rnnlm.tools.counting.strings import NgramCount
from rnnlm.tools.counting.workers import WorkerOptions

DEFAULT_ORDER = 3
AT_ONCE = 1 << 16  # n-grams of an event
_LIMITS = ("memory", "temp", "workers", "dask")


@dataclass(frozen=True)
class CountingRequest:
    """A request to `count`.

    text: texts, which are counted as one, or folders of counts. output: folder for all counts;
    None: the n-grams are events. order: None: the usual one, of folders their own. tokenizer: an
    existing one; None: one is made of the text. flags: settings of tokenizer and text.
    """

    text: tuple[str, ...]
    output: Path | None = None
    order: int | None = None
    only: bool = False
    min_count: int = 1
    memory: str | None = None
    temp: str | None = None
    workers: int | None = None
    dask: str | None = None
    overwrite: bool = False
    tokenizer: Tokenizer | None = None
    flags: dict[str, Any] = field(default_factory=dict)

    @property
    def has_workers(self) -> bool:
        """Whether other processes count."""
        return bool(self.workers or self.dask)

    @property
    def limits(self) -> dict[str, Any]:
        """The settings of memory and workers that are set."""
        values = {name: getattr(self, name) for name in _LIMITS}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Ngrams:
    """Some of the n-grams, in the order of their bytes.

    Attributes:
        counts: Each n-gram, its words separated by spaces, with its count.
    """

    counts: Sequence[NgramCount]


@dataclass(frozen=True)
class CountsFinished:
    """All is counted.

    Attributes:
        folder: Folder of the counts; None if the n-grams were events.
        order: Length of the longest n-grams.
        words: Number of words, of a text with an existing tokenizer and of folders; else None.
        new_words: Number of those words that the vocabulary lacks, or None.
        was_there: Whether the folder already held these counts.
        seconds: Duration, in seconds.
    """

    folder: str | None
    order: int
    words: int | None
    new_words: int | None
    was_there: bool
    seconds: float


Event = CountedOrder | Ngrams | CountsFinished


def count(
    text: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    order: int | None = None,
    only: bool = False,
    min_count: int = 1,
    tokenizer: Tokenizer | str | None = None,
    memory: str | None = None,
    temp: str | Path | None = None,
    workers: int | None = None,
    dask: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    **settings: SettingValue,
) -> Iterator[Event]:
    """Count the n-grams of a text, or add up folders of counts. Yield events as the work proceeds.

    Args:
        text: One or more paths of texts, which are counted as one, or of folders of counts.
        output: Folder for all counts, to add up or to train from. None: the n-grams are events.
        order: Length of the longest n-grams, in tokens. None: 3; of folders of counts, their order.
        only: Yield n-grams of the highest order only.
        min_count: Leave out n-grams that occur fewer times.
        tokenizer: An existing tokenizer, such as `rnnlm.load_tokenizer("model")`, or the kind to
            make of the text: "word", "char" or "byte". None: "word".
        memory: With `output`, memory limit, such as "2G"; the rest goes to disk.
        temp: Folder for what goes to disk, from which an interrupted count resumes.
        workers: With `output`, number of processes that count.
        dask: With `output`, address of a Dask scheduler whose workers count.
        overwrite: Replace the counts in `output`.
        progress: Function that is called with the progress, in words.
        **settings: Settings of tokenizer and text: `count("text.txt", lowercase=True)`.

    Yields:
        :class:`Ngrams`, or with `output` an event for each order; last, :class:`CountsFinished`.

    Raises:
        RnnlmError: The arguments contradict each other, a text or folder cannot be read, or the
            folder cannot be written.
    """
    given = [text] if isinstance(text, (str, os.PathLike)) else several(text, "text")
    kind = {"tokenizer": tokenizer} if isinstance(tokenizer, str) else {}
    request = CountingRequest(
        text=tuple(os.fspath(name) for name in given),
        output=None if output is None else Path(output),
        order=order,
        only=only,
        min_count=min_count,
        memory=memory,
        temp=None if temp is None else os.fspath(temp),
        workers=workers,
        dask=dask,
        overwrite=overwrite,
        tokenizer=None if isinstance(tokenizer, str) else tokenizer,
        flags={**settings, **kind},
    )
    yield from run(request, progress)


def run(request: CountingRequest, progress: Progress = silent) -> Iterator[Event]:
    """Count as :func:`count` does, which makes the request."""
    began = time.perf_counter()
    resolved = _resolved(request)
    folders = list(filter(COUNTED.is_in, request.text))
    _check(request, folders)

    # What is counted, and what determines the result.
    order, to_count = request.order, None
    identity = text_signatures(folders, "counts")
    if not folders:
        order = order or DEFAULT_ORDER
        to_count = _text_and_tokenizer(request, resolved)
        identity = _identity_of_text(*to_count)
    shaping = {"order": order, "highest_only": request.only, "min_count": request.min_count}
    identity |= {name: in_one_spelling(value) for name, value in shaping.items()}

    def finished(order: int, source: CountedSource | None, was_there: bool) -> CountsFinished:
        return CountsFinished(
            folder=str(request.output) if request.output else None,
            order=order,
            words=source.words if source else None,
            new_words=source.new_words if source else None,
            was_there=was_there,
            seconds=time.perf_counter() - began,
        )

    if request.output:
        with lock.held(request.output, "counting"):
            step = counts_folder.next_step_in(request.output, identity, request.overwrite)
            if step is NextStep.FINISHED:
                index = counts_folder.load(request.output).index
                yield finished(index.order, index.source, was_there=True)
                return
            with _counted(to_count, folders, order, request, progress) as counted:
                yield from _saved(counted, request.output, identity, began)
        yield finished(counted.order, counted.source, was_there=False)
        return

    # With a tokenizer that is made of the text, n-grams are counted in their order from the
    # beginning.
    shown: dict[str, Any] = {"highest_only": request.only, "min_count": request.min_count}
    if to_count and order and request.tokenizer is None:
        yield from _ngrams(strings.count_text(*to_count, order, report=progress, **shown))
        yield finished(order, None, was_there=False)
        return
    with _counted(to_count, folders, order, request, progress) as counted:
        rows = strings.rows_of(
            counted.levels, counted.tokenizer, counted.order, **shown, report=progress
        )
        yield from _ngrams(rows)
    yield finished(counted.order, counted.source, was_there=False)


def _resolved(request: CountingRequest) -> ResolvedSettings:
    """Return the settings of tokenizer and text; refuse values that no count can have."""
    if not request.text:
        raise UsageError("there is no text to count", hint="name files, -, or hf:OWNER/NAME")
    if request.min_count < 1:
        raise SettingsError(f"min_count = {request.min_count} is not valid", "it must be 1 or more")
    order = {} if request.order is None else {"order": request.order}
    resolve([NgramSettings], [SettingsLayer(USER, {**order, **request.limits})])
    keywords = [field.name for field in fields(request)]
    classes = (NewTokenizerSettings, TextSettings, SourceSettings)
    return resolve(classes, [SettingsLayer(USER, request.flags)], keywords)


def _check(request: CountingRequest, folders: Sequence[str]) -> None:
    """Refuse what has no effect together, and an output that is one of the inputs. folders: those
    of counts among the texts."""
    if request.output and (request.only or request.min_count > 1):
        raise UsageError(
            "a folder holds all counts",
            hint="use " + keyword("only", True) + " and " + keyword("min_count") + " to print it",
        )
    if folders:
        _check_folders(request, folders)
    else:
        if request.limits and not request.output:
            raise UsageError(_all_limits() + " need a folder", hint="add " + keyword("output"))
        if request.temp and not (request.memory or request.has_workers):
            raise UsageError(
                keyword("temp") + " needs " + keyword("memory"),
                "nothing is written to disk unless memory is limited",
            )
    if request.output:
        outputs.check_apart([request.output], folders or sources.expand(request.text))


def _all_limits() -> str:
    first = keyword("memory") + ", " + keyword("temp") + ", "
    return first + keyword("workers") + " and " + keyword("dask")


def _check_folders(request: CountingRequest, folders: Sequence[str]) -> None:
    """Refuse what cannot be combined with counts that are read."""
    # A folder without counts, or one that is missing, is no text to be counted, either.
    others = [name for name in request.text if name not in folders]
    for name in others:
        if os.path.isdir(name) or not os.path.exists(name):
            counts_folder.load(name)

    first = f"{folders[0]} is a folder of counts"
    if others:
        raise UsageError(f"{first}, and cannot be combined with {', '.join(others)}")
    if request.tokenizer or request.flags:
        raise UsageError(f"{first}: options for reading and tokenizing text have no effect")
    if len(folders) == 1 and request.limits:
        raise UsageError(f"{first}: " + _all_limits() + " have no effect")
    if len(folders) == 1 and request.output:
        raise UsageError(f"{first}: copy it, or name several folders to add them up")
    if request.has_workers:
        raise UsageError(
            f"{first}: this process adds up the counts: leave out "
            + keyword("workers")
            + " and "
            + keyword("dask")
        )


def _text_and_tokenizer(
    request: CountingRequest, resolved: ResolvedSettings
) -> tuple[Text, Tokenizer | TokenizerSettings]:
    """Return the text, and its tokenizer or the settings of the one to make."""
    text = open_text(request.text, resolved.make(TextSettings), resolved.make(SourceSettings))
    of_text = {*TextSettings.__dataclass_fields__, *SourceSettings.__dataclass_fields__}
    if text.tokenizer and of_text & request.flags.keys():
        raise UsageError(
            f"{request.text[0]} is a prepared text: options for reading text have no effect"
        )
    return text, request.tokenizer or resolved.make(NewTokenizerSettings)


def _identity_of_text(text: Text, tokenizer: Tokenizer | TokenizerSettings) -> dict[str, str]:
    """Return the facts that determine the tokens of a text."""
    if isinstance(tokenizer, TokenizerSettings):
        return merged(identity_of(text), settings_identity(tokenizer))
    return merged(identity_of(text), {"tokenizer": tokenizer.fingerprint})


def _counted(
    to_count: tuple[Text, Tokenizer | TokenizerSettings] | None,
    folders: Sequence[str],
    order: int | None,
    request: CountingRequest,
    progress: Progress,
) -> AbstractContextManager[Counted]:
    """Return a provider of the counts of a text, of a folder, or the sums over several."""
    memory, temp = request.memory, request.temp
    if to_count is None:
        return counted_data.of_folders(folders, order, memory, temp, progress)
    text, tokenizer = to_count
    return counted_data.of_text(
        text=text,
        tokenizer=tokenizer,
        order=order or DEFAULT_ORDER,
        memory=memory,
        temp=temp,
        report=progress,
        workers=WorkerOptions(request.workers, request.dask),
    )


def _saved(
    counted: Counted, folder: Path, identity: dict[str, str], began: float
) -> Iterator[CountedOrder]:
    """Write all counts into a folder, which the caller owns. Yield an event for each order."""
    orders: list[CountedOrder] = []

    def noted() -> Iterator[Level]:
        for n, level in enumerate(counted.levels, start=1):
            yield level
            orders.append(CountedOrder(n, len(level), time.perf_counter() - began))

    counts_folder.save(folder, noted(), counted.order, counted.source, counted.tokenizer, identity)
    yield from orders


def _ngrams(rows: Iterable[NgramCount]) -> Iterator[Ngrams]:
    """Yield n-grams, many at a time."""
    remaining = iter(rows)
    while batch := list(itertools.islice(remaining, AT_ONCE)):
        yield Ngrams(batch)

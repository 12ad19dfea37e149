"""Counts with a description of their source: a text, a folder of counts, or several; and texts to
count that do not fit in memory."""

import contextlib
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rnnlm import system
from rnnlm.amounts import plural
from rnnlm.errors import OutputError, UsageError, keyword, notice
from rnnlm.interface import Tokenizer
from rnnlm.lm.ngram.counting.count_trie import CountingProgress, Level
from rnnlm.lm.ngram.counting.workspace import Workspace
from rnnlm.storage.files import lock, private
from rnnlm.storage.files.resuming import text_signatures
from rnnlm.storage.files.writing import digest, writing
from rnnlm.text import sources, tokenizers
from rnnlm.text.corpus import BlockText, Corpus, ReadSplit, Split, Text, look_at
from rnnlm.text.encoding import EncodedText
from rnnlm.text.lines import Block, Progress, TextSettings, as_bytes, silent, watched
from rnnlm.text.sources import is_plain
from rnnlm.text.tokenizer_settings import NewTokenizerSettings, TokenizerSettings
from rnnlm.text.tokenizers import is_made_on_the_way, tell_empty
from rnnlm.text.tokenizers.vocabulary import VocabularyCheck, accept_any_size
from rnnlm.tools.counting import counts_folder
from rnnlm.tools.counting.beyond_memory import (
    Packing,
    StoredRuns,
    merge,
    name_of,
    whole_ngrams,
    write_run,
)
from rnnlm.tools.counting.memory_limit import (
    check_before_reading,
    check_while_reading,
    clean_up,
    count_in,
    counting_setup,
    identity_of,
)
from rnnlm.tools.counting.store import Store
from rnnlm.tools.counting.workers import WorkerOptions
from rnnlm.tools.prepared import prepared_text, shards
from rnnlm.tools.prepared.index import PREPARED_TEXT

MERGING_MEMORY = "1G"  # unless another limit is given


@dataclass(frozen=True)
class Counted:
    """Counts up to `order`, one level after the other, and a description of the text."""

    levels: Iterator[Level]
    order: int
    source: counts_folder.CountedSource
    tokenizer: Tokenizer


@dataclass(frozen=True)
class CountedText:
    """A text of which there are only counts."""

    lines_hash: str
    tokens: int
    words: int
    sentences: int


@dataclass(frozen=True)
class CountedData:
    """Counts in place of a training text, with a text for validation."""

    counts: counts_folder.CountsFolder
    valid: EncodedText | None = None

    @property
    def folder(self) -> Path:
        return self.counts.folder

    @property
    def tokenizer(self) -> Tokenizer:
        return self.counts.tokenizer

    @property
    def text_settings(self) -> TextSettings:
        return self.counts.text_settings

    @property
    def train(self) -> CountedText:
        source = self.counts.index.source
        return CountedText(self.counts.hash, source.tokens, source.words, source.lines)

    def with_valid(self, valid: EncodedText | None) -> "CountedData":
        return replace(self, valid=valid)


@contextlib.contextmanager
def of_text(
    text: Text,
    tokenizer: Tokenizer | TokenizerSettings,
    order: int,
    memory: str | None = None,
    temp: str | None = None,
    report: Progress = silent,
    workers: WorkerOptions = WorkerOptions(),
) -> Iterator[Counted]:
    """Provide the counts of a text, in as much `memory` as is allowed. temp: folder for temporary
    files, from which an interrupted count resumes; it is cleaned up in the end. workers: the
    workers that count, if not this process.

    tokenizer: an existing one, or settings to make one from the text.
    """
    # Check everything that can be checked before the text is read.
    _check_prepared(text, tokenizer)
    tokenizer = look_at(text, tokenizer)
    text = text_to_count(text, tokenizer, memory, temp, 0.0, workers, report)
    memory = workers.memory(memory)

    # The vocabulary: given, prepared, made on the way, or made in a pass of its own.
    tokenizer, split = text.tokenizer or tokenizer, text.split(0.0)
    if isinstance(tokenizer, TokenizerSettings) and is_made_on_the_way(tokenizer):
        settings = tokenizer
        tokenizer, encoded, _ = split.encode_once(settings, report)
        tell_empty(tokenizer, settings)
    else:
        if isinstance(tokenizer, TokenizerSettings):
            tokenizer = tokenizers.train(tokenizer, watched(text.blocks(), report))
        encoded, _ = split.encode(tokenizer, report)

    # Count in the largest workspace that memory and workers allow.
    source = counts_folder.CountedSource.of(encoded, text.settings)
    identity = identity_of({"order": order}, tokenizer)
    with (
        workers.connected() as pool,
        counting_setup(memory, temp, None, tokenizer.size, identity, pool) as setup,
    ):
        steps = count_in(setup, encoded, tokenizer, order, {"order": order})
        yield Counted(_reported(steps, report), order, source, tokenizer)
    if memory is not None and temp is not None:
        encoded.release(encoded.tokens)
        clean_up(temp, identity)


def text_to_count(
    text: Text,
    tokenizer: Tokenizer | TokenizerSettings,
    memory: str | None,
    temp: str | None,
    share: float,
    workers: WorkerOptions,
    report: Progress,
) -> Text:
    """Return the text on disk, where it does not fit in memory or workers are to read it; else as
    it is. share: of the lines that are held out. The rest: as for :func:`of_text`."""
    # Without a memory limit, and without workers, the text stays as it is.
    workers.try_out(temp)
    memory = workers.memory(memory)
    if not memory:
        return text

    # Put a text that is too large on disk; else remove an earlier copy there.
    times = times_its_size(text, memory) if isinstance(text, Corpus) else TIMES_AT_MOST
    is_read_once = not isinstance(tokenizer, TokenizerSettings) or is_made_on_the_way(tokenizer)
    least = TIMES_AT_MOST if not is_read_once else TIMES_USUALLY
    is_on_disk = isinstance(text, Corpus) and (workers.are_wanted or times < least)
    check_before_reading(memory, text.tokenizer or tokenizer, is_on_disk)
    if not isinstance(text, Corpus):
        return text

    def on_disk_now() -> Text:
        check = check_while_reading(memory)
        return on_disk(text, tokenizer, memory, temp, share, report, check)

    if is_on_disk:
        return on_disk_now()
    if temp is not None:
        delete_earlier(text, tokenizer, temp, share)
    if times >= TIMES_AT_MOST:
        return text
    return LimitedText(text, system.parse_size(memory), on_disk_now)


def _check_prepared(text: Text, tokenizer: Tokenizer | TokenizerSettings) -> None:
    """Make sure that no tokenizer is requested other than the tokenizer of a prepared text."""
    if text.tokenizer is None or tokenizer in (TokenizerSettings(), NewTokenizerSettings()):
        return
    if (
        isinstance(tokenizer, TokenizerSettings)
        or tokenizer.fingerprint != text.tokenizer.fingerprint
    ):
        raise UsageError(
            f"{text.sources[0]} was prepared with another tokenizer",
            "its words already have ids",
            "leave out the tokenizer options, or count the original text",
        )


@contextlib.contextmanager
def of_folders(
    folders: Sequence[str],
    order: int | None = None,
    memory: str | None = None,
    temp: str | None = None,
    report: Progress = silent,
) -> Iterator[Counted]:
    """Provide the counts in one folder up to `order` (None: all), or the sums over several, in
    bounded memory: the counts of all texts together, with the words of all."""
    # The counts must be of the same kind; a folder given twice counts twice.
    several = [counts_folder.load(folder) for folder in folders]
    if len(set(map(os.path.realpath, folders))) < len(folders):
        notice("a folder of counts is given more than once, and its counts are added each time")
    for counts in several:
        counts.check()
    counts_folder.check_alike(several)
    first = several[0]

    # The source of the sum is the sum of the sources.
    order = within(first, order)
    source = first.index.source
    for other in several[1:]:
        source = source.with_other(other.index.source)
    if len(several) == 1:
        yield Counted(iter(first.levels(order)), order, source, first.tokenizer)
        return

    # Several: give all of them one vocabulary, and merge them order by order.
    report("joining vocabularies")
    tokenizer = counts_folder.joint_tokenizer(several)
    memory = memory or MERGING_MEMORY
    identity = identity_of({"order": order}, tokenizer)
    with (
        _folder_in(temp) as folder,
        counting_setup(memory, folder, None, tokenizer.size, identity) as setup,
    ):
        assert setup.store is not None
        steps = _merged(several, tokenizer, order, setup.store, setup.workspace)
        yield Counted(_reported(steps, report), order, source, tokenizer)


@contextlib.contextmanager
def _folder_in(temp: str | None) -> Iterator[str | None]:
    """Provide a folder within `temp`, which is deleted in the end; None: the system's place."""
    if temp is None:
        yield None
        return
    with writing(Path(temp)):
        Path(temp).mkdir(parents=True, exist_ok=True)
        folder = private.temporary(Path(temp))
    with folder as name:
        yield name


def within(counts: counts_folder.CountsFolder, order: int | None) -> int:
    """Return `order`, or, for None, the order of the counts; refuse a higher one."""
    counted_order = counts.index.order
    if order is not None and order > counted_order:
        raise UsageError(
            f"order = {order} is higher than the order of {counts.folder}",
            f"its n-grams go up to order {counted_order}",
            "use " + keyword("order", counted_order) + ", or count the text again",
        )
    return order or counted_order


def _merged(
    several: Sequence[counts_folder.CountsFolder],
    tokenizer: Tokenizer,
    order: int,
    store: Store,
    workspace: Workspace,
) -> Iterator[CountingProgress | Level]:
    """Merge the n-grams in several folders, as numbered by `tokenizer`."""
    packing = Packing(tokenizer.size, order)
    id_of = {symbol: id for id, symbol in enumerate(tokenizer.symbols())}
    for number, counts in enumerate(several):
        number_V = np.arange(tokenizer.size)
        if counts.index.tokenizer_fingerprint != tokenizer.fingerprint:
            number_V = counts_folder.ids_in(counts.read_tokenizer(), id_of)
        levels = counts.levels(order)
        rows = whole_ngrams(levels, number_V, tokenizer.boundary_id, packing, workspace)
        for columns, counts_R in rows:
            store.finish(write_run(store, name_of(len(store.pieces)), columns, counts_R))
        yield CountingProgress("reading counts", (number + 1) / len(several))
    yield from merge(StoredRuns(store), packing, workspace, most_runs=store.most_open)


def _reported(steps: Iterable[CountingProgress | Level], report: Progress) -> Iterator[Level]:
    """Yield the levels, and report each, and how far the work is."""
    orders = 0
    for step in steps:
        if isinstance(step, CountingProgress):
            report(f"{step.phase}: {step.share:.0%}")
            continue
        orders += 1
        report(f"order {orders}: {plural(len(step), 'n-gram')}")
        yield step


# ---- A text that does not fit in memory is prepared in a folder, for one run.

# Memory of a text while it is read and encoded, times its size: of usual words, and where each of
# its words is another (measured)
TIMES_USUALLY, TIMES_AT_MOST = 8, 40
SHARE_READ = 0.7  # of the memory, which a text may take before all of it is read (measured)


def times_its_size(text: Corpus, memory: str) -> float:
    """Return how many times the size of a text so much memory is; 0 if the size is not known."""
    names = sources.expand(text.sources)
    total = shards.Position(names).total
    if total is None or not all(is_plain(name, text.source_settings) for name in names):
        return 0.0
    return system.parse_size(memory) / max(1, total)


class DoesNotFit(Exception):
    """A text takes more memory than it may while it is read."""


class LimitedText(BlockText):
    """A text that is read and encoded in `memory`, and prepared on disk from the moment when it
    turns out not to fit. prepare: does that."""

    def __init__(self, text: Corpus, memory: int, prepare: Callable[[], Text]) -> None:
        self.text = text
        self.sources, self.settings = text.sources, text.settings
        self.most = SHARE_READ * memory
        self.prepare = prepare

    def blocks(self) -> Iterator[Block]:
        for block in self.text.blocks():
            # A block is as long as its longest line.
            needed = TIMES_AT_MOST * len(as_bytes(block.lines))
            if max(needed, system.private_bytes()) > self.most:
                raise DoesNotFit
            yield block

    def split(self, share: float, is_chosen: bool = True) -> "LimitedSplit":
        return LimitedSplit(self, share, is_chosen)


class LimitedSplit(ReadSplit):
    """A :class:`LimitedText` in two parts."""

    def __init__(self, text: LimitedText, share: float, is_chosen: bool) -> None:
        super().__init__(text, share)
        self.limited, self.is_chosen = text, is_chosen
        self.on_disk: Split | None = None

    @property
    def held_out(self) -> str:
        return self.on_disk.held_out if self.on_disk else super().held_out

    def encode(
        self, tokenizer: Tokenizer, progress: Progress = silent
    ) -> tuple[EncodedText, EncodedText | None]:
        with contextlib.suppress(DoesNotFit):
            return super().encode(tokenizer, progress)
        return self._put_on_disk().encode(tokenizer, progress)

    def encode_once(
        self, settings: TokenizerSettings, progress: Progress = silent
    ) -> tuple[Tokenizer, EncodedText, EncodedText | None]:
        with contextlib.suppress(DoesNotFit):
            return super().encode_once(settings, progress)
        return self._put_on_disk().encode_once(settings, progress)

    def _put_on_disk(self) -> Split:
        system.return_freed()
        self.on_disk = self.limited.prepare().split(self.share, self.is_chosen)
        return self.on_disk


def _work(text: Corpus, tokenizer: Tokenizer | TokenizerSettings, held_out: float) -> str:
    """Return the name of a text's folder, after its user."""
    made_with = tokenizer if isinstance(tokenizer, TokenizerSettings) else tokenizer.fingerprint
    signatures = text_signatures(sources.expand(text.sources))
    facts = (made_with, text.settings, text.source_settings, held_out, signatures)
    encoded = repr(facts).encode("utf-8", "backslashreplace")
    return f"{PREPARED_TEXT}-{digest([encoded])[:12]}"


def delete_earlier(
    text: Corpus, tokenizer: Tokenizer | TokenizerSettings, temp: str, held_out: float
) -> None:
    """Delete the files that an interrupted run in less memory has left of a text that is now read
    in memory, unless another run is preparing it. The parameters are those of :func:`on_disk`."""
    work = _work(text, tokenizer, held_out)
    folder = private.path_in(Path(temp), work)
    if os.path.lexists(folder):
        # It stays where another process is at work.
        with contextlib.suppress(OutputError), private.held(temp, work, "cleaning up"):
            # A killed preparation leaves a lock of its own, which ends with ours.
            with lock.held(folder / PREPARED_TEXT, "cleaning up"):
                shards.remove(folder / PREPARED_TEXT)
            private.remove_empty(folder / PREPARED_TEXT)


def on_disk(
    text: Corpus,
    tokenizer: Tokenizer | TokenizerSettings,
    memory: str,
    temp: str | None,
    held_out: float,
    progress: Progress,
    check: VocabularyCheck = accept_any_size,
) -> prepared_text.PreparedText:
    """Return a text prepared in a folder, in as much `memory` as is allowed.

    temp: folder for temporary files. It keeps the text until that is released, so that an
    interrupted run finds it again. None: the text vanishes with the returned object, at the latest.
    held_out: the share of the lines whose words are not counted. check: called as the vocabulary
    grows.
    """
    from rnnlm.tools.prepared.preparation import CountingWords, Encoding, prepare_exactly

    # The folder: one that vanishes, or one whose name says which text it holds, and how it is made.
    vanishing = None
    owned = contextlib.ExitStack()  # where another run may be working, after releasing its text
    if temp is None:
        vanishing = private.temporary()
        folder = Path(vanishing.name) / PREPARED_TEXT
    else:
        work = _work(text, tokenizer, held_out)
        folder = owned.enter_context(private.held(temp, work, "preparing a text")) / PREPARED_TEXT

    # Prepare the text there.
    with owned:
        for event in prepare_exactly(
            text.sources,
            folder,
            tokenizer=tokenizer,
            text_settings=text.settings,
            source_settings=text.source_settings,
            memory=system.parse_size(memory),
            held_out=held_out,
            check=check,
        ):
            if isinstance(event, CountingWords | Encoding) and event.share is not None:
                done = "words counted" if isinstance(event, CountingWords) else "text encoded"
                left = event.seconds_left
                shown = f", {left:.0f} s left" if left is not None else ""
                progress(f"{done}: {event.share:.0%}{shown}")
    prepared = prepared_text.load(folder)

    # Delete its shards as they are read, and the rest with the last of them.
    def delete_text() -> None:
        shards.remove_all(folder)
        private.remove_empty(folder.parent)

    delete: Callable[[], object] = delete_text
    if vanishing is not None:
        delete = weakref.finalize(prepared.shards, vanishing.cleanup)

    def release(tokens: int) -> None:
        prepared.shards.close()
        if not folder.is_dir():  # all of it was already released
            return
        shards.remove_shards(folder, prepared.shards.within(tokens))
        if tokens >= prepared.index.counts.tokens:
            delete()

    return replace(prepared, release=release, copy_of=text)

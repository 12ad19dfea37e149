"""Choose where to count a text: in memory or, with a limit, in a folder, by shards."""

import contextlib
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm import system
from rnnlm.amounts import amount
from rnnlm.config import as_text
from rnnlm.errors import OutputError, UsageError, keyword, notice
from rnnlm.interface import Tokenizer
from rnnlm.lm.ngram.counting.count_trie import CountingProgress, Level, count
from rnnlm.lm.ngram.counting.workspace import Workspace, check_size, memory_for_arrays
from rnnlm.lm.ngram.tables import NOWHERE
from rnnlm.parallel import WorkerPool, repeating
from rnnlm.storage.files import private
from rnnlm.storage.files.tensors import ChunkedArray
from rnnlm.storage.files.writing import hash_of_facts
from rnnlm.text.encoding import EncodedText, IdFiles, kept, known_ids
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import VocabularyCheck
from rnnlm.tools.counting import plan as plans
from rnnlm.tools.counting.beyond_memory import Packing, count_by_shards, name_of
from rnnlm.tools.counting.store import Store
from rnnlm.tools.counting.workers import PoolRunner, TaskRunner

Ids = np.ndarray | ChunkedArray
# Returns the position to watch in a text that is counted by the given ranges of positions.
Watch = Callable[[Ids, Sequence[tuple[int, int]]], int]


@dataclass(frozen=True)
class CountingSetup:
    """A workspace, and the runner that counts in a folder, where finished pieces are kept. runner:
    None if all is in memory. keeps_text: the text stays until the result is saved, so that a run
    that resumes need not read it again."""

    workspace: Workspace
    runner: TaskRunner | None = None
    keeps_text: bool = False

    @property
    def store(self) -> Store | None:
        return None if self.runner is None else self.runner.store


@contextlib.contextmanager
def counting_setup(
    memory: str | None,
    temp: str | None,
    threads: int | None,
    size: int,
    identity: Mapping[str, str],
    pool: WorkerPool | None = None,
) -> Iterator[CountingSetup]:
    """Provide the workspace for counting and estimating within `memory`, with a vocabulary of that
    size. Finished pieces in a folder that the user named stay until :func:`clean_up`.

    identity: of the count, as :func:`identity_of` returns it: each has its own folder there. pool:
    workers that count, each in so much memory; they must see the folder.
    """
    if memory is None:
        yield CountingSetup(Workspace(threads=threads))
        return
    allowed = memory_for_arrays(memory, size)
    system.allow_open_files()
    with contextlib.ExitStack() as held:
        folder = held.enter_context(
            _vanishing_folder() if temp is None else private.held(temp, _work(identity), "counting")
        )
        runner = TaskRunner(Store(folder), Workspace(allowed, threads, folder))
        held.callback(runner.store.close)
        if pool is not None:
            runner = held.enter_context(_pool_runner(pool, runner, allowed))
        yield CountingSetup(runner.workspace, runner, keeps_text=temp is not None)


@contextlib.contextmanager
def _pool_runner(pool: WorkerPool, local: TaskRunner, memory: int) -> Iterator[TaskRunner]:
    """Provide a runner for a pool of workers. When the context ends, anything they still write is
    useless, and is deleted."""
    # Another run may have been killed here, whose workers are to stop.
    store = local.store
    store.remove_unfinished()
    store.set_mark()
    try:
        pool.check_folder(store.folder.absolute(), store.mark)
        yield PoolRunner(store, local.workspace, pool, memory)
    finally:
        store.remove_mark()
        pool.settle()
        store.remove_unfinished()


def clean_up(temp: str, identity: Mapping[str, str]) -> None:
    """Delete the files that a count has left in the folder that the user named: its result is
    saved.

    identity: of the count, as :func:`identity_of` returns it; others that are there are left alone.
    """
    folder = private.path_in(Path(temp), _work(identity))
    if not os.path.lexists(folder):
        return
    with private.held(temp, _work(identity), "cleaning up"):
        # Delete the plan first: anything that a kill then leaves is removed by the next cleaning or
        # count.
        plans.delete(folder)
        Store(folder).delete()


def _work(identity: Mapping[str, str]) -> str:
    """Return the name of a count's folder, after its user."""
    return f"counts-{hash_of_facts(dict(identity))[:12]}"


@contextlib.contextmanager
def _vanishing_folder() -> Iterator[Path]:
    """Provide a folder where the system has temporary files, which is deleted when the work ends,
    unless the process is killed."""
    wanted = os.environ.get("TMPDIR")
    if wanted and os.path.realpath(wanted) != os.path.realpath(tempfile.gettempdir()):
        notice(f"cannot write to TMPDIR={wanted}: temporary files go to {tempfile.gettempdir()}")
    try:
        folder = private.temporary()
    except OSError as error:
        raise OutputError(
            f"there is no space for temporary files in {tempfile.gettempdir()}",
            error.strerror or str(error),
            "free some space there, or name another folder with " + keyword("temp"),
        ) from None
    with folder as name:
        yield Path(name)


def check_before_reading(
    memory: str, tokenizer: Tokenizer | TokenizerSettings, is_on_disk: bool
) -> None:
    """Refuse a `memory` that is too little for any text. tokenizer: an existing one, or the
    settings of one to make, whose size is not known yet. is_on_disk: the text will be prepared on
    disk, which needs more than counting with few words does, and checks it first."""
    if not isinstance(tokenizer, TokenizerSettings):
        check_size(memory, tokenizer.size)
    elif not is_on_disk:
        check_size(memory, 0)


def check_while_reading(memory: str) -> VocabularyCheck:
    """Return a check that refuses a vocabulary that is too large for `memory` while it is made."""
    earlier: list[tuple[int, int]] = []  # tokens, twice as many each time, and words

    def check(size: int, tokens_read: int, share: float | None) -> None:
        foreseen = _foreseen(earlier, size, tokens_read, share) if share else None
        check_size(memory, size, tokens_read=tokens_read, foreseen=foreseen)
        if not earlier or tokens_read >= 2 * earlier[-1][0]:
            earlier.append((tokens_read, size))

    return check


CAUTION = 1.1  # times the words foreseen: the end of a text may differ from its start


def _foreseen(earlier: Sequence[tuple[int, int]], size: int, tokens_read: int, share: float) -> int:
    """Return how many words a text is likely to have, a share of which was read: words are
    a tokens^b (Heaps 1978), with b from the last half of it."""
    b = 1.0
    for tokens, words in earlier:
        if 2 * tokens <= tokens_read and words:
            b = math.log(size / words) / math.log(tokens_read / tokens)
    return math.ceil(CAUTION * size * share ** -min(b, 1.0))


MEASURED_SECONDS = 0.02  # between two measurements


class MemoryUse:
    """The most memory that this process has held: private memory, and pages of mapped files, which
    the system takes back when it needs them."""

    def __init__(self) -> None:
        self.private_bytes = self.mapped_bytes = 0

    def measure(self) -> None:
        """Take the memory in use now into account."""
        self.private_bytes = max(self.private_bytes, system.private_bytes())
        self.mapped_bytes = max(self.mapped_bytes, system.mapped_bytes())


@contextlib.contextmanager
def measured_memory() -> Iterator[MemoryUse]:
    """Measure the memory of this process again and again in this context."""
    use = MemoryUse()
    use.measure()
    with repeating(use.measure, MEASURED_SECONDS, "memory use"):
        yield use


def count_in(
    setup: CountingSetup,
    text: EncodedText,
    tokenizer: Tokenizer,
    order: int,
    identity: Mapping[str, Any],
    watch: Watch = lambda ids, shards: NOWHERE,
    thresholds: Sequence[int] | None = None,
) -> Iterator[CountingProgress | Level]:
    """Count a text, order by order. Release it as its shards are counted, unless it is kept.

    identity: facts that must be the same for an interrupted count to resume, besides text and
    vocabulary. thresholds: pruning thresholds of the model that will be estimated, if one will."""
    shape = (tokenizer.boundary_id, tokenizer.size, order)
    ids = text.ids

    # Without a folder, everything is counted in memory, in one piece.
    if setup.runner is None:
        ids_T = known_ids(ids, tokenizer)
        yield from count(ids_T, *shape, watch(ids_T, [(0, len(ids_T))]), setup.workspace)
        return

    # Otherwise plan the shards, and let processes read the ids from files.
    if not isinstance(ids, ChunkedArray):
        ids = known_ids(ids, tokenizer)
    identity = identity_of(identity, tokenizer)
    plan = _plan(ids, tokenizer, order, identity, setup, thresholds)
    watched = watch(ids, [(shard.start, shard.stop) for shard in plan.shards])
    read: Ids | IdFiles = ids
    if isinstance(setup.runner, PoolRunner):
        if text.files is None:
            raise UsageError(
                "workers cannot read this text",
                "it exists only in the memory of this process",
                "write it to a file, or prepare it with rnnlm prepare",
            )
        read = text.files
    done = kept if setup.keeps_text else text.release
    yield from count_by_shards(read, *shape, plan, setup.runner, watched, done=done)


def identity_of(settings: Mapping[str, Any], tokenizer: Tokenizer) -> dict[str, str]:
    """Return the facts that must be the same for a count to resume, besides its text."""
    named = {name: as_text(value) for name, value in settings.items()}
    return named | {"vocabulary": tokenizer.fingerprint}


def _plan(
    ids: Ids,
    tokenizer: Tokenizer,
    order: int,
    identity: Mapping[str, str],
    setup: CountingSetup,
    thresholds: Sequence[int] | None,
) -> plans.CountingPlan:
    """Return the plan in the folder, which another run has left there, or a new one."""
    runner, workspace = setup.runner, setup.workspace
    assert runner is not None
    store = runner.store
    plan = plans.read(store.folder)
    is_new = plan is None
    if plan is None:
        store.delete()
        plan = plans.make(
            ids=ids,
            boundary_id=tokenizer.boundary_id,
            order=order,
            columns=Packing(tokenizer.size, order).columns,
            identity=identity,
            workspace=workspace,
            thresholds=thresholds or (),
        )
    else:
        plans.check(plan, store.folder, ids, identity)
        store.resume()
        _tell_large_shards(plan, store, workspace)

    # Say it before the work if the disk is too small for it.
    store.needed = plan.bytes_counting(workspace)
    if thresholds is not None:
        store.needed = max(store.needed, plan.bytes_estimating(workspace))
    if is_new:
        plans.check_disk_space(store.folder, store.needed)
        plans.write(store.folder, plan)
    return plan


def _tell_large_shards(plan: plans.CountingPlan, store: Store, workspace: Workspace) -> None:
    """Tell if shards that are not counted yet take more memory than is allowed now: the plan keeps
    their sizes."""
    left = [
        shard.stop - shard.start
        for number, shard in enumerate(plan.shards)
        if name_of(number) not in store
    ]
    excess = max(left, default=0) / workspace.shard(plan.columns) - 1
    if excess > 0:
        more = amount(excess * workspace.memory * workspace.threads + 1e6, unit="bytes")
        notice(
            f"counting began with more memory, in parts of {max(left):,} tokens: until they are "
            f"done, it may use about {more} more than is now allowed"
        )

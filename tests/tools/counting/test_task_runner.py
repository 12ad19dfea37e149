"""Workers elsewhere that see the same folder count as this process does."""

import functools

import numpy as np
import pytest

from reference.ngram_levels import levels_of
from rnnlm.errors import TextError
from rnnlm.lm.ngram.counting.count_trie import Level
from rnnlm.lm.ngram.counting.workspace import Workspace
from rnnlm.parallel import InlineExecutor, ProcessExecutor, RunCancelled, WorkerPool
from rnnlm.storage.files import tensors
from rnnlm.storage.files.writing import replace_file
from rnnlm.text.encoding import IdFiles
from rnnlm.tools.counting import plan as plans
from rnnlm.tools.counting.beyond_memory import CountShard, count_by_shards
from rnnlm.tools.counting.store import Store
from rnnlm.tools.counting.workers import PoolRunner, run_task
from support.random_texts import assert_levels, random_text
from support.tiny_ngrams import END, ids_of

MEMORY = 10**6


@pytest.fixture(scope="module")
def pools():
    """Two processes, which are started once; and none, where each task is done at once."""
    with ProcessExecutor(2) as processes:
        yield {"processes": WorkerPool(processes, 2), "inline": WorkerPool(InlineExecutor(), 1)}


def written_ids(ids_T: np.ndarray, folder, parts: int) -> IdFiles:
    """Write ids to several files, as those of a prepared text are."""
    starts = [len(ids_T) * part // parts for part in range(parts + 1)]
    names = []
    for number in range(parts):
        names.append(f"ids-{number}.safetensors")
        part = {"ids": ids_T[starts[number] : starts[number + 1]]}
        replace_file(folder / names[-1], tensors.chunks(part))
    return IdFiles(folder, tuple(names), tuple(starts))


def task_of(ids: IdFiles, sha256: str, order: int = 3) -> CountShard:
    return CountShard(0, ids, 0, ids.starts[-1], sha256, END, 1000, order)


def test_ids_are_read_from_their_files(tmp_path):
    ids = written_ids(np.arange(100, dtype=np.uint16), tmp_path, 7)
    for start in range(0, 100, 3):
        for stop in range(start + 1, 101, 5):
            near = ids.around(start, stop)
            assert near[start:stop].tolist() == list(range(start, stop))
            assert len(near.names) <= (stop - start) // 14 + 2


@pytest.mark.parametrize("kind", ["processes", "inline"])
@pytest.mark.parametrize("seed", range(4))
def test_workers_elsewhere_find_the_same_levels(pools, kind, seed, tmp_path):
    text = random_text(seed)
    ids_T = ids_of(text.sentences)
    store = Store(tmp_path)
    store.set_mark()
    workspace = Workspace(MEMORY, threads=2, folder=tmp_path)
    workspace.shard = lambda columns: 40
    runner = PoolRunner(store, workspace, pools[kind], MEMORY)
    plan = plans.make(ids_T, END, text.order, 1, {}, workspace)
    ids = written_ids(ids_T, tmp_path, 5)
    steps = count_by_shards(ids, END, text.size, text.order, plan, runner)
    found = [step for step in steps if isinstance(step, Level)]
    assert_levels(found, levels_of(text.sentences, text.size, text.order), text.size)
    assert not list(tmp_path.glob("*.new"))


def test_a_worker_that_is_late_leaves_nothing(tmp_path):
    ids_T = ids_of(random_text(3).sentences)
    ids = written_ids(ids_T, tmp_path, 1)
    sha256 = plans.make(ids_T, END, 3, 1, {}, Workspace(MEMORY)).shards[0].sha256
    store = Store(tmp_path)
    store.set_mark()
    own = {"folder": str(tmp_path), "mark": store.mark, "memory": MEMORY}
    run = functools.partial(run_task, **own)
    twice = [run(task_of(ids, sha256)) for _ in range(2)]
    # Both have written all of it, under names of their own; only one is taken.
    assert [piece for piece, _ in twice[0]] == [piece for piece, _ in twice[1]]
    store.finish(*twice[0])
    before = sorted(path.name for path in tmp_path.iterdir())
    store.remove_mark()
    with pytest.raises(RunCancelled, match="has ended"):
        run(task_of(ids, sha256))
    store.remove_unfinished()
    left = [name for name in before if not name.endswith(".new") and not name.startswith("running")]
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_a_run_that_ends_while_it_writes(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.set_mark()
    chunks = tensors.chunks

    def ending(arrays):
        store_of_run.remove_mark()
        yield from chunks(arrays)

    store_of_run = Store(tmp_path, mark=store.mark)
    monkeypatch.setattr(tensors, "chunks", ending)
    with pytest.raises(RunCancelled):
        store.write("run-0000000", {"0": np.zeros(3, np.uint64)})
    assert not list(tmp_path.iterdir())


def test_a_worker_that_sees_another_text_says_so(tmp_path):
    ids = written_ids(ids_of(random_text(3).sentences), tmp_path, 2)
    task, folder = task_of(ids, "0" * 64), str(tmp_path)
    with pytest.raises(TextError, match="finds another text"):
        run_task(task, folder=folder, mark="", memory=MEMORY)

"""Counting by shards in a folder: the same trie for any text, any memory and any interruption."""

import random
import re
from pathlib import Path

import numpy as np
import pytest

from reference.ngram_levels import levels_of
from rnnlm.errors import ModelError, OutputError
from rnnlm.lm.ngram.counting import workspace as spaces
from rnnlm.lm.ngram.counting.count_trie import Level, count
from rnnlm.lm.ngram.counting.workspace import Workspace
from rnnlm.lm.ngram.smoothing.kneser_ney import last_read
from rnnlm.lm.ngram.tables import NOWHERE
from rnnlm.tools.counting import beyond_memory, plan as plans, store
from rnnlm.tools.counting.beyond_memory import Packing, added, as_run, count_by_shards, merge
from rnnlm.tools.counting.store import Store
from rnnlm.tools.counting.workers import TaskRunner
from support.random_texts import SEEDS, SHARDS, RandomText, assert_levels, random_text
from support.tiny_ngrams import END, assert_same, ids_of

pytestmark = pytest.mark.long

MEMORY = (1000, 3000, 10**4, 10**5, 10**8)
FEW_PIECES = 30_000  # of memory: dozens of pieces of a thousand words, not many hundreds
IDENTITY = {"order": "3"}


def small_workspace(folder: Path, memory: int, shard: int, threads: int = 2) -> Workspace:
    """Make a workspace that counts so many positions together."""
    workspace = Workspace(memory, threads, folder)
    workspace.shard = lambda columns: shard
    return workspace


def memory_of(text: RandomText) -> int:
    """Return how much memory this text is counted in: little, if long, only in the long proofs."""
    memory = MEMORY[(text.seed + 1) % len(MEMORY)]
    is_long = sum(map(len, text.sentences)) > 500
    return max(memory, FEW_PIECES) if is_long and text.seed < 10 else memory


def levels_by_shards(text, folder: Path, number: int, memory: int, watch: int = NOWHERE) -> list:
    """Return the levels of a text that is counted in so many shards."""
    folder.mkdir(exist_ok=True)
    ids_T = ids_of(text.sentences)
    # Two threads that share work on many small shards mostly wait for each other.
    workspace = small_workspace(folder, memory, -(-len(ids_T) // number), 1 if number > 3 else 2)
    plan = plans.read(folder) or plans.make(ids_T, END, text.order, 1, IDENTITY, workspace)
    plans.write(folder, plan)
    store = Store(folder)
    store.resume()
    runner = TaskRunner(store, workspace)
    steps = count_by_shards(ids_T, END, text.size, text.order, plan, runner, watch)
    return [step for step in steps if isinstance(step, Level)]


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("number", SHARDS)
def test_shards_make_the_levels_of_the_whole(seeds, number, tmp_path):
    for seed in seeds:
        text = random_text(seed)
        found = levels_by_shards(text, tmp_path / str(seed), number, memory_of(text))
        assert_levels(found, levels_of(text.sentences, text.size, text.order), text.size)


@pytest.mark.parametrize("number", SHARDS)
def test_a_watched_ngram_is_found_in_any_shard(number, tmp_path):
    for seed in range(1, 4):
        text = random_text(seed)
        ids_T = ids_of(text.sentences)
        watch = random.Random(seed).randrange(len(ids_T))
        found = levels_by_shards(text, tmp_path / str(seed), number, FEW_PIECES, watch)
        expected = count(ids_T, END, text.size, text.order, watch)
        assert [level.watched for level in found] == [level.watched for level in expected]


@pytest.mark.parametrize(("order", "columns"), [(4, 1), (6, 2), (7, 3)])
def test_ngrams_of_many_words_take_several_columns(order, columns, tmp_path):
    text = random_text(3)
    size = 60_000
    words = np.random.default_rng(1).permutation(size - 1)[: text.size] + 1
    sentences = [[int(words[word]) for word in sentence] for sentence in text.sentences]
    found = levels_by_shards(RandomText(0, size, order, sentences), tmp_path, 5, FEW_PIECES)
    assert Packing(size, order).columns == columns
    assert_same(found, list(count(ids_of(sentences), END, size, order)))


@pytest.mark.parametrize("seed", range(8))
def test_a_text_in_parts_has_the_same_last_ngram(seed):
    text = random_text(seed)
    ids_T = ids_of(text.sentences)
    shape = (END, 1, text.size, text.order)
    parts = [(start, min(start + 7, len(ids_T))) for start in range(0, len(ids_T), 7)]
    assert last_read(ids_T, parts, *shape) == last_read(ids_T, [(0, len(ids_T))], *shape)


def test_counted_shards_need_no_text(tmp_path):
    text = random_text(3)
    ids_T = ids_of(text.sentences)
    workspace = small_workspace(tmp_path, FEW_PIECES, shard=-(-len(ids_T) // 3))
    plan = plans.make(ids_T, END, text.order, 1, IDENTITY, workspace)
    expected = levels_of(text.sentences, text.size, text.order)

    def release(tokens):
        ids_T[:tokens].fill(END)

    runner = TaskRunner(Store(tmp_path), workspace)
    steps = count_by_shards(ids_T, END, text.size, text.order, plan, runner, done=release)
    assert_levels([step for step in steps if isinstance(step, Level)], expected, text.size)
    assert (ids_T == END).all()


class Killed(Exception):
    """The process ends here."""


# Little memory cuts long texts into many hundreds of pieces.
LONG_TEXTS = [pytest.param(seed, marks=pytest.mark.soak) for seed in (0, 3)]


@pytest.mark.parametrize("seed", [1, 2, 4, 5, *LONG_TEXTS])
def test_an_interrupted_count_goes_on_where_it_was(seed, tmp_path, monkeypatch):
    text = random_text(seed)
    expected = levels_of(text.sentences, text.size, text.order)
    finish = Store.finish
    chance = random.Random(seed)
    finished = []

    def die_now_and_then(store, *written):
        if chance.random() < 0.5:
            raise Killed
        finish(store, *written)
        finished.extend(piece.name for piece, _ in written)

    # Each time it goes on, in another amount of memory.
    monkeypatch.setattr(Store, "finish", die_now_and_then)
    for attempt in range(1000):
        try:
            found = levels_by_shards(text, tmp_path, 9, MEMORY[attempt % len(MEMORY)])
        except Killed:
            continue
        break
    assert attempt > 1
    assert_levels(found, expected, text.size)
    # Each shard is counted once: none is begun again.
    assert len(finished) == len(set(finished))


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_piece_is_a_clear_error(tmp_path, damage):
    levels_by_shards(random_text(3), tmp_path, 3, FEW_PIECES)
    piece = min(tmp_path.glob("run-*.safetensors"))
    Store(tmp_path).resume()
    if damage == "changed":
        piece.write_bytes(b"damaged")
    else:
        piece.unlink()
    with pytest.raises(ModelError, match="the counts in .* are damaged") as raised:
        Store(tmp_path).resume()
    why = {"changed": r" has 7 bytes instead of \d+", "missing": " is missing or is not a plain"}
    assert re.match(piece.name + why[damage], raised.value.why)
    assert raised.value.hint == "delete the folder and start again"


def test_a_changed_digit_of_plan_or_journal_is_a_clear_error(tmp_path):
    levels_by_shards(random_text(3), tmp_path, 3, FEW_PIECES)
    journal = tmp_path / store.JOURNAL
    journal.write_bytes(journal.read_bytes().replace(b'"bytes": ', b'"bytes": 1', 1))
    with pytest.raises(ModelError, match="are damaged; line 1 of finished.jsonl was changed"):
        Store(tmp_path).resume()
    plan = tmp_path / plans.PLAN
    plan.write_bytes(plan.read_bytes().replace(b'"stop": ', b'"stop": 1', 1))
    damaged = "is damaged; plan.json: it was changed .*; name another folder with `temp`"
    with pytest.raises(ModelError, match=damaged):
        plans.read(tmp_path)


def test_another_text_or_setting_is_refused(tmp_path):
    def why(ids_T, identity=IDENTITY):
        with pytest.raises(OutputError, match="already holds another result") as raised:
            plans.check(plan, tmp_path, ids_T, identity)
        assert "`temp`" in raised.value.hint
        return raised.value.why

    ids_T = ids_of(random_text(1).sentences)
    plan = plans.make(ids_T, END, 3, 1, IDENTITY, small_workspace(tmp_path, 3000, shard=50))
    plans.check(plan, tmp_path, ids_T, IDENTITY)
    assert why(ids_T, {"order": "4"}) == "`order` was 3 and is now 4"
    changed_T = ids_T.copy()
    changed_T[-2] = 1 - min(1, int(changed_T[-2]))
    assert why(changed_T).startswith("hash of tokens was ")
    assert why(ids_T[:-1]).startswith(f"`tokens` was {len(ids_T)} and is now {len(ids_T) - 1}; ")
    with pytest.raises(OutputError, match="has too little space") as raised:
        plans.check_disk_space(tmp_path, 10**18)
    assert "1,000,000,000.0 GB for temporary files" in raised.value.why


def test_the_plan_foresees_the_number_of_ngrams(tmp_path, monkeypatch):
    ids_T = np.minimum(np.random.default_rng(1).zipf(1.3, 600_000), 5000)
    ids_T[::17] = END
    ids_T[-1] = END
    workspace = small_workspace(tmp_path, 10**8, shard=100_000)
    plan = plans.make(ids_T, END, 4, 2, IDENTITY, workspace, thresholds=(0, 0, 1, 1))
    levels = list(count(ids_T, END, 5001, 4))
    assert plan.ngrams == pytest.approx([len(level) for level in levels][1:], rel=0.02)
    kept = [len(levels[1]), *(np.count_nonzero(level.counts_M > 1) for level in levels[2:])]
    assert plan.kept == pytest.approx(kept, rel=0.02)
    assert len(plan.shards) == 6
    # Runs that are merged in groups, and suffixes that are parted, take more disk.
    needed = plan.bytes_counting(workspace)
    monkeypatch.setattr(plans, "MOST_OPEN", 5)
    assert plan.bytes_counting(workspace) == needed + 600_000 * (2 * 8 + 4)
    little = Workspace(75 * 100, 1, tmp_path)
    assert plan.bytes_counting(little) > plan.bytes_counting(workspace) + 13 * len(levels[-1]) * 0.9


# ---- What grows with the text, and what must not grow with its square.


class Visited(dict):
    """A run that knows how often its counts were asked for."""

    visits = 0

    def __getitem__(self, name):
        Visited.visits += name == "counts"
        return super().__getitem__(name)


def sorted_runs(number: int, packing: Packing) -> list[Visited]:
    """Return so many runs of 40 tokens each."""
    ids_T = np.random.default_rng(number).integers(1, packing.size, 40 * number)
    ids_T[6::7] = ids_T[-1] = END
    is_first_T = np.append(True, ids_T[:-1] == END)
    runs = []
    for start in range(0, len(ids_T), 40):
        here = slice(start, start + 40 + packing.order - 1)
        rows = packing.of_text(ids_T[here], is_first_T[here], 40, END)
        ones = np.ones(len(rows[0]), np.int8)
        runs.append(Visited(as_run(*added(rows, ones, packing.later_bits))))
    return runs


def levels_and_visits(runs, packing, folder, most_runs):
    """Merge in memory for 64 rows at a time; return the levels, and the visits."""
    Visited.visits = 0
    workspace = Workspace(64 * 150, 1, folder)
    steps = merge(runs, packing, workspace, most_runs=most_runs)
    return [step for step in steps if isinstance(step, Level)], Visited.visits


def test_twice_the_runs_are_visited_at_most_twice_as_often(tmp_path):
    packing = Packing(900, 3)
    visits = []
    for number in (40, 80, 400):
        runs = sorted_runs(number, packing)
        levels, visited = levels_and_visits(runs, packing, tmp_path, most_runs=20)
        visits.append(visited)
        assert_same(levels, levels_and_visits(runs, packing, tmp_path, number)[0])
    assert visits[1] < 2.2 * visits[0]
    assert visits[2] < 11 * visits[0]


def test_suffixes_are_looked_up_in_one_reading_where_blocks_would_be_many(tmp_path, monkeypatch):
    packing = Packing(900, 4)
    runs = sorted_runs(40, packing)
    expected, _ = levels_and_visits(runs, packing, tmp_path, 40)
    parted = []
    by_bucket = beyond_memory._found_by_bucket

    def noted(wanted, starts, keys_M, *rest):
        parted.append(len(keys_M))
        return by_bucket(wanted, starts, keys_M, *rest)

    monkeypatch.setattr(spaces, "SWEEPS", 1)
    monkeypatch.setattr(beyond_memory, "MOST_BUCKETS", 7)
    monkeypatch.setattr(beyond_memory, "_found_by_bucket", noted)
    found, _ = levels_and_visits(runs, packing, tmp_path, 40)
    assert_same(found, expected)
    assert parted == [len(level) for level in expected[:-1]]

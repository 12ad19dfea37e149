"""Count a text that does not fit in memory with one sort of whole n-grams, as KenLM's lmplz does
(Heafield et al. 2013).

Each position of a text begins one n-gram of the highest order, which is shorter near the end of its
line; `<s>` begins one as well. A shard's n-grams are packed into integers, sorted, and written with
their counts: a run. Runs are merged range by range; where there are very many, groups of them make
larger ones first. As all orders lie in the one sorted list, the same pass makes their keys and
counts: an n-gram is new where its words differ from those before. At last, each n-gram's suffix is
looked up in the order below.

Finished runs are kept in a folder, from which an interrupted count resumes.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnlm import arrays
from rnnlm.errors import TextError
from rnnlm.lm.ngram.counting.count_trie import CountingProgress, Level, taken
from rnnlm.lm.ngram.counting.workspace import MOST_OPEN, ROWS, SWEEPS, GrowingArray, Workspace
from rnnlm.lm.ngram.tables import NOWHERE, find_many, make_keys, split_keys, word_bits
from rnnlm.parallel import in_threads
from rnnlm.storage.files.tensors import ChunkedArray
from rnnlm.text.encoding import IdFiles, kept, smallest
from rnnlm.tools.counting.plan import CountingPlan
from rnnlm.tools.counting.store import Store, WrittenPiece
from rnnlm.tools.counting.workers import TaskRunner

NARROW = 2**31 - 1  # numbers below fit into 32 bits
AT_ONCE = 1 << 16  # rows that are parted into orders at a time, which stay in a processor's cache
MOST_BUCKETS = 256  # of keys that are parted: each keeps files open
HELD_ROWS = 1 << 22  # rows of runs that are read before their pages may leave memory
RANK_BITS = 22  # of a row among those that are sorted together

Columns = Sequence[np.ndarray]  # rows of packed n-grams
Run = Mapping[str, np.ndarray]  # columns by number, and counts


class Packing:
    """Packs n-grams of up to `order` words into columns of integers, so that they sort by word.

    A word's code is one more than its number, `<s>` (word V) has the largest; 0 says that the
    n-gram is shorter. Later columns leave room for the rank of a row by the columns before.
    """

    def __init__(self, size: int, order: int) -> None:
        self.size = size
        self.order = order
        self.bits = int(size + 1).bit_length()
        first, later = 64 // self.bits, (64 - RANK_BITS) // self.bits
        self.later_bits = np.uint64(later * self.bits)
        # The column of each word, and its place there from the right
        self.places = [(0, first - 1 - n) for n in range(order)][:first]
        self.places += [(1 + n // later, later - 1 - n % later) for n in range(order - first)]
        self.columns = self.places[-1][0] + 1

    def codes(self, columns: Sequence[np.ndarray | np.uint64], n: int) -> np.ndarray:
        """Return the codes of the n-th words, from 0."""
        column, place = self.places[n]
        mask = np.uint64((1 << self.bits) - 1)
        return np.asarray((columns[column] >> np.uint64(place * self.bits)) & mask)

    def packed(self, codes: Iterable[np.ndarray], rows: int) -> Columns:
        """Return the columns of rows whose first words, second words, ... have these codes."""
        columns = [np.zeros(rows, np.uint64) for _ in range(self.columns)]
        for (column, place), codes_R in zip(self.places, codes, strict=False):
            columns[column] |= codes_R << np.uint64(place * self.bits)
        return columns

    def of_text(self, ids_T: np.ndarray, is_first_T: np.ndarray, stop: int, end: int) -> Columns:
        """Return the n-grams that begin before `stop` in a text, and with `<s>` before lines that
        begin there. end: the id that ends lines."""
        # Each line behind its <s>, and nothing behind the text.
        places_T = np.arange(len(ids_T)) + np.cumsum(is_first_T)
        text = np.zeros(int(places_T[-1]) + self.order, np.uint64)
        text[: int(places_T[-1])] = self.size + 1
        text[places_T] = ids_T.astype(np.uint64) + np.uint64(1)
        rows = int(places_T[:stop][-1]) + 1

        def codes() -> Iterator[np.ndarray]:
            is_open = np.ones(rows, np.uint64)
            for n in range(self.order):
                codes_R = text[n : n + rows] * is_open
                yield codes_R
                is_open *= codes_R != end + 1

        return self.packed(codes(), rows)


def added(
    columns: Columns, counts: np.ndarray, later_bits: np.uint64
) -> tuple[Columns, np.ndarray]:
    """Return the different rows, sorted, with the sums of their counts."""
    by_row = np.argsort(columns[0])
    is_new = _is_new(columns[0][by_row])
    for column in columns[1:]:
        # Sort on where rows are equal so far.
        equal = np.flatnonzero(~(is_new & np.append(is_new[1:], True)))
        rows = by_row[equal]
        keys = np.cumsum(is_new[equal]).astype(np.uint64) << later_bits | column[rows]
        by_key = np.argsort(keys)
        by_row[equal] = rows[by_key]
        is_new[equal] |= _is_new(keys[by_key])
    first = np.flatnonzero(is_new)
    sums = np.add.reduceat(counts[by_row], first, dtype=np.int64)
    return [column[by_row[first]] for column in columns], sums


def _is_new(keys: np.ndarray) -> np.ndarray:
    """Return which of sorted keys differ from the one before."""
    is_new = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=is_new[1:])
    return is_new


# ---- The runs of one text.

Ids = np.ndarray | ChunkedArray | IdFiles


@dataclass(frozen=True)
class CountShard:
    """The task to sort the n-grams that begin in a part of a text, from one token to another."""

    number: int
    ids: Ids
    start: int
    stop: int
    sha256: str
    boundary_id: int
    size: int
    order: int

    def run(self, store: Store, workspace: Workspace) -> list[WrittenPiece]:
        """Write the run of the shard."""
        # The last n-grams reach beyond it.
        length = self.stop - self.start
        ids_T = np.asarray(self.ids[self.start : self.stop + self.order - 1])
        if isinstance(self.ids, IdFiles):
            self._check(ids_T[:length], self.ids.folder)
        before = self.ids[self.start - 1 : self.start] if self.start else self.boundary_id
        is_first_T = np.append(before, ids_T[:-1]) == self.boundary_id

        packing = Packing(self.size, self.order)
        columns = packing.of_text(ids_T, is_first_T, length, self.boundary_id)
        rows = added(columns, np.ones(len(columns[0]), np.int8), packing.later_bits)
        return [write_run(store, name_of(self.number), *rows)]

    def _check(self, ids_T: np.ndarray, folder: Path) -> None:
        """Make sure that another machine sees the text that the plan was made for."""
        sha256 = hashlib.sha256(np.ascontiguousarray(ids_T, np.int32).data).hexdigest()
        if sha256 != self.sha256:
            raise TextError(
                f"a worker finds another text in {folder} than the one to count",
                f"part {self.number + 1} differs",
                "all workers must see the same folder, and it must not change",
            )


def name_of(number: int) -> str:
    """Return the name of a run."""
    return f"run-{number:07d}"


def as_run(columns: Columns, counts: np.ndarray) -> Run:
    run = {str(number): column for number, column in enumerate(columns)}
    return {**run, "counts": smallest(counts)}


def write_run(store: Store, name: str, columns: Columns, counts: np.ndarray) -> WrittenPiece:
    """Write rows and their counts as a piece, to be finished."""
    return store.write(name, as_run(columns, counts))


def count_by_shards(
    ids: Ids,
    boundary_id: int,
    size: int,
    order: int,
    plan: CountingPlan,
    runner: TaskRunner,
    watch: int = NOWHERE,
    done: Callable[[int], None] = kept,
) -> Iterator[CountingProgress | Level]:
    """Yield how far the work is, and the levels of orders 1 to `order`, as
    :func:`rnnlm.lm.ngram.counting.count_trie.count` does.

    watch: a position of the text, or NOWHERE. done: called with the number of tokens, from the
    first on, that are not needed any more.
    """
    store, shards = runner.store, plan.shards
    left = [number for number in range(len(shards)) if name_of(number) not in store]
    counted = len(shards) - len(left)
    watched = _words_until(ids, watch, order, boundary_id, size)

    def release() -> None:
        # The next shard looks at the token before it.
        done(max(0, shards[counted].start - 1) if counted < len(shards) else shards[-1].stop)

    release()
    yield CountingProgress("counting", counted / len(shards))

    def tasks() -> Iterator[CountShard]:
        for number in left:
            shard = shards[number]
            near = ids
            if isinstance(ids, IdFiles):
                near = ids.around(max(0, shard.start - 1), shard.stop + order - 1)
            yield CountShard(
                number=number,
                ids=near,
                start=shard.start,
                stop=shard.stop,
                sha256=shard.sha256,
                boundary_id=boundary_id,
                size=size,
                order=order,
            )

    # Shards come in order, so all tokens up to the end of this one are counted.
    for written in runner.run(tasks()):
        if written is not None:
            store.finish(*written)
            counted += 1
            release()
        yield CountingProgress("counting", counted / len(shards))
    shape = Packing(size, order), runner.workspace, watched
    yield from merge(StoredRuns(store), *shape, most_runs=store.most_open)


def _words_until(ids: Ids, watch: int, order: int, boundary_id: int, size: int) -> list[int]:
    """Return the words of the longest n-gram that ends at a position; none for NOWHERE."""
    if watch == NOWHERE:
        return []
    first = max(0, watch - order + 1)
    words = [boundary_id] * (first == 0) + np.asarray(ids[first : watch + 1]).tolist()
    for place in range(len(words) - 2, -1, -1):
        if words[place] == boundary_id:
            return [size, *words[place + 1 :]][-order:]
    return words


# ---- Merging runs, and parting them into orders.


class StoredRuns(Sequence[Run]):
    """The runs in a store, mapped when they are asked for."""

    def __init__(self, store: Store, names: Sequence[str] | None = None) -> None:
        self.store = store
        self.names = list(store.pieces) if names is None else names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number):  # type: ignore[no-untyped-def]
        if isinstance(number, slice):
            return StoredRuns(self.store, self.names[number])
        return self.store.mapped(self.names[number])


def merge(
    runs: Sequence[Run],
    packing: Packing,
    workspace: Workspace,
    watched: Sequence[int] = (),
    most_runs: int = MOST_OPEN,
) -> Iterator[CountingProgress | Level]:
    """Yield how far merging is, and the levels of all runs together, from the unigrams up; fewer
    where there are no n-grams that long. watched: the words of an n-gram whose numbers are kept.
    most_runs: how many runs are merged at a time; each range of rows looks at all of them."""
    tokens = sum(int(run["counts"].sum(dtype=np.int64)) for run in runs)
    index = np.int32 if tokens < NARROW else np.int64
    passes = 1
    while most_runs**passes < len(runs):
        passes += 1

    # Merge groups of runs into larger ones, until there are few enough.
    for passed in range(passes - 1):
        larger: list[Run] = []
        for group in arrays.blocks(len(runs), most_runs):
            members = runs[group]
            growing = [GrowingArray(workspace, np.uint64) for _ in range(packing.columns)]
            growing_counts = GrowingArray(workspace, index)
            for columns, counts, share in _merged(members, packing, workspace):
                for array, column in zip(growing, columns, strict=True):
                    array.append(column)
                growing_counts.append(counts)
                share_of_pass = (group.start + share * len(members)) / len(runs)
                yield CountingProgress("merging", (passed + share_of_pass) / passes)
            run = {str(number): array.whole() for number, array in enumerate(growing)}
            larger.append({**run, "counts": growing_counts.whole()})
        runs = larger

    orders = _Orders(packing, workspace, index)
    for columns, counts, share in _merged(runs, packing, workspace):
        for here in arrays.blocks(len(counts), AT_ONCE):
            orders.add([column[here] for column in columns], counts[here])
        yield CountingProgress("merging", (passes - 1 + share) / passes)
    yield from orders.levels(watched)


def _merged(
    runs: Sequence[Run], packing: Packing, workspace: Workspace
) -> Iterator[tuple[Columns, np.ndarray, float]]:
    """Yield the rows of all runs in order, in parts with their counts, and the share that is
    done."""
    lengths = [len(run["counts"]) for run in runs]

    def merged(span: tuple[list[int], list[int]]) -> tuple[Columns, np.ndarray, int]:
        parts = [(run, slice(*ends)) for run, *ends in zip(runs, *span, strict=True)]
        columns = [
            np.concatenate([run[str(number)][here] for run, here in parts])
            for number in range(packing.columns)
        ]
        counts = np.concatenate([run["counts"][here] for run, here in parts])
        return *added(columns, counts, packing.later_bits), sum(span[1])

    dropped = 0
    spans = _spans(runs, lengths, workspace.rows(packing.columns))
    for columns, counts, done in in_threads(merged, spans, workspace.threads):
        if done - dropped > HELD_ROWS:
            workspace.release(*(run["counts"] for run in runs))
            dropped = done
        yield columns, counts, done / sum(lengths)


def _spans(
    runs: Sequence[Run], lengths: list[int], most: int
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield where ranges of at most `most` rows, or one of each run, begin and end in each run."""
    starts = [0] * len(runs)
    while starts != lengths:
        # Each run gives its share; the one whose share ends first ends the range.
        left, edges = sum(lengths) - sum(starts), []
        for run, start, length in zip(runs, starts, lengths, strict=True):
            goal = start + max(1, most * (length - start) // left)
            if goal < length:
                edges.append([int(run[str(number)][goal]) for number in range(len(run) - 1)])
        edge = min(edges, default=[])
        ends = [_place(run, edge) for run in runs] if edge else lengths
        yield starts, ends
        starts = ends


def _place(run: Run, row: list[int]) -> int:
    """Return the number of a run's first row that is not before `row`."""
    start, stop = 0, len(run["counts"])
    for number, value in enumerate(row):
        column = run[str(number)][start:stop]
        stop = start + int(column.searchsorted(np.uint64(value), "right"))
        start += int(column.searchsorted(np.uint64(value)))
    return start


def whole_ngrams(
    levels: Sequence[Level],
    number_V: np.ndarray,
    boundary_id: int,
    packing: Packing,
    workspace: Workspace,
) -> Iterator[tuple[Columns, np.ndarray]]:
    """Yield the n-grams of the highest level, and shorter ones that end lines, in sorted parts with
    their counts. Word w becomes number_V[w], which ends lines if it is `boundary_id`."""
    codes_V = np.append(number_V, packing.size).astype(np.uint64) + np.uint64(1)
    at_once = workspace.rows(packing.columns)
    for n, level in enumerate(levels, start=1):
        for start in range(0, len(level), at_once):
            numbers = np.arange(start, min(start + at_once, len(level)))
            if n < len(levels):
                _, words = split_keys(level.keys_M[start : start + at_once], level.size)
                numbers = numbers[codes_V[words] == boundary_id + 1]
            codes = [codes_V[words] for words in _words_of(levels[:n], numbers)]
            counts = level.counts_of(numbers)
            yield added(packing.packed(codes, len(counts)), counts, packing.later_bits)


def _words_of(levels: Sequence[Level], numbers: np.ndarray) -> list[np.ndarray]:
    """Return the first words, second words, ... of n-grams of the last level."""
    contexts, words = split_keys(taken(levels[-1].keys_M, numbers), levels[-1].size)
    return [*_words_of(levels[:-1], contexts), words] if levels[1:] else [words]


class _Orders:
    """The orders of sorted rows that are added one batch after the other."""

    def __init__(
        self, packing: Packing, workspace: Workspace, index: type[np.signedinteger]
    ) -> None:
        self.packing = packing
        self.workspace = workspace
        self.index = index
        self.bits = word_bits(packing.size)
        # Of each order: keys and counts, how many n-grams there are, and the last one's count so
        # far. As counts are written when the next n-gram begins, a zero comes before the first.
        order = packing.order
        self.unigrams_M = np.zeros(packing.size + 1, dtype=np.int64)
        self.keys = [GrowingArray(workspace, np.uint64) for _ in range(order)]
        self.counts = [GrowingArray(workspace, index) for _ in range(order)]
        self.length = [0] * order
        self.count_of_last = [0] * order
        self.last_row = [np.uint64(0)] * packing.columns

    def add(self, columns: Columns, counts: np.ndarray) -> None:
        """Find the n-grams of each order that begin in these rows."""
        is_new = np.zeros(len(counts), dtype=bool)
        for n in range(self.packing.order):
            # An n-gram is new if one of its words differs from the row before.
            codes = self.packing.codes(columns, n)
            is_new[1:] |= codes[1:] != codes[:-1]
            is_new[0] |= codes[0] != self.packing.codes(self.last_row, n)
            words = codes.view(np.int64) - 1
            if n == 0:
                # Rows are sorted: their words lie between the first and the last.
                tally = np.bincount(words - words[0], counts).astype(np.int64)
                self.unigrams_M[words[0] : words[-1] + 1] += tally
                contexts = words
                continue
            is_begun = is_new & (codes > 0)
            begun = np.flatnonzero(is_begun)
            self.keys[n].append(make_keys(contexts[begun], words[begun], self.packing.size))

            # Its count is the sum over the rows up to the next, but those that are too short.
            total = np.append(0, np.cumsum(np.where(codes > 0, counts, 0)))
            sums = np.diff(total[np.append(begun, len(counts))], prepend=0)
            sums[0] += self.count_of_last[n]
            self.counts[n].append(sums[:-1])
            self.count_of_last[n] = sums[-1]
            contexts = np.cumsum(is_begun) + (self.length[n] - 1)
            self.length[n] += len(begun)
        self.last_row = [column[-1] for column in columns]

    def levels(self, watched: Sequence[int]) -> Iterator[Level]:
        """Yield the levels of all rows."""
        size = self.packing.size
        suffixes_M = np.zeros(size + 1, self.index)
        keys_M = np.arange(size + 1, dtype=np.uint64)
        after_start = size
        keys = [keys_M]
        number = _number(keys, watched[-1:], self.bits)
        yield Level(size, keys_M, suffixes_M, self.unigrams_M, after_start, number)
        for n in range(1, self.packing.order):
            self.counts[n].append(np.array([self.count_of_last[n]]))
            keys.append(self.keys[n].whole())
            if not self.length[n]:
                return
            suffixes_M = self._suffixes(keys[n], keys[n - 1], suffixes_M)
            after_start = int(keys[n].searchsorted(np.uint64(after_start << self.bits)))
            yield Level(
                size,
                keys[n],
                self.workspace.column(suffixes_M),
                self.workspace.column(self.counts[n].whole()[1:]),
                after_start,
                _number(keys, watched[-n - 1 :], self.bits),
            )

    def _suffixes(
        self, keys_M: np.ndarray, below_keys_M: np.ndarray, below_suffixes_M: np.ndarray
    ) -> np.ndarray:
        """Return the number of each suffix: of (context, word) it is (context's suffix, word)."""
        # Each block of keys reads the order below once, perhaps from disk: take few large ones.
        size, workspace = self.packing.size, self.workspace
        sweep = len(keys_M) // SWEEPS
        most = max(ROWS, sweep) if workspace.in_files else ROWS
        at_once = workspace.keys(most)
        starts = range(0, len(keys_M), at_once)

        def wanted(start: int) -> np.ndarray:
            contexts, words = split_keys(keys_M[start : start + at_once], size)
            return make_keys(below_suffixes_M[contexts], words, size)

        def found(start: int) -> np.ndarray:
            return find_many(below_keys_M, wanted(start))

        # Where that would be too often, part the keys first.
        blocks = in_threads(found, starts, workspace.threads)
        if not workspace.is_swept(len(keys_M)):
            blocks = _found_by_bucket(wanted, starts, below_keys_M, workspace, self.index)
        suffixes = GrowingArray(workspace, self.index)
        for numbers in blocks:
            suffixes.append(numbers)
        workspace.release(keys_M, below_keys_M, below_suffixes_M)
        return suffixes.whole()


def _found_by_bucket(
    wanted: Callable[[int], np.ndarray],
    starts: range,
    keys_M: np.ndarray,
    workspace: Workspace,
    index: type[np.signedinteger],
) -> Iterator[np.ndarray]:
    """Yield the numbers of the `wanted` keys, block after block, all of which are in `keys_M`. It
    is read once, bucket by bucket: the keys wanted of each are written to a file first."""
    width = max(starts.step, len(keys_M) // MOST_BUCKETS + 1)
    firsts = keys_M[::width].copy()
    bucket_of = GrowingArray(workspace, np.uint8)
    asked = [GrowingArray(workspace, np.uint64) for _ in firsts]

    def parted(start: int) -> tuple[np.ndarray, list[np.ndarray]]:
        keys_Q = wanted(start)
        bucket_Q = (firsts.searchsorted(keys_Q, side="right") - 1).astype(np.uint8)
        ends = np.bincount(bucket_Q, minlength=len(firsts)).cumsum()
        return bucket_Q, np.split(keys_Q[np.argsort(bucket_Q, kind="stable")], ends[:-1])

    for bucket_Q, parts in in_threads(parted, starts, workspace.threads):
        bucket_of.append(bucket_Q)
        for file, part in zip(asked, parts, strict=True):
            file.append(part)

    def looked_up(bucket: int) -> np.ndarray:
        keys_Q, first = asked[bucket].whole(), bucket * width
        bucket_M = keys_M[first : first + width]
        numbers = GrowingArray(workspace, index)
        for here in arrays.blocks(len(keys_Q), starts.step):
            numbers.append(find_many(bucket_M, keys_Q[here]) + first)
        workspace.release(keys_Q, keys_M)
        return numbers.whole()

    # Put the numbers back in the order of the keys that they belong to.
    numbers_by_bucket = list(in_threads(looked_up, range(len(firsts)), workspace.threads))
    buckets_N = bucket_of.whole()
    starts_B = np.zeros(len(firsts), np.int64)
    for start in starts:
        bucket_Q = buckets_N[start : start + starts.step]
        ends_B = starts_B + np.bincount(bucket_Q, minlength=len(firsts))
        ranges = zip(numbers_by_bucket, starts_B, ends_B, strict=True)
        numbers_Q = np.empty(len(bucket_Q), index)
        by_bucket = np.argsort(bucket_Q, kind="stable")
        numbers_Q[by_bucket] = np.concatenate([array[here:end] for array, here, end in ranges])
        yield numbers_Q
        starts_B = ends_B


def _number(keys: Sequence[np.ndarray], words: Sequence[int], bits: int) -> int:
    """Return the number of the n-gram of these words; NOWHERE if they are not as many as wanted."""
    if len(words) < len(keys):
        return NOWHERE
    number = 0
    for keys_M, word in zip(keys, words, strict=True):
        number = int(keys_M.searchsorted(np.uint64(number << bits | word)))
    return number

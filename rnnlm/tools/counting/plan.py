"""Plan a count that does not fit in memory: the shards its text is cut into, the sizes of their
counts, and the disk space of the work. The plan is written once, so that an interrupted count
resumes with it."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnlm.amounts import amount
from rnnlm.errors import ModelError, OutputError, keyword
from rnnlm.lm.ngram.counting.count_trie import Level
from rnnlm.lm.ngram.counting.workspace import MOST_OPEN, Workspace
from rnnlm.parallel import in_threads
from rnnlm.storage.files.reading import read_json
from rnnlm.storage.files.resuming import ExistingWork, next_step
from rnnlm.storage.files.tensors import ChunkedArray
from rnnlm.storage.files.writing import free_bytes, write_facts, writing

PLAN = "plan.json"
PLAN_VERSION = 2
LARGEST_PLAN = 64 << 20
WAYS_OUT = "name another folder with " + keyword("temp") + ", or delete that one"

# Odd numbers without a pattern, for hashes, and the number of <s>.
FACTORS = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], dtype=np.uint64)
LINE_START = np.uint64(1 << 60)
AT_ONCE = 1 << 16
MOST_LOOKING = 4  # threads, each of which holds a shard

# The disk space of each n-gram during the work, in bytes.
STORED, STORED_NUMBER = 16, 4  # key, suffix and count; the number of another one
COLUMN, SMALL_COUNT = 8, 1  # of an n-gram in a run
PARTED = 8 + 1 + STORED_NUMBER  # a key that is looked up, its bucket, and the number found
KEY, VALUES, PROBABILITY = 8, 8, 8  # of the model; in full precision
LOW_KEY, CODES = 4, 2  # of a quantised model
SAMPLED = 1 << 16  # different n-grams of an order, to estimate their number within a percent


@dataclass(frozen=True)
class PlannedShard:
    """A part of a text whose n-grams are sorted together. start, stop: their tokens."""

    start: int
    stop: int
    sha256: str


@dataclass(frozen=True)
class CountingPlan:
    """The plan of a count.

    identity: facts that must be the same for the count to resume: text, vocabulary, settings.
    ngrams: an estimate for each order, from the bigrams up. kept: the number of these that pruning
    leaves. columns: of a packed n-gram.
    """

    identity: dict[str, str]
    shards: list[PlannedShard]
    ngrams: list[int]
    kept: list[int]
    columns: int = 1
    format_version: int = PLAN_VERSION

    def bytes_counting(self, workspace: Workspace) -> int:
        """Return how much disk counting and merging will take, in bytes."""
        tokens = self.shards[-1].stop if self.shards else 0
        runs = tokens * (self.columns * COLUMN + SMALL_COUNT)
        if len(self.shards) > MOST_OPEN:
            runs += tokens * (self.columns * COLUMN + STORED_NUMBER)
        most = max(self.ngrams, default=0)
        parted = 0 if workspace.is_swept(most) else most * PARTED
        return runs + sum(self.ngrams) * STORED + parted

    def bytes_estimating(self, workspace: Workspace) -> int:
        """Return how much disk estimating will take at most, in bytes, with the counts, and with a
        model that is not saved yet."""
        ngrams, kept = [0, *self.ngrams], [0, *self.kept]
        stored, lookups = self.bytes_counting(workspace), workspace.lookups
        most = 0
        for n, of_order in enumerate(ngrams):
            is_highest = n == len(ngrams) - 1
            model = sum(kept[: n + 1]) * (KEY + VALUES) - is_highest * kept[n] * VALUES // 2
            # Probabilities of this order and the one below, and values that travel between orders.
            below = ngrams[n - 1] if n else 0
            held = below * PROBABILITY
            if below > lookups:
                held += of_order * (STORED_NUMBER + PROBABILITY)
            if not is_highest:
                held += of_order * (PROBABILITY + STORED_NUMBER)
                held += ngrams[n + 1] * STORED_NUMBER * (of_order > lookups)
            most = max(most, stored + model + held)
        return most

    def bytes_of_model(self, size: int, quantize: int | None = None) -> int:
        """Return how much disk the model will take, in bytes, with a vocabulary of `size` words.
        quantize: as in :class:`rnnlm.lm.ngram.settings.NgramSettings`."""
        highest = self.kept[-1] if self.kept else size
        if quantize and self.kept:
            return size * VALUES + sum(self.kept) * (LOW_KEY + CODES) - highest * CODES // 2
        return (size + sum(self.kept)) * (KEY + VALUES) - highest * VALUES // 2


def make(
    ids: np.ndarray | ChunkedArray,
    boundary_id: int,
    order: int,
    columns: int,
    identity: Mapping[str, str],
    workspace: Workspace,
    thresholds: Sequence[int] = (),
) -> CountingPlan:
    """Return the plan for a text whose lines end in `boundary_id`. The text is read once.

    columns: of a packed n-gram. thresholds: n-grams of order n that occur at most
    `thresholds[n - 1]` times will be left out.
    """
    most = workspace.shard(columns)
    bounds = [(start, min(start + most, len(ids))) for start in range(0, len(ids), most)]
    # So few n-grams are looked at that there are some SAMPLED different ones in the end.
    rate = max(0, (len(ids) // SAMPLED).bit_length() - 1)
    sampled = [(np.zeros(0, np.uint64), np.zeros(0, np.int64)) for _ in range(order - 1)]
    shards = []

    def look(bound: tuple[int, int]) -> tuple[str, list[Sampled]]:
        ids_T = np.asarray(ids[slice(*bound)])
        sha256 = hashlib.sha256(np.ascontiguousarray(ids_T, np.int32).data).hexdigest()
        return sha256, _sampled_ngrams(ids_T, boundary_id, order, rate)

    threads = min(workspace.threads, MOST_LOOKING)
    for bound, (sha256, ngrams) in zip(bounds, in_threads(look, bounds, threads), strict=True):
        sampled = [_added(*both) for both in zip(sampled, ngrams, strict=True)]
        shards.append(PlannedShard(*bound, sha256))
    different = [len(hashes) << rate for hashes, _ in sampled]
    of_order = zip(sampled, thresholds[1:] or [0] * order, strict=False)
    kept = [
        int(np.count_nonzero(counts > threshold)) << rate for (_, counts), threshold in of_order
    ]
    return CountingPlan(dict(identity), shards, different, kept, columns)


def of_counts(levels: Sequence[Level], thresholds: Sequence[int]) -> CountingPlan:
    """Return the plan for counts that are there already."""
    kept = []
    for n, level in enumerate(levels[1:], start=2):
        threshold = thresholds[n - 1] if n <= len(thresholds) else 0
        few = range(0, len(level), AT_ONCE)
        parts = (level.counts_M[start : start + AT_ONCE] for start in few)
        kept.append(sum(int(np.count_nonzero(counts > threshold)) for counts in parts))
    return CountingPlan({}, [], [len(level) for level in levels[1:]], kept)


Sampled = tuple[np.ndarray, np.ndarray]  # hashes of different n-grams, and how often each occurs


def _added(first: Sampled, second: Sampled) -> Sampled:
    """Return the n-grams of both, with their counts in both."""
    hashes, place = np.unique(np.append(first[0], second[0]), return_inverse=True)
    counts = np.bincount(place, np.append(first[1], second[1]), minlength=len(hashes))
    return hashes, counts.astype(np.int64)


def _sampled_ngrams(ids_T: np.ndarray, boundary_id: int, order: int, rate: int) -> list[Sampled]:
    """Return for each order from 2 on the n-grams whose hashes begin with `rate` zeros, which are
    one of 2 ** rate (Gibbons 2001, distinct sampling)."""
    hashes_by_order: list[list[np.ndarray]] = [[] for _ in range(order - 1)]
    largest = np.uint64((1 << 64 - rate) - 1)
    # Few positions at a time, which stay in a processor's cache, after those they reach back to.
    for start in range(0, len(ids_T), AT_ONCE):
        first = max(0, start - order)
        before = ids_T[first - 1] if first else boundary_id
        ids = np.append(before, ids_T[first : start + AT_ONCE]).astype(np.uint64)
        for of_order, hashes in zip(hashes_by_order, _hashes(ids, boundary_id, order), strict=True):
            new = hashes[start - first :]
            of_order.append(new[(new <= largest) & (new != 0)])
    return [np.unique(np.concatenate(of_order), return_counts=True) for of_order in hashes_by_order]


def _hashes(ids: np.ndarray, boundary_id: int, order: int) -> Iterator[np.ndarray]:
    """Yield for each order from 2 on a hash of the n-gram that ends at each token but the first; 0
    where it would reach back beyond the beginning of a line."""
    words = ids + np.uint64(1)
    is_first = ids[:-1] == boundary_id
    before = np.where(is_first, LINE_START, words[:-1])
    for _ in range(2, order + 1):
        # Multiplying moves bits up, shifting moves them down.
        hashes = (before * FACTORS[0] + words[1:]) * FACTORS[1]
        hashes ^= hashes >> np.uint64(32)
        hashes *= FACTORS[2]
        hashes[before == 0] = 0
        yield hashes
        before = np.append(np.uint64(0), hashes[:-1])
        before[is_first] = 0


def write(folder: Path, plan: CountingPlan) -> None:
    with writing(folder):
        write_facts(folder / PLAN, plan)


def read(folder: Path) -> CountingPlan | None:
    """Return the plan of an interrupted count in `folder`; None where there is none."""
    path = folder / PLAN
    if not path.is_file():
        return None
    what = f"the plan in {folder}"
    try:
        return read_json(
            path,
            CountingPlan,
            ModelError,
            f"{what} is damaged",
            format=(what, PLAN_VERSION),
            limit=LARGEST_PLAN,
            has_hash=True,
        )
    except ModelError as error:
        raise ModelError(error.what, error.why, error.hint or WAYS_OUT) from None


def delete(folder: Path) -> None:
    (folder / PLAN).unlink(missing_ok=True)


def check(
    plan: CountingPlan, folder: Path, ids: np.ndarray | ChunkedArray, identity: Mapping[str, str]
) -> None:
    """Make sure that a plan belongs to this text and these settings; name the differences."""
    before, now = hashlib.sha256(), hashlib.sha256()
    for shard in plan.shards:
        ids_T = np.ascontiguousarray(ids[shard.start : shard.stop], np.int32)
        before.update(shard.sha256.encode())
        now.update(hashlib.sha256(ids_T.data).hexdigest().encode())
    tokens = plan.shards[-1].stop if plan.shards else 0
    next_step(
        folder,
        ExistingWork(
            {**plan.identity, "tokens": f"{tokens:,}", "hash of tokens": before.hexdigest()[:12]}
        ),
        {**identity, "tokens": f"{len(ids):,}", "hash of tokens": now.hexdigest()[:12]},
        ways_out=WAYS_OUT,
    )


def check_disk_space(folder: Path, needed: int) -> None:
    """Make sure that `needed` bytes are free on the disk of `folder`."""
    free = free_bytes(folder)
    if free < needed:
        raise OutputError(
            f"{folder} has too little space",
            f"the work needs about {amount(needed, unit='bytes')} for temporary files, but only "
            f"{amount(free, unit='bytes')} is free",
            "free some space, or name another folder with " + keyword("temp"),
        )

"""How n-gram training copes with large texts under memory limits: time, memory, temporary disk and
the size of the model, beside KenLM's programs in the same run.

Programs run one at a time, each in a process of its own from text to saved model. Ours and KenLM's
take turns, so that ratios hold even if the machine's speed drifts.
"""

import contextlib
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from rnnlm.benchmarks.processes import UNKNOWN_SPELLED, Kenlm, Process, bytes_on_disk, run_rnnlm
from rnnlm.errors import RnnlmError, notice
from rnnlm.interface import UNKNOWN
from rnnlm.system import parse_size
from rnnlm.text.corpus import Text
from rnnlm.text.lines import no_text, split_words

# ---- Texts.

REDRAWN = 0.1  # of the words of a repeated text
SEED = 53
TOKENS_AT_ONCE = 1 << 21
VALIDATION_BYTES = 1 << 20  # at most; and a twentieth of the text at most


class RepeatedText:
    """A text again and again, each time with a tenth of its words drawn anew by frequency, so that
    new n-grams keep coming as they do in a longer text. A smaller text begins a larger one."""

    def __init__(self, text: Text) -> None:
        ids: list[np.ndarray] = []
        ends: list[np.ndarray] = []
        known: dict[str, int] = {}
        for block in text.blocks():
            block_ids: list[int] = []
            lengths = []
            for line in block.lines:
                words = split_words(line)
                block_ids += [known.setdefault(word, len(known)) for word in words]
                lengths.append(len(words))
            is_end = np.zeros(len(block_ids), bool)
            is_end[np.cumsum(lengths) - 1] = True
            ids.append(np.array(block_ids, np.uint32))
            ends.append(is_end)
        if not known:
            raise no_text(text.sources)
        self.ids_T, self.is_end_T = np.concatenate(ids), np.concatenate(ends)

        # Each word with what follows it: a space at an even number, the end of the line at an odd.
        pieces: list[bytes] = []
        for word in known:
            shown = word.replace(UNKNOWN, UNKNOWN_SPELLED).encode()
            pieces += [shown + b" ", shown + b"\n"]
        self.pieces = np.array(pieces, object)
        self.lengths = np.array(list(map(len, pieces)))

    def write(self, path: Path, size: int) -> None:
        """Write so many bytes, or a few less: a line that would go beyond is left out."""
        generator = np.random.default_rng(SEED)
        tokens = len(self.ids_T)
        left = size
        with open(path, "wb") as stream:
            while True:
                for start in range(0, tokens, TOKENS_AT_ONCE):
                    ids = self.ids_T[start : start + TOKENS_AT_ONCE].copy()
                    is_new = generator.random(len(ids)) < REDRAWN
                    drawn = generator.integers(tokens, size=np.count_nonzero(is_new))
                    ids[is_new] = self.ids_T[drawn]
                    is_end = self.is_end_T[start : start + TOKENS_AT_ONCE]

                    # Stop after the last line for which there is room.
                    numbers = ids * 2 + is_end
                    after = np.cumsum(self.lengths[numbers])
                    fits = np.flatnonzero(is_end & (after <= left))
                    is_last = after[-1] >= left
                    if is_last:
                        numbers = numbers[: fits[-1] + 1 if len(fits) else 0]
                    stream.write(b"".join(self.pieces[numbers].tolist()))
                    if is_last:
                        return
                    left -= int(after[-1])


def _write_texts(text: Text, sizes: Sequence[int], folder: Path) -> Iterator[Path]:
    """Write the text repeated to each of these sizes, or once as it is, and delete each file before
    the next."""
    path = folder / "text.txt"
    repeated = RepeatedText(text) if sizes else None
    for size in sizes or [0]:
        if repeated is None:
            write_lines(text, path)
        else:
            repeated.write(path, size)
        yield path
        path.unlink()


def write_lines(text: Text, path: Path) -> None:
    """Write the lines of a text into a plain file, as KenLM's programs read them: `<unk>` is
    spelled otherwise."""
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        for block in text.blocks():
            shown = [line.replace(UNKNOWN, UNKNOWN_SPELLED) for line in block.lines]
            stream.writelines(f"{line}\n" for line in shown)
    if not path.stat().st_size:
        raise no_text(text.sources)


# ---- Measurements.


@dataclass(frozen=True)
class Cost:
    """What it takes from text to saved model: the median time; of all else the highest of the
    rounds, in bytes.

    private_bytes, mapped_bytes, temporary_bytes: peaks, see `Held`. arpa_bytes: the ARPA file
    between KenLM's programs.
    """

    seconds: float
    private_bytes: int
    mapped_bytes: int
    temporary_bytes: int
    model_bytes: int
    arpa_bytes: int = 0


@dataclass(frozen=True)
class Measurement:
    """One text under one memory limit. None: the program failed, or was not asked for.

    memory: the limit, or None. ratio: ours over KenLM's time. ratio_to_unlimited: our time over our
    time without a limit. Both are medians of pairs, each of one round.
    """

    text_bytes: int
    memory: str | None
    ours: Cost | None
    kenlm: Cost | None
    ratio: float | None
    ratio_to_unlimited: float | None


@dataclass(frozen=True)
class Slope:
    """The power of the text's size with which time grows: the slope of a straight line through the
    logarithms of all sizes."""

    memory: str | None
    ours: float | None
    kenlm: float | None


class Programs:
    """What is measured: `rnnlm train` and KenLM's programs, at one order."""

    def __init__(self, order: int, kenlm: Kenlm | None, folder: Path) -> None:
        self.order = order
        self.kenlm = kenlm
        self.output = folder / "output"
        self.temporary = folder / "temporary"

    def train_ours(self, text: Path, memory: str | None) -> Cost:
        """Train on `text`; validate on its last lines, since ours always validates. They are in the
        training text, too, so that both programs count the same."""
        with self._empty_folders():
            model, validation = self.output / "model", self.output / "valid.txt"
            validation.write_bytes(_last_lines(text))
            options = ["--model", "ngram", "--order", str(self.order), "--valid", str(validation)]
            if memory is not None:
                options += ["--memory", memory]
            files = [str(text), "-o", str(model)]
            done = run_rnnlm("train", *files, *options, temporary=self.temporary)
            return _cost([done], model_bytes=bytes_on_disk(model))

    def train_kenlm(self, text: Path, memory: str) -> Cost:
        """Run KenLM's programs on `text`."""
        assert self.kenlm
        in_bytes = f"{parse_size(memory)}b"  # its other units are powers of 1024
        with self._empty_folders():
            done = self.kenlm.train(text, self.order, in_bytes, self.output, self.temporary)
            model, arpa = self.output / Kenlm.binary, self.output / Kenlm.arpa
            return _cost(done, model.stat().st_size, arpa.stat().st_size)

    @contextlib.contextmanager
    def _empty_folders(self) -> Iterator[None]:
        """Provide the folders, and delete what is in them afterwards."""
        folders = (self.output, self.temporary)
        for folder in folders:
            folder.mkdir()
        # What others have written must not be on its way to the disk while this program runs.
        os.sync()
        try:
            yield
        finally:
            for folder in folders:
                shutil.rmtree(folder)


def _last_lines(path: Path) -> bytes:
    """Return about a twentieth of a text, a megabyte at most; all of it where there is no such
    part."""
    size = path.stat().st_size
    with open(path, "rb") as stream:
        stream.seek(-min(VALIDATION_BYTES, size // 20), os.SEEK_END)
        part = stream.read()
    return part.partition(b"\n")[2] or path.read_bytes()


def _cost(done: Sequence[Process], model_bytes: int, arpa_bytes: int = 0) -> Cost:
    """Return the cost of processes that ran one after the other."""
    return Cost(
        sum(each.seconds for each in done),
        max(each.held.private for each in done),
        max(each.held.mapped for each in done),
        max(each.held.temporary for each in done),
        model_bytes,
        arpa_bytes,
    )


def bench_scale(
    text: Text,
    order: int,
    limits: Sequence[str | None],
    sizes: Sequence[int] = (),
    kenlm: Kenlm | None = None,
    kenlm_memory: str = "2G",
    rounds: int = 3,
    temporary: Path | None = None,
) -> Iterator[Measurement | Slope]:
    """Yield what each text costs under each limit, then how time grows over several sizes.

    sizes: in bytes, of the text repeated; none: the text as it is. kenlm_memory: what KenLM's
    programs may take where ours have no limit. temporary: the folder for texts, models and
    temporary files, all of which are deleted.
    """
    with tempfile.TemporaryDirectory(dir=temporary) as name:
        folder = Path(name)
        programs = Programs(order, kenlm, folder)
        measured: list[Measurement] = []
        for path in _write_texts(text, sizes, folder):
            bench = _Bench(programs, path, limits, kenlm_memory)
            for number in range(rounds):
                bench.run_round(ours_first=number % 2 == 0)
            for limit in limits:
                measured.append(bench.measurement(limit))
                yield measured[-1]
        if len(sizes) > 1:
            for limit in limits:
                yield _slope([each for each in measured if each.memory == limit], limit)


class _Bench:
    """The rounds of one text. A program that fails under a limit is left out of later rounds, with
    a notice."""

    def __init__(
        self, programs: Programs, text: Path, limits: Sequence[str | None], kenlm_memory: str
    ) -> None:
        self.programs = programs
        self.text = text
        self.text_bytes = text.stat().st_size
        self.kenlm_memory = kenlm_memory
        self.ours: dict[str | None, list[Cost] | None] = {limit: [] for limit in limits}
        self.kenlm: dict[str | None, list[Cost] | None] = {limit: [] for limit in limits}
        if programs.kenlm is None:
            self.kenlm = dict.fromkeys(limits)

    def run_round(self, ours_first: bool) -> None:
        """Run both programs once under each limit."""
        for limit in self.ours:
            turns = [self._run_ours, self._run_kenlm]
            for turn in turns if ours_first else reversed(turns):
                turn(limit)

    def _run_ours(self, limit: str | None) -> None:
        costs = self.ours[limit]
        if costs is None:
            return
        try:
            costs.append(self.programs.train_ours(self.text, limit))
        except RnnlmError as error:
            self._tell(limit, error)
            self.ours[limit] = None

    def _run_kenlm(self, limit: str | None) -> None:
        costs = self.kenlm[limit]
        if costs is None:
            return
        try:
            costs.append(self.programs.train_kenlm(self.text, limit or self.kenlm_memory))
        except RnnlmError as error:
            self._tell(limit, error)
            self.kenlm[limit] = None

    def _tell(self, limit: str | None, error: RnnlmError) -> None:
        where = f"{self.text_bytes / 1e6:,.0f} MB of text, memory {limit or 'unlimited'}"
        notice(f"{where}: {error}")

    def measurement(self, limit: str | None) -> Measurement:
        ours, kenlm = self.ours[limit], self.kenlm[limit]
        return Measurement(
            self.text_bytes,
            limit,
            _of_rounds(ours),
            _of_rounds(kenlm),
            _median_ratio(ours, kenlm),
            _median_ratio(ours, self.ours.get(None)) if limit is not None else None,
        )


def _of_rounds(costs: list[Cost] | None) -> Cost | None:
    if not costs:
        return None
    most = {}
    for field in fields(Cost):
        most[field.name] = max(getattr(cost, field.name) for cost in costs)
    return Cost(**most | {"seconds": statistics.median(cost.seconds for cost in costs)})


def _median_ratio(some: list[Cost] | None, others: list[Cost] | None) -> float | None:
    """Return the median of the ratios of times, round by round."""
    if not some or not others:
        return None
    pairs = zip(some, others, strict=True)
    return statistics.median(one.seconds / other.seconds for one, other in pairs)


def _slope(measured: Sequence[Measurement], limit: str | None) -> Slope:
    ours = [(each.text_bytes, each.ours.seconds) for each in measured if each.ours]
    kenlm = [(each.text_bytes, each.kenlm.seconds) for each in measured if each.kenlm]
    return Slope(limit, power(ours), power(kenlm))


def power(points: Sequence[tuple[float, float]]) -> float | None:
    """Return the power of the first number with which the second one grows, by least squares; None
    if there is one point only."""
    if len({size for size, _ in points}) < 2:
        return None
    sizes, values = np.log(points).T
    from_mean = sizes - sizes.mean()
    return float(from_mean @ values / (from_mean @ from_mean))

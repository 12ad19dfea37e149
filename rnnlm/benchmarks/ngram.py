"""How n-gram training grows with the text, beside bare references in the same run.

The first sixteenth, the first quarter and all of a text, each from text to a saved model and back
to a perplexity, in processes of their own, so that memory is that process's alone. Where KenLM's
lmplz and build_binary are on the PATH, they take turns with ours. Ratios hold where the machine's
speed drifts; single figures do not.
"""

import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnlm.benchmarks.growth import Process, exponent, run, run_rnnlm
from rnnlm.errors import RnnlmError, notice
from rnnlm.interface import UNKNOWN
from rnnlm.models import model_folder
from rnnlm.text.corpus import Text
from rnnlm.text.lines import no_text

PARTS = (16, 4, 1)  # of the text, one part in so many
UNKNOWN_SPELLED = "UNK"  # lmplz refuses a literal <unk>
LMPLZ_MEMORY = "400M"
SORTED_KEYS = 1 << 22
SORTS = 5


@dataclass(frozen=True)
class Growth:
    """One size of text, medians over the rounds. Exponents: the power of the tokens by which a
    figure grew from size to size."""

    part: str
    tokens: int
    ngrams: int
    seconds: float  # text to saved model, the whole process
    tokens_per_second: float
    peak_bytes: int  # the highest of all rounds
    seconds_exponent: float | None
    memory_exponent: float | None
    eval_seconds: float  # the text under its own model, the whole process
    eval_words_per_second: float
    lmplz_seconds: float | None = None  # lmplz and build_binary
    ratio: float | None = None  # ours over theirs, round by round


@dataclass(frozen=True)
class SortSpeed:
    """How many random 64-bit keys numpy sorts in a second."""

    keys_per_second: float


@dataclass(frozen=True)
class _Round:
    train: Process
    evaluation: Process
    ngrams: int
    lmplz_seconds: float | None


def bench_ngram(text: Text, order: int, rounds: int) -> Iterator[Growth | SortSpeed]:
    """Growth over the parts of `text`, then the calibration: last, as a process inherits the peak
    of the one that starts it.

    Raises:
        TextError: the text cannot be read, or is empty. RnnlmError: training failed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder, before, with_lmplz = Path(name), None, True
        for part, path in _write_parts(text, folder):
            done = []
            for number in range(rounds):
                done.append(
                    _round(path, folder / "work", order, with_lmplz, ours_first=number % 2 == 0)
                )
                with_lmplz = done[-1].lmplz_seconds is not None
            before = _growth(part, done, before)
            yield before
    yield SortSpeed(_sort_speed())


def _write_parts(text: Text, folder: Path) -> Iterator[tuple[str, Path]]:
    """Each part of the text as a file of its own, a line for each of its lines."""
    lines = sum(len(block.lines) for block in text.blocks())
    if not lines:
        raise no_text(text.sources)
    for part in PARTS:
        path, left = folder / f"part-{part}.txt", max(1, lines // part)
        with open(path, "w", encoding="utf-8", newline="\n") as stream:
            for block in text.blocks():
                stream.writelines(
                    f"{line}\n".replace(UNKNOWN, UNKNOWN_SPELLED) for line in block.lines[:left]
                )
                left -= min(left, len(block.lines))
                if not left:
                    break
        yield "all" if part == 1 else f"1/{part}", path


def _round(path: Path, work: Path, order: int, with_lmplz: bool, ours_first: bool) -> _Round:
    work.mkdir()
    theirs = _lmplz_seconds(path, work, order) if with_lmplz and not ours_first else None
    model = work / "model"
    train = run_rnnlm(
        "train", str(path), "--model", "ngram", "--order", str(order), "-o", str(model), "--json"
    )
    evaluation = run_rnnlm("eval", "-m", str(model), str(path), "--json")
    ngrams = sum(model_folder.read_manifest(model).training["ngrams"])
    if with_lmplz and ours_first:
        theirs = _lmplz_seconds(path, work, order)
    shutil.rmtree(work)
    return _Round(train, evaluation, ngrams, theirs)


def _growth(part: str, done: list[_Round], before: Growth | None) -> Growth:
    result = json.loads(done[0].evaluation.out)
    tokens = result["tokens"]
    seconds = statistics.median(each.train.seconds for each in done)
    eval_seconds = statistics.median(each.evaluation.seconds for each in done)
    peak = max(each.train.peak_bytes for each in done)
    paired = [
        (each.train.seconds, each.lmplz_seconds) for each in done if each.lmplz_seconds is not None
    ]
    return Growth(
        part, tokens, done[0].ngrams, seconds, tokens / seconds, peak,
        exponent(tokens, seconds, (before.tokens, before.seconds) if before else None),
        exponent(tokens, peak, (before.tokens, before.peak_bytes) if before else None),
        eval_seconds, result["words"] / eval_seconds,
        statistics.median(theirs for _, theirs in paired) if paired else None,
        statistics.median(ours / theirs for ours, theirs in paired) if paired else None,
    )  # fmt: skip


def _lmplz_seconds(path: Path, work: Path, order: int) -> float | None:
    """From text to a queryable model by KenLM's programs; None where they are not on the PATH or,
    with a notice, one of them fails."""
    lmplz, build_binary = shutil.which("lmplz"), shutil.which("build_binary")
    if not lmplz or not build_binary:
        return None
    arpa, binary = str(work / "lmplz.arpa"), str(work / "lmplz.binary")
    options = ["-o", str(order), "-S", LMPLZ_MEMORY, "-T", str(work), "--discount_fallback"]
    try:
        counted = run("lmplz", [lmplz, *options, "--text", str(path), "--arpa", arpa])
        return counted.seconds + run("build_binary", [build_binary, arpa, binary]).seconds
    except RnnlmError as error:
        notice(f"no comparison with lmplz: {error}")
        return None


def _sort_speed() -> float:
    keys = np.random.default_rng(0).integers(0, 1 << 63, SORTED_KEYS, dtype=np.uint64)
    seconds = []
    for _ in range(SORTS):
        shuffled = keys.copy()
        began = time.perf_counter()
        shuffled.sort()
        seconds.append(time.perf_counter() - began)
    return SORTED_KEYS / statistics.median(seconds)

"""How the cost of training grows, each size in a separate process.

For a network, one setting at a time grows; for n-grams, the text.
"""

import json
import math
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm.benchmarks.processes import UNKNOWN_SPELLED, Kenlm, Process, run_rnnlm
from rnnlm.errors import RnnlmError, UsageError, notice
from rnnlm.interface import UNKNOWN
from rnnlm.models import model_folder
from rnnlm.text.corpus import Text
from rnnlm.text.lines import no_text
from rnnlm.training.request import Request, resolve_request

TOKENS = 120_000
LINE_WORDS = 20
BASE = {"hidden_size": 256, "layers": 1, "vocabulary": 10_000, "bptt_tokens": 35}
VALUES = {
    "hidden_size": (128, 256, 512, 1024), "layers": (1, 2, 4),
    "vocabulary": (2_500, 10_000, 40_000, 160_000), "bptt_tokens": (9, 35, 140),
}  # fmt: skip


@dataclass(frozen=True)
class Growth:
    """The cost of one setting at one value, all others as in BASE. Exponents: the power of the
    value with which time or memory grew from the previous value.

    ratio_products: time of a step over that of its matrix products alone.
    """

    setting: str
    value: int
    tokens_per_second: float
    peak_bytes: int
    ratio_products: float
    time_exponent: float | None
    memory_exponent: float | None


def bench_growth(
    recipe: str,
    assignments: dict[str, str],
    steps: int,
    values: dict[str, tuple[int, ...]] | None = None,
) -> Iterator[Growth]:
    """Yield the cost at every value of every setting (`values`; None: VALUES), on texts of random
    words."""
    varied = sorted({*BASE, "embedding_size"} & assignments.keys())
    if varied:
        raise UsageError(f"{varied[0]} is varied by --growth", hint=f"leave {varied[0]} out")
    resolve_request(Request(recipe=recipe, assignments=assignments))
    if values is None:
        values = VALUES
    with tempfile.TemporaryDirectory() as name:
        for setting, chosen in values.items():
            before: Growth | None = None
            for value in chosen:
                shape = {**BASE, setting: value}
                result = _run_bench_train(Path(name), recipe, assignments, shape, steps)
                growth = _network_growth(setting, value, result, before)
                yield growth
                before = growth


def _run_bench_train(
    folder: Path, recipe: str, assignments: dict[str, str], shape: dict[str, int], steps: int
) -> dict[str, Any]:
    """Run `rnnlm bench train` on a network of this shape, and return its JSON."""
    text = folder / f"{shape['vocabulary']}.txt"
    if not text.exists():
        _write_text(text, shape["vocabulary"])
    settings = dict(assignments)
    for name, value in shape.items():
        if name != "vocabulary":
            settings[name] = str(value)
    settings["embedding_size"] = settings["hidden_size"]

    arguments = ["train", str(text), "--recipe", recipe]
    for name, assigned in settings.items():
        arguments += ["--set", f"{name}={assigned}"]
    arguments += ["--alone", "--rounds", "2", "--steps", str(steps), "--json"]
    result: dict[str, Any] = json.loads(run_rnnlm("bench", *arguments).out)
    return result


def _network_growth(
    setting: str, value: int, result: dict[str, Any], before: Growth | None
) -> Growth:
    speed, peak = result["tokens_per_second"], result["peak_bytes"]
    time_exponent, memory_exponent = None, None
    if before:
        time_exponent = exponent(value, 1 / speed, (before.value, 1 / before.tokens_per_second))
        memory_exponent = exponent(value, peak, (before.value, before.peak_bytes))
    ratio = result["ratio_products"]
    return Growth(setting, value, speed, peak, ratio, time_exponent, memory_exponent)


def _write_text(path: Path, vocabulary: int) -> None:
    """Write random words. The chance of the word of rank r falls as 1 / r (Zipf), and each word
    occurs at least once."""
    chance_V = 1 / np.arange(1, vocabulary + 1)
    words = np.random.default_rng(1).choice(vocabulary, TOKENS, p=chance_V / chance_V.sum())
    words = np.concatenate([np.arange(vocabulary), words]).tolist()
    lines = []
    for start in range(0, len(words), LINE_WORDS):
        lines.append(" ".join(f"w{word}" for word in words[start : start + LINE_WORDS]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def exponent(size: float, value: float, before: tuple[float, float] | None) -> float | None:
    """Return the power of the size with which a value grew; None if there is no size and value
    `before` to compare with."""
    if before is None or not all(before) or size == before[0]:
        return None
    return math.log(value / before[1]) / math.log(size / before[0])


# ---- How n-gram training grows with the text, beside bare references in the same run.
#
# The first sixteenth, the first quarter and all of a text, each from text to a saved model and back
# to a perplexity, in separate processes, so that memory is that process's alone. If KenLM's lmplz
# and build_binary are on the PATH, they take turns with ours. Ratios hold even if the machine's
# speed drifts; single numbers do not.

PARTS = (16, 4, 1)  # a sixteenth of the text, a quarter, all of it
LMPLZ_MEMORY = "400M"
SORTED_KEYS = 1 << 22
SORTS = 5


@dataclass(frozen=True)
class NgramGrowth:
    """The cost of one size of text, medians over the rounds. Exponents: the power of the tokens
    with which time or memory grew from the previous size."""

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
    """The number of random 64-bit keys that numpy sorts in a second."""

    keys_per_second: float


@dataclass(frozen=True)
class _Round:
    train: Process
    evaluation: Process
    ngrams: int
    lmplz_seconds: float | None


def bench_ngram(text: Text, order: int, rounds: int) -> Iterator[NgramGrowth | SortSpeed]:
    """Yield the growth over the parts of `text`, then the speed of sorting. Sorting comes last: a
    process inherits the peak memory of the one that starts it, so the keys would count as memory of
    the runs after them."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name) / "work"
        before: NgramGrowth | None = None
        with_lmplz = True
        for part, path in _write_parts(text, Path(name)):
            done = []
            for number in range(rounds):
                done.append(_round(path, work, order, with_lmplz, ours_first=number % 2 == 0))
                with_lmplz = done[-1].lmplz_seconds is not None  # else it is not there, or failed
            growth = _ngram_growth(part, done, before)
            yield growth
            before = growth
    yield SortSpeed(_sort_speed())


def _write_parts(text: Text, folder: Path) -> Iterator[tuple[str, Path]]:
    """Write each part of the text to a file, line by line."""
    lines = sum(len(block.lines) for block in text.blocks())
    if not lines:
        raise no_text(text.sources)
    for part in PARTS:
        path = folder / f"part-{part}.txt"
        left = max(1, lines // part)
        with open(path, "w", encoding="utf-8", newline="\n") as stream:
            for block in text.blocks():
                shown = [line.replace(UNKNOWN, UNKNOWN_SPELLED) for line in block.lines[:left]]
                stream.writelines(f"{line}\n" for line in shown)
                left -= min(left, len(block.lines))
                if not left:
                    break
        yield "all" if part == 1 else f"1/{part}", path


def _round(path: Path, work: Path, order: int, with_lmplz: bool, ours_first: bool) -> _Round:
    work.mkdir()
    theirs = None
    if with_lmplz and not ours_first:
        theirs = _lmplz_seconds(path, work, order)
    model = work / "model"
    options = ["--model", "ngram", "--order", str(order), "-o", str(model), "--json"]
    train = run_rnnlm("train", str(path), *options)
    evaluation = run_rnnlm("eval", "-m", str(model), str(path), "--json")
    ngrams = sum(model_folder.read_manifest(model).training["ngrams"])
    if with_lmplz and ours_first:
        theirs = _lmplz_seconds(path, work, order)
    shutil.rmtree(work)
    return _Round(train, evaluation, ngrams, theirs)


def _ngram_growth(part: str, done: list[_Round], before: NgramGrowth | None) -> NgramGrowth:
    result = json.loads(done[0].evaluation.out)
    tokens = result["tokens"]
    seconds = statistics.median(each.train.seconds for each in done)
    eval_seconds = statistics.median(each.evaluation.seconds for each in done)
    peak = max(each.train.peak_bytes for each in done)

    # Compared with the size before.
    seconds_exponent, memory_exponent = None, None
    if before:
        seconds_exponent = exponent(tokens, seconds, (before.tokens, before.seconds))
        memory_exponent = exponent(tokens, peak, (before.tokens, before.peak_bytes))

    # Compared with lmplz, in the same round.
    theirs, ratios = [], []
    for each in done:
        if each.lmplz_seconds is not None:
            theirs.append(each.lmplz_seconds)
            ratios.append(each.train.seconds / each.lmplz_seconds)
    return NgramGrowth(
        part,
        tokens,
        done[0].ngrams,
        seconds,
        tokens / seconds,
        peak,
        seconds_exponent,
        memory_exponent,
        eval_seconds,
        eval_words_per_second=result["words"] / eval_seconds,
        lmplz_seconds=statistics.median(theirs) if theirs else None,
        ratio=statistics.median(ratios) if ratios else None,
    )


def _lmplz_seconds(path: Path, work: Path, order: int) -> float | None:
    """Time KenLM's programs from text to a queryable model; None if they are not on the PATH or,
    with a notice, one of them fails."""
    lmplz, build_binary = shutil.which("lmplz"), shutil.which("build_binary")
    if not lmplz or not build_binary:
        return None
    try:
        done = Kenlm(lmplz, build_binary).train(path, order, LMPLZ_MEMORY, work)
        return sum(each.seconds for each in done)
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

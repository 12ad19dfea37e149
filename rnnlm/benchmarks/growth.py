"""How the cost of training grows, each size in a process of its own.

That of a network grows with one setting at a time, that of n-grams with the text.
"""

import itertools
import json
import math
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from rnnlm.errors import RnnlmError, UsageError, notice
from rnnlm.interface import UNKNOWN
from rnnlm.models import model_folder
from rnnlm.system import peak_bytes, python
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
    """One setting at one value, all others as in BASE. Exponents: the power of the value by which a
    figure grew from the one before.

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
    """Every value of every setting (`values`: VALUES), on texts of random words, as often as words
    of that rank are (Zipf)."""
    varied = sorted({*BASE, "embedding_size"} & assignments.keys())
    if varied:
        raise UsageError(f"{varied[0]} is varied by --growth", hint=f"leave {varied[0]} out")
    resolve_request(Request(recipe=recipe, assignments=assignments))
    with tempfile.TemporaryDirectory() as name:
        for setting, chosen in (VALUES if values is None else values).items():
            before: Growth | None = None
            for value in chosen:
                before = _grown(
                    Path(name),
                    recipe,
                    assignments,
                    {**BASE, setting: value},
                    setting,
                    steps,
                    before,
                )
                yield before


def _grown(
    folder: Path,
    recipe: str,
    assignments: dict[str, str],
    shape: dict[str, int],
    setting: str,
    steps: int,
    before: Growth | None,
) -> Growth:
    text = folder / f"{shape['vocabulary']}.txt"
    if not text.exists():
        _write_text(text, shape["vocabulary"])
    settings = {
        **assignments,
        **{name: str(value) for name, value in shape.items() if name != "vocabulary"},
    }
    settings["embedding_size"] = settings["hidden_size"]
    options = itertools.chain.from_iterable(
        ("--set", f"{name}={value}") for name, value in settings.items()
    )
    arguments = [
        "train",
        str(text),
        "--recipe",
        recipe,
        *options,
        "--alone",
        "--rounds",
        "2",
        "--steps",
        str(steps),
        "--json",
    ]
    found = json.loads(run_rnnlm("bench", *arguments).out)
    speed, peak, value = found["tokens_per_second"], found["peak_bytes"], shape[setting]
    return Growth(
        setting, value, speed, peak, found["ratio_products"],
        exponent(value, 1 / speed,
                 (before.value, 1 / before.tokens_per_second) if before else None),
        exponent(value, peak, (before.value, before.peak_bytes) if before else None),
    )  # fmt: skip


def _write_text(path: Path, vocabulary: int) -> None:
    """Random words, the one of rank r by a chance that falls as 1 / r; each word once at least."""
    chance_V = 1 / np.arange(1, vocabulary + 1)
    words = np.random.default_rng(1).choice(vocabulary, TOKENS, p=chance_V / chance_V.sum())
    words = np.concatenate([np.arange(vocabulary), words]).tolist()
    lines = (
        " ".join(f"w{word}" for word in words[start : start + LINE_WORDS])
        for start in range(0, len(words), LINE_WORDS)
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


# ---- Commands in processes of their own, for benchmarks: so that time and memory are theirs alone.
# One that fails raises RnnlmError.


@dataclass(frozen=True)
class Process:
    """One that ended well."""

    seconds: float
    peak_bytes: int
    out: str


def run_rnnlm(command: str, *arguments: str) -> Process:
    """One of rnnlm's own commands, in a process of its own."""
    return run(f"rnnlm {command}", python("-m", "rnnlm", command, *arguments))


def run(name: str, command: list[str]) -> Process:
    """A command in a process of its own."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err) as process:
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                raise
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        if process.returncode:
            raise RnnlmError(f"{name} failed", _last_words(_content(err)))
        return Process(seconds, peak_bytes(usage), _content(out))


def _content(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "replace")


def _last_words(messages: str) -> str:
    """What a failed program said: its error, else its last line."""
    lines = [line for line in messages.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or ["it said nothing"])[-1]


def exponent(size: float, value: float, before: tuple[float, float] | None) -> float | None:
    """a, where a value grew as a size to the power of a; None where there is no size and value
    `before` to compare with."""
    if before is None or not all(before) or size == before[0]:
        return None
    return math.log(value / before[1]) / math.log(size / before[0])


# ---- How n-gram training grows with the text, beside bare references in the same run.
#
# The first sixteenth, the first quarter and all of a text, each from text to a saved model and back
# to a perplexity, in processes of their own, so that memory is that process's alone. Where KenLM's
# lmplz and build_binary are on the PATH, they take turns with ours. Ratios hold where the machine's
# speed drifts; single figures do not.

PARTS = (16, 4, 1)  # of the text, one part in so many
UNKNOWN_SPELLED = "UNK"  # lmplz refuses a literal <unk>
LMPLZ_MEMORY = "400M"
SORTED_KEYS = 1 << 22
SORTS = 5


@dataclass(frozen=True)
class NgramGrowth:
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


def bench_ngram(text: Text, order: int, rounds: int) -> Iterator[NgramGrowth | SortSpeed]:
    """Growth over the parts of `text`, then the calibration: last, as a process inherits the peak
    of the one that starts it."""
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


def _growth(part: str, done: list[_Round], before: NgramGrowth | None) -> NgramGrowth:
    result = json.loads(done[0].evaluation.out)
    tokens = result["tokens"]
    seconds = statistics.median(each.train.seconds for each in done)
    eval_seconds = statistics.median(each.evaluation.seconds for each in done)
    peak = max(each.train.peak_bytes for each in done)
    paired = [
        (each.train.seconds, each.lmplz_seconds) for each in done if each.lmplz_seconds is not None
    ]
    return NgramGrowth(
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

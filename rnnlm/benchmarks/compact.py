"""What the compact form of an n-gram model costs: size, time and perplexity on a text, beside those
of the model as it is, and of KenLM's quantised trie of the same n-grams in the same run.

Programs run one at a time, each in a process of its own that loads its model, and take turns, so
that ratios hold even if the machine's speed drifts.
"""

import re
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from rnnlm.benchmarks.processes import Process, run, run_rnnlm
from rnnlm.benchmarks.scale import write_lines
from rnnlm.errors import RnnlmError, UsageError
from rnnlm.models import loading
from rnnlm.models.manifest import read_manifest
from rnnlm.text.corpus import Text

WHOLE, TRIE = "as it is", "KenLM's trie"
BITS = (16, 8)
# As many bits as our smallest form has; what is left of pointers is compressed as far as it pays.
TRIE_OPTIONS = ("-a", "22", "-q", "8", "-b", "8", "trie")


@dataclass(frozen=True)
class FormCost:
    """One form of the model. seconds, cpu_seconds: of a process that evaluates the text, medians;
    cpu_seconds are of all its threads. ratios: to KenLM's trie, those of times medians of pairs,
    each of one round; None without it."""

    form: str
    model_bytes: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    ppl_token: float | None
    size_ratio: float | None
    seconds_ratio: float | None
    cpu_ratio: float | None


@dataclass(frozen=True)
class KenlmQuery:
    """KenLM's programs that make a trie and ask it, by their paths."""

    build_binary: str
    query: str


def bench_compact(
    name: str, text: Text, kenlm: KenlmQuery | None, rounds: int, temporary: Path | None
) -> Iterator[FormCost]:
    """Yield what each form of the n-gram model called `name` costs on the text.

    temporary: the folder for models and the text, all of which are deleted. UsageError: the model
    has no n-grams.
    """
    model = loading.find(name)
    if not read_manifest(model).kind.has_ngrams:
        raise UsageError(f"{name} has no n-grams", hint="name a model trained with --model ngram")
    with tempfile.TemporaryDirectory(dir=temporary) as made:
        folder = Path(made)
        path = folder / "text.txt"
        write_lines(text, path)

        # Each form with its size, and how it evaluates the text.
        sizes = {WHOLE: _model_bytes(model)}
        evaluations: dict[str, Callable[[], Process]] = {WHOLE: partial(_evaluate, model, path)}
        for bits in BITS:
            small = folder / f"{bits}-bits"
            # Not in this process: the system counts its peak memory for those that it starts.
            run_rnnlm("export", "-m", str(model), "--compact", str(small), "--bits", str(bits))
            sizes[f"{bits} bits"] = _model_bytes(small)
            evaluations[f"{bits} bits"] = partial(_evaluate, small, path)
        if kenlm is not None:
            trie = folder / "model.trie"
            _build_trie(model, kenlm, trie)
            sizes[TRIE] = trie.stat().st_size
            ask = [kenlm.query, "-v", "summary", str(trie)]
            evaluations[TRIE] = partial(run, "query", ask, stdin=path)

        done: dict[str, list[Process]] = {form: [] for form in evaluations}
        for number in range(rounds):
            turns = list(evaluations) if number % 2 == 0 else list(reversed(evaluations))
            for form in turns:
                done[form].append(evaluations[form]())
        for form in evaluations:
            yield _cost(form, sizes, done)


def _model_bytes(folder: Path) -> int:
    """Return the bytes of the files that are the model, its card left out."""
    return sum(entry.bytes for entry in read_manifest(folder).files.values())


def _evaluate(folder: Path, text: Path) -> Process:
    return run_rnnlm("eval", "-m", str(folder), str(text), "--json")


def _build_trie(model: Path, kenlm: KenlmQuery, trie: Path) -> None:
    """Make KenLM's quantised trie of the model's n-grams."""
    arpa = trie.with_suffix(".arpa")
    run_rnnlm("export", "-m", str(model), "--arpa", str(arpa))
    run("build_binary", [kenlm.build_binary, *TRIE_OPTIONS, str(arpa), str(trie)])
    arpa.unlink()


def _cost(form: str, sizes: dict[str, int], done: dict[str, list[Process]]) -> FormCost:
    own = done[form]
    size_ratio = seconds_ratio = cpu_ratio = None
    if TRIE in done:
        size_ratio = sizes[form] / sizes[TRIE]
        pairs = list(zip(own, done[TRIE], strict=True))
        seconds_ratio = statistics.median(one.seconds / other.seconds for one, other in pairs)
        # A process may be too short for the system to count its time.
        if all(other.cpu_seconds for _, other in pairs):
            cpu_ratio = statistics.median(
                one.cpu_seconds / other.cpu_seconds for one, other in pairs
            )
    return FormCost(
        form,
        sizes[form],
        statistics.median(each.seconds for each in own),
        statistics.median(each.cpu_seconds for each in own),
        max(each.peak_bytes for each in own),
        _kenlms_perplexity(own[0].out) if form == TRIE else _perplexity(own[0].out),
        size_ratio,
        seconds_ratio,
        cpu_ratio,
    )


def _perplexity(out: str) -> float | None:
    found: dict[str, float | None] = msgspec.json.decode(out)
    return found["ppl_token"]


def _kenlms_perplexity(out: str) -> float:
    """Read the perplexity that KenLM's query prints."""
    found = re.search(r"Perplexity including OOVs:\s*([0-9.e+]+)", out)
    if found is None:
        raise RnnlmError("query printed no perplexity", "is the program KenLM's query?")
    return float(found[1])

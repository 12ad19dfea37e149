"""How fast text is filtered by perplexity, beside a loop over lines with the module `kenlm`.

The loop is what CCNet's program does with each line (cc_net/perplexity.py): sentencepiece makes
pieces of it, KenLM scores them, joined by spaces. Both sides read the same file, score the same
units under the same n-grams, and write the lines that they keep. They take turns, each on one
processor, so that ratios hold on a busy machine, too.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rnnlm.errors import UsageError, require_package
from rnnlm.interface import Tokenizer
from rnnlm.text.lines import WORD_SPACE

COMPARED_LINES = 5_000  # whose perplexities are compared


class Scorer(Protocol):
    """A model of the module `kenlm`, as far as it is used here."""

    def score(self, sentence: str) -> float: ...


@dataclass(frozen=True)
class Run:
    """One run over the text: by the clock, and of the processor."""

    seconds: float
    processor_seconds: float


@dataclass(frozen=True)
class FilterSpeed:
    """Medians over rounds. what: "rnnlm filter", "kenlm loop". megabytes_per_second: of text, by
    the clock. ratio, processor_ratio: time of the loop over this one's, the median of the rounds'
    ratios; above 1 this one is faster."""

    what: str
    processors: int
    seconds: float
    processor_seconds: float
    megabytes_per_second: float
    ratio: float | None = None
    processor_ratio: float | None = None


class KenlmLoop:
    """Lines filtered one by one. arpa: the n-grams of a model whose tokenizer this is."""

    def __init__(self, arpa: Path, tokenizer: Tokenizer) -> None:
        kenlm = require_package("kenlm", "kenlm", "comparisons with KenLM")
        config = kenlm.Config()
        config.arpa_complain = kenlm.ARPALoadComplain.NONE
        self.model: Scorer = kenlm.Model(str(arpa), config)
        self.pieces_of = _pieces_of(tokenizer)

    def perplexity(self, line: str) -> float:
        """Return the perplexity of a line and its end."""
        pieces = self.pieces_of(line)
        log10_p = self.model.score(pieces)
        return 10.0 ** (-log10_p / (len(pieces.split()) + 1))

    def filter(self, source: Path, target: Path, max_perplexity: float) -> None:
        """Write the lines of a file that are likely enough."""
        with open(source, encoding="utf-8") as lines, open(target, "w", encoding="utf-8") as kept:
            for line in lines:
                if line.strip(WORD_SPACE + "\n") and self.perplexity(line) <= max_perplexity:
                    kept.write(line)


def _pieces_of(tokenizer: Tokenizer) -> Callable[[str], str]:
    """Return a function that returns the tokens of a line, joined by spaces."""
    if tokenizer.name == "word" and tokenizer.keeps_text:
        return str
    if tokenizer.name != "sentencepiece" or not tokenizer.keeps_text:
        raise UsageError(
            "the loop with kenlm takes models of words or of sentencepiece's pieces",
            f"this model's tokenizer is {tokenizer.name}, with settings that change the text"
            if not tokenizer.keeps_text
            else f"this model's tokenizer is {tokenizer.name}",
            "leave --kenlm out",
        )
    import sentencepiece

    model = tokenizer.to_files()["tokenizer.model"]
    encode = sentencepiece.SentencePieceProcessor(model_proto=model).encode_as_pieces
    # rnnlm's pieces begin with a space, also the first one of a line.
    return lambda line: " ".join(encode(" " + line.rstrip("\r\n")))


def largest_difference(loop: KenlmLoop, lines: Sequence[str], ours: Sequence[float]) -> float:
    """Return by which share the two perplexities of a line differ at most."""
    differences = [
        abs(loop.perplexity(line) / perplexity - 1)
        for line, perplexity in zip(lines, ours, strict=True)
    ]
    return max(differences, default=0.0)


def bench_filtering(
    text_bytes: int,
    ours: Sequence[tuple[int, Callable[[], None]]],
    loop: Callable[[], None] | None,
    rounds: int,
) -> Iterator[FilterSpeed]:
    """Yield the speed of each way of filtering the same text. Each round runs all of them once,
    after one round to warm up.

    ours: for a number of processors, what filters on so many; loop: the loop with kenlm.
    """
    # All take turns, so that the machine's changes of speed meet all alike.
    ways = [("rnnlm filter", processors, run) for processors, run in ours]
    if loop is not None:
        ways.append(("kenlm loop", 1, loop))
    runs: list[list[Run]] = [[] for _ in ways]
    for number in range(rounds + 1):
        for place, (_, _, run) in enumerate(ways):
            done = _timed(run)
            if number:
                runs[place].append(done)

    # Ratios are of the same round.
    beside = runs[-1] if loop is not None else None
    for (what, processors, _), own in zip(ways, runs, strict=True):
        seconds = statistics.median(run.seconds for run in own)
        ratio = processor_ratio = None
        if beside is not None:
            pairs = list(zip(beside, own, strict=True))
            ratio = statistics.median(one.seconds / two.seconds for one, two in pairs)
            processor_ratio = statistics.median(
                one.processor_seconds / two.processor_seconds for one, two in pairs
            )
        yield FilterSpeed(
            what,
            processors,
            seconds,
            statistics.median(run.processor_seconds for run in own),
            text_bytes / seconds / 1e6,
            ratio,
            processor_ratio,
        )


def _timed(run: Callable[[], None]) -> Run:
    began, processor_began = time.perf_counter(), time.process_time()
    run()
    return Run(time.perf_counter() - began, time.process_time() - processor_began)

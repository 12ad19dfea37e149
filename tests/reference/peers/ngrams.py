"""N-grams beside KenLM: whole processes from a text to a saved model, and from it to a perplexity.

    python tests/reference/peers/ngrams.py my.txt --lmplz bin/lmplz --build-binary bin/build_binary \\
        --query bin/query

`rnnlm train` takes turns with lmplz and build_binary, `rnnlm eval` with query, on the same text;
all models are deleted. Ratios are our time over theirs, as medians over the rounds: below 1 we are
quicker.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds_of(command, stdin=None):
    """Run a command, and return how long it took and what it printed."""
    began = time.perf_counter()
    done = subprocess.run(list(map(str, command)), stdin=stdin, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        last_line = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        sys.exit(f"error: {command[0]} failed; {last_line}")
    return seconds, done.stdout


def run_rnnlm(options, text, folder):
    """Return the seconds of training and of evaluation, and the perplexity."""
    rnnlm = [sys.executable, "-m", "rnnlm"]
    # Nothing is held out or split: lmplz counts every line, and words between spaces.
    train = [*rnnlm, "train", text, "--model", "ngram", "--order", options.order]
    train += ["--holdout", "0", "--keep-punctuation"]
    if options.memory:
        train += ["--memory", options.memory]
    training, _ = seconds_of([*train, "-o", folder / "model"])
    evaluation, printed = seconds_of([*rnnlm, "eval", "-m", folder / "model", text, "--json"])
    return training, evaluation, float(re.search(r'"ppl_token": ?([\d.e+]+)', printed)[1])


def run_kenlm(options, text, folder):
    """Return the same of KenLM's programs."""
    arpa, binary = folder / "kenlm.arpa", folder / "kenlm.binary"
    lmplz = [options.lmplz, "-o", options.order, "-S", options.lmplz_memory, "-T", folder]
    counting, _ = seconds_of([*lmplz, "--discount_fallback", "--text", text, "--arpa", arpa])
    building, _ = seconds_of([options.build_binary, arpa, binary])
    with open(text, encoding="utf-8") as stream:
        evaluation, printed = seconds_of([options.query, "-v", "summary", binary], stdin=stream)
    perplexity = float(re.search(r"Perplexity including OOVs:\s*([\d.e+]+)", printed)[1])
    return counting + building, evaluation, perplexity


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path)
    for program in ("lmplz", "build-binary", "query"):
        parser.add_argument(f"--{program}", required=True, metavar="PATH", help="of KenLM")
    parser.add_argument("--order", type=int, default=5, help="of the longest n-grams [5]")
    parser.add_argument("--memory", help="limit for rnnlm train, such as 1G [none]")
    parser.add_argument("--lmplz-memory", default="400M", help="lmplz's -S [400M]")
    parser.add_argument("--rounds", type=int, default=3, help="medians are shown [3]")
    options = parser.parse_args(arguments)
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as name:
        # lmplz refuses a literal <unk>.
        text = Path(name) / "text.txt"
        content = options.text.read_text(encoding="utf-8")
        text.write_text(content.replace("<unk>", "UNK"), encoding="utf-8")
        for number in range(options.rounds):
            sides = [(run_rnnlm, ours), (run_kenlm, theirs)]
            for run, results in sides if number % 2 == 0 else reversed(sides):
                with tempfile.TemporaryDirectory(dir=name) as work:
                    results.append(run(options, text, Path(work)))
    print(f"{'':12}{'rnnlm':>10}{'KenLM':>10}{'ratio':>8}")
    for place, what in enumerate(("train", "eval")):
        our_seconds = statistics.median(row[place] for row in ours)
        their_seconds = statistics.median(row[place] for row in theirs)
        pairs = zip(ours, theirs, strict=True)
        ratio = statistics.median(our_row[place] / their_row[place] for our_row, their_row in pairs)
        print(f"{what:12}{our_seconds:>8.2f} s{their_seconds:>8.2f} s{ratio:>8.2f}")
    print(f"{'perplexity':12}{ours[0][2]:>10.3f}{theirs[0][2]:>10.3f}")


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"error: {error}")

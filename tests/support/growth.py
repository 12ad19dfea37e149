"""Measure how a command grows with its text: CPU seconds and private memory, phase by phase.

    python tests/support/growth.py big.txt -- train TEXT --model ngram --memory 1G -o OUT
    python tests/support/growth.py big.txt --sizes 1,2,4 -- count TEXT --order 5 -o OUT

The command runs on the first tenth of the text's lines, three tenths, and all; TEXT is replaced by
each, OUT and OUT.tsv by a new place. The exponent b of c + a n^b is fitted on the differences of
the three, so that what starting takes plays no part. Take a text whose first part takes five CPU seconds or more:
below, exponents are noise.

Every 20 ms, the time since then belongs to the innermost function of PHASES that the main thread is
in. Memory is the most that a phase held, without mapped files.
"""

import argparse
import itertools
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PHASES = {
    "_learn_all": "reading",
    "encode_once": "reading",
    "encode_parts": "encoding",
    "_encode": "encoding",
    "make": "planning",
    "count_by_shards": "counting",
    "next_order": "counting",
    "merge": "merging",
    "levels": "suffixes",
    "estimate": "estimating",
    "save": "saving",
    "last_events": "validating",
}
SAMPLED_SECONDS = 0.02


def measured(arguments: list[str]) -> dict[str, list[float]]:
    """Run a command line in this process. Return CPU seconds and megabytes by phase."""
    sys.path.insert(0, str(ROOT))
    from rnnlm import system
    from rnnlm.cli.main import run

    used: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    main_thread = threading.main_thread().ident
    is_over = threading.Event()

    def watch() -> None:
        before = 0.0
        while True:
            ended = is_over.wait(SAMPLED_SECONDS)
            frame = sys._current_frames().get(main_thread or 0)
            while frame is not None and frame.f_code.co_name not in PHASES:
                frame = frame.f_back
            phase = used[PHASES[frame.f_code.co_name] if frame else "other"]
            now = time.process_time()
            phase[0] += now - before
            phase[1] = max(phase[1], system.private_bytes() / 1e6)
            before = now
            if ended:
                return

    sampler = threading.Thread(target=watch)
    sampler.start()
    code = run(arguments)
    is_over.set()
    sampler.join()
    if code:
        sys.exit(code)
    return used


def first_lines(text: Path, share: float, part: Path) -> None:
    """Write the first lines of a text that hold this share of its bytes."""
    left = share * text.stat().st_size
    with open(text, "rb") as lines, open(part, "wb") as written:
        for line in lines:
            if left <= 0:
                return
            left -= written.write(line)


def exponent(sizes: list[float], values: list[float]) -> float:
    """Return b of c + a n^b through three points; nan where the values do not ascend."""
    (n1, n2, n3), (v1, v2, v3) = sizes, values
    if not v1 < v2 < v3:
        return math.nan
    low, high = -2.0, 4.0
    for _ in range(60):
        b = (low + high) / 2 or 1e-9
        ratio = (n3**b - n2**b) / (n2**b - n1**b)
        low, high = (b, high) if ratio < (v3 - v2) / (v2 - v1) else (low, b)
    return low


def results_of(text: Path, sizes: list[float], words: list[str]) -> list[dict[str, list[float]]]:
    """Run a command on parts of a text of these sizes, of which the last is all of it. Return for
    each its seconds and megabytes by phase."""
    results = []
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=text.parent) as folder:
            part = Path(folder, "part").with_suffix(text.suffix)
            first_lines(text, size / sizes[-1], part)
            out = str(Path(folder, "out"))
            places = {"TEXT": str(part), "OUT": out, "OUT.tsv": f"{out}.tsv"}
            command = [places.get(word, word) for word in words]
            child = [sys.executable, __file__, "--measure", *command]
            done = subprocess.run(child, stdout=subprocess.PIPE, encoding="utf-8")
            if done.returncode:
                sys.exit(done.returncode)
            results.append(json.loads(done.stdout.splitlines()[-1]))
    return results


def seconds_of(results: list[dict[str, list[float]]]) -> list[float]:
    """Return the CPU seconds of each size."""
    return [sum(seconds for seconds, _ in result.values()) for result in results]


def main(words: list[str]) -> None:
    if words[:1] == ["--measure"]:
        print(json.dumps(measured(words[1:])))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--sizes", default="1,3,10", help="three sizes; the last is all [1,3,10]")
    parser.add_argument("command", nargs="+", help="with TEXT and OUT")
    options = parser.parse_args(words)
    sizes = [float(size) for size in options.sizes.split(",")]
    results = results_of(options.text, sizes, options.command)

    # A row a phase: seconds and megabytes at each size, with their exponents.
    print(f"{'':12}{'CPU seconds':>36}{'b':>7}{'private MB':>36}{'b':>7}")
    phases = dict.fromkeys(itertools.chain(*results))
    for phase in phases:
        row = f"{phase:12}"
        for column in (0, 1):
            values = [result.get(phase, [0.0, 0.0])[column] for result in results]
            row += "".join(f"{value:12.1f}" for value in values)
            row += f"{exponent(sizes, values):7.2f}"
        print(row)
    totals = seconds_of(results)
    row = "".join(f"{total:12.1f}" for total in totals)
    print(f"{'all':12}{row}{exponent(sizes, totals):7.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])

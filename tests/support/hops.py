"""Trace what one datum passes: the functions and files that run from a command line to a result.

    python tests/support/hops.py            # the counts of each datum
    python tests/support/hops.py score      # its files, functions, and who called them first

A function counts once, a comprehension or the body of a module or class not at all. Foundations are
the modules on which all rooms rest, the lowest layer of pyproject.toml's contract, and what says
which kinds and satellites there are.
"""

import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FOUNDATIONS = {
    f"rnnlm/{name}.py" for name in (
        "__init__", "amounts", "arrays", "checks", "choices", "config", "core", "errors", "events",
        "interface", "parallel", "progress", "registry", "satellites", "system", "tabular",
        "version",
    )
}  # fmt: skip
DESCRIPTIONS = ("/kinds.py", "/satellite.py")
FUNCTION_FLAG = 1  # CO_OPTIMIZED: bodies of modules and classes lack it


class Datum(NamedTuple):
    """What is followed: the command line, the function whose return ends the way, if it is not the
    end of the command, and how many files it may pass besides foundations."""

    arguments: tuple[str, ...]
    last: str
    most_files: int


DATA = {
    "score": Datum(("score", "the man was here", "-m", "demo"), "", 46),
    "rate": Datum(
        ("train", "text.txt", "--set", "learning_rate=0.01", "--budget", "10steps", "--dry-run"),
        "dry_plan",
        39,
    ),
}


class Hop(NamedTuple):
    """A function that the datum passes, and the function that called it first."""

    file: str
    function: str
    caller: str


def hops(datum: Datum) -> list[Hop]:
    """Return the functions that a command passes in a process of its own, in order."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [f"the man number {number} saw a boy" for number in range(300)]
        Path(folder, "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = [sys.executable, __file__, "--trace", json.dumps(datum)]
        done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [Hop(*hop) for hop in json.loads(done.stdout.splitlines()[-1])]


def files_of(found: list[Hop]) -> list[str]:
    """Return the files in the order in which they are reached, without foundations."""
    files = dict.fromkeys(hop.file for hop in found if hop.file not in FOUNDATIONS)
    return [file for file in files if not file.endswith(DESCRIPTIONS)]


def _trace(arguments: list[str], last: str) -> list[Hop]:
    """Run a command line in this process and return the functions that ran until `last` ends."""
    found: dict[CodeType, Hop] = {}

    def follow(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "return" and code.co_name == last:
            sys.setprofile(None)
        elif event == "call" and code not in found and _is_ours(code):
            caller = frame.f_back
            while caller is not None and not _file_of(caller.f_code.co_filename):
                caller = caller.f_back
            by = f"{_file_of(caller.f_code.co_filename)}:{caller.f_lineno}" if caller else ""
            found[code] = Hop(_file_of(code.co_filename), code.co_qualname, by)

    sys.path.insert(0, str(ROOT))
    from rnnlm.cli.main import run

    sys.setprofile(follow)
    try:
        code = run(arguments)
    finally:
        sys.setprofile(None)
    if code:
        sys.exit(code)
    return list(found.values())


@functools.cache
def _file_of(filename: str) -> str:
    """Return the file of a function of ours, as the repository names it; "" of others."""
    path = Path(filename).resolve()
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
    return name if name.startswith(("rnnlm/", "cli/")) else ""


def _is_ours(code: CodeType) -> bool:
    is_function = code.co_flags & FUNCTION_FLAG and not code.co_name.startswith("<")
    return bool(is_function and _file_of(code.co_filename))


def main(words: list[str]) -> None:
    """Print the counts of each datum, or the way of one."""
    if words[:1] == ["--trace"]:
        arguments, last, _ = json.loads(words[1])
        print(json.dumps(_trace(arguments, last)))
        return
    for name in words or DATA:
        found = hops(DATA[name])
        files = files_of(found)
        for file in files if words else ():
            print(file)
            for hop in found:
                if hop.file == file:
                    print(f"    {hop.function}  <- {hop.caller}")
        everything = {hop.file for hop in found}
        print(
            f"{name}: {len(found)} functions, {len(everything)} files; without foundations "
            f"{len(files)} files (at most {DATA[name].most_files})"
        )


if __name__ == "__main__":
    main(sys.argv[1:])

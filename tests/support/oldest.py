"""The oldest packages that setup.cfg admits, and a trial of what most people use with them.

    python tests/support/oldest.py constraints         # NAME==LOWEST of each package, for pip -c
    python tests/support/oldest.py constraints test    # of those of an extra, and torch as usual
    python tests/support/oldest.py try                 # in an environment with the first ones

The doors `oldest` and `oldest-EXTRA` of .ci/doors do this.
"""

import re
import subprocess
import sys
import tempfile
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = "the dog barks\na dog sleeps\nthe cat sleeps\na cat sees the dog\n" * 30
SMALL = ("--set", "hidden_size=8", "--set", "embedding_size=8", "--budget", "20steps")
# commands in a folder with t.txt, and the exit codes that they must have
TRIAL = (
    ("--help", 0), ("train t.txt -o net " + " ".join(SMALL), 0),
    ("train t.txt --model ngram --order 3 -o kn", 0), ("score -m net --words the dog", 0),
    ("score -m kn -o scores.parquet the dog", 0), ("score -m demo the dog", 0),
    ("eval -m net t.txt", 0), ("eval -m kn t.txt", 0), ("compare net kn --on t.txt", 0),
    ("count t.txt --order 2 -o counts", 0),
    ("train t.txt --tokenizer sentencepiece --set vocab_size=280 -o sp " + " ".join(SMALL), 0),
    ("doctor net", 0), ("report net -o report.html", 0), ("export -m net --onnx onnx", 0),
    ("generate -m net --num 1", 0), ("train t.txt --no-such-option", 2), ("no-such-command", 2),
)  # fmt: skip


def lowest(extra: str = "") -> dict[str, str]:
    """Return the lowest version of each package that setup.cfg names with `>=` for this Python; of
    one that several extras name, the highest of these. With an extra, of its packages alone."""
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = parser["options.extras_require"]
    if extra:
        lines = extras[extra].splitlines()
    else:
        required = [parser["options"]["install_requires"], *extras.values()]
        lines = "\n".join(required).splitlines()
    found: dict[str, str] = {}
    for line in lines:
        requirement, _, marker = line.partition(";")
        match = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\w.]+)", requirement.strip())
        if match and is_for_this_python(marker.strip()):
            name, version = match[1].lower().replace("_", "-"), match[2]
            found[name] = max(found.get(name, "0"), version, key=as_numbers)
    return found


def is_for_this_python(marker: str) -> bool:
    """Whether a marker such as `python_version < "3.13"` holds here; an empty one always does."""
    if not marker:
        return True
    comparison, version = re.fullmatch(r'python_version (<|>=) "([\d.]+)"', marker).groups()
    is_older = sys.version_info[:2] < tuple(as_numbers(version))
    return is_older == (comparison == "<")


def as_numbers(version: str) -> list[int]:
    """Return the numbers of a version, which can be compared."""
    return [int(number) for number in re.findall(r"\d+", version)]


def attempt() -> None:
    """Run the trial; end with what is not as it should be."""
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "t.txt").write_text(TEXT, encoding="utf-8")
        for line, expected in TRIAL:
            print("+ rnnlm", line, flush=True)
            command = [sys.executable, "-m", "rnnlm", *line.split()]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            output = done.stdout + done.stderr
            if done.returncode != expected or "Traceback" in output or "internal error" in output:
                faults.append(f"rnnlm {line}: exit code {done.returncode}\n{output[-2000:]}")
    sys.exit("\n".join(faults) or 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["constraints"]:
        print("\n".join(f"{name}=={version}" for name, version in lowest(*sys.argv[2:]).items()))
    elif sys.argv[1:] == ["try"]:
        attempt()
    else:
        sys.exit(__doc__)

"""Make train.txt, valid.txt and test.txt: brackets, each of which is closed by the end of its line.

The same seed gives the same files on every machine: `python make.py`.
"""

import random
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parent
SEED, SIZES = 1, {"train": 1000, "valid": 100, "test": 100}
LONGEST, LAST_OPENED = 40, 30  # characters after which a line ends, and none is opened


def line_of(draw: Callable[[], float]) -> str:
    """Draw a line: brackets are opened as often as closed, until a line that may end does."""
    line, depth = "", 0
    while depth or not line or (len(line) < LONGEST and draw() < 0.7):
        opens = not depth or (len(line) < LAST_OPENED and draw() < 0.5)
        line += "(" if opens else ")"
        depth += 1 if opens else -1
    return line


def files() -> dict[str, str]:
    """Return the content of each file, by its name. All chance comes from one seed."""
    # Only this method gives the same numbers in all versions of Python.
    draw = random.Random(SEED).random
    texts = {}
    for part, size in SIZES.items():
        texts[f"{part}.txt"] = "".join(f"{line_of(draw)}\n" for _ in range(size))
    return texts


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")

"""Make train.tsv, valid.tsv and test.tsv: strings of 1 to 20 letters, to be copied.

The same seed gives the same files on every machine: `python make.py`.
"""

import random
from pathlib import Path

FOLDER = Path(__file__).parent
SEED, SIZES = 1, {"train": 6000, "valid": 500, "test": 1000}
LETTERS, LONGEST = "abcdefgh", 20


def files() -> dict[str, str]:
    """Return the content of each file, by its name. All chance comes from one seed."""
    # Only this method gives the same numbers in all versions of Python.
    draw = random.Random(SEED).random
    texts = {}
    for part, size in SIZES.items():
        rows = ["source\ttarget\n"]
        for row in range(size):
            length = 1 + row % LONGEST
            letters = " ".join(LETTERS[int(draw() * len(LETTERS))] for _ in range(length))
            rows.append(f"{letters}\t{letters}\n")
        texts[f"{part}.tsv"] = "".join(rows)
    return texts


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")

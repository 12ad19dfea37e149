"""Make train.txt, valid.txt and test.txt: lines that end with the letter they began with.

The same seed gives the same files on every machine: `python make.py`.
"""

import random
from pathlib import Path

FOLDER = Path(__file__).parent
SEED, SIZES = 1, {"train": 6000, "valid": 300, "test": 300}
LETTERS = "abcdefgh"


def files() -> dict[str, str]:
    """Return the content of each file, by its name. All chance comes from one seed."""
    # Only this method gives the same numbers in all versions of Python.
    draw = random.Random(SEED).random
    texts = {}
    for part, size in SIZES.items():
        letters = [LETTERS[int(draw() * len(LETTERS))] for _ in range(size)]
        texts[f"{part}.txt"] = "".join(f"{letter} 1 2 3 4 {letter}\n" for letter in letters)
    return texts


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")

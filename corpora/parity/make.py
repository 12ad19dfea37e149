"""Make train.tsv, valid.tsv, test.tsv and long.tsv: strings of bits, and whether the number of ones
is odd.

The same seed gives the same files on every machine: `python make.py`.
"""

import random
from pathlib import Path

FOLDER = Path(__file__).parent
SEED = 1
SIZES = {"train": 3000, "valid": 300, "test": 500, "long": 500}
LENGTHS = {"long": (30, 40)}  # the shortest and the longest string
USUAL_LENGTHS = (1, 20)


def files() -> dict[str, str]:
    """Return the content of each file, by its name. All chance comes from one seed."""
    # Only this method gives the same numbers in all versions of Python.
    draw = random.Random(SEED).random
    texts = {}
    for part, size in SIZES.items():
        shortest, longest = LENGTHS.get(part, USUAL_LENGTHS)
        rows = ["text\tanswer\n"]
        for row in range(size):
            length = shortest + row % (longest - shortest + 1)
            bits = ["1" if draw() < 0.5 else "0" for _ in range(length)]
            rows.append(f"{' '.join(bits)}\t{'odd' if bits.count('1') % 2 else 'even'}\n")
        texts[f"{part}.tsv"] = "".join(rows)
    return texts


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")

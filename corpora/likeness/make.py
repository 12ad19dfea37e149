"""Make train.txt, valid.txt and test.txt: what animals and things do, without one of the sentences.

The same seed gives the same files on every machine: `python make.py`.
"""

import random
from pathlib import Path

FOLDER = Path(__file__).parent
SEED, SIZES = 1, {"train": 600, "valid": 60, "test": 60}
KINDS = (
    ("dog cat horse mouse bird", "ran slept ate jumped barked"),
    ("lamp cup plate candle", "burned broke fell shone"),
)
LEFT_OUT = "the cat jumped"


def files() -> dict[str, str]:
    """Return the content of each file, by its name. All chance comes from one seed."""
    # Only this method gives the same numbers in all versions of Python.
    draw = random.Random(SEED).random
    sentences = []
    while len(sentences) < sum(SIZES.values()):
        names, verbs = (words.split() for words in KINDS[int(draw() * len(KINDS))])
        sentence = f"the {names[int(draw() * len(names))]} {verbs[int(draw() * len(verbs))]}"
        if sentence != LEFT_OUT:
            sentences.append(sentence)
    texts = {}
    for part, size in SIZES.items():
        texts[f"{part}.txt"] = "".join(f"{sentence}\n" for sentence in sentences[:size])
        del sentences[:size]
    return texts


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")

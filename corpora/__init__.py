"""Corpora that come with rnnlm: one folder each, with train.txt, valid.txt, test.txt and a README that states its licence.

They are named here, so that what else lies in a checkout's corpora/ is never taken for one of them.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
FILES = {"english": ("agreement.tsv", "homophones.tsv", "test.txt", "train.txt", "valid.txt")}


def names() -> list[str]:
    """All bundled corpora, sorted."""
    return sorted(FILES)


def part(name: str, which: str) -> Path:
    """The file of a corpus: `train`, `valid` or `test`, or another file by its full name."""
    return FOLDER / name / (which if "." in which else f"{which}.txt")


def named(name: str) -> str:
    """How a corpus as a whole is named in what is kept of a run."""
    return f"bundled corpus {name}"


def title(source: str) -> str:
    """How a text is named in a model's card: a bundled one by what it is, wherever it is installed; others as they are given."""
    path = Path(source)
    return f"bundled corpus {path.parent.name}, {path.name}" if path.is_relative_to(FOLDER) else source

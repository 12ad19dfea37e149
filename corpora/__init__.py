"""Corpora that come with rnnlm: one folder each, with a train, a valid and a test part and a README
that states its licence.

They are named here, so that other folders in a checkout's corpora/ are never taken for one of them.
"""

import csv
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
LICENCE = "CC0-1.0"  # of all of them
TABLES = ("test.tsv", "train.tsv", "valid.tsv")
TEXTS = ("test.txt", "train.txt", "valid.txt")
LAGS = ("lag-05.tsv", "lag-20.tsv", "lag-80.tsv")
FILES = {
    "answers": TABLES,
    "brackets": TEXTS,
    "copying": TABLES,
    "dates": TABLES,
    "english": (
        "agreement.tsv",
        "cloze.tsv",
        "homophones.tsv",
        "lessons.tsv",
        "ratings.tsv",
        "recency.tsv",
        "simulated.tsv",
        *TEXTS,
    ),
    "likeness": TEXTS,
    "memory": (*LAGS, *TABLES),
    "opinions": TABLES,
    "parity": ("long.tsv", *TABLES),
    "recall": TEXTS,
    "travel": TABLES,
    "treebank": ("negation.txt", "test.txt", "train.txt", "valid.txt"),
    "words-and-tags": ("test.conllu", "train.conllu", "valid.conllu"),
}
# The columns that hold text, in the files that are tables.
TEXT_COLUMNS = {
    "answers": dict.fromkeys(TABLES, ("remark", "reply")),
    "copying": dict.fromkeys(TABLES, ("source", "target")),
    "dates": dict.fromkeys(TABLES, ("phrase", "iso")),
    "english": {
        "agreement.tsv": ("good", "bad"),
        "cloze.tsv": ("text",),
        "homophones.tsv": ("good", "bad"),
        "lessons.tsv": ("text",),
        "ratings.tsv": ("word1", "word2"),
        "recency.tsv": ("good", "bad"),
        "simulated.tsv": ("word",),
    },
    "memory": dict.fromkeys((*LAGS, *TABLES), ("text",)),
    "opinions": dict.fromkeys(TABLES, ("text",)),
    "parity": dict.fromkeys(("long.tsv", *TABLES), ("text",)),
    "travel": dict.fromkeys(TABLES, ("text",)),
}
TASKS = {
    "answers": ("seq2seq",),
    "brackets": ("language-model",),
    "copying": ("seq2seq",),
    "dates": ("seq2seq",),
    "english": ("language-model",),
    "likeness": ("language-model",),
    "memory": ("classification",),
    "opinions": ("classification",),
    "parity": ("classification",),
    "recall": ("language-model",),
    "travel": ("tagging", "classification"),
    "treebank": ("classification",),
    "words-and-tags": ("tagging",),
}
# For each corpus with labels: the column of the text ("" where there are trees), those with a label
# for each word, those with a label for the whole text.
COLUMNS = {
    "memory": ("text", (), ("answer",)),
    "opinions": ("text", (), ("label",)),
    "parity": ("text", (), ("answer",)),
    "travel": ("text", ("slots",), ("intent",)),
    "treebank": ("", (), ("label",)),
    "words-and-tags": ("form", ("upos",), ()),
}
_TINY = {"embedding_size": 64, "hidden_size": 128, "batch_rows": 32}
PAIRS = {  # for each corpus of pairs: the columns of source and target, and settings that suit it
    "answers": (
        "remark",
        "reply",
        _TINY | {"tokenizer": "word", "split_punctuation": True, "lowercase": True,
                 "target_lowercase": False, "learning_rate": 0.005,
                 "label_smoothing": 0.0, "criterion": "chrf", "budget": "120epochs"},
    ),
    "copying": (
        "source",
        "target",
        {"model": "gru", "tokenizer": "word", "embedding_size": 32, "hidden_size": 64,
         "dropout_input": 0.0, "dropout_output": 0.0, "learning_rate": 0.003,
         "precision": "fp32", "budget": "1000steps"},
    ),
    "dates": (
        "phrase",
        "iso",
        _TINY | {"tokenizer": "char", "lowercase": True, "input_feeding": True,
                 "learning_rate": 0.003, "dropout_input": 0.1,
                 "dropout_output": 0.1, "label_smoothing": 0.0, "ema_decay": 0.998,
                 "budget": "15epochs"},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Labelled:
    """A bundled corpus with labels: its files, and what their columns hold."""

    train: Path
    valid: Path
    test: Path
    column: str  # of the text
    word_columns: tuple[str, ...]  # those with a label for each word
    text_columns: tuple[str, ...]  # those with a label for the whole text
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Paired:
    """A bundled corpus of pairs: its files, and what their columns hold."""

    train: Path
    valid: Path
    test: Path
    column: str  # the source
    target_column: str
    settings: Mapping[str, Any]  # that suit it, used by default
    tasks: tuple[str, ...]


def names() -> list[str]:
    """Return the names of all bundled corpora, sorted."""
    return sorted(FILES)


def part(name: str, which: str) -> Path:
    """Return the file of a corpus: `train`, `valid` or `test`, or another file by its full name."""
    for file in FILES[name]:
        if Path(file).stem == which:
            return FOLDER / name / file
    return FOLDER / name / which


def list_named(name: str | Path) -> str | Path:
    """Return the file of a bundled list by its name, such as `recency`, unless there is a file of
    that name; any other name as it is."""
    is_list = f"{name}.tsv" in FILES["english"] and not Path(name).exists()
    return part("english", f"{name}.tsv") if is_list else name


def words_of_text(name: str, file: str) -> int:
    """Count the words of the texts in a file of a corpus, its labels and names left out."""
    path = part(name, file)
    columns = TEXT_COLUMNS.get(name, {}).get(file)
    if columns is not None:
        count = 0
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream, delimiter="\t"):
                count += sum(len(row[column].split()) for column in columns)
        return count

    # In CoNLL-U, each word has a line, which begins with its number.
    text = path.read_text(encoding="utf-8")
    if name == "treebank":
        return len(re.findall(r"[^()\s]\)", text))  # the end of each leaf
    if path.suffix == ".conllu":
        return sum(line.partition("\t")[0].isdigit() for line in text.splitlines())
    return len(text.split())


def sources(names: Sequence[str | Path], which: str, known: Sequence[str]) -> tuple[str, ...]:
    """Replace names of corpora that are among `known` by the files of their part `which`, unless
    there is a file of that name."""
    files = []
    for name in map(os.fspath, names):
        is_corpus = name in known and not Path(name).exists()
        files.append(str(part(name, which)) if is_corpus else name)
    return tuple(files)


def labelled(name: str) -> Labelled | None:
    """Return the parts and columns of a bundled corpus with labels; None if there is none of this
    name."""
    if name not in COLUMNS:
        return None
    return Labelled(*_parts(name), *COLUMNS[name], TASKS[name])


def paired(name: str) -> Paired | None:
    """Return the parts, columns and settings of a bundled corpus of pairs; None if there is none of
    this name."""
    if name not in PAIRS:
        return None
    return Paired(*_parts(name), *PAIRS[name], TASKS[name])


def _parts(name: str) -> tuple[Path, Path, Path]:
    return part(name, "train"), part(name, "valid"), part(name, "test")


def text_parts(names: Sequence[str]) -> dict[str, Path]:
    """Return the parts of a corpus of plain text, by `text`, `valid` and `test`, if it is all that
    is named, and not a file; else nothing."""
    if len(names) != 1 or names[0] not in of_plain_text() or Path(names[0]).exists():
        return {}
    return dict(zip(("text", "valid", "test"), _parts(names[0]), strict=True))


def of_plain_text() -> list[str]:
    """Name the corpora that consist of text alone, without labels or pairs."""
    return [name for name in names() if name not in COLUMNS and name not in PAIRS]


def named(name: str) -> str:
    """Return the name of a whole corpus in the records of a run."""
    return f"bundled corpus {name}"


def title(source: str) -> str:
    """Return the name of a text in a model's card: for a bundled one its corpus, wherever it is
    installed; for any other its path as given."""
    path = Path(source)
    if not path.is_relative_to(FOLDER):
        return source
    return f"bundled corpus {path.parent.name}, {path.name}"

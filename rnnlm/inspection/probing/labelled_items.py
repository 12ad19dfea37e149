"""The words or texts that a probe labels: read as training data for labels are, a part to fit on and a part to test on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

import numpy as np

import rnnlm.corpora as corpora
from rnnlm.config import Layer, resolve
from rnnlm.errors import UsageError
from rnnlm.text.labelled.example import Example, LabelledText
from rnnlm.text.labelled.reading import read_labelled
from rnnlm.text.labelled.settings import LabelledSettings, Task

Level = Literal["word", "text"]
Paths = Sequence[str | PathLike[str]]
TEST_SHARE = 0.2  # of the sentences, where no test data are named


@dataclass(frozen=True)
class Items:
    """Sentences with labels of their words, or texts with one each. labels: of all items, those of the first sentence first. sentences_N:
    the number of the sentence of each."""

    texts: tuple[tuple[str, ...], ...]
    labels: tuple[str, ...]
    sentences_N: np.ndarray

    @property
    def words(self) -> tuple[str, ...]:
        """All words, in order."""
        return tuple(word for text in self.texts for word in text)


@dataclass(frozen=True)
class ProbeData:
    """name: of the data; column: of the labels. drawn: of which parts only some sentences were taken, and how many items there were."""

    name: str
    column: str
    level: Level
    train: Items
    test: Items
    drawn: Mapping[str, int]


def read_items(
    data: str, test_data: Paths, column: str | None, level: Level | None, most: int, seed: int, reading: Mapping[str, Any] | None = None
) -> ProbeData:
    """The items of a bundled corpus by name, which has a test part, or of a file.

    column: of the labels; None: the only one. level: whether words or texts are labelled; None: as the bundled corpus has it, else words.
    test_data: files; without any, of a file a share of the sentences, drawn by `seed`. most: items of each part; of more, sentences are
    drawn. reading: settings of :class:`rnnlm.text.labelled.settings.LabelledSettings`.

    Raises:
        TextError: a file cannot be read, or lacks the column. UsageError: the column is not named; there are too few sentences.
    """
    bundled = None if Path(data).is_file() else corpora.labelled(data)
    settings: dict[str, Any] = {"scheme": "none", **(reading or {})}
    if bundled is not None:
        level, column = _of_bundled(data, bundled, level, column)
        settings.setdefault("column", bundled.column)
    level, random = level or "word", np.random.default_rng(seed)
    train = _read([data if bundled is None else str(bundled.train)], level, column, settings)
    examples = train.examples
    if test_files := [fspath(each) for each in test_data] or ([] if bundled is None else [str(bundled.test)]):
        held_out = _read(test_files, level, column, settings).examples
    else:
        order = random.permutation(len(examples))
        count = round(len(examples) * TEST_SHARE)
        examples, held_out = (tuple(train.examples[each] for each in sorted(part)) for part in (order[count:], order[:count]))
    if not examples or not held_out:
        raise UsageError(f"{data} has too few sentences", f"{len(train.examples)}, of which a fifth is for testing", "name --test-data")
    parts, drawn = {}, {}
    for name, each in (("train", examples), ("test", held_out)):
        parts[name] = _items(each, level)
        if len(parts[name].labels) > most:
            drawn[name] = len(parts[name].labels)
            parts[name] = _items(_drawn(each, level, most, random), level)
    return ProbeData(data, (train.word_columns or train.text_columns)[0], level, parts["train"], parts["test"], drawn)


def _of_bundled(name: str, corpus: corpora.Labelled, level: Level | None, column: str | None) -> tuple[Level, str]:
    """What is labelled in a bundled corpus, and the column of the labels: the one that is named, or its first one."""
    level = level or ("text" if column in corpus.text_columns or not corpus.word_columns else "word")
    columns = corpus.word_columns if level == "word" else corpus.text_columns
    column = column or next(iter(columns), None)
    if column not in columns or column is None:
        why = f"labels of {level}s are {', '.join(columns)}" if columns else f"it has no labels of {level}s"
        raise UsageError(f"the bundled corpus {name} has no column {column!r} of labels of {level}s", why)
    return level, column


def _read(paths: Sequence[str], level: Level, column: str | None, values: Mapping[str, Any]) -> LabelledText:
    settings = resolve([LabelledSettings], [Layer("the command line", dict(values))]).make(LabelledSettings)
    task: Task = "tagging" if level == "word" else "classification"
    text = read_labelled(paths, replace(settings, label_column=column), task)
    names = text.word_columns if level == "word" else text.text_columns
    if len(names) != 1:
        raise UsageError(f"{', '.join(paths)} has {len(names)} columns of labels", ", ".join(names), "name one with --label-column")
    return text


def _items(examples: Sequence[Example], level: Level) -> Items:
    labels = [each.word_labels[0] if level == "word" else each.text_labels[:1] for each in examples]
    sentences_N = np.repeat(np.arange(len(examples)), list(map(len, labels)))
    return Items(tuple(each.words for each in examples), tuple(label for each in labels for label in each), sentences_N)


def _drawn(examples: Sequence[Example], level: Level, most: int, random: np.random.Generator) -> list[Example]:
    """Sentences drawn at random, of `most` items together at most, one at least; in their order."""
    order = random.permutation(len(examples))
    items = np.cumsum([len(examples[each].words) if level == "word" else 1 for each in order])
    return [examples[each] for each in sorted(order[: max(1, int(np.searchsorted(items, most, side="right")))])]

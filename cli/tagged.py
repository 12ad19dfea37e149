"""Tagged sentences as tables: a row for each word, or for each of the n best label sequences."""

from collections.abc import Sequence
from typing import Any

from . import terminal

DIGITS = 4


def show(sentences: Sequence[Any], codec: Any, with_probabilities: bool, is_nbest: bool) -> None:
    """Print a table of :class:`rnnlm.TaggedSentence`, whose model has this codec. One sentence alone has no number."""
    from rnnlm.tasks.splitting import is_of_letters

    make = _of_letters if is_of_letters(codec) else _nbest if is_nbest else _words
    rows = [row for number, each in enumerate(sentences, start=1) for row in make(each, number, with_probabilities, is_nbest)]
    dropped = set() if len(sentences) > 1 or make is _of_letters else {"sentence"}
    if make is _nbest and len(codec.columns) == 1:
        dropped.add("column")
    columns = [name for name in rows[0] if name not in dropped]
    right = [name for name in columns if name in ("sentence", "rank") or name.endswith("probability")]
    terminal.print_table(columns, [[row[name] for name in columns] for row in rows], right)


def _words(found: Any, number: int, with_probabilities: bool, is_nbest: bool) -> list[dict[str, str]]:
    rows = []
    for place, word in enumerate(found.words):
        row = {"sentence": str(number), "word": word}
        for name, labels in found.labels.items():
            row[name] = labels[place]
            if with_probabilities:
                row[f"{name}_probability"] = _figure(found.probabilities[name][place][labels[place]])
        for name, label in found.sentence_labels.items():
            row[name] = label
            if with_probabilities:
                row[f"{name}_probability"] = _figure(found.sentence_probabilities[name].get(label, 0.0))
        rows.append(row)
    return rows


def _nbest(found: Any, number: int, with_probabilities: bool, is_nbest: bool) -> list[dict[str, str]]:
    rows = []
    for name, best in found.nbest.items():
        for rank, each in enumerate(best, start=1):
            labels = " ".join(f"{word}/{label}" for word, label in zip(found.words, each.labels, strict=True))
            rows.append(_ranked(number, name, rank, each.probability, labels))
    for name, probabilities in found.sentence_probabilities.items():
        most = max(map(len, found.nbest.values()))
        rows += [_ranked(number, name, rank, p, label) for rank, (label, p) in enumerate([*probabilities.items()][:most], start=1)]
    return rows


def _ranked(number: int, column: str, rank: int, probability: float, labels: str) -> dict[str, str]:
    return {"sentence": str(number), "column": column, "rank": str(rank), "probability": _figure(probability), "labels": labels}


def _of_letters(found: Any, number: int, with_probabilities: bool, is_nbest: bool) -> list[dict[str, str]]:
    word = found.text if found.text is not None else " ".join(found.words)
    rows = []
    for name, best in found.nbest.items():
        for rank, each in enumerate(best, start=1):
            row = {"word": word} | ({"rank": str(rank)} if is_nbest else {})
            row |= {"probability": _figure(each.probability)} if is_nbest or with_probabilities else {}
            rows.append(row | {name: " ".join(each.labels)})
    return rows


def _figure(probability: float) -> str:
    return terminal.number(probability, DIGITS) if probability >= 10**-DIGITS else f"{probability:.2g}"

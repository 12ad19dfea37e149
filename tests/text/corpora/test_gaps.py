"""The bundled items with a gap each, cloze.tsv and those of lectures: what their README says."""

import csv
from collections import Counter

import pytest

from rnnlm import corpora
from rnnlm.lm.base.loading import load_tokenizer
from rnnlm.tools.inspection.cloze import read_items

DISTANCES = ((1, 2), (3, 5), (6, 10), (11, 20), (21, 99))
KINDS = ("topic", "agreement", "antecedent", "association", "collocation")
SIZES = {"cloze.tsv": 200, "lessons.tsv": 20}


def rows_of(name):
    with open(corpora.part("english", name), encoding="utf-8") as table:
        return list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))


def words(text: str) -> list[str]:
    return [word.strip(".,?!:;").lower() for word in text.split()]


@pytest.mark.parametrize("name", SIZES)
def test_items_are_unique_in_known_words_and_as_distant_as_they_say(name):
    tokenizer = load_tokenizer("demo")
    rows = rows_of(name)
    assert len({row["text"] for row in rows}) == SIZES[name]
    assert len(read_items(corpora.part("english", name))) == SIZES[name]
    for row in rows:
        before, _ = row["text"].split("___")
        assert words(before)[::-1].index(row["cue"].lower()) == int(row["distance"]), row["id"]
        for word in (row["answer"], row.get("rival") or row["answer"]):
            assert not len(tokenizer.encode([row["text"].replace("___", word)]).oov), row["id"]


def test_cloze_has_eight_unseen_items_of_each_kind_and_distance():
    train = corpora.part("english", "train").read_text(encoding="utf-8").lower()
    groups = Counter()
    for row in rows_of("cloze.tsv"):
        distance = int(row["distance"])
        groups[row["kind"], next(each for each in DISTANCES if distance <= each[1])] += 1
        assert row["text"].replace("___", row["answer"]).lower() not in train, row["id"]
        if row["kind"] == "topic":
            assert row["answer"] == row["cue"], row["id"]
        if row["kind"] == "association":
            assert row["answer"] not in words(row["text"]), row["id"]
    assert groups == {(kind, distance): 8 for kind in KINDS for distance in DISTANCES}


def test_names_and_numbers_of_lessons_change_places():
    """So that a model that always prefers one of two words is right on half of these items."""
    for kind in ("name", "agreement"):
        chosen = [row for row in rows_of("lessons.tsv") if row["kind"] == kind]
        pairs = Counter((row["answer"], row["rival"]) for row in chosen)
        assert pairs == {(rival, answer): count for (answer, rival), count in pairs.items()}

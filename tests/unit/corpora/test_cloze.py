"""The bundled items with a gap: what their README says of them holds."""

import csv
from collections import Counter

import pytest

from rnnlm import corpora
from rnnlm.models.loading import load_tokenizer

DISTANCES = ((1, 2), (3, 5), (6, 10), (11, 20), (21, 99))
KINDS = ("topic", "agreement", "antecedent", "association", "collocation")


@pytest.fixture(scope="module")
def rows():
    with open(corpora.part("english", "cloze.tsv"), encoding="utf-8") as table:
        return list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))


def filled(row: dict[str, str]) -> str:
    return row["text"].replace("___", row["answer"])


def words(text: str) -> list[str]:
    return [word.strip(".,?!:;").lower() for word in text.split()]


def test_texts_are_unique_and_hold_one_gap_each(rows):
    assert len({row["text"] for row in rows}) == len({row["id"] for row in rows}) == 200
    assert all(
        row["text"].count("___") == 1 and row["text"].split("___")[0].endswith(" ") for row in rows
    )


def test_distance_runs_from_last_cue_to_gap(rows):
    for row in rows:
        before = words(row["text"].split("___")[0])
        assert before[::-1].index(row["cue"].lower()) == int(row["distance"]), row["id"]


def test_each_kind_has_eight_items_at_each_distance(rows):
    groups = Counter(
        (
            row["kind"],
            next(each for each in DISTANCES if each[0] <= int(row["distance"]) <= each[1]),
        )
        for row in rows
    )
    assert groups == {(kind, distance): 8 for kind in KINDS for distance in DISTANCES}


def test_topic_answers_are_cues_and_association_answers_absent(rows):
    assert all(row["answer"] == row["cue"] for row in rows if row["kind"] == "topic")
    assert not any(
        row["answer"] in words(row["text"]) for row in rows if row["kind"] == "association"
    )


def test_every_word_is_known_to_the_shipped_model(rows):
    tokenizer = load_tokenizer("demo")
    assert [row["id"] for row in rows if len(tokenizer.encode([filled(row)]).oov)] == []


def test_no_item_occurs_in_the_training_text(rows):
    train = corpora.part("english", "train").read_text(encoding="utf-8").lower()
    assert [row["id"] for row in rows if filled(row).lower() in train] == []

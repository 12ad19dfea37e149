"""The bundled examples of lectures, with a gap each: what their README says of them holds."""

import csv
from collections import Counter

import pytest

from rnnlm import corpora
from rnnlm.inspection.cloze import read_items
from rnnlm.models.loading import load_tokenizer

FILE = corpora.part("english", "lessons.tsv")


@pytest.fixture(scope="module")
def rows():
    with open(FILE, encoding="utf-8") as table:
        return list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))


def words(text: str) -> list[str]:
    return [word.strip(".,?!:;").lower() for word in text.split()]


def test_twenty_items_have_answers_and_rivals(rows):
    assert len({row["text"] for row in rows}) == len(read_items(FILE)) == 20
    kinds = Counter(row["kind"] for row in rows)
    assert kinds == {"name": 4, "topic": 4, "place": 4, "agreement": 8}


def test_distance_runs_from_last_cue_to_gap(rows):
    for row in rows:
        before = words(row["text"].split("___")[0])
        assert before[::-1].index(row["cue"].lower()) == int(row["distance"]), row["id"]


def test_names_and_numbers_change_places(rows):
    """So that a model that always prefers one of two words is right on half of these items."""
    for kind in ("name", "agreement"):
        its = [row for row in rows if row["kind"] == kind]
        pairs = Counter((row["answer"], row["rival"]) for row in its)
        assert pairs == {(rival, answer): count for (answer, rival), count in pairs.items()}


def test_every_word_is_known_to_the_shipped_model(rows):
    tokenizer = load_tokenizer("demo")
    for row in rows:
        for word in (row["answer"], row["rival"]):
            assert not len(tokenizer.encode([row["text"].replace("___", word)]).oov), row["id"]

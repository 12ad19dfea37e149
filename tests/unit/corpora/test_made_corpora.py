"""The corpora with labels: what make.py makes is what is there, and what their READMEs say of them
holds."""

import importlib.util
from collections import Counter

import pytest

from rnnlm import corpora
from rnnlm.models import registry

PARTS = ("train", "valid", "test")
MADE = sorted([*corpora.COLUMNS, "dates"])


def maker_of(name):
    spec = importlib.util.spec_from_file_location(f"make_{name}", corpora.FOLDER / name / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows_of(name):
    """Return the rows of a table as dictionaries, by part."""
    found = {}
    for part in PARTS:
        head, *lines = corpora.part(name, part).read_text(encoding="utf-8").splitlines()
        found[part] = [dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines]
    return found


@pytest.fixture(scope="module")
def travel():
    return rows_of("travel")


@pytest.fixture(scope="module")
def opinions():
    return rows_of("opinions")


@pytest.mark.parametrize("name", MADE)
def test_make_py_makes_the_files_that_are_there(name):
    made = maker_of(name).files()
    assert sorted(made) == sorted(corpora.FILES[name])
    for file, text in made.items():
        assert corpora.part(name, file).read_bytes() == text.encode(), file


def test_no_text_occurs_twice_in_any_case(travel, opinions):
    for rows in (travel, opinions):
        texts = [row["text"].lower() for part in PARTS for row in rows[part]]
        assert len(texts) == len(set(texts))


def test_unlabelled_and_unknown_corpora_are_not_labelled():
    assert corpora.labelled("english") is corpora.labelled("no-such") is None
    travel = corpora.labelled("travel")
    assert (travel.train, travel.tasks) == (
        corpora.part("travel", "train"),
        ("tagging", "classification"),
    )
    assert (travel.column, travel.word_columns, travel.text_columns) == (
        "text",
        ("slots",),
        ("intent",),
    )
    assert all(
        path.is_file()
        for name in corpora.COLUMNS
        for path in (corpora.labelled(name).train, corpora.labelled(name).test)
    )


def test_pair_corpora_have_parts_columns_and_settings():
    assert (
        corpora.paired("travel") is corpora.paired("no-such") is corpora.labelled("dates") is None
    )
    dates = corpora.paired("dates")
    assert (dates.train, dates.tasks, registry.task("seq2seq").usual_corpus) == (
        corpora.part("dates", "train"),
        ("seq2seq",),
        "dates",
    )
    for pairs in map(corpora.paired, corpora.PAIRS):
        for part in (pairs.train, pairs.valid, pairs.test):
            head = part.read_text(encoding="utf-8").partition("\n")[0]
            assert head == f"{pairs.column}\t{pairs.target_column}"


def test_request_words_are_labelled_with_spans_beginning_b(travel):
    for row in (row for part in PARTS for row in travel[part]):
        labels = row["slots"].split(" ")
        assert len(row["text"].split(" ")) == len(labels)
        for before, label in zip(["O", *labels], labels, strict=False):
            assert (
                label == "O"
                or label.startswith("B-")
                or (label.startswith("I-") and before[2:] == label[2:])
            ), row


def test_requests_have_balanced_intents_and_twenty_slots(travel):
    shares = [
        {
            intent: count / len(travel[part])
            for intent, count in Counter(row["intent"] for row in travel[part]).items()
        }
        for part in PARTS
    ]
    assert shares[0] == pytest.approx(shares[1]) and shares[1] == shares[2] and len(shares[0]) == 10
    for part, size in zip(PARTS, (1600, 200, 200), strict=True):
        slots = {
            label[2:] for row in travel[part] for label in row["slots"].split() if label != "O"
        }
        assert (len(travel[part]), len(slots)) == (size, 20)


def spans(row):
    """Return (slot, value) of each span, in lower case."""
    found = []
    for word, label in zip(row["text"].lower().split(), row["slots"].split(), strict=True):
        if label.startswith("B-"):
            found.append((label[2:], word))
        elif label != "O":
            found[-1] = (found[-1][0], f"{found[-1][1]} {word}")
    return found


def test_requests_hold_unseen_values_and_ambiguous_words(travel):
    known = {value for row in travel["train"] for value in spans(row)}
    for part in ("valid", "test"):
        values = [
            span
            for row in travel[part]
            for span in spans(row)
            if span[0] not in ("flight", "reference")
        ]
        assert 0.05 < sum(value not in known for value in values) / len(values) < 0.25
    labels_of = {}
    for row in travel["train"]:
        for word, label in zip(row["text"].lower().split(), row["slots"].split(), strict=True):
            labels_of.setdefault(word, set()).add(label)
    for word in ("may", "reading", "nice", "mobile", "bath", "victoria", "paris", "sunday", "one"):
        assert len(labels_of[word]) >= 3, word


def test_opinions_are_balanced_by_length_topic_and_praise(opinions):
    for part, size in zip(PARTS, (480, 60, 60), strict=True):
        by_label = {
            label: [row["text"].split() for row in opinions[part] if row["label"] == label]
            for label in ("positive", "negative")
        }
        positive, negative = by_label.values()
        assert len(positive) == len(negative) == size / 2
        assert sorted(map(len, positive)) == sorted(map(len, negative))
        makers = maker_of("opinions")
        topics = {
            topic: [sum(topic in text for text in texts) for texts in (positive, negative)]
            for topic in makers.TOPICS
        }
        assert all(one == other for one, other in topics.values())
    praise = Counter((row["label"],
                      word in makers.ADJECTIVES[0]) for row in opinions["train"] for word in row["text"].split()
                     if word in {*makers.ADJECTIVES[0], *makers.ADJECTIVES[1]})  # fmt: skip
    assert 0.8 < praise["positive", True] / praise["negative", True] < 1.25


def test_word_counts_alone_say_little_about_an_opinion(opinions):
    """A naive Bayes classifier with add-one smoothing, over words of train."""
    counts = {label: Counter(word for row in opinions["train"] if row["label"] == label for word in row["text"].split())
              for label in ("positive", "negative")}  # fmt: skip
    right = 0
    held_out = [*opinions["valid"], *opinions["test"]]
    for row in held_out:
        odds = 1.0
        for word in row["text"].split():
            odds *= (counts["positive"][word] + 1) / (counts["negative"][word] + 1)
        right += (odds > 1) == (row["label"] == "positive")
    assert right / len(held_out) < 0.7


def tagged(part):
    """Yield the text of each sentence, its lines without comments, and the parts of speech."""
    for block in (
        corpora.part("words-and-tags", part).read_text(encoding="utf-8").strip().split("\n\n")
    ):
        rows = [line.split("\t") for line in block.splitlines() if not line.startswith("#")]
        (text,) = [
            line.removeprefix("# text = ")
            for line in block.splitlines()
            if line.startswith("# text = ")
        ]
        yield text, rows, [row[3] for row in rows if "-" not in row[0]]


def test_tagged_sentences_are_spelled_by_words_and_ranges():
    known = set(corpora.part("english", "train").read_text(encoding="utf-8").splitlines())
    texts = []
    for part, size in zip(PARTS, (200, 50, 50), strict=True):
        found = list(tagged(part))
        assert len(found) == size
        for text, rows, _ in found:
            inside = {number for row in rows if "-" in row[0] for number in row[0].split("-")}
            surfaces = [
                row[1] + ("" if row[9] == "SpaceAfter=No" else " ")
                for row in rows
                if row[0] not in inside
            ]
            assert "".join(surfaces).rstrip(" ") == text and text in known
            assert [row[0] for row in rows if "-" not in row[0]] == [
                str(number) for number in range(1, len(rows) - len(inside) // 2 + 1)
            ]
        texts += [text for text, _, _ in found]
    assert len(texts) == len(set(texts))


def test_tags_are_universal_and_right_for_unambiguous_words():
    always = {
        "the": "DET",
        "not": "PART",
        "n't": "PART",
        "and": "CCONJ",
        "if": "SCONJ",
        "she": "PRON",
        ".": "PUNCT",
        ",": "PUNCT",
        "when": "ADV",
    }
    by_tag = Counter()
    for part in PARTS:
        for text, rows, tags in tagged(part):
            words = [row[1].lower() for row in rows if "-" not in row[0]]
            by_tag.update(tags)
            assert [tag for word, tag in zip(words, tags, strict=True) if word in always] == [
                always[word] for word in words if word in always
            ], text
            assert all(
                (tag == "PUNCT") == (not any(map(str.isalnum, word)))
                for word, tag in zip(words, tags, strict=True)
            ), text
    assert set(by_tag) == set(
        "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ VERB".split()
    )

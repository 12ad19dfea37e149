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
    assert travel.train == corpora.part("travel", "train")
    assert travel.tasks == ("tagging", "classification")
    assert travel.column == "text"
    assert travel.word_columns == ("slots",)
    assert travel.text_columns == ("intent",)
    for labelled in map(corpora.labelled, corpora.COLUMNS):
        assert labelled.train.is_file()
        assert labelled.test.is_file()


def test_pair_corpora_have_parts_columns_and_settings():
    assert corpora.paired("travel") is None
    assert corpora.paired("no-such") is None
    assert corpora.labelled("dates") is None

    dates = corpora.paired("dates")
    assert dates.train == corpora.part("dates", "train")
    assert dates.tasks == ("seq2seq",)
    assert registry.task("seq2seq").usual_corpus == "dates"
    for pairs in map(corpora.paired, corpora.PAIRS):
        for part in (pairs.train, pairs.valid, pairs.test):
            head = part.read_text(encoding="utf-8").partition("\n")[0]
            assert head == f"{pairs.column}\t{pairs.target_column}"


def test_request_words_are_labelled_with_spans_beginning_b(travel):
    for row in [*travel["train"], *travel["valid"], *travel["test"]]:
        labels = row["slots"].split(" ")
        assert len(row["text"].split(" ")) == len(labels)
        for before, label in zip(["O", *labels], labels, strict=False):
            goes_on = label.startswith("I-") and before[2:] == label[2:]
            assert label == "O" or label.startswith("B-") or goes_on, row


def test_requests_have_balanced_intents_and_twenty_slots(travel):
    shares = []
    for part, size in zip(PARTS, (1600, 200, 200), strict=True):
        rows = travel[part]
        assert len(rows) == size
        labels = " ".join(row["slots"] for row in rows).split()
        assert len({label[2:] for label in labels if label != "O"}) == 20
        counts = Counter(row["intent"] for row in rows)
        shares.append({intent: count / size for intent, count in counts.items()})

    train, valid, test = shares
    assert len(train) == 10
    assert train == pytest.approx(valid)
    assert valid == test


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
    # About a tenth of the held-out values are unseen. Codes, which are random, do not count.
    known = set()
    for row in travel["train"]:
        known.update(spans(row))
    for part in ("valid", "test"):
        values = []
        for row in travel[part]:
            values += [span for span in spans(row) if span[0] not in ("flight", "reference")]
        assert 0.05 < sum(value not in known for value in values) / len(values) < 0.25

    # These words have several labels each.
    labels_of = {}
    for row in travel["train"]:
        for word, label in zip(row["text"].lower().split(), row["slots"].split(), strict=True):
            labels_of.setdefault(word, set()).add(label)
    for word in ("may", "reading", "nice", "mobile", "bath", "victoria", "paris", "sunday", "one"):
        assert len(labels_of[word]) >= 3, word


def texts_of(rows, label):
    """Return the texts with this label, as words."""
    return [row["text"].split() for row in rows if row["label"] == label]


def test_opinions_are_balanced_by_length_topic_and_praise(opinions):
    makers = maker_of("opinions")
    for part, size in zip(PARTS, (480, 60, 60), strict=True):
        positive = texts_of(opinions[part], "positive")
        negative = texts_of(opinions[part], "negative")
        assert len(positive) == len(negative) == size / 2
        assert sorted(map(len, positive)) == sorted(map(len, negative))
        for topic in makers.TOPICS:
            praising = sum(topic in text for text in positive)
            assert praising == sum(topic in text for text in negative)

    # Words of praise are about as frequent on either side.
    praise, _ = makers.ADJECTIVES
    counts = {}
    for label in ("positive", "negative"):
        texts = texts_of(opinions["train"], label)
        counts[label] = sum(word in praise for text in texts for word in text)
    assert 0.8 < counts["positive"] / counts["negative"] < 1.25


def test_word_counts_alone_say_little_about_an_opinion(opinions):
    """A naive Bayes classifier, with add-one smoothing over the words of train, does badly."""
    counts = {}
    for label in ("positive", "negative"):
        counts[label] = Counter()
        for words in texts_of(opinions["train"], label):
            counts[label].update(words)
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
    content = corpora.part("words-and-tags", part).read_text(encoding="utf-8")
    for block in content.strip().split("\n\n"):
        lines = block.splitlines()
        (text,) = [line for line in lines if line.startswith("# text = ")]
        rows = [line.split("\t") for line in lines if not line.startswith("#")]
        yield text.removeprefix("# text = "), rows, [row[3] for row in rows if "-" not in row[0]]


def test_tagged_sentences_are_spelled_by_words_and_ranges():
    known = set(corpora.part("english", "train").read_text(encoding="utf-8").splitlines())
    texts = []
    for part, size in zip(PARTS, (200, 50, 50), strict=True):
        found = list(tagged(part))
        assert len(found) == size
        for text, rows, _ in found:
            # Words inside a range are spelled by the range.
            inside = set()
            for row in rows:
                if "-" in row[0]:
                    inside.update(row[0].split("-"))
            spelled = ""
            for row in rows:
                if row[0] not in inside:
                    spelled += row[1] if row[9] == "SpaceAfter=No" else f"{row[1]} "
            assert spelled.rstrip(" ") == text
            assert text in known

            # Words are numbered from 1.
            count = len(rows) - len(inside) // 2
            numbers = [row[0] for row in rows if "-" not in row[0]]
            assert numbers == [str(number) for number in range(1, count + 1)]
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
    seen = set()
    for part in PARTS:
        for text, rows, tags in tagged(part):
            words = [row[1].lower() for row in rows if "-" not in row[0]]
            seen.update(tags)
            for word, tag in zip(words, tags, strict=True):
                assert tag == always.get(word, tag), text
                is_mark = not any(map(str.isalnum, word))
                assert (tag == "PUNCT") == is_mark, text
    names = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ VERB"
    assert seen == set(names.split())

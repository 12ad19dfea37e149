"""The bundled corpora: what make.py makes is what is there, and what their READMEs say of them holds."""

import csv
import importlib.util
import re
from collections import Counter
from datetime import date

import pytest

from rnnlm import corpora, registry
from rnnlm.lm.base.loading import load_tokenizer
from support.tiny_models import make_tokenizer

PARTS = ("train", "valid", "test")
MADE = [name for name in corpora.names() if (corpora.FOLDER / name / "make.py").exists()]


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


@pytest.mark.parametrize("name", MADE)
def test_make_py_makes_the_files_that_are_there(name):
    made = maker_of(name).files()
    assert sorted(made) == sorted(corpora.FILES[name])
    for file, text in made.items():
        assert corpora.part(name, file).read_bytes() == text.encode(), file


def test_request_words_are_labelled_with_spans_beginning_b(travel):
    for row in [*travel["train"], *travel["valid"], *travel["test"]]:
        labels = row["slots"].split(" ")
        assert len(row["text"].split(" ")) == len(labels)
        for before, label in zip(["O", *labels], labels, strict=False):
            goes_on = label.startswith("I-") and before[2:] == label[2:]
            assert label == "O" or label.startswith("B-") or goes_on, row


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


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq")
def test_corpora_have_parts_columns_and_tasks():
    assert corpora.labelled("english") is corpora.labelled("no-such") is None
    assert corpora.paired("travel") is corpora.paired("no-such") is None
    assert corpora.labelled("dates") is None
    travel = corpora.labelled("travel")
    assert travel.train == corpora.part("travel", "train")
    assert travel.tasks == ("tagging", "classification")
    assert (travel.column, travel.word_columns, travel.text_columns) == (
        "text", ("slots",), ("intent",)
    )  # fmt: skip
    for labelled in map(corpora.labelled, corpora.COLUMNS):
        assert labelled.train.is_file() and labelled.test.is_file()
    dates = corpora.paired("dates")
    assert dates.train == corpora.part("dates", "train") and dates.tasks == ("seq2seq",)
    assert registry.task("seq2seq").usual_corpus == "dates"
    for pairs in map(corpora.paired, corpora.PAIRS):
        for part in (pairs.train, pairs.valid, pairs.test):
            head = part.read_text(encoding="utf-8").partition("\n")[0]
            assert head == f"{pairs.column}\t{pairs.target_column}"


WEEKDAYS = ["monday montag lundi", "tuesday dienstag mardi", "wednesday mittwoch mercredi",
            "thursday donnerstag jeudi", "friday freitag vendredi", "saturday samstag samedi",
            "sunday sonntag dimanche"]  # fmt: skip
WEEKDAY_OF = {name: day for day, names in enumerate(WEEKDAYS) for name in names.split()}


@pytest.fixture(scope="module")
def rows():
    """Return the (phrase in lower case, date) rows of each part."""
    found = {}
    for part in PARTS:
        lines = corpora.part("dates", part).read_text(encoding="utf-8").splitlines()
        assert lines[0] == "phrase\tiso"
        found[part] = [
            (phrase.lower(), date.fromisoformat(iso))
            for phrase, iso in (line.split("\t") for line in lines[1:])
        ]
    return found


def test_no_phrase_and_no_date_occurs_twice(rows):
    assert [len(rows[part]) for part in PARTS] == [8000, 1000, 1000]
    every = [row for part in PARTS for row in rows[part]]
    assert len({phrase for phrase, _ in every}) == len({when for _, when in every}) == 10_000
    assert {when.year for _, when in every} == set(range(1900, 2100))


def test_figures_and_weekdays_of_phrases_match_their_dates(rows):
    in_figures = 0
    for phrase, when in (row for part in PARTS for row in rows[part]):
        figures = [int(figure) for figure in re.findall(r"\d+", phrase)]
        year = [when.year] if re.search(r"\d{4}", phrase) else []
        if re.fullmatch(r"[^\d]*\d+\. ?\d+\. ?\d+", phrase):
            in_figures += 1
            assert figures == [when.day, when.month, when.year], phrase
        else:  # the day may be in words
            assert figures in ([when.day, *year], year), phrase
        named = [WEEKDAY_OF[word] for word in re.findall(r"\w+", phrase) if word in WEEKDAY_OF]
        assert named in ([], [when.weekday()]), phrase
    assert in_figures > 500


@pytest.mark.parametrize(("language", "when", "day", "year"), [
    ("en", date(1905, 1, 1), "first", {"nineteen oh five", "nineteen hundred and five"}),
    ("en", date(1900, 1, 12), "twelfth", {"nineteen hundred"}),
    ("en", date(2000, 1, 20), "twentieth", {"two thousand"}),
    ("en", date(2024, 1, 23), "twenty-third",
     {"twenty twenty-four", "two thousand twenty-four", "two thousand and twenty-four"}),
    ("de", date(1901, 1, 1), "erste", {"neunzehnhunderteins"}),
    ("de", date(1981, 1, 17), "siebzehnte", {"neunzehnhunderteinundachtzig"}),
    ("de", date(2000, 1, 31), "einunddreißigste", {"zweitausend"}),
    ("fr", date(1971, 1, 1), "premier", {"mille neuf cent soixante et onze"}),
    ("fr", date(1981, 1, 21), "vingt et un", {"mille neuf cent quatre-vingt-un"}),
    ("fr", date(1991, 1, 22), "vingt-deux", {"mille neuf cent quatre-vingt-onze"}),
    ("fr", date(1980, 1, 31), "trente et un", {"mille neuf cent quatre-vingt"}),
    ("fr", date(2077, 1, 30), "trente", {"deux mille soixante-dix-sept"}),
])  # fmt: skip
def test_days_and_years_are_spelled_in_each_language(language, when, day, year):
    maker = maker_of("dates")
    assert maker.ordinal(language, when.day) == day
    assert set(maker.years(language, when.year)) == year


DISTANCES = ((1, 2), (3, 5), (6, 10), (11, 20), (21, 99))
KINDS = ("topic", "agreement", "antecedent", "association", "collocation")
SIZES = {"cloze.tsv": 200, "lessons.tsv": 20}


def items_of(name):
    with open(corpora.part("english", name), encoding="utf-8") as table:
        return list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))


def bare_words(text: str) -> list[str]:
    return [word.strip(".,?!:;").lower() for word in text.split()]


@pytest.mark.needs("tools/inspection")
@pytest.mark.parametrize("name", SIZES)
def test_items_are_unique_in_known_words_and_as_distant_as_they_say(name):
    from rnnlm.tools.inspection.cloze import read_items

    tokenizer = load_tokenizer("demo")
    rows = items_of(name)
    assert len({row["text"] for row in rows}) == SIZES[name]
    assert len(read_items(corpora.part("english", name))) == SIZES[name]
    for row in rows:
        before, _ = row["text"].split("___")
        assert bare_words(before)[::-1].index(row["cue"].lower()) == int(row["distance"]), row["id"]
        for word in (row["answer"], row.get("rival") or row["answer"]):
            assert not len(tokenizer.encode([row["text"].replace("___", word)]).oov), row["id"]


def test_cloze_has_eight_unseen_items_of_each_kind_and_distance():
    train = corpora.part("english", "train").read_text(encoding="utf-8").lower()
    groups = Counter()
    for row in items_of("cloze.tsv"):
        distance = int(row["distance"])
        groups[row["kind"], next(each for each in DISTANCES if distance <= each[1])] += 1
        assert row["text"].replace("___", row["answer"]).lower() not in train, row["id"]
        if row["kind"] == "topic":
            assert row["answer"] == row["cue"], row["id"]
        if row["kind"] == "association":
            assert row["answer"] not in bare_words(row["text"]), row["id"]
    assert groups == {(kind, distance): 8 for kind in KINDS for distance in DISTANCES}


def test_names_and_numbers_of_lessons_change_places():
    """So that a model that always prefers one of two words is right on half of these items."""
    for kind in ("name", "agreement"):
        chosen = [row for row in items_of("lessons.tsv") if row["kind"] == kind]
        pairs = Counter((row["answer"], row["rival"]) for row in chosen)
        assert pairs == {(rival, answer): count for (answer, rival), count in pairs.items()}


def words(texts):
    return set(re.findall(r"[\w']+|[^\w\s]", " ".join(texts).lower()))


def test_pairs_are_unique_and_their_replies_known_words_that_come_out_as_written():
    remarks, replies = {}, {}
    for part, size in {"train": 270, "valid": 15, "test": 15}.items():
        _, *lines = corpora.part("answers", part).read_text("utf-8").splitlines()
        remarks[part], replies[part] = zip(*(line.split("\t") for line in lines), strict=True)
        assert len(remarks[part]) == size
        assert words(replies[part]) <= words(replies["train"])
    every = sum(replies.values(), ())
    assert len({reply.lower() for reply in every}) == 300
    assert len({remark.lower() for remark in sum(remarks.values(), ())}) == 300

    # Tokens of the settings that suit them, put together again.
    settings = corpora.paired("answers").settings
    assert settings["split_punctuation"] and not settings["target_lowercase"]
    tokenizer = make_tokenizer(list(every), split_punctuation=True)
    assert [tokenizer.decode(tokenizer.encode([reply]).ids) for reply in every] == list(every)

"""The bundled dates: each phrase means the date beside it."""

import importlib.util
import re
from datetime import date

import pytest

from rnnlm import corpora

PARTS = ("train", "valid", "test")
WEEKDAYS = ["monday montag lundi", "tuesday dienstag mardi", "wednesday mittwoch mercredi",
            "thursday donnerstag jeudi",
            "friday freitag vendredi", "saturday samstag samedi",
            "sunday sonntag dimanche"]  # fmt: skip
WEEKDAY_OF = {name: day for day, names in enumerate(WEEKDAYS) for name in names.split()}


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location(
        "make_dates", corpora.FOLDER / "dates" / "make.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
def test_days_and_years_are_spelled_in_each_language(maker, language, when, day, year):
    assert maker.ordinal(language, when.day) == day
    assert set(maker.years(language, when.year)) == year

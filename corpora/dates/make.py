"""Make train.tsv, valid.tsv and test.tsv: 10,000 dates as they are written and said in English,
German and French, and their ISO form.

Each date occurs once, so that no phrase and no date of one part is in another. The same seed gives
the same files on every machine: `python make.py`.
"""

import random
from collections.abc import Callable
from datetime import date
from pathlib import Path

FOLDER = Path(__file__).parent
SEED, SIZES = 19, {"train": 8000, "valid": 1000, "test": 1000}
FIRST, LAST = date(1900, 1, 1), date(2099, 12, 31)
LANGUAGES = [*4 * ["en"], *3 * ["de"], *3 * ["fr"]]  # drawn in these proportions

# In braces: d and m are day and month in digits, dd and mm with a leading zero, y the year in
# digits and `year` in words; `nth` is the day with its ending (3rd, 1er), `ordinal` the day in
# words; `abbr` and `wd` are short names of month and weekday, `mon` has three letters.
FORMS = {
    "en": """
{month} {d}, {y}
{month} {nth}, {y}
{month} {d} {y}
{d} {month} {y}
{nth} {month} {y}
{nth} of {month} {y}
the {nth} of {month} {y}
the {nth} of {month}, {y}
{month} the {nth}, {y}
{abbr} {d}, {y}
{abbr} {nth}, {y}
{d} {abbr} {y}
{dd} {mon} {y}
{d}-{mon}-{y}
the {nth} day of {month} {y}
the {nth} of {month} in the year {y}
{weekday}, {month} {d}, {y}
{weekday}, {d} {month} {y}
{weekday} {month} {nth}, {y}
{weekday} the {nth} of {month} {y}
{wd}, {d} {mon} {y}
{wd} {abbr} {d}, {y}
on {month} {d}, {y}
on the {nth} of {month} {y}
on {weekday}, {month} {d}, {y}
the {ordinal} of {month} {y}
the {ordinal} of {month}, {y}
{month} the {ordinal}, {y}
{ordinal} of {month} {y}
{weekday}, the {ordinal} of {month} {y}
the {ordinal} day of {month} {y}
the {ordinal} of {month} {year}
the {ordinal} of {month}, {year}
{month} {ordinal}, {year}
{month} the {ordinal}, {year}
on the {ordinal} of {month} {year}
on {weekday}, the {ordinal} of {month} {year}
""",
    "de": """
{d}. {month} {y}
{dd}. {month} {y}
{d}. {abbr} {y}
{d}.{m}.{y}
{dd}.{mm}.{y}
{d}. {m}. {y}
am {d}. {month} {y}
am {d}.{m}.{y}
am {dd}.{mm}.{y}
am {d}. {month} des Jahres {y}
vom {d}. {month} {y}
den {d}. {month} {y}
der {d}. {month} {y}
{weekday}, {d}. {month} {y}
{weekday}, den {d}. {month} {y}
{weekday}, {dd}.{mm}.{y}
{wd}, {dd}.{mm}.{y}
{wd}., {d}. {abbr} {y}
am {weekday}, dem {d}. {month} {y}
am {weekday}, den {d}. {month} {y}
am {ordinal}n {month} {y}
der {ordinal} {month} {y}
{ordinal}r {month} {y}
{weekday}, der {ordinal} {month} {y}
am {ordinal}n {month} im Jahr {y}
am {ordinal}n {month} {year}
der {ordinal} {month} {year}
{ordinal}r {month} {year}
am {weekday}, dem {ordinal}n {month} {year}
""",
    "fr": """
{nth} {month} {y}
{dd} {month} {y}
{nth} {abbr} {y}
le {nth} {month} {y}
le {nth} {abbr} {y}
du {nth} {month} {y}
ce {nth} {month} {y}
le {nth} {month} de l'an {y}
le {nth} {month} de l'année {y}
{weekday} {nth} {month} {y}
{weekday}, le {nth} {month} {y}
le {weekday} {nth} {month} {y}
du {weekday} {nth} {month} {y}
{weekday} {nth} {abbr} {y}
{wd} {nth} {month} {y}
{wd} {nth} {abbr} {y}
le {ordinal} {month} {y}
{weekday} {ordinal} {month} {y}
le {weekday} {ordinal} {month} {y}
le {ordinal} {month} {year}
{ordinal} {month} {year}
le {weekday} {ordinal} {month} {year}
le {ordinal} {month} de l'an {year}
""",
}
MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
}
SHORT_MONTHS = {
    "en": "Jan. Feb. Mar. Apr. May June July Aug. Sept. Oct. Nov. Dec.",
    "de": "Jan. Feb. März Apr. Mai Juni Juli Aug. Sept. Okt. Nov. Dez.",
    "fr": "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
}
WEEKDAYS = {
    "en": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "de": "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
    "fr": "lundi mardi mercredi jeudi vendredi samedi dimanche",
}
SHORT_WEEKDAYS = {
    "en": "Mon Tue Wed Thu Fri Sat Sun",
    "de": "Mo Di Mi Do Fr Sa So",
    "fr": "lun. mar. mer. jeu. ven. sam. dim.",
}
UNITS = {  # from nought
    "en": "zero one two three four five six seven eight nine ten eleven twelve"
    " thirteen fourteen fifteen sixteen seventeen eighteen nineteen",
    "de": "null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf"
    " dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn",
    "fr": (
        "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze "
        "quinze seize dix-sept dix-huit dix-neuf"
    ),
}
TENS = {  # from twenty; French counts on from sixty and eighty up to nineteen
    "en": "twenty thirty forty fifty sixty seventy eighty ninety",
    "de": "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
    "fr": "vingt trente quarante cinquante soixante soixante quatre-vingt quatre-vingt",
}
ENGLISH_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
GERMAN_ORDINALS = {1: "erste", 3: "dritte", 7: "siebte", 8: "achte"}


def number(language: str, value: int) -> str:
    """Write a number from 1 to 99 in words, in the form used inside a longer number (German "ein",
    not "eins")."""
    units, tens = UNITS[language].split(), TENS[language].split()
    if value < 20:
        return units[value]
    ten, unit = divmod(value, 10)
    if language == "fr" and ten in (7, 9):
        unit += 10
    if unit == 0:
        return tens[ten - 2]
    if language == "de":
        return f"{units[unit]}und{tens[ten - 2]}"
    link = " et " if language == "fr" and unit in (1, 11) and ten < 8 else "-"
    return f"{tens[ten - 2]}{link}{units[unit]}"


def ordinal(language: str, day: int) -> str:
    """Write a day in words: third, dritte, trois (French uses cardinal numbers, except for the
    first)."""
    words = number(language, day)
    if language == "fr":
        return "premier" if day == 1 else words
    if language == "de":
        return GERMAN_ORDINALS.get(day) or words + ("te" if day < 20 else "ste")

    # In English, only the last part changes: twenty-third.
    before, link, last = words.rpartition("-")
    changed = f"{last}th"
    if last in ENGLISH_ORDINALS:
        changed = ENGLISH_ORDINALS[last]
    elif last.endswith("y"):
        changed = f"{last[:-1]}ieth"
    return before + link + changed


def years(language: str, year: int) -> list[str]:
    """List the usual ways to write a year in words."""
    century, rest = divmod(year, 100)
    is_1900s = century == 19
    words = number(language, rest) if rest else ""
    if language == "de":
        if rest == 1:
            words += "s"
        return [("neunzehnhundert" if is_1900s else "zweitausend") + words]
    if language == "fr":
        hundreds = "mille neuf cent" if is_1900s else "deux mille"
        return [f"{hundreds} {words}".strip()]

    # English says some years in several ways.
    if not rest:
        return ["nineteen hundred" if is_1900s else "two thousand"]
    if is_1900s and rest < 10:
        return [f"nineteen oh {words}", f"nineteen hundred and {words}"]
    if is_1900s:
        return [f"nineteen {words}"]
    said = [f"two thousand and {words}", f"two thousand {words}"]
    if rest >= 10:
        said += [f"twenty {words}"] * 2  # twice as often
    return said


def nth(language: str, day: int) -> str:
    """Write a day in digits, with an ending if the language uses one without a point."""
    if language == "en" and 10 < day < 20:
        return f"{day}th"
    if language == "en":
        ending = {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
        return f"{day}{ending}"
    if language == "fr" and day == 1:
        return "1er"
    return str(day)


def forms(language: str) -> list[str]:
    return FORMS[language].strip().split("\n")


def phrase(language: str, form: str, when: date, pick: Callable[[list[str]], str]) -> str:
    """Write the date in one of the forms. `pick` chooses among equivalent spellings."""
    month = MONTHS[language].split()[when.month - 1]
    abbr = SHORT_MONTHS[language].split()[when.month - 1]
    if language == "en":
        abbr = pick([abbr, abbr.rstrip(".")])
    return form.format(
        d=when.day,
        dd=f"{when.day:02}",
        m=when.month,
        mm=f"{when.month:02}",
        y=when.year,
        month=month,
        mon=month[:3],
        abbr=abbr,
        nth=nth(language, when.day),
        ordinal=ordinal(language, when.day),
        year=pick(years(language, when.year)),
        weekday=WEEKDAYS[language].split()[when.weekday()],
        wd=SHORT_WEEKDAYS[language].split()[when.weekday()],
    )


def parts() -> dict[str, list[tuple[str, str]]]:
    """Draw the (phrase, ISO form) rows of each part. All chance comes from one seed."""
    # Only this method gives the same numbers in all versions of Python.
    chance = random.Random(SEED).random
    days = list(range(FIRST.toordinal(), LAST.toordinal() + 1))
    rows: dict[str, list[tuple[str, str]]] = {}

    def pick(choices: list[str]) -> str:
        return choices[int(chance() * len(choices))]

    for part, size in SIZES.items():
        rows[part] = []
        for _ in range(size):
            when = date.fromordinal(days.pop(int(chance() * len(days))))
            language = pick(LANGUAGES)
            written = phrase(language, pick(forms(language)), when, pick)
            case = chance()
            if case >= 0.9:
                written = written.upper()
            elif case >= 0.7:
                written = written.lower()
            rows[part].append((written, when.isoformat()))
    return rows


def files() -> dict[str, str]:
    """Return the content of each file, by its name."""
    texts = {}
    for part, rows in parts().items():
        lines = ["\t".join(row) + "\n" for row in [("phrase", "iso"), *rows]]
        texts[f"{part}.tsv"] = "".join(lines)
    return texts


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")

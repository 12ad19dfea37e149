"""Tables of reading times, from the file to what surprisal adds."""

import csv
import json
import math

import numpy as np
import pytest

import rnnlm
from rnnlm import corpora
from rnnlm.errors import ArgumentTypeError, RnnlmWarning, TextError, UsageError
from rnnlm.tabular import to_builtins
from rnnlm.tools.reading.settings import ReadingSettings
from rnnlm.tools.reading.table import read_times
from support import workbooks
from support.simulated_times import COEFFICIENTS, simulated

SENTENCES = {
    1: "The man saw the old boy.",
    2: "A boy was here today.",
    3: "The boy saw a zorp now.",
}


def rows_of(subjects=3, time=lambda subject, item, number: 300 + 7 * subject + 3 * item * number):
    return [
        {"subject": f"s{subject}", "item": item, "word_index": number, "word": word,
         "rt": time(subject, item, number)}
        for subject in range(subjects)
        for item, text in SENTENCES.items()
        for number, word in enumerate(text.split(), start=1)
    ]  # fmt: skip


def write(path, rows, delimiter="\t"):
    with open(path, "w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


@pytest.fixture(scope="module")
def demo():
    return rnnlm.load("demo")


@pytest.fixture(scope="module")
def table(demo):
    return simulated(demo)


@pytest.fixture(scope="module")
def one_list(table):
    """Return the rows of six subjects who read the same conditions."""
    return [row for row in table if int(row["subject"][1:]) % 2]


@pytest.fixture(scope="module")
def part(table):
    """Return the rows of half of the items."""
    return [row for row in table if row["item"] <= 20]


# ---- Tables.

LAYOUTS = {
    "natural stories": {"word": "word", "number": "zone", "item": "item", "time": "RT",
                        "subject": "WorkerId"},
    "provo": {"word": "Word", "number": "Word_Number", "item": "Text_ID", "time": "IA_DWELL_TIME",
              "subject": "Participant_ID"},
    "ucl": {"word": "word", "number": "sent_pos", "item": "sent_nr", "time": "RTfirstpass",
            "subject": "subj_nr"},
    "named with a unit": {"word": "Token", "number": "Position", "item": "Item ID",
                          "time": "RT (ms)", "subject": "Participant"},
    "a duration": {"word": "WORD", "number": "word number", "item": "text", "time": "duration",
                   "subject": "reader"},
}  # fmt: skip
OURS = {"word": "word", "number": "word_index", "item": "item", "time": "rt", "subject": "subject"}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["t.tsv", "t.csv", "t.txt"])
def test_columns_are_guessed_and_said(here, layout, name):
    columns = LAYOUTS[layout]
    rows = [{column: row[OURS[role]] for role, column in columns.items()} for row in rows_of()]
    source = write(here / name, rows, "," if name == "t.csv" else "\t")
    with pytest.warns(RnnlmWarning, match="chosen by the data.*names of columns") as told:
        times = read_times(source, ReadingSettings())
    assert len(told) == 1
    for role, column in columns.items():
        assert times.columns[role] == column and f"{role}_column={column}" in str(told[0].message)
    assert [each.text for each in times.sentences] == list(SENTENCES.values())
    assert times.subjects == ["s0", "s1", "s2"] and len(times.time_R) == 3 * 17


def test_named_columns_stay_and_are_not_said(recwarn):
    rows = [dict(row, time=1000.0) for row in rows_of()]
    named = {f"{role}_column": column for role, column in OURS.items()}
    times = read_times(rows, ReadingSettings(**named))
    assert times.time_R[0] == 303 and not recwarn.list


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_rows_may_be_mixed_and_missing():
    rows = rows_of()
    mixed = sorted(rows, key=lambda row: (row["item"], row["word_index"]))[1:]
    times = read_times(mixed, ReadingSettings())
    assert [each.text for each in times.sentences] == list(SENTENCES.values())
    assert times.position_P.tolist() == [*range(1, 7), *range(1, 6), *range(1, 7)]
    assert times.is_last_P.sum() == 3 and times.place_R[:3].tolist() == [0, 0, 1]
    without_numbers = [{**row, "word_index": None} for row in rows]
    for row in without_numbers:
        del row["word_index"]
    assert read_times(without_numbers, ReadingSettings()).sentences == times.sentences


def test_times_below_0_are_missing_and_said():
    with pytest.warns(
        RnnlmWarning, match="read as missing: -999 .*, 1 row; mark .* with NA, a point"
    ):
        times = read_times(changed(2, rt=-999), ReadingSettings())
    assert np.flatnonzero(np.isnan(times.time_R)).tolist() == [2]


def frames_of(rows):
    """Return what makes data frames of rows, by name; some libraries may not be installed."""

    def indexed(names):
        return pytest.importorskip("pandas").DataFrame(rows).set_index(names)

    return {
        "pandas": lambda: pytest.importorskip("pandas").DataFrame(rows),
        "polars": lambda: pytest.importorskip("polars").DataFrame(rows),
        "pyarrow": lambda: pytest.importorskip("pyarrow").Table.from_pylist(rows),
        "datasets": lambda: pytest.importorskip("datasets").Dataset.from_list(rows),
        "an index": lambda: indexed(["subject", "item"]),
        "an index that is a column, too": lambda: indexed("subject").assign(
            subject=[row["subject"] for row in rows]
        ),
        "means by group": lambda: indexed(["subject", "item", "word_index", "word"])
        .groupby(level=[0, 1, 2, 3], sort=False).mean(),
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", frames_of([]))
def test_any_data_frame_is_read_as_its_rows(kind):
    rows = [
        dict(row, rt=float(row["rt"]) if number else None) for number, row in enumerate(rows_of())
    ]
    expected = read_times(rows, ReadingSettings())
    found = read_times(frames_of(rows)[kind](), ReadingSettings())
    assert found.sentences == expected.sentences and found.subjects == expected.subjects
    assert np.array_equal(found.time_R, expected.time_R, equal_nan=True)
    assert np.array_equal(found.place_R, expected.place_R)


@pytest.mark.parametrize("table", [5, ["a"], None, {"a": [1]}], ids=str)
def test_what_is_no_table_is_refused(table):
    with pytest.raises(ArgumentTypeError, match="a data frame or rows as dicts, not a?n? ?[a-zN]"):
        read_times(table, ReadingSettings())


def test_a_column_is_no_table():
    means = pytest.importorskip("pandas").Series([300.5], name="rt")
    with pytest.raises(ArgumentTypeError, match="rows as dicts, not a Series"):
        read_times(means, ReadingSettings())


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("source", [3.4, ["SUBTLEX.txt"], {"the": 5}], ids=str)
def test_frequencies_from_what_is_no_file_are_refused(demo, source):
    for call in (
        lambda: rnnlm.reading(rows_of(), demo, frequency_from=source),
        lambda: demo.score_sentences(
            ["a"], words=True, measures=("frequency",), frequency_from=source
        ),
    ):
        with pytest.raises(ArgumentTypeError, match="`frequency_from` must be a str or a path"):
            call()


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_sentences_of_texts():
    text = " ".join([*SENTENCES.values()] * 5)
    rows = [
        {"item": 1, "zone": number, "word": word, "RT": 300}
        for number, word in enumerate(text.split(), 1)
    ]
    with pytest.warns(RnnlmWarning, match="no column tells sentences apart"):
        times = read_times(rows, ReadingSettings())
    assert [each.text for each in times.sentences] == [*SENTENCES.values()] * 5
    rows = [dict(row, sentence=row["zone"] // 30) for row in rows]
    assert len(read_times(rows, ReadingSettings()).sentences) == 3


def unnumbered(rows=None, **named):
    """Return rows without numbers of words, with other names of columns."""
    return [
        {named.get(name, name): value for name, value in row.items() if name != "word_index"}
        for row in rows or rows_of()
    ]


@pytest.mark.parametrize("column", [
    "Proband", "PID", "ppt", "subject_code", "anon_id", "Participant Private ID", "VP",
    "RECORDING_SESSION_LABEL", "MD5 hash of participant's IP address", "ID", "run_id",
])  # fmt: skip
def test_columns_of_subjects_are_found_by_the_names_of_laboratories(column):
    with pytest.warns(RnnlmWarning) as told:
        times = read_times(unnumbered(subject=column), ReadingSettings())
    assert times.columns["subject"] == column and times.subjects == ["s0", "s1", "s2"]
    said = " ".join(str(each.message) for each in told)
    assert f"subject_column={column}" in said and "rows are taken in their order" in said


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("number", ["subject", "row", "item", "word_index"])
def test_an_id_of_something_else_is_not_the_subjects(number):
    rows = [dict(row, row=place) for place, row in enumerate(rows_of())]
    rows = [dict(row, ID=row[number]) for row in rows]
    assert read_times(rows, ReadingSettings()).columns["subject"] == "subject"
    if number != "subject":
        rows = [dict(row, subject=None) for row in rows[:17]]
        assert "subject" not in read_times(unnumbered(rows, subject="x"), ReadingSettings()).columns


BY_WORD = sorted(rows_of(), key=lambda row: (row["item"], row["word_index"]))
AGAIN = {
    "an unknown name": unnumbered(subject="Leserin"),
    "of two words": [row for row in unnumbered(subject="Leserin") if row["word"] in ("man", "old")],
    "without items": [
        {"word": row["word"], "rt": row["rt"]} for row in sorted(rows_of(), key=lambda row: -row["item"])
    ],
    "twice in one file": unnumbered() * 2,
    "by word": unnumbered(BY_WORD, subject="Leserin"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("what", AGAIN)
def test_texts_of_several_subjects_taken_for_one_are_refused(what):
    with pytest.raises(TextError, match="begin again within .*`subject_column=") as error:
        read_times(AGAIN[what], ReadingSettings())
    assert "\n" not in str(error.value)


def in_pairs(rows):
    """Return the rows with two sentences an item, one condition, and words numbered through."""
    before = {}
    for row in rows:
        before[row["item"]] = max(row["word_index"], before.get(row["item"], 0))
    return [
        {**row, "item": (row["item"] + 1) // 2, "condition": "all",
         "word_index": row["word_index"] + (row["item"] % 2 == 0 and before[row["item"] - 1])}
        for row in rows
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_items_of_several_sentences_are_analysed_as_single_ones(demo, one_list):
    rows = one_list
    single = rnnlm.reading([{**row, "condition": "all"} for row in rows], demo, resamples=5)
    note = "20 of 20 items have several, .* at .*warm. . Our neighbor.*`sentence_column=.item.`"
    with pytest.warns(RnnlmWarning, match=note):
        pairs = rnnlm.reading(in_pairs(rows), demo, resamples=5)
    assert (pairs.rows, pairs.items, single.items) == (single.rows, 20, 40)
    for name in ("perplexity", "in_sample", "r2", "r2_baseline"):
        expected = getattr(single.gains[0], name)
        assert getattr(pairs.gains[0], name) == pytest.approx(expected, rel=1e-9)
    for found, expected in zip(pairs.coefficients, single.coefficients, strict=True):
        assert found.coefficient.estimate == pytest.approx(expected.coefficient.estimate, rel=1e-9)

    # One of several sentences is enough; an item that is named as a sentence stays whole.
    some = in_pairs([row for row in rows if row["item"] <= 4])
    some += [{**row, "item": row["item"] + 50} for row in rows if row["item"] > 4]
    with pytest.warns(RnnlmWarning, match="2 of 38 items have several"):
        assert len(read_times(some, ReadingSettings()).sentences) == 40
    whole = read_times(in_pairs(rows), ReadingSettings(sentence_column="item"))
    assert len(whole.sentences) == len(set(whole.items)) == 20


@pytest.mark.parametrize("words, number, count", [
    ((4, 99), 0, 3), ((3, 4), 0, 3), ((3, 4), 50, 3), ((1, 99), 0, 0), ((1, 99), -1, 0),
])  # fmt: skip
def test_sentences_of_which_the_middle_is_in_the_table_are_said(recwarn, words, number, count):
    rows = [row for row in rows_of() if words[0] <= row["word_index"] <= words[1]]
    rows = [dict(row, word_index=row["word_index"] + number) for row in rows]
    read_times(rows, ReadingSettings())
    notes = [str(each.message) for each in recwarn if "are missing, by" in str(each.message)]
    said = "row 1: words before this row are missing, by word_index (3 times)"
    assert notes == ([said] if count else [])


def changed(place, **cells):
    rows = rows_of()
    rows[place] |= cells
    return rows


BAD = {
    "no times": ([dict(row, rt="NA") for row in rows_of()], "'rt' holds no times"),
    "no column of times": ([{"word": "a", "item": 1}], "which column holds the times in ms"),
    "words": (
        changed(20, word="woman"),
        "word 4 of 1 is .?woman.?, but was .?the.?; the words do not match",
    ),
    "two times": (changed(1, word_index=1, word="The"), "word 1 of 1 has two times by s0"),
    "several words": (changed(1, word="the man"), "word 2 of 1 is several words"),
    "no word": (changed(1, word=""), "column 'word' is empty"),
    "seconds": ([dict(row, rt=row["rt"] / 1000) for row in rows_of()], "seems to hold seconds"),
    "commas": (
        changed(2, rt="312,5"),
        "row 3: column 'rt' holds .?312,5.?; it has a decimal comma",
    ),
    "no number": (changed(2, rt="fast"), "row 3: column 'rt' holds .?fast.?; it is no number"),
    "thousands": (changed(2, rt="3,340"), "it has a comma; write 3340, or 3.340 if the comma is"),
    "no time of SPSS": (changed(2, rt="#NULL!"), "'#NULL!'; it is no number; mark .* with NA, a"),
    "one item": (
        [row for row in rows_of() if row["item"] == 1],
        "of one item; nothing can be held out; name the column of items",
    ),
    "the rest": (
        [dict(row, rt=row["rt"] if row["item"] == 1 else "NA") for row in rows_of()],
        "of one item; nothing can be held out; left out: .*no time 33; leave out fewer rows",
    ),
    "a condition": (
        rows_of(),
        "held out; other rows are left out by .where.; leave out fewer rows",
    ),
    "no rows": ([dict(row, rt=5000) for row in rows_of()], "no row is left .*ms 21"),
    "a baseline": (rows_of(), "no predictor 'lenght'"),
}


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("name", BAD)
def test_bad_tables_are_refused_in_one_line(demo, name):
    rows, why = BAD[name]
    more = {"a baseline": {"baseline": "lenght"}, "a condition": {"where": ("item=1",)}}
    settings = more.get(name, {})
    with pytest.raises((TextError, UsageError), match=why) as error:
        rnnlm.reading(rows, demo, **settings)
    assert "\n" not in str(error.value)


# ---- Which rows are left out.


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_each_excluded_row_counts_once(demo):
    random = np.random.default_rng(0)
    rows = rows_of(6, time=lambda *_: random.integers(200, 500))
    rows[4]["rt"], rows[9]["rt"], rows[20]["rt"], rows[3]["rt"] = 0, 50, "", 4000
    settings = {"resamples": 10, "baseline": "word_length"}
    analysis = rnnlm.reading(rows, demo, **settings)
    assert analysis.excluded == {
        "no time": 1, "zero time": 1, "first word": 18, "last word": 18, "too few words before": 18,
        "unknown word": 6, "not 100 to 3000 ms": 2,
    }  # fmt: skip
    assert analysis.rows == 102 - sum(analysis.excluded.values()) and analysis.rows_read == 102
    reasons = analysis.to_columns("words")["excluded"]
    assert len(reasons) == 102 and reasons.count("") == analysis.rows
    every = rnnlm.reading(rows, demo, exclude=(), **settings)
    assert every.excluded == {"no time": 1, "too few words before": 36}


def test_lags_are_made_before_rows_are_left_out(demo):
    random = np.random.default_rng(0)
    rows = rows_of(6, lambda *place: random.integers(200, 500) if place[-1] != 3 else 9999)
    settings = {"resamples": 10, "baseline": "word_length"}
    with pytest.warns(RnnlmWarning):
        analysis = rnnlm.reading(rows, demo, exclude=("bounds",), **settings)
    score = demo.score_sentences([SENTENCES[1]], words=True, measures=("lags",))
    expected = {row["word"]: row["previous_surprisal_bits"] for row in score.to_rows()}
    found = [row for row in analysis.to_rows("words") if row["item"] == "1" and row["used"]]
    assert [row["word"] for row in found[:3]] == ["the", "old", "boy."]
    with pytest.raises(TextError, match="too few rows"):
        rnnlm.reading(rows_of(1), demo, exclude=())
    for row in found[:3]:
        assert row["previous_surprisal_bits"] == pytest.approx(expected[row["word"]], rel=1e-6)


# ---- Results.


def by_dummies(rows, names, response="time"):
    """Regress on a column for each subject."""
    subjects = sorted({row["subject"] for row in rows})
    design = [[*(row[name] for name in names), *(row["subject"] == who for who in subjects)]
              for row in rows]  # fmt: skip
    y = np.array([row[response] for row in rows])
    solution, [squares], *_ = np.linalg.lstsq(np.array(design, dtype=float), y)
    return solution[: len(names)], squares


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_results_are_those_of_the_written_table(demo, table):
    analysis = rnnlm.reading(table, [demo, "demo+cache"], resamples=999)
    for gain in analysis.gains:
        rows = [row for row in analysis.to_rows("words") if row["used"]]
        rows = [row for row in rows if row["model"] == gain.model]
        assert len(rows) == analysis.rows
        coefficients = [each for each in analysis.coefficients if each.model == gain.model]
        names = [each.predictor for each in coefficients]
        assert names[-3:] == [
            "surprisal_bits", "previous_surprisal_bits", "previous2_surprisal_bits"
        ]  # fmt: skip
        expected, left = by_dummies(rows, names)
        assert [each.coefficient.estimate for each in coefficients] == pytest.approx(
            expected, abs=1e-6
        )
        _, left_before = by_dummies(rows, names[:-3])
        in_sample = len(rows) / 2 * math.log(left_before / left)
        assert gain.in_sample == pytest.approx(in_sample, abs=1e-6)
        assert 0 < gain.r2_baseline < gain.r2 < 1 and gain.gain.low < gain.gain.high
    [difference] = analysis.differences
    first, second = analysis.gains
    assert difference.difference.estimate == pytest.approx(
        second.gain.estimate - first.gain.estimate, abs=1e-12
    )
    assert first.p < 0.01 and analysis.items_are == "item" and analysis.items == 40


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_means_over_subjects_and_logarithms(demo, part):
    analysis = rnnlm.reading(part, demo, response="log", average=True, resamples=5)
    rows = rnnlm.reading(part, demo, response="log", resamples=5).to_rows("words")
    used = [row for row in rows if row["used"]]
    words = {}
    for row in used:
        key = (row["item"], row["condition"], row["position"])
        words.setdefault(key, []).append(math.log(row["time"]))
    assert analysis.rows == len(words) < len(used)
    names = [each.predictor for each in analysis.coefficients]
    first = {(row["item"], row["condition"], row["position"]): row for row in used}
    means = [
        {**first[key], "subject": "all", "mean": np.mean(values)} for key, values in words.items()
    ]
    expected, _ = by_dummies(means, names, "mean")
    assert [each.coefficient.estimate for each in analysis.coefficients] == pytest.approx(
        expected, abs=1e-6
    )
    assert "|unit:word|response:log|" in analysis.signature

    # The written time is that of the mean that is explained; regions are those of words.
    written = {
        (row["item"], row["condition"], row["position"]): row for row in analysis.to_rows("words")
    }
    for key, values in words.items():
        assert math.log(written[key]["time"]) == pytest.approx(np.mean(values), rel=1e-12)
        assert written[key]["region"] == first[key]["region"] and "subject" not in written[key]
    assert "subject)" not in analysis.r_line


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_rows_that_are_left_out_are_as_if_they_were_not_there(demo, one_list):
    practice = [
        {**row, "condition": "practice", "rt": 1.5 * row["rt"]} if row["item"] <= 6 else row
        for row in one_list
    ]
    # What is left out need not be words and times.
    practice.insert(0, dict(practice[0], word="Was it a kettle?", rt="yes", word_index=None))
    settings = {"resamples": 5, "baseline": "word_length"}
    found = rnnlm.reading(practice, demo, where=("condition!=practice",), **settings)
    expected = rnnlm.reading(practice[1:], demo, **settings, where=("condition!=practice",))
    without = rnnlm.reading([row for row in one_list if row["item"] > 6], demo, **settings)
    for analysis in (found, expected):
        assert analysis.gains == without.gains and analysis.coefficients == without.coefficients
        assert analysis.rows_read == without.rows_read

    # Sentences are numbered as in the whole table; the signature has the condition.
    whole = rnnlm.reading(practice[1:], demo, **settings).to_rows("words")
    sentence_of = {(row["item"], row["condition"]): row["sentence"] for row in whole}
    rows = expected.to_rows("words")
    assert {sentence_of[row["item"], row["condition"]] - row["sentence"] for row in rows} == {0}
    assert "|where:condition!=practice|" in found.signature and "where" not in without.signature
    where = ("condition = agrees", "item!=40")
    agreeing = rnnlm.reading(one_list, demo, where=where, resamples=5, baseline="word_length")
    assert agreeing.items == 19 and {row["condition"] for row in agreeing.regions} == {"agrees"}


@pytest.mark.parametrize("where, why", [
    ("condition!=practise", "no row has 'practise' in column 'condition'; it has 'agrees', 'clashes'"),
    ("conditon!=practice", "no column 'conditon'"), ("practice", "'practice' chooses no rows"),
])  # fmt: skip
def test_conditions_of_rows_that_choose_none_are_refused(demo, table, where, why):
    with pytest.raises((TextError, UsageError), match=why):
        rnnlm.reading(table, demo, where=(where,))


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("factor, rows, note", [
    (1.5, 999, True), (0.6, 999, True), (1.2, 999, False), (1.5, 40, False), (20, 999, False),
])  # fmt: skip
def test_conditions_whose_times_are_far_apart_are_said(demo, one_list, recwarn, factor, rows, note):
    """Times are compared after the exclusion: those of 5 s are left out."""
    practice = [
        dict(row, condition="practice", rt=factor * row["rt"])
        for row in one_list
        if row["item"] <= 6
    ]
    settings = {"resamples": 1, "baseline": "word_length"}
    rnnlm.reading(
        [*practice[:rows], *(row for row in one_list if row["item"] > 6)], demo, **settings
    )
    said = [str(each.message) for each in recwarn if "far apart" in str(each.message)]
    assert bool(said) == note
    assert not note or '`where="condition!=practice"`' in said[0]


def test_a_baseline_of_columns_of_the_table(demo, part):
    random = np.random.default_rng(0)
    rows = [dict(row, trial=random.normal()) for row in part]
    analysis = rnnlm.reading(rows, demo, baseline="trial + word_length", resamples=5)
    assert analysis.baseline == ("trial", "word_length")
    assert abs(analysis.coefficients[0].coefficient.estimate) < 5
    assert "freq:none" in analysis.signature
    rows[3]["trial"] = "x"
    again = rnnlm.reading(rows, demo, baseline="trial", resamples=1)
    assert again.excluded["no trial"] == 1

    # The signature depends on these columns, too, and on the names of items.
    del rows[3]
    changes = [{}, {"trial": 1.5}, {"item": 99}]
    signatures = {
        rnnlm.reading([*rows[:-1], {**rows[-1], **change}], demo, baseline="trial",
                      resamples=1, exclude=()).signature
        for change in changes
    }  # fmt: skip
    assert len(signatures) == 3

    # R takes any name in backticks.
    named = [{**row, "trial no": row["trial"]} for row in rows]
    analysis = rnnlm.reading(named, demo, baseline="trial no", resamples=1)
    assert analysis.r_line.startswith("lmer(time ~ scale(`trial no`) + scale(surprisal_bits) + ")


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_the_written_rows_have_the_columns_of_the_table(rnnlm, here, demo, one_list):
    names = {"rt": "RT", "subject": "ppt"}
    rows = [
        {**{names.get(name, name): value for name, value in row.items()},
         "trial": place // 9, "used": "x", "excluded": "0,1", "list": None}
        for place, row in enumerate(one_list)
    ]  # fmt: skip
    write(here / "t.tsv", rows)
    done = rnnlm("reading t.tsv -m demo -m demo+cache -o w.tsv --baseline trial+word_length "
                 "--resamples 1")  # fmt: skip
    assert "used to input_used, excluded to input_excluded" in done.err
    assert "coefficients are per standard deviation" in done.err
    with open(here / "w.tsv", newline="") as stream:
        written = list(csv.DictReader(stream, delimiter="\t"))
    assert list(written[0])[:6] == ["model", "subject", "item", "condition", "sentence", "word"]
    assert len(written) == 2 * len(rows) and not {"ppt", "RT", "rt"} & {*written[0]}
    for row, own in zip(written, [*rows, *rows], strict=True):
        for name in ("word_index", "region", "word", "item", "condition"):
            assert row[name] == str(own[name])
        assert (row["subject"], row["list"]) == (own["ppt"], "")
        assert float(row["trial"]) == own["trial"]
        assert (row["input_used"], row["input_excluded"]) == ("x", "0,1")


def test_columns_of_the_table_that_are_computed_are_said(demo, part):
    rows = [dict(row, word_length=0) for row in part]
    with pytest.warns(RnnlmWarning, match="computed here, and not read from .*: word_length$"):
        analysis = rnnlm.reading(rows, demo, baseline="word_length", resamples=1)
    assert analysis.coefficients[0].coefficient.estimate > 1


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_unknown_words_are_named_with_their_rows(demo, one_list):
    names = {3: "zorp", 5: "n't", 7: "n't"}
    rows = [
        dict(row, word=names[row["item"]])
        if row["item"] in names and row["word_index"] == 4
        else row
        for row in one_list
    ]
    with pytest.warns(RnnlmWarning, match="a model does not know: n't: 12 rows, zorp: 6 rows"):
        rnnlm.reading(rows, demo, baseline="word_length", resamples=1)


def test_coefficients_are_a_table_for_a_paper(rnnlm, here):
    line = "reading simulated -m demo --resamples 5 --baseline word_length"
    table = rnnlm(f"{line} --latex").out
    rows = [text.split(" & ") for text in table.splitlines() if " & " in text]
    assert rows[0] == ["model", "predictor", "ms per unit", r"95 \% interval \\"]
    assert [row[1] for row in rows[1:3]] == [r"word\_length", r"surprisal\_bits"]
    assert table.startswith(r"\begin{tabular}{llrr}") and len(rows) == 5
    assert rnnlm(f"{line} --latex --json").code == 2


def test_few_items_are_sentences_and_noted(demo, table):
    few = [row for row in table if row["item"] <= 9]
    with pytest.warns(RnnlmWarning, match="18 sentences are few"):
        analysis = rnnlm.reading(few, demo, resamples=20)
    assert (analysis.items, analysis.items_are) == (18, "sentence")


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("items", [20, 9])
def test_neither_labels_nor_the_order_of_rows_change_a_number(demo, table, items):
    rows = [row for row in table if row["item"] <= items]
    settings = {"baseline": "word_length+position", "resamples": 5}
    first = rnnlm.reading(rows, demo, **settings)
    label = np.random.default_rng(0).permutation(100).tolist()
    renamed = [
        dict(row, item=f"i{label[row['item']]}", subject=row["subject"][::-1]) for row in rows
    ]
    shuffled = [rows[place] for place in np.random.default_rng(1).permutation(len(rows))]
    for changed_rows in (renamed, shuffled):
        again = rnnlm.reading(changed_rows, demo, **settings)
        found = [*again.gains, *again.coefficients]
        for result, expected in zip(found, [*first.gains, *first.coefficients], strict=True):
            given, wanted = (to_builtins(each) for each in (result, expected))
            for values in (given, wanted):
                assert values.get("gain", values.get("coefficient")).pop("why") == ""
            for name, value in wanted.items():
                assert given[name] == (value if name in NAMES else pytest.approx(value, rel=1e-9))
    other = rnnlm.reading(rows, demo, seed=2, **settings)
    assert other.gains[0].gain.estimate != first.gains[0].gain.estimate
    assert f"|folds:10 of {first.items_are}s by words|p:gain>0|" in first.signature


NAMES = ("model", "predictor", "lag")


def test_frequencies_are_of_one_source(part, here):
    text = rnnlm.Corpus.from_lines(["the man saw a boy"] * 9)
    chars = rnnlm.train(text, valid=text, model="ngram", order=2, tokenizer="char")
    chars = chars.wait(progress=False).model
    with pytest.raises(UsageError, match="none of the models knows how frequent words are"):
        rnnlm.reading(part, chars)
    (here / "c.tsv").write_text("word\tcount\nthe\t50\nis\t20\n")
    with pytest.warns(RnnlmWarning) as told:
        analysis = rnnlm.reading(part, chars, frequency_from="c.tsv", resamples=5,
                                 baseline="log10_frequency", exclude=())  # fmt: skip
    assert not [each for each in told if "no frequencies" in str(each.message)]
    assert analysis.excluded["no log10_frequency"] > 0


# ---- The command and the bundled table.


def test_the_bundled_table_is_simulated_as_said(demo, table):
    with corpora.part("english", "simulated").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert len(rows) == len(table)
    for row, expected in zip(rows, table, strict=True):
        assert abs(int(row.pop("rt")) - expected["rt"]) <= 1
        assert row == {name: str(value) for name, value in expected.items() if name != "rt"}
    path = corpora.part("english", "simulated")
    assert path.stat().st_size < 300_000
    assert "simulated.tsv" in path.with_name("README.md").read_text()


def test_from_table_to_figure_in_one_command(rnnlm, here):
    done = rnnlm("reading simulated -m demo --plot r.svg -o w.csv --resamples 20")
    assert done.code == 0 and "surprisal_bits" in done.out
    for line in ("first word 480", "(1 | item), data = subset(words, used == 1)", "signature: "):
        assert line in done.err
    assert (here / "r.svg").read_text().startswith("<?xml")
    with open(here / "w.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 6036 and {row["excluded"] for row in rows} >= {"", "last word"}
    assert "already exists" in rnnlm("reading simulated -m demo -o w.csv").err
    assert "read_excel" in rnnlm("reading simulated -m demo -o w.xlsx --resamples 20").err
    cells = [row["surprisal_bits"] for row in workbooks.rows_of("w.xlsx")]
    assert cells == pytest.approx([float(row["surprisal_bits"]) for row in rows])
    found = json.loads(rnnlm("reading simulated -m demo --resamples 20 --json").out)
    assert found["gains"][0]["model"] == "demo" and found["signature"].startswith("rnnlm:")
    assert "words" not in found and found["rows"] == sum(row["used"] == "1" for row in rows)


def test_orders_of_one_count(rnnlm, table, here):
    write(here / "part.csv", [row for row in table if row["item"] <= 10], ",")
    (here / "t.txt").write_text("\n".join(list(SENTENCES.values()) * 5))
    assert rnnlm("count t.txt --order 3 -o counts").code == 0
    asked = "reading part.csv --resamples 5 --exclude bounds --baseline word_length"
    done = rnnlm(f"{asked} --orders 1-3 --counts counts --json")
    assert [gain["model"] for gain in json.loads(done.out)["gains"]] == [
        "1-gram", "2-gram", "3-gram"
    ]  # fmt: skip
    ranges = [f"--orders {wrong} --counts counts" for wrong in ("3-1", "3-x", "-3", "1-2-3")]
    for wrong in ("--orders 1-3", "--counts counts", *ranges):
        refused = rnnlm(f"{asked} {wrong}")
        assert refused.code == 2 and refused.err.count("error:") == 1
    # A table is read before models are made.
    (here / "times.csv").write_text("word,rt\nthe,0\n")
    refused = rnnlm("reading times.csv --orders 1-3 --counts no-counts")
    assert "holds no times" in refused.err
    done = rnnlm(f"{asked} --orders 1-2 --counts counts -m demo -o w.tsv")
    assert "held out of counts" not in done.err and 'words <- read.delim("w.tsv", ' in done.err
    assert 'subset(words, used == 1 & model == "demo")' in done.err


FILES = {
    "empty": ("", "t.csv has no rows"),
    "only a header": ("word,rt\n", "t.csv has no rows"),
    "other names": ("a,b\nfoo,bar\n", "it has a, b"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_without_what_is_needed_say_what_they_have(rnnlm, here, name):
    text, why = FILES[name]
    (here / "t.csv").write_text(text)
    refused = rnnlm("reading t.csv -m demo")
    assert refused.code == 1 and why in refused.err and "read as data" not in refused.err


def test_what_cannot_be_done_is_refused_before_scoring(rnnlm, here):
    for typed, why in (
        ("nothere.csv", "no such file: nothere.csv"),
        ("simulated -o w.json", "must end in .csv, .tsv or .xlsx"),
        ("simulated --min-time 5000", "--min-time 5000.0 is not below --max-time 3000.0"),
    ):
        refused = rnnlm(f"reading {typed} -m demo")
        assert refused.code in (1, 2) and why in refused.err and "perplexity" not in refused.out


def test_a_model_that_knows_no_word_of_the_table_is_told(rnnlm, here):
    (here / "t.txt").write_text("zig zag\n" * 9)
    assert rnnlm("train t.txt --model ngram --order 2 --holdout 0 -o m").code == 0
    refused = rnnlm("reading simulated -m m --resamples 5")
    assert refused.code == 1 and "try: use a model that knows these words" in refused.err


def test_without_a_written_table_the_next_step_is_to_write_one(rnnlm):
    done = rnnlm("reading simulated -m demo --resamples 5")
    assert "-o words.csv writes the rows" in done.err and "lmer(" not in done.err


def test_figures_have_all_panels(demo, part):
    rows = [{name: value for name, value in row.items() if name != "region"} for row in part]
    with pytest.warns(RnnlmWarning):
        analysis = rnnlm.reading(rows, [demo, "demo+cache"], resamples=5)
    figure = analysis.plot()
    assert [axes.get_title() for axes in figure.axes] == [
        "What surprisal adds", "Coefficients by lag", "Times", "Surprisals by demo"
    ]  # fmt: skip
    assert figure.axes[2].get_xlabel() == "word of the sentence"
    assert figure.axes[0].get_ylabel() == "gain (nats per row)"  # as the table calls it
    regions = analysis.to_rows("regions")
    assert {row["condition"] for row in regions} == {"agrees", "clashes"}
    for kind in ("gains", "coefficients", "differences"):
        assert len(analysis.to_pandas(kind)) == len(analysis.to_rows(kind)) > 0
    with pytest.raises(UsageError, match="no table 'x'"):
        analysis.to_rows("x")
    with pytest.raises(UsageError, match="there are no models"):
        rnnlm.reading(rows, [])


# By the words of items: the critical word is at different places, and short items end early.
REGIONS = [
    "- - pre crit post1 post2 post3 - -", "- - - - - - - - - - pre crit post1 -",
    "- pre crit post1 post2 -", "- - - - - pre crit post1 post2 post3 -",
]  # fmt: skip
WORDS = "the old man was here with a boy and the man saw a boy"


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_regions_are_in_the_order_in_which_they_follow_one_another(demo):
    random = np.random.default_rng(0)
    rows = [
        {"subject": subject, "item": item, "n": number, "word": word, "roi": region.strip("-"),
         "rt": random.integers(200, 500)}
        for subject in range(4)
        for item, regions in enumerate(REGIONS)
        for number, (region, word) in enumerate(zip(regions.split(), WORDS.split(), strict=False), 1)
    ]  # fmt: skip
    settings = {"baseline": "word_length", "resamples": 5, "number_column": "n"}
    analysis = rnnlm.reading(rows, demo, **settings)
    assert [row["region"] for row in analysis.regions] == ["pre", "crit", "post1", "post2", "post3"]

    # Also where a condition lacks one of them.
    rows = [dict(row, condition="b" if row["item"] else "a") for row in rows]
    rows = [row for row in rows if (row["item"], row["roi"]) != (0, "crit")]
    with_conditions = rnnlm.reading(rows, demo, **settings)
    times = with_conditions.plot().axes[2]
    assert [label.get_text() for label in times.get_xticklabels()] == [
        "pre", "crit", "post1", "post2", "post3"
    ]  # fmt: skip
    none = rnnlm.reading([dict(row, roi=None) for row in rows], demo, **settings)
    assert none.regions == [] and none.plot()


def test_words_that_no_model_knows_have_no_perplexity(rnnlm, here):
    rows = [dict(row, word=row["word"][0] + "zqx") for row in rows_of()]
    write(here / "t.csv", rows, ",")
    asked = "--exclude bounds --baseline position --resamples 5"
    done = rnnlm(f"reading t.csv -m demo {asked} --plot r.svg")
    assert done.code == 0 and done.out.splitlines()[1].split("\t")[1] == "-"
    assert "Warning" not in done.err and (here / "r.svg").stat().st_size > 1000


# ---- Proof.


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("by_word, names, least", [
    (0.0, list(COEFFICIENTS), 88), (15.0, ["surprisal_bits"], 85),
])  # fmt: skip
def test_known_coefficients_are_found_again(demo, by_word, names, least):
    """In 100 simulated tables of 40 items, so many intervals of each coefficient hold it, also
    where words differ by themselves."""
    estimates, hits = {name: [] for name in names}, dict.fromkeys(names, 0)
    for seed in range(100):
        analysis = rnnlm.reading(simulated(demo, seed=seed, by_word=by_word), demo, resamples=500)
        for found in analysis.coefficients:
            if found.predictor in names:
                interval, true = found.coefficient, COEFFICIENTS[found.predictor]
                estimates[found.predictor].append(interval.estimate)
                hits[found.predictor] += interval.low <= true <= interval.high
    for name, values in estimates.items():
        assert len(values) == 100 and hits[name] >= least, (name, hits[name])
        error = np.std(values, ddof=1) / 10
        # Two standard errors for the effects of surprisal; the bound for six coefficients at once
        # (5 % for all of them together) for the others.
        bound = 2.0 if name in ("surprisal_bits", "previous_surprisal_bits") else 2.64
        assert abs(np.mean(values) - COEFFICIENTS[name]) < bound * error

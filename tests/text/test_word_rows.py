"""Tables with a row a word: which rows are a sentence, and what is refused or said of them."""

import csv
import io

import pytest

from rnnlm.errors import RnnlmWarning, TextError
from rnnlm.storage.files import tables
from rnnlm.text.corpus import Corpus
from rnnlm.text.named_columns import open_table
from rnnlm.text.sources import SourceSettings
from rnnlm.text.word_rows import sentences_of, tell_of_word_rows

SENTENCES = {("1", "a"): "the old dog was here", ("1", "b"): "the old dogs was here",
             ("2", "a"): "dogs bark", ("2", "b"): "a dog barks at the old man"}  # fmt: skip
# Each subject reads one condition of each item; the second begins where the first has ended.
READINGS = [("s1", "1", "a"), ("s1", "2", "b"), ("s2", "2", "b"), ("s2", "1", "a"),
            ("s3", "2", "a"), ("s3", "1", "b")]  # fmt: skip
BY_TWO = ("item", "cond")


def rows_of(readings=READINGS):
    names, rows = ("row", "subject", "item", "cond", "n", "word"), []
    for subject, item, cond in readings:
        for number, word in enumerate(SENTENCES[item, cond].split(), start=1):
            cells = (str(len(rows)), subject, item, cond, str(number), word)
            rows.append(dict(zip(names, cells, strict=True)))
    return rows


def table_in(folder, rows, without=()):
    names = [name for name in rows[0] if name not in without]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path = folder / "t.csv"
    path.write_text(text.getvalue())
    return open_table(str(path), tables.CSV, "strict", names)


def read(table, columns=BY_TWO):
    sentences = sentences_of(table, "word", columns)
    return [(" ".join(words), repeated) for _, words, repeated in sentences]


@pytest.mark.parametrize("without", [(), ("row",), ("n",), ("row", "n", "subject")], ids=str)
def test_sentences_are_rows_with_equal_columns_and_repeat_those_of_other_subjects(
    tmp_path, without
):
    expected, seen = [], set()
    for _, item, cond in READINGS:
        expected.append((SENTENCES[item, cond], (item, cond) in seen))
        seen.add((item, cond))
    with pytest.warns(RnnlmWarning, match="6 sentences, of which 2 repeat others"):
        assert read(table_in(tmp_path, rows_of(), without)) == expected


def test_a_column_that_numbers_the_words_ends_a_sentence_where_it_falls(tmp_path):
    expected = [(SENTENCES[item, cond], False) for _, item, cond in READINGS]
    for columns in (("n",), ("subject", "n"), ("N", "cond")):
        with pytest.warns(RnnlmWarning, match="6 sentences, which end where n falls"):
            assert read(table_in(tmp_path, rows_of()), columns) == expected


def test_a_place_on_the_screen_does_not_number_the_words_of_sentences(tmp_path):
    rows = rows_of([("s1", "2", "b"), ("s1", "1", "a")])
    for row in rows:
        row["n"] = str((int(row["n"]) - 1) % 4 + 1)
    texts = [SENTENCES["2", "b"], SENTENCES["1", "a"]]
    assert read(table_in(tmp_path, rows)) == [(text, False) for text in texts]


def changed(place, **cells):
    rows = rows_of()
    rows[place] |= cells
    return rows


def moved(rows, place):
    return [*rows[:place], rows[place + 1], rows[place], *rows[place + 2 :]]


BY_WORD = sorted(rows_of([("s1", "1", "a"), ("s2", "1", "a")]), key=lambda row: row["n"])
WRONG = {
    "an empty word": (changed(3, word=" "), "line 5: column 'word' holds no text"),
    "an empty item": (changed(3, item=""), "line 5: column 'item' is empty"),
    "a blank": (changed(3, word="a b"), "line 5: column 'word' holds several words: 'a b'"),
    "out of order": (moved(rows_of(), 1), "line 4: n is 2 after 3"),
    "a row missing": (rows_of()[:14] + rows_of()[15:], "line 14: item, cond = 2, b had other"),
    "subjects mixed": (BY_WORD, "line 2: from this row on, most words are those of the row before"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", WRONG)
def test_rows_that_make_no_sentence_are_an_error_with_the_row(tmp_path, what):
    rows, message = WRONG[what]
    with pytest.raises(TextError) as error:
        read(table_in(tmp_path, rows, ("row",)))
    assert message in str(error.value)


def test_words_that_are_missing_by_their_number_are_said(tmp_path):
    rows = [row for place, row in enumerate(rows_of(READINGS[:2])) if place not in (2, 7)]
    with pytest.warns(RnnlmWarning, match="line 4: words before this row are missing.*2 times"):
        read(table_in(tmp_path, rows, ("row",)))


TEN = [("s1", str(item), word) for item in range(10) for word in "the old dog was here".split()]


def numbered(first_of, step=1, rows=TEN):
    """Return ten sentences of five words, with numbers from `first_of` the item on."""
    return [
        {"subject": subject, "item": item, "word": word, "n": first_of(int(item)) + place % 5 * step}
        for place, (subject, item, word) in enumerate(rows)
    ]  # fmt: skip


SHUFFLED = [row for item in (3, 7, 1, 9, 0, 5, 2, 8, 4, 6) for row in TEN[5 * item : 5 * item + 5]]
BEGINNINGS = {
    "from 1": (numbered(lambda item: 1), 0),
    "from 0": (numbered(lambda item: 0), 0),
    "from word 4": (numbered(lambda item: 4), 10),
    "from word 4, shuffled": (numbered(lambda item: 4, rows=SHUFFLED), 10),
    "from other words": (numbered(lambda item: 2 + 2 * (item % 2)), 10),
    "one of them": (numbered(lambda item: 1 + 2 * (item == 6)), 1),
    "numbered through": (numbered(lambda item: 1 + 5 * item), 0),
    "numbered through, shuffled": (numbered(lambda item: 1 + 5 * item, rows=SHUFFLED), 0),
    "through texts of two": (numbered(lambda item: 1 + 5 * (item % 2), rows=SHUFFLED), 0),
    "codes": (numbered(lambda item: 100 * item + 1), 0),
}


@pytest.mark.parametrize("columns", ["item", "subject,item"])
@pytest.mark.parametrize("what", BEGINNINGS)
def test_sentences_without_their_first_words_are_said(tmp_path, recwarn, what, columns):
    rows, count = BEGINNINGS[what]
    assert len(read(table_in(tmp_path, rows), columns.split(","))) == 10
    said = [str(each.message) for each in recwarn if "missing, by n" in str(each.message)]
    assert len(said) == bool(count) and f"({count:,} times)" in "".join([*said, "(0 times)"])


@pytest.mark.parametrize("share, note", [(4, True), (6, False)])
def test_sentences_that_seem_to_be_several_are_said_from_a_fifth_on(tmp_path, recwarn, share, note):
    texts = ["He left . The dog barked .", *["A dog barks ."] * share]
    rows = [{"item": at, "word": word} for at, text in enumerate(texts) for word in text.split()]
    assert len(read(table_in(tmp_path, rows), ("item",))) == len(texts)
    said = [str(each.message) for each in recwarn]
    assert any("1 seem to be several, first" in each and "line 2, 'left . | The dog'" in each
               for each in said) == note  # fmt: skip


def test_a_text_has_the_sentences_of_several_subjects_once(tmp_path):
    table_in(tmp_path, rows_of())
    corpus = Corpus((str(tmp_path / "t.csv"),), source_settings=SourceSettings("word", BY_TWO))
    with pytest.warns(RnnlmWarning, match="repeat others"):
        [block] = corpus.blocks()
    assert sorted(block.lines) == sorted(SENTENCES.values())


def test_a_data_frame_with_a_row_a_word_becomes_sentences():
    with pytest.warns(RnnlmWarning, match="the data set: 6 sentences, of which 2 repeat"):
        corpus = Corpus.from_dataset(rows_of(), "word", sentence_columns=BY_TWO)
    [block] = corpus.blocks()
    assert sorted(block.lines) == sorted(SENTENCES.values())


# ---- The note where nobody has named such columns.

MANY = rows_of(READINGS * 2)
LIST = [{"rank": str(number), "word": f"w{number}", "n": str(30 - number)} for number in range(40)]
CHAT = [{"id": str(number), "word": "yes it is"} for number in range(40)]


@pytest.mark.parametrize("rows, names", [
    (MANY, "item,cond"), (MANY[:22], "item,cond"), (MANY[:19], None), (LIST, None), (CHAT, None),
    ([{"n": row["n"], "word": row["word"]} for row in MANY], "n"),
    ([{"n": row["n"], "word": f"w{place}"} for place, row in enumerate(MANY)], "n"),
    ([{"word": row["word"]} for row in MANY], None),
    ([{"rt": str(place * place), "word": row["word"]} for place, row in enumerate(MANY)], None),
    ([row | {"word": SENTENCES[row["item"], row["cond"]]} for row in MANY], None),
    ([row | {"level": "A" if int(row["rank"]) < 20 else "B"} for row in LIST], None),
])  # fmt: skip
def test_a_note_names_the_columns_only_where_rows_look_like_words(tmp_path, recwarn, rows, names):
    tell_of_word_rows(table_in(tmp_path, rows, ("row", "subject")), "word")
    notes = [str(warning.message) for warning in recwarn]
    named = [note.split('="')[1].split('"')[0] for note in notes]
    assert named == ([names] if names else [])

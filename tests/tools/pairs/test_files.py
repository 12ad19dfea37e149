import gzip
import json
import warnings

import pytest

from rnnlm.errors import RnnlmWarning, TextError
from rnnlm.tools.pairs.accuracy import score_set
from rnnlm.tools.pairs.pair import FORMATS, SENTENCES, TEMPLATES, WINOGRAD, Pair, read_pairs
from support.failures import notices_of
from support.tiny_models import fit

BLIMP = {
    "sentence_good": "Who left?", "sentence_bad": "Left who?", "field": "syntax",
    "linguistics_term": "order", "UID": "who_left", "pairID": "0", "one_prefix_method": False,
}  # fmt: skip


def read(folder, name: str, content: str | bytes):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_pairs(folder / name)


def sentences(folder, name: str, content: str) -> list[tuple[str, str]]:
    found = read(folder, name, content).pairs
    assert [pair.problem for pair in found] == [None] * len(found)
    return [(pair.good, pair.bad) for pair in found]


def problems(folder, name: str, content: str) -> list[str | None]:
    return [pair.problem for pair in read(folder, name, content).pairs]


def test_blimp_with_its_labels(tmp_path):
    (pair,) = read(tmp_path, "x.jsonl", json.dumps(BLIMP) + "\n").pairs
    expected = Pair("who_left", "Who left?", "Left who?", "0", "order", "syntax", where=pair.where)
    assert pair == expected
    assert (pair.scoring, pair.where.startswith(str(tmp_path))) == ("full", True)


def test_columns_that_are_not_read_are_named(tmp_path):
    for more, notices in (({}, 0), ({"paradigms": "order", "checked": 1}, 1)):
        content = json.dumps(BLIMP | {"two_prefix_word": "left"} | more)
        found = notices_of(lambda content=content: read(tmp_path, "x.jsonl", content))
        assert len(found) == notices
    message = "x.jsonl: 2 fields are not read: 'paradigms', 'checked' (did you mean 'paradigm'?)"
    assert found[0].endswith(message)


@pytest.mark.parametrize("name, content", [
    ("a.tsv", "good\tbad\tkind\nthe cat\tcat the\torder\na \"b\tb\torder\n"),
    ("a.csv", 'kind,good,bad\norder,the cat,cat the\norder,"a ""b",b\n'),
    ("a.jsonl",
     ('{"good": "the cat", "bad": "cat the", "kind": "order"}\n{"good": "a \\"b", "bad": "b", '
      '"kind": "order"}\n')),
    ("a.json", ('[{"sentence_good": "the cat", "sentence_bad": "cat the", "paradigm": "order"},'
                ' {"good": "a \\"b", "bad": "b", "UID": "order"}]')),
    ("a.txt", "good\tbad\tkind\nthe cat\tcat the\torder\na \"b\tb\torder\n"),
    ("a",
     ('\ufeff [{"good": "the cat", "bad": "cat the", "kind": "order"}, {"good": "a \\"b", '
      '"bad": "b", "kind": "order"}]')),
])  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_every_kind_of_table_gives_the_same_pairs(tmp_path, name, content, packed):
    data = gzip.compress(content.encode()) if packed else content.encode()
    found = read(tmp_path, f"{name}.gz" if packed else name, data)
    expected = [("order", "the cat", "cat the"), ("order", 'a "b', "b")]
    assert [(pair.kind, pair.good, pair.bad) for pair in found.pairs] == expected
    assert found.format == "good and bad sentences"


def test_spellings_of_a_blimp_field_and_of_whole_numbers_agree(tmp_path):
    fields = ("syntax_semantics", "syntax/semantics", "syntax")
    rows = [{**BLIMP, "field": field} for field in fields]
    found = read(tmp_path, "x.jsonl", "\n".join(map(json.dumps, rows))).pairs
    assert [pair.field for pair in found] == ["syntax/semantics", "syntax/semantics", "syntax"]
    pair = {"good": "a", "bad": "b"}
    rows = [{**pair, "distance": 3.0, "attractors": "1.0"}, {**pair, "distance": 1.5}]
    one, other = read(tmp_path, "x.jsonl", "\n".join(map(json.dumps, rows))).pairs
    assert (one.distance, one.attractors, one.problem) == (3, 1, None)
    assert other.problem == "distance is not a whole number"


def test_a_folders_files_are_kinds_in_name_order(tmp_path):
    (tmp_path / "b.jsonl").write_text(json.dumps(BLIMP) + "\n")
    (tmp_path / "a.tsv").write_text("good\tbad\nx\ty\n")
    (tmp_path / "README.md").write_text("not a table")
    assert [pair.kind for pair in read_pairs(tmp_path).pairs] == ["a", "who_left"]
    assert [pair.kind for pair in read_pairs(f"{tmp_path}/*.tsv").pairs] == ["pairs"]


KEYS = "The keys to the cabinet"


@pytest.mark.parametrize("row", [
    f"{KEYS} are here\t6\tare\tis", f"{KEYS} is here\t6\tare\tis",
    f"{KEYS} ***mask*** here\t\tare\tis", f"{KEYS} _ here\t\tare\tis",
])  # fmt: skip
def test_agreement_templates_insert_both_verb_forms(tmp_path, row):
    header = "sentence\tverb_index\tright\twrong\tn_diff_intervening\tdistance"
    found = read(tmp_path, "a.tsv", f"{header}\n{row}\t1\t4\n")
    (pair,) = found.pairs
    assert (pair.good, pair.bad) == (f"{KEYS} are here", f"{KEYS} is here")
    assert (pair.scoring, pair.attractors, pair.distance) == ("word", 1, 4)
    assert found.format == "agreement templates"


@pytest.mark.parametrize("row, problem", [
    ("The keys are\t9\tare\tis", "verb_index is 9, but the sentence has 3 words"),
    ("The keys are\tx\tare\tis", "verb_index is not a whole"),
    ("The keys are\t2\tare\tis", "word 2 is 'keys', neither 'are' nor 'is'"),
    ("The _ keys _\t2\tare\tis", "several places"), ("The keys are\t3\tare\t", "wrong is missing"),
    ("\t3\tare\tis", "sentence is missing"), ("The keys are\t0\tare\tis", "is 0, but"),
])  # fmt: skip
def test_a_template_that_does_not_fit_says_why(tmp_path, row, problem):
    (found,) = problems(tmp_path, "a.tsv", f"sentence\tverb_index\tright\twrong\n{row}\n")
    assert problem in found


TABLES = {
    SENTENCES: {"good": "the keys are", "bad": "the keys is"},
    TEMPLATES: {"sentence": "the keys ***mask***", "right": "are", "wrong": "is"},
    WINOGRAD: {"sentence": "Ann paid Eve _", "option1": "a", "option2": "b", "answer": "1"},
}


@pytest.mark.parametrize("format", TABLES, ids=lambda format: format.name)
def test_a_column_of_another_format_is_not_taken_for_it(tmp_path, format):
    assert set(TABLES) == set(FORMATS)
    row = TABLES[format]
    own = {name for names in format.needed for name in names}
    others = {name for other in FORMATS for names in other.needed for name in names}
    for name in sorted(others - own):
        found = read(tmp_path, "x.jsonl", json.dumps({**row, name: "yes"}))
        assert (found.format, found.pairs[0].problem) == (format.name, None), name


def test_winogrande(tmp_path):
    rows = [{"sentence": "Ann paid Eve because _ had lost.", "option1": "Ann", "option2": "Eve",
             "answer": "1", "qID": "q1"},
            {"sentence": "_ fell off the tray.", "option1": "the cup", "option2": "The spoon",
             "answer": "B"}]  # fmt: skip
    found = read(tmp_path, "w.jsonl", "\n".join(map(json.dumps, rows)))
    assert [(pair.good, pair.bad) for pair in found.pairs] == [
        ("Ann paid Eve because Ann had lost.", "Ann paid Eve because Eve had lost."),
        ("The spoon fell off the tray.", "The cup fell off the tray."),
    ]
    assert {pair.scoring for pair in found.pairs} == {"partial"} and found.pairs[0].id == "q1"


def test_winograd_schemas_with_a_pronoun(tmp_path):
    text = "It rained. The cup did not fit on the tray because it was too big."
    row = {"text": text, "pronoun": "it", "options": ["The cup", "The tray"], "label": 0}
    wanted = tuple(text.replace("because it", f"because the {name}") for name in ("cup", "tray"))
    assert sentences(tmp_path, "w.json", json.dumps([row])) == [wanted]
    twice = {**row, "text": f"{text} it"}
    [problem] = problems(tmp_path, "w.json", json.dumps([twice]))
    assert problem == "the pronoun occurs 2 times in the sentence, not once"
    placed = {**twice, "pronoun_loc": text.index("it was")}
    assert len(sentences(tmp_path, "w.json", json.dumps([placed]))) == 1
    by_text = {key: value for key, value in row.items() if key != "label"} | {"answer": "The tray"}
    assert sentences(tmp_path, "w.json", json.dumps([by_text])) == [wanted[::-1]]


@pytest.mark.parametrize("changes, problem", [
    ({"answer": ""}, "answer is missing"), ({"answer": "3"}, "answer is '3', neither 1 nor 2"),
    ({"option2": ""}, "option2 is missing"),
    ({"sentence": "no blank"}, "a blank (_) occurs 0 times in the sentence"),
    ({"answer": None, "label": 2}, "label is 2, neither 0 nor 1"),
    ({"options": ["a"]}, "options are not two texts"),
    ({"pronoun": "she"}, "the pronoun occurs 0 times in the sentence"),
])  # fmt: skip
def test_a_schema_with_a_part_missing_says_why(tmp_path, changes, problem):
    row = {"sentence": "Ann left because _ was late.", "option1": "Ann", "option2": "Eve"}
    (found,) = problems(tmp_path, "w.jsonl", json.dumps({**row, "answer": "1", **changes}))
    assert problem in found


@pytest.mark.parametrize("row, problem", [
    ("the\t", "bad is missing"), ("the", "bad is missing"), (" \tman", "good is missing"),
    ("a\tb\tx", "distance is not a whole number"), ("a\tb\t1\tx", "more cells than columns"),
])  # fmt: skip
def test_a_non_pair_row_gives_its_reason(tmp_path, row, problem):
    found = read(tmp_path, "a.tsv", f"good\tbad\tdistance\nthe man\tman the\t2\n{row}\n").pairs
    assert [pair.problem is None for pair in found] == [True, False]
    assert problem in found[1].problem and found[1].where.endswith("a.tsv, line 3")


def test_a_field_of_another_type_is_told(tmp_path):
    one_sided = {key: value for key, value in BLIMP.items() if key != "sentence_bad"}
    rows = [{**BLIMP, "sentence_bad": 7}, one_sided, BLIMP]
    found = problems(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert found == ["sentence_bad is not text", "bad is missing", None]


BAD_FILES = {
    "empty": ("a.tsv", "", "a.tsv holds no pairs"),
    "empty JSON": ("a.json", "", "a.json holds no pairs"),
    "no rows": ("a.tsv", "good\tbad\n", "a.tsv holds no pairs"),
    "other columns": ("a.tsv", "one\ttwo\nx\ty\n",
                      "does not have the columns of a list of pairs; it has one, two"),
    "prose": ("a.txt", "For most of history, a letter took weeks.\nIt went by ship.\n",
              "its first line is not a header of columns: 'For most of history, a letter took week"),
    "prose as CSV": ("a.csv", "For most of history, letters took weeks.\nIt went, by ship.\n",
                     "its first line is not a header of columns: 'For most of history'"),
    "long names": ("a.csv", "How old are you now?,How do you feel?\n1,2\n",
                   r"it has How old are you now\?, How do you feel\?"),
    "one column": ("a.tsv", "good\nx\n", "has no column 'bad'"),
    "no answers": ("a.jsonl", '{"sentence": "_", "option1": "x", "option2": "y"}',
                   "has no column 'answer'"),
    "one form": ("a.tsv", "sentence\tright\nx\ty\n", "has no column 'wrong'"),
    "broken JSON": ("a.jsonl", '{"good": "x", "bad": "y"}\n{"good"', "line 2: not JSON"),
    "no objects": ("a.json", "[1, 2]", "element 1: not a JSON object"),
    "an object cut off": ("a.json", '{"items": [', "not JSON"),
    "another object": ("a.json", '{"items": []}', "does not have the columns of a list of pairs"),
    "not UTF-8": ("a.tsv", b"good\tbad\nthe\t\xff\n", "line 2, byte 5: not UTF-8"),
    "not UTF-8 in JSON": ("a.json", b'[{"good": "\xff"}]', "line 1, byte 12: not UTF-8"),
    "binary": ("a.jsonl", b"\x00\x01\x02{", "line 1, byte 1: a NUL byte"),
    "binary table": ("a.tsv", bytes(range(128)), "a.tsv"),
    "not compressed": ("a.jsonl.gz", b"junk", "line 1: not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("name, content, message", BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_contradicting_its_format_is_an_error(tmp_path, name, content, message):
    with pytest.raises(TextError, match=message):
        read(tmp_path, name, content)


def test_missing_empty_or_mixed_sources_are_errors(tmp_path):
    for source, message in ((tmp_path / "x.tsv", "no such file"), (tmp_path, "holds no pairs"),
                            ("hf:a/b", "read from files"),
                            (f"{tmp_path}/*.tsv", "no file matches")):  # fmt: skip
        with pytest.raises(TextError, match=message):
            read_pairs(source)
    (tmp_path / "a.jsonl").write_text(json.dumps(BLIMP))
    (tmp_path / "b.tsv").write_text("sentence\tverb_index\tright\twrong\na _\t2\tis\tare\n")
    with pytest.raises(TextError, match="mixes formats; .*a.jsonl holds good .*b.tsv agreement"):
        read_pairs(tmp_path)


def test_white_space_of_pairs_is_told_and_stripped(tmp_path):
    model = fit("ngram", ["the dogs bark.", "the dog barks."] * 5, tokenizer="char")
    rows = [("the dogs bark. ", "the dogs barks."), ("the dogs bark.", "the  dogs barks.")]
    path = tmp_path / "pairs.tsv"
    path.write_text("".join("\t".join(row) + "\n" for row in [("good", "bad"), *rows]))
    with pytest.warns(RnnlmWarning, match="^2 sentences hold irregular white space.*`strip=True`"):
        score_set(model, read_pairs(path))
    read = read_pairs(path, strip=True)
    stripped = [(pair.good, pair.bad) for pair in read.pairs]
    assert stripped == [("the dogs bark.", "the dogs barks.")] * 2
    with warnings.catch_warnings(action="error", category=RnnlmWarning):
        score_set(model, read)
    path = tmp_path / "pairs.json"
    path.write_text('[{"good": " a  b", "bad": "a\\tc "}]')
    (pair,) = read_pairs(path, strip=True).pairs
    assert (pair.good, pair.bad) == ("a b", "a c")

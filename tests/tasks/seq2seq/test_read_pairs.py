"""Files of pairs: each format is told by name or content, each fault by its line."""

import gzip
import json

import pyarrow
import pyarrow.parquet
import pytest

from rnnlm.errors import RnnlmWarning, TextError, UsageError
from rnnlm.tasks.seq2seq.options import ParallelSettings
from rnnlm.tasks.seq2seq.pairs import ParallelPair, read_pairs

ROWS = [
    {"id": 7, "english": "Go.", "french": "Va !"},
    {"id": 8, "english": 'He said "a, b"', "french": "Il a dit\u202f: b"},
]
SIDES = [("Go.", ("Va !",)), ('He said "a, b"', ("Il a dit\u202f: b",))]
NAMED = {"column": "english", "target_column": "french"}
TSV = "\n".join(["\t".join(ROWS[0]), *("\t".join(map(str, row.values())) for row in ROWS)]) + "\n"
CSV = 'id;english;french\n7;Go.;Va !\n8;"He said ""a, b""";Il a dit\u202f: b\n'


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a file with this content, beside its `references`."""

    def of(content, *references, name="data.txt", **settings):
        targets = {f"target{n}.txt": text for n, text in enumerate(references, start=1)}
        for file, text in {name: content, **targets}.items():
            (tmp_path / file).write_bytes(text if isinstance(text, bytes) else text.encode())
        beside = [[tmp_path / file] for file in targets]
        return read_pairs([tmp_path / name], ParallelSettings(**settings), beside)

    return of


def rows_of(*rows):
    """Return rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def sides(text):
    return [(pair.source, pair.references) for pair in text.pairs]


def test_a_lexicon_is_pairs_of_words_and_sounds(read):
    text = read(";;; x\nCAT  K AE T\n\nTHE  DH AH0\nTHE(2)  DH IY0\n", name="cmu.dict")
    assert sides(text) == [("CAT", ("K AE T",)), ("THE", ("DH AH0",)), ("THE", ("DH IY0",))]
    assert [pair.line for pair in text.pairs] == [2, 4, 5]
    assert (text.source_name, text.target_name) == ("word", "sounds")
    with pytest.raises(TextError, match="its pair format is not recognised"):
        read("hello  world\nthis is prose\nand no lexicon\n")


@pytest.mark.parametrize("content, name, format, lines", [
    (TSV, "x.tsv", "tsv", [2, 3]), ("\ufeff" + TSV.replace("\n", "\r\n"), "x", "tsv", [2, 3]),
    (gzip.compress(TSV.encode(), mtime=0), "x.tsv.gz", "tsv", [2, 3]),
    (CSV, "x.csv", "csv", [2, 3]), (rows_of(*ROWS), "x.jsonl", "jsonl", [1, 2]),
    ("\n" + rows_of(*ROWS), "x", "jsonl", [2, 3]),
    (json.dumps(ROWS, indent=1), "x", "jsonl", [1, 2]),
    (rows_of([{"id": 7, "translation": row} for row in ROWS]), "x.json", "jsonl", [1, 2]),
    (None, "x.parquet", "parquet", [1, 2]),
])  # fmt: skip
def test_the_same_pairs_are_read_of_every_table(read, tmp_path, content, name, format, lines):
    if content is None:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / name)
        content = (tmp_path / name).read_bytes()
    text = read(content, name=name, **NAMED)
    assert sides(text) == SIDES
    assert (text.source_name, text.target_name, text.format) == ("english", "french", format)
    assert [pair.line for pair in text.pairs] == lines
    assert text.pairs[0].where == f"{tmp_path / name}, line {lines[0]}"
    assert text.content_hash == "345f6199a72f"


def test_a_hash_covers_the_pairs_and_their_direction(read):
    parallel = read('Go.\nHe said "a, b"\n', "Va !\nIl a dit\u202f: b\n")
    assert parallel.content_hash == "345f6199a72f"
    assert read(TSV, column="french", target_column="english").content_hash != "345f6199a72f"


def test_parallel_files_give_each_source_several_targets(read, tmp_path):
    text = read("Go.\r\nStop\u2028now", "Va !\nArrête\n", "Allez !\r\nCesse\r\n")
    file = str(tmp_path / "data.txt")
    assert text.pairs == (
        ParallelPair("Go.", ("Va !", "Allez !"), 1, file),
        ParallelPair("Stop\u2028now", ("Arrête", "Cesse"), 2, file),
    )
    assert (text.source_name, text.target_name, text.format) == ("source", "target", "parallel")


def test_several_files_and_globs_are_read_in_order(tmp_path):
    for name in ("a.en", "b.en"):
        (tmp_path / name).write_text(f"{name} 1\n{name} 2\n")
        (tmp_path / name.replace("en", "fr")).write_text("x\ny\n")
    text = read_pairs([tmp_path / "*.en"], ParallelSettings(), [[tmp_path / "*.fr"]])
    expected = [("a.en 1", 1), ("a.en 2", 2), ("b.en 1", 1), ("b.en 2", 2)]
    assert [(pair.source, pair.line) for pair in text.pairs] == expected
    with pytest.raises(UsageError, match="2 source files and 1 target files"):
        read_pairs([tmp_path / "*.en"], ParallelSettings(), [[tmp_path / "a.fr"]])


def test_a_list_of_targets_is_several_references(read, tmp_path):
    rows = [{"question": "2 + 2", "answer": ["4", "four"]}, {"question": "1 + 1", "answer": ["2"]}]
    expected = [("2 + 2", ("4", "four")), ("1 + 1", ("2",))]
    assert sides(read(rows_of(*rows))) == expected
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "x.parquet")
    assert sides(read_pairs([tmp_path / "x.parquet"])) == expected
    assert sides(read('{"question": "2 + 2", "answer": 4}')) == [("2 + 2", ("4",))]


@pytest.mark.parametrize("header, settings, expected", [
    ("French\tenglish", {}, "ab"), ("target\tsource", {}, "ba"), ("n\tsrc\ttgt", {}, "bc"),
    ("response\tid\tprompt", {}, "ca"), ("x\ty", {"column": "y"}, "ba"),
    ("x\ty", {"target_column": "y"}, "ab"), ("output\tx\tinput", {"target_column": "output"}, "ca"),
    ("source\ttarget\tz", {"column": "z", "target_column": "source"}, "ca"),
])  # fmt: skip
def test_unnamed_columns_have_usual_names_or_are_two(read, header, settings, expected):
    row = "a\tb\tc" if header.count("\t") == 2 else "a\tb"
    ((source, (target,)),) = sides(read(f"{header}\n{row}\n", **settings))
    assert source + target == expected


@pytest.mark.parametrize("name, delimiter", [("x.tsv", "\t"), ("x.csv", ";"), ("x", "\t")])
def test_columns_without_a_header_are_named_by_number(read, name, delimiter):
    content = "Go.|Va !|CC-BY\nHi.|Salut|CC-BY\n".replace("|", delimiter)
    text = read(content, name=name, column="2", target_column="1")
    assert sides(text) == [("Va !", ("Go.",)), ("Salut", ("Hi.",))]
    assert (text.source_name, text.target_name, text.pairs[0].line) == ("2", "1", 1)


def test_newlines_become_spaces_and_bad_utf8_is_replaced_on_request(read):
    text = read('source,target\n"one\r\ntwo\n","x\ny"\n', name="x.csv")
    assert sides(text) == [("one two", ("x y",))]
    parallel = read(b"a \xff\n", b"\xfe\n", encoding_errors="replace")
    assert sides(parallel) == [("a \ufffd", ("\ufffd",))]
    assert sides(read(b"a\tb\n1\t\xff\n", encoding_errors="replace")) == [("1", ("\ufffd",))]


def test_repeated_sources_are_grouped_with_distinct_references(read):
    text = read("b\na\nb\nc\nb\n", "1\n2\n3\n4\n1\n")
    grouped = text.grouped()
    assert sides(grouped) == [("b", ("1", "3")), ("a", ("2",)), ("c", ("4",))]
    assert [pair.line for pair in grouped.pairs] == [1, 2, 4]
    rows = [{"x": "b", "y": ["1", "3"]}, {"x": "a", "y": "2"}, {"x": "c", "y": "4"}]
    assert grouped.content_hash == read(rows_of(*rows)).content_hash != text.content_hash
    # What stands on one line is kept, equal references, too.
    beside = read("a\nb\n", "1\n2\n", "1\n3\n").grouped()
    assert sides(beside) == [("a", ("1", "1")), ("b", ("2", "3"))]


def test_empty_sides_are_dropped_on_request_and_counted(read):
    message = "pairs left out because their source or target is empty: 2 of 4"
    with pytest.warns(RnnlmWarning, match=message):
        text = read("a\tb\n1\t2\n \t2\n3\t\n\n4\t5\n", skip_empty=True)
    assert sides(text) == [("1", ("2",)), ("4", ("5",))]
    with (
        pytest.warns(RnnlmWarning, match="pairs left out .*: 1 of 3"),
        pytest.warns(RnnlmWarning, match="empty references left out of pairs that have others: 1"),
    ):
        text = read("a\nb\nc\n", "1\n\n3\n", "4\n\n\n", skip_empty=True)
    assert sides(text) == [("a", ("1", "4")), ("c", ("3",))]
    with pytest.warns(RnnlmWarning, match="pairs left out .*: 2 of 3"):
        text = read('{"a": "1", "b": "2"}\n{"a": "3"}\n{"a": "4", "b": []}', skip_empty=True)
    assert sides(text) == [("1", ("2",))]
    with pytest.warns(RnnlmWarning), pytest.raises(TextError, match="all of them are empty"):
        read("a\n", "\n", skip_empty=True)


def test_rows_with_an_empty_side_are_left_out_and_counted(read):
    sides_of = [["1", "2"], ["", "2"], ["3", None], [float("nan"), "4"], ["5", []],
                ["6", ["7", ""]], ["null", "NaN"]]  # fmt: skip
    with (
        pytest.warns(RnnlmWarning, match="pairs left out .* is empty: 4 of 7"),
        pytest.warns(RnnlmWarning, match="empty references left out .*: 1"),
    ):
        text = read(rows_of(*({"a": a, "b": b} for a, b in sides_of)))
    assert sides(text) == [("1", ("2",)), ("6", ("7",)), ("null", ("NaN",))]
    with pytest.warns(RnnlmWarning, match="pairs left out .*: 2 of 3"):
        assert sides(read("a\tb\n1\t2\n\t2\n3\n")) == [("1", ("2",))]


def test_special_symbols_are_an_error_dropped_or_replaced(read):
    with pytest.raises(TextError, match="data.txt, line 2: the text holds <s>.*`special_symbols`"):
        read("a\n<s> b\n", "1\n2\n")
    with pytest.raises(TextError, match="target1.txt, line 2: the text holds </s>"):
        read("a\nb\n", "1\n2 </s>\n")
    table = "source\ttarget\na </s>\t<s> b <unk> <s>c\n"
    assert sides(read(table, special_symbols="drop")) == [("a", ("b <unk> <s>c",))]
    assert sides(read(table, special_symbols="replace")) == [("a <unk>", ("<unk> b <unk> <s>c",))]
    with pytest.warns(RnnlmWarning, match="source or target is empty: 1 of 2"):
        text = read("source\ttarget\n<s>\tb\nc\td\n", special_symbols="drop")
    assert sides(text) == [("c", ("d",))]
    with pytest.raises(TextError, match="data.txt, line 1: the source is empty"):
        read("<s>\n", "b\n", special_symbols="drop")


@pytest.mark.parametrize("contents, message", [
    (("a\nb\n", "1\n"), "target1.txt has 1 line, .*data.txt has more.*line 2 of .*data.txt"),
    (("a\n", "1\n", "1\n2\n"), "data.txt has 1 line, .*target2.txt has more.*line 2 of .*target2"),
    (("a\n\nc\n", "1\n2\n3\n"), "data.txt, line 2: the source is empty.*`skip_empty=True`"),
    (("a\nb\n", "1\n \t\n"), "target1.txt, line 2: the target is empty.*`skip_empty=True`"),
    (("a\nb\n", "1\n2\n", "1\n\n"), "target2.txt, line 2: the target is empty"),
    (("a\nb\n", b"1\n2 \xff\n"), "target1.txt, line 2, byte 3: not UTF-8"),
    (("", ""), "no pairs in .*data.txt"), (("",), "no pairs in .*data.txt"),
    ((" \n\n",), "no pairs in .*data.txt"), (("source\ttarget\n",), "no pairs in .*data.txt"),
    (("a\tb\n1\t2\t3\n",), "data.txt, line 2: the row has more cells than columns"),
    ((b"a\tb\n1\t2\n3\t\xff\n",), "data.txt, line 3, byte 3: not UTF-8"),
    ((TSV,), "data.txt, line 2: which column holds the sources.*it has id, english, french.*or `c"),
    (('{"a": "1", "b": "2"}\n{"a": "3"}\n',), "line 2: no column 'b'.*it has a"),
    (('{"a": "1", "b": {"c": "2"}}\n',), "line 1: column 'b' holds a dict"),
    (('{"a": ["1"], "b": "2"}\n',), "line 1: column 'a' holds a list"),
    (('{"a": "1", "b": ["2", ["3"]]}\n',), "line 1: column 'b' holds a list"),
    (('{"a": "1", "b": "2"}\n{"a": \n',), "line 2: not JSON"),
    (("just a text\nand more\n",), "its pair format is not recognised.*'just a.*`target`"),
])  # fmt: skip
def test_each_fault_is_an_error_naming_its_line(read, contents, message):
    with pytest.raises(TextError, match=message):
        read(*contents)


@pytest.mark.parametrize("settings, message", [
    ({"column": "english"}, 'which column holds.*`column="english"` and `target_column="french"`'),
    ({**NAMED, "target_column": "frensh"}, "no column 'frensh'.*it has id.*did you mean 'french'"),
    ({"column": "2", "target_column": "4"}, "no column '4'.*it has id, english, french"),
])  # fmt: skip
def test_wrong_columns_name_those_there_are(read, settings, message):
    with pytest.raises(TextError, match=message):
        read(TSV, **settings)


def test_what_does_not_go_together_is_wrong_usage(read, tmp_path):
    with pytest.raises(UsageError, match="save it as Parquet or JSON lines"):
        read_pairs(["hf:owner/name"])
    with pytest.raises(TextError, match=r"is a directory; name its files: .*/\*.tsv"):
        read_pairs([tmp_path])
    with pytest.raises(UsageError, match="format parallel: there is no file with targets"):
        read(TSV, format="parallel")
    with pytest.raises(UsageError, match="format csv: targets are in separate files"):
        read("a", "b", format="csv")
    with pytest.raises(UsageError, match='x.tsv is a table.*`format="parallel"`'):
        read("a\tb\n", "1\n", name="x.tsv")
    assert sides(read("a\tb\n", "1\n", name="x.tsv", format="parallel")) == [("a\tb", ("1",))]
    with pytest.warns(RnnlmWarning, match="data.txt: read line by line as text, ignoring `column`"):
        assert sides(read("a\n", "1\n", **NAMED)) == [("a", ("1",))]


def test_tables_of_other_columns_are_an_error(tmp_path):
    files = [tmp_path / "a.tsv", tmp_path / "b.tsv"]
    files[0].write_text("english\tfrench\na\tb\n")
    files[1].write_text("french\tenglish\na\tb\n")
    what = r"b.tsv: pairs of french and english, but those of .*a.tsv"
    with pytest.raises(TextError, match=what):
        read_pairs(files)
    assert sides(read_pairs(files, ParallelSettings(**NAMED))) == [("a", ("b",)), ("b", ("a",))]

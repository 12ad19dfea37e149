"""`rnnlm tag`: tables, JSON-lines, and files with labels written into them."""

import gzip
import json

import click
import pyarrow
import pyarrow.parquet
import pytest

from rnnlm.tasks.labels.tagging import tag
from support.commands import Outcome
from support.tiny_tasks import VALID, columns

SENTENCE = "fly me to new york at noon"
SLOTS = ["O", "O", "O", "B-place", "I-place", "O", "B-time"]
SEVEN = "\t".join("_" * 7)
RAW = "They do n't like old cats .\n\nThey do .\n"


def test_sentence_is_a_table_of_words_and_labels(rnnlm, tagger):
    shown = rnnlm("tag", "-m", tagger.folder, SENTENCE).out
    assert shown.splitlines() == [
        "word\t2",
        *(f"{word}\t{label}" for word, label in zip(SENTENCE.split(), SLOTS, strict=True)),
    ]


def test_several_sentences_have_own_numbers_and_labels(rnnlm, slot_tagger):
    rows = rnnlm(
        f"tag -m {slot_tagger.folder} 'fly me' 'what costs it at noon' --probabilities"
    ).rows
    assert rows[0] == [
        "sentence",
        "word",
        "slots",
        "slots_probability",
        "intent",
        "intent_probability",
    ]
    assert [(row[0], row[1], row[2], row[4]) for row in rows[1:]] == [
        ("1", "fly", "O", "flight"), ("1", "me", "O", "flight"),
        ("2", "what", "O", "fare"), ("2", "costs", "O", "fare"), ("2", "it", "O", "fare"),
        ("2", "at", "O", "fare"), ("2", "noon", "B-time", "fare"),
    ]  # fmt: skip
    assert all(0.5 < float(row[place]) <= 1 for row in rows[1:] for place in (3, 5))


def test_the_n_best_are_a_row_each(rnnlm, slot_tagger):
    rows = rnnlm("tag", "-m", slot_tagger.folder, SENTENCE, "--nbest", "3").rows
    assert rows[0] == ["column", "rank", "probability", "labels"]
    assert [row[:2] for row in rows[1:]] == [
        ["slots", "1"],
        ["slots", "2"],
        ["slots", "3"],
        ["intent", "1"],
        ["intent", "2"],
    ]
    assert (
        rows[1][3]
        == " ".join(f"{word}/{label}" for word, label in zip(SENTENCE.split(), SLOTS, strict=True))
        and rows[4][3] == "flight"
    )
    assert float(rows[1][2]) > float(rows[2][2]) >= float(rows[3][2])


def test_json_has_what_python_has(rnnlm, slot_tagger):
    shown = rnnlm(
        f"tag -m {slot_tagger.folder} 'fly me to oslo' 'at ten' --json --nbest 2 --probabilities"
    ).out
    found = [json.loads(line) for line in shown.splitlines()]
    expected = tag(slot_tagger.folder, ["fly me to oslo", "at ten"], nbest=2, probabilities=True)
    assert found == [json.loads(json.dumps(each.to_dict())) for each in expected]
    assert {*found[0]} == {
        "text", "words", "labels", "sentence_labels", "nbest", "probabilities",
        "sentence_probabilities",
    }  # fmt: skip


def test_columns_are_rewritten_with_labels_in_place(rnnlm, tagger, here):
    text = "-DOCSTART- O\n\n" + columns([(words, ["?"] * len(words), "") for words, _, _ in VALID])
    (here / "in.conll").write_text(text)
    assert (
        rnnlm(f"tag -m {tagger.folder} --input in.conll --input-format columns -o out.conll").code
        == 0
    )
    (here / "gold").write_text("-DOCSTART- O\n\n" + columns(VALID))  # told by its labels
    assert (
        rnnlm("tag", "-m", tagger.folder, "--input", "gold").out == (here / "out.conll").read_text()
    )
    tagged = tag(tagger.folder, [words for words, _, _ in VALID])
    assert (here / "out.conll").read_text() == "-DOCSTART- O\n\n" + columns(
        [(each.words, each.labels["2"], "") for each in tagged]
    )


def test_conllu_keeps_all_but_the_labels(rnnlm, treebank_tagger, here):
    text = (treebank_tagger.parent / "treebank.conllu").read_text()
    without = (
        text.replace("\tPRON\t", "\t_\t").replace("\tNOUN\t", "\tX\t").replace("\tnot\t", "\t_\t")
    )
    shown = rnnlm("tag", "-m", treebank_tagger, stdin=without.encode())
    assert (shown.code, shown.out) == (0, text)


def test_treebank_tagger_writes_text_as_conllu(rnnlm, treebank_tagger):
    lines = rnnlm("tag", "-m", treebank_tagger, stdin=RAW.encode()).out.splitlines()
    assert lines[:5] == [
        "# text = They do n't like old cats .",
        "1\tThey\tthey\tPRON\t_\t_\t_\t_\t_\t_",
        "2\tdo\tdo\tAUX\t_\t_\t_\t_\t_\t_",
        "3\tn't\tnot\tPART\t_\t_\t_\t_\t_\t_",
        "4\tlike\tlike\tVERB\t_\t_\t_\t_\t_\t_",
    ]
    assert lines[7].startswith("7\t.\t") and lines[8] == ""


@pytest.mark.parametrize(("name", "options", "expected"), [
    ("columns", (), "fly\tO\nme\tO\n\n"),
    ("tsv", ("-o", "out.tsv"), "text\t2\nfly me\tO O\n"),
    ("jsonl", ("-o", "out.jsonl"), '{"text": "fly me", "words": ["fly", "me"], "2": ["O", "O"]}\n'),
    ("conllu", ("-o", "out.conllu"),
     f"# text = fly me\n1\tfly\t{SEVEN}\tLabel=O\n2\tme\t{SEVEN}\tLabel=O\n\n"),
])  # fmt: skip
def test_raw_text_takes_training_or_requested_format(rnnlm, tagger, here, name, options, expected):
    shown = rnnlm("tag", "-m", tagger.folder, *options, stdin=b"fly me\n")
    assert shown.code == 0, shown.err
    assert (next(here.iterdir()).read_text() if options[:1] == ("-o",) else shown.out) == expected
    if options:
        again = rnnlm("tag", "-m", tagger.folder, "fly me", *options, "--overwrite")
        assert again.code == 0 and next(here.iterdir()).read_text() == expected


def test_tables_keep_their_columns_and_take_probabilities(rnnlm, slot_tagger, here):
    (here / "in.jsonl").write_text('{"id": 7, "words": "fly me", "intent": "?"}\n')
    [row] = rnnlm(f"tag -m {slot_tagger.folder} --input in.jsonl --probabilities").records
    assert [*row] == ["id", "words", "intent", "slots", "slots_probability", "intent_probability"]
    assert (row["id"], row["slots"], row["intent"]) == (7, ["O", "O"], "flight") and 0.5 < row[
        "intent_probability"
    ] <= 1


def test_sentence_labels_need_a_format_with_room(rnnlm, slot_tagger, here):
    (here / "in.conll").write_text("fly O\nme O\n")
    asked = ("tag", "-m", slot_tagger.folder, "--input", "in.conll", "--input-format", "columns")
    assert (
        rnnlm(*asked).errors[0]
        == "error: format columns has no place for labels of the whole sentence"
    )
    assert rnnlm(*asked, "-o", "out.tsv").code == 0
    assert (here / "out.tsv").read_text() == "text\tslots\tintent\nfly me\tO O\tflight\n"


def test_words_are_pronounced(rnnlm, pronouncer, here):
    assert (
        rnnlm("tag", "-m", pronouncer, "Sheep tax").out
        == "word\tlabel\nSheep\tSH IY P\ntax\tT AE K S\n"
    )
    assert (
        rnnlm("tag", "-m", pronouncer, stdin=b"sheep\ntax cat\n").out
        == "text\tlabel\nsheep\tSH IY P\ntax\tT AE K S\ncat\tK AE T\n"
    )
    rows = rnnlm("tag", "-m", pronouncer, "sheep", "--nbest", "2").rows
    assert rows[0] == ["word", "rank", "probability", "label"] and [
        row[:2] for row in rows[1:]
    ] == [["sheep", "1"], ["sheep", "2"]]
    (here / "in.tsv").write_text("n\ttext\n1\ts h e e p\n2\ttax\n")
    assert (
        rnnlm("tag", "-m", pronouncer, "--input", "in.tsv").out
        == "n\ttext\tlabel\treason\n1\ts h e e p\tSH IY P\t\n2\ttax\tT AE K S\t\n"
    )
    (here / "two.tsv").write_text("text\nsheep tax\n")
    assert (
        rnnlm("tag", "-m", pronouncer, "--input", "two.tsv").errors[0]
        == "error: two.tsv, line 2: 2 words"
    )
    (here / "in.conll").write_text("sheep O\n")
    shown = rnnlm("tag", "-m", pronouncer, "--input", "in.conll", "--input-format", "columns")
    assert shown.code == 2 and shown.errors[0] == "error: format columns holds sentences"


def test_other_task_model_is_named_with_its_command(rnnlm, classifier, tagger):
    shown = rnnlm("tag", "-m", "demo")
    why = "  why: it has learned no labels of words"
    assert (shown.code, shown.errors) == (
        2,
        ["error: demo is a language model", why, "  try: rnnlm score -m demo"],
    )
    assert (
        rnnlm("tag", "-m", classifier.folder, "x").errors[2].startswith("  try: rnnlm classify -m")
    )
    assert rnnlm("classify", "-m", tagger.folder, "x").errors[2].startswith("  try: rnnlm tag -m")


def test_a_file_name_among_the_sentences_is_noticed(rnnlm, tagger, here):
    (here / "text.txt").write_text("fly me\n")
    assert (
        "--input text.txt tags what is in it" in rnnlm("tag", "-m", tagger.folder, "text.txt").err
    )


def test_a_reader_that_stops_reading_ends_it_silently(rnnlm, tagger, monkeypatch):
    def closed(*arguments, **more):
        raise BrokenPipeError

    monkeypatch.setattr(click, "echo", closed)
    assert rnnlm("tag", "-m", tagger.folder, stdin=b"fly me\n") == Outcome(141, "", "")


TEXTS = ["fly me to oslo", "what costs it"]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "t.jsonl", "t.parquet"])
@pytest.mark.parametrize("column", [[], ["--column", "TEXT"], ["--column", "2"]])
def test_every_kind_of_table_is_read_and_keeps_its_columns(rnnlm, slot_tagger, here, name, column):
    rows = [{"id": str(number), "text": text} for number, text in enumerate(TEXTS)]
    separator = "\t" if name == "t.tsv" else ","
    lines = ["id" + separator + "text", *(separator.join(row.values()) for row in rows)]
    content = "\n".join(lines) + "\n"
    if name == "t.jsonl":
        content = "".join(json.dumps(row) + "\n" for row in rows)
    if name == "t.parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), here / name)
    elif name.endswith("gz"):
        (here / name).write_bytes(gzip.compress(content.encode()))
    else:
        (here / name).write_text(content)
    shown = rnnlm("tag", "-m", slot_tagger.folder, "--input", name, *column).out.splitlines()
    expected = [found.labels["slots"] for found in tag(slot_tagger.folder, TEXTS)]
    if name == "t.jsonl":
        found = [json.loads(line) for line in shown]
        assert [row["slots"] for row in found] == list(map(list, expected))
        assert [{name: row[name] for name in ("id", "text")} for row in found] == rows
        return
    separator = "," if "csv" in name else "\t"
    assert shown[0].split(separator) == ["id", "text", "slots", "intent", "reason"]
    cells = [line.split(separator) for line in shown[1:]]
    assert [row[:3] for row in cells] == [
        [row["id"], row["text"], " ".join(labels)]
        for row, labels in zip(rows, expected, strict=True)
    ]


def test_a_column_of_no_table_is_refused(rnnlm, tagger, here):
    (here / "t.txt").write_text(RAW)
    shown = rnnlm("tag", "-m", tagger.folder, "--input", "t.txt", "--column", "text")
    assert shown.errors == [
        "error: t.txt does not have a table suffix", "  why: a column is named",
        "  try: name its format with --input-format",
    ]  # fmt: skip


def test_each_line_has_its_result_blank_ones_too(rnnlm, slot_tagger, treebank_tagger, here):
    text = "\nfly me to oslo\n\n \nwhat costs it\n\n"
    (here / "t.txt").write_text(text)
    blank = [number for number, line in enumerate(text.splitlines()) if not line.strip()]
    asked = ("tag", "-m", slot_tagger.folder, "--input", "t.txt")
    rnnlm(*asked, "-o", "t.jsonl")
    for written in (rnnlm(*asked, "--json").out, (here / "t.jsonl").read_text()):
        rows = [json.loads(line) for line in written.splitlines()]
        assert [number for number, row in enumerate(rows) if not row["words"]] == blank
        assert len(rows) == len(text.splitlines())
    for form, separator in (("tsv", "\t"), ("csv", ",")):
        rnnlm(*asked, "-o", f"t.{form}", "--probabilities")
        lines = (here / f"t.{form}").read_text().splitlines()
        assert lines[0].split(separator) == [
            "text", "slots", "slots_probability", "intent", "intent_probability",
        ]  # fmt: skip
        assert [line for line in lines[1:] if not line.strip(" " + separator)] == [
            lines[number + 1] for number in blank
        ]
        assert len(lines) == len(text.splitlines()) + 1
    conllu = rnnlm("tag", "-m", treebank_tagger, "--input", "t.txt").out
    assert [line for line in conllu.splitlines() if line.startswith("# blank")] == [
        f"# blank = {number + 1}" for number in blank
    ]
    # What was written is read again, by training and by tag itself.
    (here / "t.conllu").write_text(conllu)
    again = rnnlm("tag", "-m", treebank_tagger, "--input", "t.conllu").out
    assert again == conllu

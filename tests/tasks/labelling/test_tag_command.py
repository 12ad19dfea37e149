"""`rnnlm tag`: tables, JSON-lines, and files with labels written into them."""

import json

import pytest

from rnnlm.tasks.labelling.tagging import tag
from support import workbooks
from support.tiny_tasks import VALID, columns

SENTENCE = "fly me to new york at noon"
SLOTS = ["O", "O", "O", "B-place", "I-place", "O", "B-time"]
SEVEN = "\t".join("_" * 7)
RAW = "They do n't like old cats .\n\nThey do .\n"


def test_sentence_is_a_table_of_words_and_labels(rnnlm, tagger):
    rows = rnnlm("tag", "-m", tagger.folder, SENTENCE).rows
    assert rows == [["word", "label"], *map(list, zip(SENTENCE.split(), SLOTS, strict=True))]


def test_several_sentences_have_own_numbers_and_labels(rnnlm, slot_tagger):
    sentences = "'fly me' 'what costs it at noon'"
    rows = rnnlm(f"tag -m {slot_tagger.folder} {sentences} --probabilities").rows
    columns = ["sentence", "word", "slots", "slots_probability", "intent", "intent_probability"]
    assert rows[0] == columns
    assert [(row[0], row[1], row[2], row[4]) for row in rows[1:]] == [
        ("1", "fly", "O", "flight"), ("1", "me", "O", "flight"),
        ("2", "what", "O", "fare"), ("2", "costs", "O", "fare"), ("2", "it", "O", "fare"),
        ("2", "at", "O", "fare"), ("2", "noon", "B-time", "fare"),
    ]  # fmt: skip
    assert all(0.5 < float(row[place]) <= 1 for row in rows[1:] for place in (3, 5))


def test_the_n_best_are_a_row_each(rnnlm, slot_tagger):
    rows = rnnlm("tag", "-m", slot_tagger.folder, SENTENCE, "--nbest", "3").rows
    assert rows[0] == ["column", "rank", "probability", "labels"]
    ranks = [("slots", "1"), ("slots", "2"), ("slots", "3"), ("intent", "1"), ("intent", "2")]
    assert [(row[0], row[1]) for row in rows[1:]] == ranks
    best = (f"{word}/{label}" for word, label in zip(SENTENCE.split(), SLOTS, strict=True))
    assert rows[1][3] == " ".join(best) and rows[4][3] == "flight"
    assert float(rows[1][2]) > float(rows[2][2]) >= float(rows[3][2])


def test_json_has_what_python_has(rnnlm, slot_tagger):
    found = rnnlm(
        f"tag -m {slot_tagger.folder} 'fly me to oslo' 'at ten' --json --nbest 2 --probabilities"
    ).records
    expected = tag(slot_tagger.folder, ["fly me to oslo", "at ten"], nbest=2, probabilities=True)
    assert found == [json.loads(json.dumps(each.to_dict())) for each in expected]
    assert {"text", "words", "labels", "nbest", "sentence_probabilities"} < {*found[0]}


def test_columns_are_rewritten_with_labels_in_place(rnnlm, tagger, here):
    begin = "-DOCSTART- O\n\n"
    unlabelled = columns([(words, ["?"] * len(words), "") for words, _, _ in VALID])
    (here / "in.conll").write_text(begin + unlabelled)
    (here / "gold").write_text(begin + columns(VALID))  # told by its labels
    by_format = rnnlm(f"tag -m {tagger.folder} --input in.conll --input-format columns -o out")
    assert by_format.code == 0
    tagged = tag(tagger.folder, [words for words, _, _ in VALID])
    expected = begin + columns([(each.words, each.labels["2"], "") for each in tagged])
    assert (here / "out").read_text() == expected
    assert rnnlm("tag", "-m", tagger.folder, "--input", "gold").out == expected


def test_conllu_keeps_all_but_the_labels(rnnlm, treebank_tagger, here):
    text = (treebank_tagger.parent / "treebank.conllu").read_text()
    without = text
    for label, other in (("PRON", "_"), ("NOUN", "X"), ("not", "_")):
        without = without.replace(f"\t{label}\t", f"\t{other}\t")
    shown = rnnlm("tag", "-m", treebank_tagger, stdin=without.encode())
    assert (shown.code, shown.out) == (0, text)


def test_treebank_tagger_writes_text_as_conllu(rnnlm, treebank_tagger):
    lines = rnnlm("tag", "-m", treebank_tagger, stdin=RAW.encode()).out.splitlines()
    assert lines[:5] == [
        "# text = They do n't like old cats .",
        "1\tThey\tthey\tPRON\t_\t_\t_\t_\t_\t_", "2\tdo\tdo\tAUX\t_\t_\t_\t_\t_\t_",
        "3\tn't\tnot\tPART\t_\t_\t_\t_\t_\t_", "4\tlike\tlike\tVERB\t_\t_\t_\t_\t_\t_",
    ]  # fmt: skip
    assert lines[7].startswith("7\t.\t") and lines[8] == ""


@pytest.mark.parametrize(("name", "options", "expected"), [
    ("columns", (), "fly\tO\nme\tO\n\n"), ("tsv", ("-o", "out.tsv"), "text\t2\nfly me\tO O\n"),
    ("jsonl", ("-o", "out.jsonl"), '{"text": "fly me", "words": ["fly", "me"], "2": ["O", "O"]}\n'),
    ("conllu", ("-o", "out.conllu"),
     f"# text = fly me\n1\tfly\t{SEVEN}\tLabel=O\n2\tme\t{SEVEN}\tLabel=O\n\n"),
])  # fmt: skip
def test_raw_text_takes_training_or_requested_format(rnnlm, tagger, here, name, options, expected):
    shown = rnnlm("tag", "-m", tagger.folder, *options, stdin=b"fly me\n")
    assert shown.code == 0, shown.err
    assert ((here / options[1]).read_text() if options[:1] == ("-o",) else shown.out) == expected
    if options:
        again = rnnlm("tag", "-m", tagger.folder, "fly me", *options, "--overwrite")
        assert again.code == 0 and (here / options[1]).read_text() == expected


def test_tables_keep_their_columns_and_take_probabilities(rnnlm, slot_tagger, here):
    (here / "in.jsonl").write_text('{"id": 7, "words": "fly me", "intent": "?"}\n')
    [row] = rnnlm(f"tag -m {slot_tagger.folder} --input in.jsonl --probabilities").records
    assert [*row] == ["id", "words", "intent", "slots", "slots_probability", "intent_probability"]
    assert (row["id"], row["slots"], row["intent"]) == (7, ["O", "O"], "flight")
    assert 0.5 < row["intent_probability"] <= 1
    rnnlm(f"tag -m {slot_tagger.folder} --input in.jsonl --probabilities -o out.xlsx")
    [cells] = workbooks.rows_of("out.xlsx")
    probabilities = " ".join(map(str, row["slots_probability"]))
    assert cells == {**row, "slots": "O O", "slots_probability": probabilities, "reason": None}


def test_sentence_labels_need_a_format_with_room(rnnlm, slot_tagger, here):
    (here / "in.conll").write_text("fly O\nme O\n")
    asked = f"tag -m {slot_tagger.folder} --input in.conll --input-format columns"
    error = "error: format columns has no place for labels of the whole sentence"
    assert rnnlm(asked).errors[0] == error
    assert rnnlm(f"{asked} -o out.tsv").code == 0
    assert (here / "out.tsv").read_text() == "text\tslots\tintent\nfly me\tO O\tflight\n"


def test_words_are_pronounced(rnnlm, pronouncer, here):
    asked = ("tag", "-m", pronouncer)
    assert rnnlm(*asked, "Sheep tax").out == "word\tlabel\nSheep\tSH IY P\ntax\tT AE K S\n"
    piped = rnnlm(*asked, stdin=b"sheep\ntax cat\n").rows
    assert piped[1:] == [["sheep", "SH IY P"], ["tax", "T AE K S"], ["cat", "K AE T"]]
    rows = rnnlm(*asked, "sheep", "--nbest", "2").rows
    assert rows[0] == ["word", "rank", "probability", "label"]
    assert [row[:2] for row in rows[1:]] == [["sheep", "1"], ["sheep", "2"]]
    (here / "in.tsv").write_text("n\ttext\n1\ts h e e p\n2\ttax\n")
    table = "n\ttext\tlabel\treason\n1\ts h e e p\tSH IY P\t\n2\ttax\tT AE K S\t\n"
    assert rnnlm(*asked, "--input", "in.tsv").out == table
    (here / "two.tsv").write_text("text\nsheep tax\n")
    refused = rnnlm(*asked, "--input", "two.tsv")
    assert refused.errors[0] == "error: two.tsv, line 2: 2 words"
    (here / "in.conll").write_text("sheep O\n")
    shown = rnnlm(*asked, "--input", "in.conll", "--input-format", "columns")
    assert shown.code == 2 and shown.errors[0] == "error: format columns is for sentences"


def test_other_task_model_is_named_with_its_command(rnnlm, classifier, tagger):
    for command, model, hint in (
        ("tag", "demo", "rnnlm score -m demo"),
        ("tag", classifier.folder, f"rnnlm classify -m {classifier.folder}"),
        ("classify", tagger.folder, f"rnnlm tag -m {tagger.folder}"),
    ):
        shown = rnnlm(command, "-m", model, "x")
        assert shown.code == 2 and shown.errors[2].startswith(f"  try: {hint}")
    assert rnnlm("tag", "-m", "demo").errors[:2] == [
        "error: demo is a language model", "  why: rnnlm tag needs a tagger"
    ]  # fmt: skip


def test_a_file_name_among_the_sentences_is_noticed(rnnlm, tagger, here):
    (here / "text.txt").write_text("fly me\n")
    shown = rnnlm("tag", "-m", tagger.folder, "text.txt")
    assert "to tag its lines: --input text.txt" in shown.err


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
    rows = rnnlm(*asked, "--json").records
    assert [number for number, row in enumerate(rows) if not row["words"]] == blank
    assert len(rows) == len(text.splitlines())
    for form, separator in (("tsv", "\t"), ("csv", ",")):
        rnnlm(*asked, "-o", f"t.{form}", "--probabilities")
        _, *lines = (here / f"t.{form}").read_text().splitlines()
        empty = [number for number, line in enumerate(lines) if not line.strip(" " + separator)]
        assert (empty, len(lines)) == (blank, len(rows))
    conllu = rnnlm("tag", "-m", treebank_tagger, "--input", "t.txt").out
    marks = [line for line in conllu.splitlines() if line.startswith("# blank")]
    assert marks == [f"# blank = {number + 1}" for number in blank]
    # What was written is read again, by training and by tag itself.
    (here / "t.conllu").write_text(conllu)
    assert rnnlm("tag", "-m", treebank_tagger, "--input", "t.conllu").out == conllu

"""`rnnlm classify`: tables, JSON-lines, and files with their other columns."""

import json

import pytest

TEXTS = ("fly me to oslo", "what costs it")


def test_each_text_has_its_label_and_probability(rnnlm, classifier):
    columns, first, second = rnnlm("classify", "-m", classifier.folder, *TEXTS).rows
    assert columns == ["text", "label", "label_probability"]
    assert (first[:2], second[:2]) == ([TEXTS[0], "flight"], [TEXTS[1], "fare"])
    assert min(float(first[2]), float(second[2])) > 0.5


def test_the_top_labels_have_a_row_each(rnnlm, classifier):
    rows = rnnlm("classify", "-m", classifier.folder, *TEXTS, "--top", "5").rows
    assert [row[:3] for row in rows] == [
        ["text", "rank", "label"], [TEXTS[0], "1", "flight"], [TEXTS[0], "2", "fare"],
        [TEXTS[1], "1", "fare"], [TEXTS[1], "2", "flight"],
    ]  # fmt: skip


def test_json_has_all_probabilities_or_the_top_ones(rnnlm, classifier):
    asked = ("classify", "-m", classifier.folder, TEXTS[0], "--json")
    found = rnnlm(*asked).json
    assert found["text"] == TEXTS[0] and found["labels"] == {"label": "flight"}
    assert [*found["probabilities"]["label"]] == ["flight", "fare"]
    assert [*rnnlm(*asked, "--top", "1").json["probabilities"]["label"]] == ["flight"]


@pytest.mark.parametrize(("name", "content", "expected"), [
    ("in.txt", "fly me\n\nwhat costs it\n",
     "text\tlabel\nfly me\tflight\n\t\nwhat costs it\tfare\n"),
    ("in.tsv", "n\ttext\n1\tfly me\n", "n\ttext\tlabel\treason\n1\tfly me\tflight\t\n"),
    ("in.csv", 'n;text\n1;"fly, me"\n', 'n,text,label,reason\n1,"fly, me",flight,\n'),
    ("in.jsonl", '{"text": "fly me", "n": [1]}\n',
     '{"text": "fly me", "n": [1], "label": "flight"}\n'),
])  # fmt: skip
def test_files_keep_their_form_and_their_columns(rnnlm, classifier, here, name, content, expected):
    (here / name).write_text(content)
    shown = rnnlm("classify", "-m", classifier.folder, "--input", name)
    assert shown.code == 0, shown.err
    assert without_probabilities(name, shown.out) == expected
    assert ("1 text has no label: no words" in shown.err) == (name == "in.txt")


def without_probabilities(name: str, shown: str) -> str:
    if name.endswith("jsonl"):
        rows = [json.loads(line) for line in shown.splitlines()]
        for row in rows:
            del row["label_probability"]
        return "".join(json.dumps(row) + "\n" for row in rows)
    mark = "," if name.endswith("csv") else "\t"
    rows = [line.split(mark) for line in shown.splitlines()]
    place = rows[0].index("label_probability") - len(rows[0])
    for row in rows:
        del row[place]
    return "".join(mark.join(row) + "\n" for row in rows)


def test_column_is_named_and_output_suffix_chooses_format(rnnlm, classifier, here):
    (here / "in.csv").write_text("a,b,label\nfly me,what costs it,gold\n")
    asked = f"classify -m {classifier.folder} --input in.csv --column b"
    assert rnnlm(f"{asked} -o out.jsonl").code == 0
    row = json.loads((here / "out.jsonl").read_text())
    assert (row["label"], row["predicted_label"]) == ("gold", "fare")
    assert 0.5 < row["predicted_label_probability"] <= 1
    assert rnnlm(f"{asked} -o out.parquet").code == 2


def test_standard_input_is_lines_or_json(rnnlm, classifier):
    lines = rnnlm("classify", "-m", classifier.folder, stdin=b"fly me\n")
    assert lines.rows[1][:2] == ["fly me", "flight"]
    row = rnnlm("classify", "-m", classifier.folder, stdin=b'{"text": "what costs it"}\n').json
    assert row["label"] == "fare"

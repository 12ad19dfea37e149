"""`rnnlm classify`: tables, JSON-lines, and files with their other columns."""

import json

import pytest

TEXTS = ("fly me to oslo", "what costs it")


def rows_of(shown):
    return [row.split("\t") for row in shown.splitlines()]


def test_each_text_has_its_label_and_probability(rnnlm, classifier):
    rows = rows_of(rnnlm("classify", "-m", classifier.folder, *TEXTS).out)
    assert rows[0] == ["text", "label", "label_probability"]
    assert [row[:2] for row in rows[1:]] == [[TEXTS[0], "flight"], [TEXTS[1], "fare"]] and all(
        float(row[2]) > 0.5 for row in rows[1:]
    )


def test_the_top_labels_have_a_row_each(rnnlm, classifier):
    rows = rows_of(rnnlm("classify", "-m", classifier.folder, *TEXTS, "--top", "5").out)
    assert [row[:3] for row in rows] == [
        ["text", "rank", "label"], [TEXTS[0], "1", "flight"], [TEXTS[0], "2", "fare"],
        [TEXTS[1], "1", "fare"], [TEXTS[1], "2", "flight"],
    ]  # fmt: skip


def test_json_has_all_probabilities_or_the_top_ones(rnnlm, classifier):
    [found] = rnnlm("classify", "-m", classifier.folder, TEXTS[0], "--json").records
    assert found["text"] == TEXTS[0] and found["labels"] == {"label": "flight"}
    assert [*found["probabilities"]["label"]] == ["flight", "fare"]
    [top] = rnnlm("classify", "-m", classifier.folder, TEXTS[0], "--json", "--top", "1").records
    assert [*top["probabilities"]["label"]] == ["flight"]


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
        return "".join(
            json.dumps({key: value for key, value in row.items() if key != "label_probability"})
            + "\n"
            for row in rows
        )
    mark = "," if name.endswith("csv") else "\t"
    rows = [line.split(mark) for line in shown.splitlines()]
    place = rows[0].index("label_probability") - len(rows[0])
    for row in rows:
        del row[place]
    return "".join(mark.join(row) + "\n" for row in rows)


def test_column_is_named_and_output_suffix_chooses_format(rnnlm, classifier, here):
    (here / "in.csv").write_text("a,b,label\nfly me,what costs it,gold\n")
    assert (
        rnnlm(f"classify -m {classifier.folder} --input in.csv --column b -o out.jsonl").code == 0
    )
    row = json.loads((here / "out.jsonl").read_text())
    assert (row["label"], row["predicted_label"]) == ("gold", "fare") and 0.5 < row[
        "predicted_label_probability"
    ] <= 1
    assert (
        rnnlm("classify", "-m", classifier.folder, "--input", "in.csv", "-o", "out.parquet").code
        == 2
    )


def test_standard_input_is_lines_or_json(rnnlm, classifier):
    assert rows_of(rnnlm("classify", "-m", classifier.folder, stdin=b"fly me\n").out)[1][:2] == [
        "fly me",
        "flight",
    ]
    assert (
        rnnlm("classify", "-m", classifier.folder, stdin=b'{"text": "what costs it"}\n').json[
            "label"
        ]
        == "fare"
    )

"""`rnnlm classify`: tables, JSON-lines, and files with their other columns."""

import json

import pytest

from support import workbooks
from support.commands import train

TEXTS = ("fly me to oslo", "what costs it")


def test_each_text_has_its_label_and_probability_or_a_row_for_each_top_label(rnnlm, classifier):
    columns, first, second = rnnlm("classify", "-m", classifier.folder, *TEXTS).rows
    assert columns == ["text", "label", "label_probability"]
    assert (first[:2], second[:2]) == ([TEXTS[0], "flight"], [TEXTS[1], "fare"])
    assert min(float(first[2]), float(second[2])) > 0.5
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
    assert rnnlm(f"{asked} -o out.xlsx").code == 0
    assert workbooks.rows_of("out.xlsx") == [{**row, "reason": None}]


def test_standard_input_is_lines_or_json(rnnlm, classifier):
    lines = rnnlm("classify", "-m", classifier.folder, stdin=b"fly me\n")
    assert lines.rows[1][:2] == ["fly me", "flight"]
    row = rnnlm("classify", "-m", classifier.folder, stdin=b'{"text": "what costs it"}\n').json
    assert row["label"] == "fare"


# ---- The nodes of trees.


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """Train a recursive network for a few steps on trees whose inner nodes have their own label."""
    folder = tmp_path_factory.mktemp("trees")
    lines = (
        "(good (so it) (good (so was) (good fine)))",
        "(bad (so it) (bad (so was) (bad poor)))",
    )
    (folder / "train.txt").write_text("\n".join(lines * 8) + "\n")
    asked = ("--task", "classification", "--model", "recursive", "--budget", "200steps")
    small = (
        "--set", "hidden_size=8", "--set", "embedding_size=8", "--set", "validate_every_steps=200",
        "--set", "learning_rate=0.03",
    )  # fmt: skip
    train(folder / "train.txt", *asked, *small, "-o", folder / "model")
    return folder


def test_nodes_have_a_row_each_and_a_picture(rnnlm, trees, here):
    text = "( it ( was fine ) )"
    shown = rnnlm("classify", "-m", trees / "model", text, "--plot", "tree.svg")
    assert [row[1:3] for row in shown.rows] == [
        ["node", "label"], ["it was fine", "good"], ["it", "so"], ["was fine", "good"],
        ["was", "so"], ["fine", "good"],
    ]  # fmt: skip
    picture = (here / "tree.svg").read_text()
    assert all(name in picture for name in ("fine", "good", "so"))

    # A text without brackets has a balanced tree; a damaged tree has its reason.
    asked = ("classify", "-m", trees / "model", "--nodes")
    shown = rnnlm(*asked, "it was poor", "(good (so it)")
    nodes = ["it was poor", "it was", "it", "was", "poor", ""]
    assert [row[1] for row in shown.rows[1:]] == nodes
    assert "column 1: this bracket is not closed" in shown.err
    # What only begins with a bracket is a text, one word with a known label a tree.
    texts = ["(It was) poor", "(good it was)", "(x (so it)", "(x it)", "(good it)"]
    shown = rnnlm("classify", "-m", trees / "model", *texts)
    assert [row[0] for row in shown.rows[1:]] == texts
    assert "no label" not in shown.err
    assert (
        shown.err.count("with a label") == shown.err.count("'(good it)' is read as the word") == 1
    )
    nodes = rnnlm(*asked, "it was poor", "--json").json["nodes"]["label"]
    assert [node["parent"] for node in nodes] == [3, 3, 4, 4, -1]
    assert rnnlm(*asked, "it", "--top", "2").code == 2
    assert rnnlm("classify", "-m", trees / "model", "--plot", "x.svg", "--input", "in").code == 2


def test_nodes_are_evaluated_and_unseen_labels_have_their_place(rnnlm, trees, classifier, here):
    (here / "test.txt").write_text("(good (so it) (new (so was) (good fine)))\n")
    shown = rnnlm("eval", "-m", trees / "model", "test.txt", "--json")
    [column] = shown.json["columns"]
    assert (column["accuracy"], column["accuracy_nodes"]) == (1.0, 0.8)
    assert "'new' (1); the first is at test.txt, line 1, column 15" in shown.err
    refused = rnnlm("classify", "-m", classifier.folder, "fly me", "--nodes")
    assert refused.code == 2 and "reads no trees" in refused.err


def test_training_on_lines_says_that_their_trees_are_balanced(rnnlm, classifier, here):
    train_file = classifier.folder.parent.parent / "train.tsv"
    asked = (
        f"train {train_file} --task classification --model recursive --budget 2steps -o balanced"
    )
    shown = rnnlm(asked)
    assert shown.code == 0 and "a balanced tree joins the words of each" in shown.err

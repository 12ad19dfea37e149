"""`rnnlm inspect` without a model, or with one of no training: lessons, and what is wrong with
requests."""

import json


def test_surface_shows_table_sentence_and_picture(rnnlm, pictures):
    shown = rnnlm(
        "inspect surface --grid 5 --updates 20 --start 5 -2.3 --clip 1 --plot surface.svg"
    )
    columns, plain, clipped, _, verdict = shown.rows
    assert columns[:2] == ["path", "updates"]
    assert (plain[:2], clipped[:2]) == (["without clipping", "20"], ["clipped to 1", "20"])
    assert verdict[0].startswith("The norm of the gradient is ") and pictures["surface.svg"].axes


def test_the_surface_as_json_is_the_whole_grid(rnnlm):
    found = rnnlm("inspect surface --grid 3 --weights 1 2 --biases -1 0 --updates 2 --json").json
    assert found["weights"] == [1, 1.5, 2] and found["biases"] == [-1, -0.5, 0]
    assert [len(row) for row in found["errors"]] == [3, 3, 3] and found["verdict"]


def test_gradcheck_shows_matrices_one_weight_in_steps_and_a_picture(rnnlm, models, here):
    text = f"--on {models.text} --tokens 5 --device cpu"
    shown = rnnlm(f"inspect gradcheck -m {models.lstm} {text} --plot differences.svg")
    matrices, worked, verdict = shown.out.split("\n\n")
    assert shown.code == 0 and verdict.startswith("The backward pass is right: ")
    assert matrices.startswith("matrix\t") and "\ninput.embedding.weight\t" in matrices
    assert worked.startswith("One weight, step by step: body.layers.0.weight_hh[")
    drawn = (here / "differences.svg").read_text()
    assert "tiny: gradients left of the line are right" in drawn and "mathdefault" not in drawn


def test_what_the_lessons_cannot_do_is_one_line(rnnlm, models):
    for asked, what in (
        ("surface --grid 1", "a grid of 1 line cannot be drawn"),
        ("surface --biases 2 1", "biases from 2 to 1 is an empty range"),
        (f"gradcheck -m {models.lstm} --on {models.text} --tokens 0",
         "tokens = 0 is not a positive number"),
    ):  # fmt: skip
        ended = rnnlm(f"inspect {asked}")
        assert ended.code == 2 and what in ended.err


def test_step_shows_tables_sentence_and_picture(rnnlm, pictures):
    shown = rnnlm("inspect", "step", "--plot", "step.svg")
    assert shown.code == 0 and len(pictures["step.svg"].axes) == 1
    *tables, verdict = shown.out.split("\n\n")
    assert [len(table.splitlines()) - 2 for table in tables] == [4, 4, 4, 4, 24]
    assert tables[0].splitlines()[3].split("\t")[3:7] == ["(4, 3)", "(1, 1)", "(5, 4)", "(5, 4)"]
    assert verdict.startswith("The loss of 4 predictions is 5.739 nats")


def test_a_lesson_printed_as_json_is_read_again(rnnlm, here):
    first = rnnlm("inspect", "step", "--set", "W=[[0, 1], [2, 0]]", "--json").json
    (here / "mine.json").write_text(json.dumps(first["lesson"]))
    again = rnnlm("inspect", "step", "mine.json", "--json").json
    assert again == first and first["lesson"]["W"] == [[0, 1], [2, 0]]


def test_activations_are_those_named(rnnlm, pictures):
    shown = rnnlm("inspect", "activations", "tanh", "2 sigmoid", "--plot", "a.svg")
    assert shown.code == 0 and len(pictures["a.svg"].axes) == 2
    assert "2 sigmoid saturates below -3.637 and above 3.637" in shown.out
    found = rnnlm("inspect", "activations", "--share", 0.5, "--json").json
    assert found["share"] == 0.5 and len(found["activations"]) == 6


def test_cloze_shows_items_beside_their_rivals(rnnlm, models, here):
    (here / "items.tsv").write_text("text\tanswer\trival\nthe ___\tman\tthe\n")
    shown = rnnlm("inspect", "cloze", "items.tsv", "-m", models.lstm, "--items")
    assert shown.code == 0 and "of 1 answers are likelier than their rivals" in shown.out
    assert "\tbefore the gap\tanswer" in shown.out.split("\n\n")[1]

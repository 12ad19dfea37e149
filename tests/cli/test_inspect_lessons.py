import json


def test_surface_shows_table_sentence_and_picture(rnnlm, pictures):
    shown = rnnlm(
        "inspect",
        "surface",
        "--grid",
        5,
        "--updates",
        20,
        "--start",
        5,
        -2.3,
        "--clip",
        1,
        "--plot",
        "surface.svg",
    )
    columns, plain, clipped, _, verdict = shown.out.splitlines()
    assert (
        columns.startswith("path\tupdates\t")
        and plain.startswith("without clipping\t20\t")
        and clipped.startswith("clipped to 1\t20\t")
    )
    assert verdict.startswith("The norm of the gradient is ") and pictures["surface.svg"].axes


def test_the_surface_as_json_is_the_whole_grid(rnnlm):
    found = json.loads(
        rnnlm(
            "inspect",
            "surface",
            "--grid",
            3,
            "--weights",
            1,
            2,
            "--biases",
            -1,
            0,
            "--updates",
            2,
            "--json",
        ).out
    )
    assert found["weights"] == [1, 1.5, 2] and found["biases"] == [-1, -0.5, 0]
    assert [len(row) for row in found["errors"]] == [3, 3, 3] and found["verdict"]


def test_gradcheck_shows_matrices_and_one_weight_in_steps(rnnlm, models):
    shown = rnnlm(
        "inspect",
        "gradcheck",
        "-m",
        models.lstm,
        "--on",
        models.text,
        "--weights",
        1,
        "--tokens",
        5,
        "--device",
        "cpu",
    )
    matrices, worked, verdict = shown.out.split("\n\n")
    assert shown.code == 0 and verdict.startswith("The backward pass is right: ")
    assert [line.split("\t")[0] for line in matrices.splitlines()][:2] == [
        "matrix",
        "input.embedding.weight",
    ]
    assert worked.splitlines()[0].startswith("One weight, step by step: body.layers.0.weight_hh[")


def test_gradcheck_picture_names_model_with_plain_numbers(rnnlm, models, here):
    asked = (
        "inspect",
        "gradcheck",
        "-m",
        models.lstm,
        "--on",
        models.text,
        "--weights",
        1,
        "--tokens",
        5,
        "--device",
        "cpu",
    )
    assert rnnlm(*asked, "--plot", "differences.svg").code == 0
    drawn = (here / "differences.svg").read_text()
    assert "Gradients of tiny<" in drawn and "mathdefault" not in drawn


def test_what_the_lessons_cannot_do_is_one_line(rnnlm, models):
    for arguments, what in (
        (("surface", "--grid", 1), "a grid of 1 lines cannot be drawn"),
        (("surface", "--biases", 2, 1), "biases from 2 to 1 is an empty range"),
        (
            ("gradcheck", "-m", models.lstm, "--on", models.text, "--weights", 0),
            "weights = 0 is not a positive number",
        ),
    ):
        ended = rnnlm("inspect", *arguments)
        assert ended.code == 2 and what in ended.err and "Traceback" not in ended.err

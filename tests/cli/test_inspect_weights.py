"""`rnnlm inspect spectrum` and `rnnlm inspect gates`: tables, JSON, pictures, and one clear line
where there is nothing to see."""

from support.tiny_models import fit, save


def test_spectra_of_several_models_stand_side_by_side(rnnlm, models, here):
    save(here / "elman", fit("rnn"), "rnn")
    done = rnnlm("inspect", "spectrum", "-m", models.lstm, "-m", here / "elman")
    assert done.code == 0, done.err
    title, header, *rows = done.out.splitlines()
    assert title == "Recurrent weights W" and header.split("\t")[:4] == [
        "model",
        "layer",
        "matrix",
        "shape",
    ]
    gates = [("tiny", gate) for gate in ("input", "forget", "candidate", "output")]
    assert [tuple(row.split("\t")[0:3:2]) for row in rows[:5]] == [*gates, ("elman", "recurrent")]
    tiny, elman = done.out.splitlines()[-2:]
    assert tiny.startswith("tiny: the spectral radius of its recurrent weights lies between")
    assert elman.startswith("elman: in layer 1 powers of the recurrent weights ")


def test_untrained_network_is_shown_beside_trained_one(rnnlm, here, pictures):
    save(here / "elman", fit("rnn"), "rnn")
    done = rnnlm(
        "inspect",
        "spectrum",
        "-m",
        here / "elman",
        "--untrained",
        "--json",
        "--plot",
        "spectrum.svg",
    )
    trained, start = done.json["matrices"]
    assert (trained["model"], start["model"]) == ("elman", "elman, untrained")
    assert (
        len(trained["eigenvalues"]) == 12 and trained["spectral_radius"] != start["spectral_radius"]
    )
    assert len(pictures["spectrum.svg"].axes) == 4


def test_gates_are_shown_as_tables_picture_and_json(rnnlm, models, pictures):
    done = rnnlm(f"inspect gates -m {models.lstm} 'the old man' --units 0,7 --plot gates.png")
    assert done.code == 0 and pictures["gates.png"].axes
    by_token, by_gate = (part.splitlines() for part in done.out.split("\n\n")[:2])
    assert [line.split("\t")[0] for line in by_token] == [
        by_token[0],
        "token",
        "</s>",
        "the",
        "old",
        "man",
    ]
    assert [line.split("\t")[1] for line in by_gate[2:]] == [
        "input",
        "forget",
        "candidate",
        "output",
        "tanh of the cell",
    ]
    stored = rnnlm("inspect", "gates", "-m", models.lstm, "the old man", "--json").json
    assert [len(values) for values in stored["layers"][0]["gates"].values()] == [4] * 4 and stored[
        "verdict"
    ] in done.out

"""`rnnlm inspect spectrum` and `rnnlm inspect gates`: tables, JSON, pictures, and one clear line
where there is nothing to see."""

from support.tiny_models import fit, save


def test_spectra_of_several_models_stand_side_by_side(rnnlm, models, here):
    save(here / "elman", fit("rnn"), "rnn")
    done = rnnlm(f"inspect spectrum -m {models.lstm} -m elman")
    assert done.code == 0, done.err
    [title], header, *rows = done.rows
    assert title == "Recurrent weights W"
    assert header[:4] == ["model", "layer", "matrix", "shape"]
    gates = [("tiny", gate) for gate in ("input", "forget", "candidate", "output")]
    assert [(row[0], row[2]) for row in rows[:5]] == [*gates, ("elman", "recurrent")]
    [tiny], [elman] = rows[-2:]
    assert tiny.startswith("tiny: the spectral radius of its recurrent weights lies between")
    assert elman.startswith("elman: in layer 1 powers of the recurrent weights ")


def test_untrained_network_is_shown_beside_trained_one(rnnlm, here, pictures):
    save(here / "elman", fit("rnn"), "rnn")
    done = rnnlm("inspect spectrum -m elman --untrained --json --plot spectrum.svg")
    trained, start = done.json["matrices"]
    assert (trained["model"], start["model"]) == ("elman", "elman, untrained")
    assert len(trained["eigenvalues"]) == 12
    assert trained["spectral_radius"] != start["spectral_radius"]
    assert len(pictures["spectrum.svg"].axes) == 4


def test_units_are_ranked_and_one_colours_the_text(rnnlm, models, pictures):
    asked = f"inspect units -m {models.lstm} --on {models.valid}"
    done = rnnlm(f"{asked} --unit 3 --most 1 --plot unit.svg")
    assert done.code == 0 and pictures["unit.svg"].axes
    ranked, extremes, verdict = done.out.strip().split("\n\n")
    heads = ["property", "layer", "unit", "r", "low", "high", "meaning"]
    assert ranked.splitlines()[1].split("\t") == heads
    assert "unit 3 of layer 1 is lowest and highest" in extremes
    assert "unit 3 of layer 1" in verdict
    stored = rnnlm(f"{asked} --json").json
    assert stored["verdict"] and len(stored["unit"]["values"]) == stored["tokens"]
    refused = rnnlm(f"{asked} --unit 99")
    assert refused.code == 2 and "there is no unit 99" in refused.err


def test_gates_are_shown_as_tables_picture_and_json(rnnlm, models, pictures):
    asked = f"inspect gates -m {models.lstm} 'the old man'"
    done = rnnlm(f"{asked} --units 0,7 --plot gates.png")
    assert done.code == 0 and pictures["gates.png"].axes
    by_token, by_gate, *_ = (part.splitlines() for part in done.out.split("\n\n"))
    assert [line.split("\t")[0] for line in by_token[1:]] == ["token", "</s>", "the", "old", "man"]
    gates = ["input", "forget", "candidate", "output", "tanh of the cell"]
    assert [line.split("\t")[1] for line in by_gate[2:]] == gates
    stored = rnnlm(f"{asked} --json").json
    assert [len(values) for values in stored["layers"][0]["gates"].values()] == [4] * 4
    assert stored["verdict"] in done.out

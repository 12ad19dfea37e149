"""`rnnlm inspect probe`: the table and its verdict, JSON, a picture, and one clear line where there
is nothing to probe."""

DATA = ("words-and-tags", "--label-column", "upos", "--most-items", "30")


def test_table_ends_in_verdict_and_json_agrees(rnnlm, models, pictures):
    shown = rnnlm("inspect", "probe", *DATA, "-m", models.lstm, "--plot", "p.svg")
    assert shown.code == 0, shown.err
    assert shown.out.startswith("upos of words-and-tags: ") and pictures["p.svg"].axes
    verdict = shown.out.splitlines()[-1]
    assert verdict.startswith("upos is predicted best from ") and " of tiny: " in verdict
    found = rnnlm("inspect", "probe", *DATA, "-m", models.lstm, "--json").json
    assert found["verdict"] == verdict
    assert {each["network"] for each in found["probes"]} == {"trained", "untrained"}

"""`rnnlm plot`: points as a table, curves as a picture."""

import csv
import json


def test_points_are_a_table_or_json(rnnlm, models):
    rows = list(csv.DictReader(rnnlm("plot", models.lstm).out.splitlines(), delimiter="\t"))
    assert [row["steps"] for row in rows][-1] == "30"
    assert float(rows[-1]["ppl_token"]) > 1
    (curve,) = map(json.loads, rnnlm("plot", models.lstm, "--json").out.splitlines())
    assert [point["steps"] for point in curve["points"]] == [
        int(row["steps"]) for row in rows
    ] and curve["model"] == "lstm"


def test_picture_names_runs_and_is_not_overwritten_unasked(rnnlm, models, here):
    arguments = (
        "plot",
        models.lstm,
        models.unigram,
        "-o",
        "curves.svg",
        "--by",
        "seconds",
        "--training",
    )
    shown = rnnlm(*arguments)
    assert (shown.code, shown.out) == (0, "") and "saved in curves.svg" in shown.err
    assert "kind unigram is counted" in shown.err or "uni is not drawn" in shown.err
    picture = (here / "curves.svg").read_text(encoding="utf-8")
    assert ">tiny<" in picture and ">tiny, training text<" in picture
    assert ">perplexity per token<" in picture
    assert (
        rnnlm(*arguments).errors[0].startswith("error: ")
        and rnnlm(*arguments, "--overwrite").code == 0
    )


def test_wrong_suffix_and_stray_picture_options_are_refused(rnnlm, models):
    assert "does not have a plot suffix" in rnnlm("plot", models.lstm, "-o", "curves.jpg").errors[0]
    assert rnnlm("plot", models.lstm, "--by", "seconds").code == 2
    assert rnnlm("plot", "nothing-here").code == 1

"""`rnnlm report`: a page of runs, and their curves as a table or a picture."""

import csv
import shutil

from rnnlm.tools.reports import run_report


def test_a_run_becomes_a_page(rnnlm, models, here):
    shown = rnnlm(f"report {models.unigram} -o run.html")
    assert (shown.code, shown.out) == (0, "") and "the report is saved in run.html" in shown.err
    page = (here / "run.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>\n<html")
    assert "<h1>uni</h1>" in page and "It is complete" in page
    assert "already exists" in rnnlm(f"report {models.unigram} -o run.html").errors[0]
    assert rnnlm(f"report {models.unigram} -o run.html --overwrite").code == 0


def test_several_runs_share_one_page(rnnlm, models, here, monkeypatch):
    monkeypatch.setattr(run_report, "plots", lambda *given: [])  # test_run_report.py has them
    copy = shutil.copytree(models.lstm, here / "copy")
    assert rnnlm("report", models.lstm, copy, "-o", "runs.html", "--by", "tokens").code == 0
    page = (here / "runs.html").read_text(encoding="utf-8")
    assert "<h1>2 runs</h1>" in page and "<h1>tiny</h1>" in page and "<h1>copy</h1>" in page
    together = page[page.index("Learning curves") : page.index("<h1>tiny</h1>")]
    assert ">tiny<" in together and ">copy<" in together and ">tokens read<" in together


def test_page_without_log_does_not_claim_network_untrained(rnnlm, models, here):
    copy = shutil.copytree(models.lstm, here / "copy")
    (copy / "metrics.jsonl").unlink()
    assert rnnlm("report", "copy", "-o", "run.html").code == 0
    page = (here / "run.html").read_text(encoding="utf-8")
    assert "There is no run to report: metrics.jsonl" in page and "not trained" not in page


def test_points_are_a_table_or_json(rnnlm, models):
    rows = list(csv.DictReader(rnnlm("report", models.lstm).out.splitlines(), delimiter="\t"))
    assert rows[-1]["steps"] == "30" and float(rows[-1]["ppl_token"]) > 1
    curve = rnnlm("report", models.lstm, "--json").json
    assert curve["model"] == "lstm"
    assert [str(point["steps"]) for point in curve["points"]] == [row["steps"] for row in rows]


def test_picture_names_runs_and_is_not_overwritten_unasked(rnnlm, models, here):
    asked = f"report {models.lstm} {models.unigram} -o curves.svg --by seconds"
    shown = rnnlm(asked)
    assert (shown.code, shown.out) == (0, "") and "the curves are saved in curves.svg" in shown.err
    assert f"not drawn, since they have no validation: {models.unigram}\n" in shown.err
    picture = (here / "curves.svg").read_text(encoding="utf-8")
    assert ">tiny<" in picture and ">validation perplexity per token<" in picture
    assert rnnlm(asked).errors[0].startswith("error: ")
    assert rnnlm(f"{asked} --overwrite").code == 0


def test_what_cannot_be_is_one_line(rnnlm, models, here):
    for asked, code, what in (
        ("nothing-here -o run.html", 1, "no model named 'nothing-here'"),
        (f"{models.lstm} -o run.csv", 2, "cannot be written to run.csv"),
        (f"{models.lstm} --by seconds", 2, ""),
        (f"{models.lstm} --json -o run.html", 2, ""),
        ("", 2, ""),
    ):
        shown = rnnlm(f"report {asked}")
        assert shown.code == code and what in shown.errors[0]
    assert not list(here.iterdir())

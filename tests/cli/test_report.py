"""`rnnlm report`: one page of a run, which is not replaced unasked."""

import shutil


def test_a_run_becomes_a_page(rnnlm, models, here, monkeypatch):
    shown = rnnlm("report", models.unigram, "-o", "run.html")
    assert (shown.code, shown.out) == (0, "") and "the report is in run.html" in shown.err
    page = (here / "run.html").read_text(encoding="utf-8")
    assert (
        page.startswith("<!DOCTYPE html>\n<html")
        and "<h1>uni</h1>" in page
        and "It is complete" in page
    )
    assert "already exists" in rnnlm("report", models.unigram, "-o", "run.html").errors[0]
    assert rnnlm("report", models.unigram, "-o", "run.html", "--overwrite").code == 0


def test_page_without_log_does_not_claim_network_untrained(rnnlm, models, here):
    copy = shutil.copytree(models.lstm, here / "copy")
    (copy / "metrics.jsonl").unlink()
    assert rnnlm("report", "copy", "-o", "run.html").code == 0
    page = (here / "run.html").read_text(encoding="utf-8")
    assert "There is no run to report: metrics.jsonl" in page and "not trained" not in page


def test_what_cannot_be_is_one_line(rnnlm, models, here):
    assert "no model at nothing-here" in rnnlm("report", "nothing-here", "-o", "run.html").errors[0]
    assert (
        "cannot be written to run.svg" in rnnlm("report", models.unigram, "-o", "run.svg").errors[0]
    )
    assert rnnlm("report", models.unigram).code == 2 and not list(here.iterdir())

"""`rnnlm report`: one page of a run, which is not replaced unasked."""


def test_a_run_becomes_a_page(rnnlm, models, here, monkeypatch):
    shown = rnnlm("report", models.unigram, "-o", "run.html")
    assert (shown.code, shown.out) == (0, "") and "the report is in run.html" in shown.err
    page = (here / "run.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>\n<html") and "<h1>uni</h1>" in page and "It is complete" in page
    assert "already exists" in rnnlm("report", models.unigram, "-o", "run.html").errors[0]
    assert rnnlm("report", models.unigram, "-o", "run.html", "--overwrite").code == 0


def test_what_cannot_be_is_one_line(rnnlm, models, here):
    assert "no model at nothing-here" in rnnlm("report", "nothing-here", "-o", "run.html").errors[0]
    assert "cannot be written to run.svg" in rnnlm("report", models.unigram, "-o", "run.svg").errors[0]
    assert rnnlm("report", models.unigram).code == 2 and not list(here.iterdir())

"""`rnnlm inspect probe`: the table and its verdict, JSON, a picture, and one clear line where there
is nothing to probe."""

from functools import partial

import pytest

from rnnlm.evaluation.resampling import ratio_interval
from rnnlm.inspection import probing

DATA = ("words-and-tags", "--label-column", "upos", "--most-items", "60")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Save time: fewer penalties to choose from, and fewer resamples."""
    monkeypatch.setattr(probing, "PENALTIES", (0.01, 0.001))
    monkeypatch.setattr(probing, "ratio_interval", partial(ratio_interval, resamples=100))


def test_table_ends_in_verdict_and_json_agrees(rnnlm, models, pictures):
    shown = rnnlm("inspect", "probe", *DATA, "-m", models.lstm, "--plot", "p.svg")
    assert shown.code == 0, shown.err
    assert shown.out.startswith("upos of words-and-tags: ") and pictures["p.svg"].axes
    verdict = shown.out.splitlines()[-1]
    assert verdict.startswith("upos is predicted best from ") and " of tiny: " in verdict
    found = rnnlm("inspect", "probe", *DATA, "-m", models.lstm, "--json").json
    assert found["verdict"] == verdict
    assert {each["network"] for each in found["probes"]} == {"trained", "untrained"}

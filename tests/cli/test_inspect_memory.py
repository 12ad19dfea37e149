"""`rnnlm inspect memory` and `inspect cloze`: tables, JSON, plots, and one line where something is
wrong."""

from functools import partial

import pytest

from rnnlm.evaluation.resampling import ratio_interval
from rnnlm.inspection import memory
from support.tiny_models import LINES, fit, save


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "ratio_interval", partial(ratio_interval, resamples=20))
    for order in (2, 3):
        save(tmp_path / f"{order}gram", fit("ngram", order=order), "ngram", order=order)
    (tmp_path / "text.txt").write_text("\n".join(LINES * 3) + "\n")
    return ["-m", "2gram", "-m", "3gram"]


def test_memory_shows_tables_and_verdict_for_each_model(rnnlm, models, pictures):
    shown = rnnlm(
        "inspect", "memory", *models, "--on", "text.txt", "--positions", 20, "--plot", "memory.svg"
    )
    tables = shown.out.split("\n\n")
    assert shown.code == 0 and len(tables) == 3
    labels = [line.get_label() for line in pictures["memory.svg"].axes[0].lines]
    assert [label for label in labels if not label.startswith("_")] == [
        "2gram", "3gram", "with all tokens",
    ]  # fmt: skip
    for table in tables[:2]:
        title, header, *rows = table.splitlines()
        assert header.split("\t")[:3] == ["model", "k", "positions affected"]
        assert [tuple(row.split("\t")[:2]) for row in rows] == [
            (f"{n}gram", k) for n in (2, 3) for k in "1 2 5 10 20 50 100 all".split()
        ]
    assert tables[2].startswith(
        "2gram: the effective context is 1 token: with that alone, perplexity is"
    )


def test_memory_json_has_effective_context_and_eval_perplexity(rnnlm, models):
    found = rnnlm(
        "inspect", "memory", *models, "--on", "text.txt", "--context", "reset", "--json"
    ).json
    evaluated = rnnlm("eval", "-m", "3gram", "text.txt", "--context", "reset", "--json").json
    assert [model["effective_context"] for model in found["models"]] == [1, 2] and found[
        "context"
    ] == "reset"
    assert found["models"][1]["seen"][-1]["perplexity"] == pytest.approx(evaluated["ppl_token"])


def test_cloze_shows_accuracy_by_kind_and_json_items(rnnlm, models, tmp_path, pictures):
    (tmp_path / "items.tsv").write_text(
        "text\tanswer\tkind\nthe cat ___\tsat\tverb\nit is ___ to\thard\tother\n"
    )
    shown = rnnlm("inspect", "cloze", "items.tsv", *models, "--plot", "cloze.svg")
    rows = [row.split("\t") for row in shown.out.split("\n\n")[0].splitlines()]
    assert pictures["cloze.svg"].axes[0].get_ylabel() == "share of answers"
    assert [row[:5] for row in rows[1:4]] == [["2gram", by, group, n, "0"] for by, group, n in
                                              (("all", "all", "2"), ("kind", "verb", "1"),
                                               ("kind", "other", "1"))]  # fmt: skip
    found = rnnlm("inspect", "cloze", "items.tsv", *models, "--json").json
    assert [each["item"]["answer"] for each in found["models"][0]["scores"]] == [
        "sat",
        "hard",
    ] and "likeliest word" in found["verdict"]

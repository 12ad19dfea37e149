"""`rnnlm inspect memory` and `inspect cloze`: tables, JSON, plots, and one line where something is
wrong."""

import pytest

from support.tiny_models import LINES, fit, save


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for order in (2, 3):
        save(tmp_path / f"{order}gram", fit("ngram", order=order), "ngram", order=order)
    (tmp_path / "text.txt").write_text("\n".join(LINES * 3) + "\n")
    return ["-m", "2gram", "-m", "3gram"]


def test_memory_shows_tables_and_verdict_for_each_model(rnnlm, models, pictures):
    asked = ("--on", "text.txt", "--positions", 20, "--plot", "memory.svg")
    shown = rnnlm("inspect", "memory", *models, *asked)
    first, second, verdict = shown.out.split("\n\n")
    labels = [line.get_label() for line in pictures["memory.svg"].axes[0].lines]
    named = [label for label in labels if not label.startswith("_")]
    assert named == ["2gram", "3gram", "with all tokens"]
    for table in (first, second):
        _, header, *rows = (line.split("\t") for line in table.splitlines())
        assert header[:3] == ["model", "k", "positions affected"]
        expected = [(f"{n}gram", k) for n in (2, 3) for k in "1 2 5 10 20 50 100 all".split()]
        assert [(row[0], row[1]) for row in rows] == expected
    context = "2gram: the effective context is 1 token: with that alone, perplexity is"
    assert verdict.startswith(context)


def test_memory_json_has_effective_context_and_eval_perplexity(rnnlm, models):
    asked = ("text.txt", "--context", "reset", "--json")
    found = rnnlm("inspect", "memory", *models, "--on", *asked).json
    evaluated = rnnlm("eval", "-m", "3gram", *asked).json
    assert [model["effective_context"] for model in found["models"]] == [1, 2]
    assert found["context"] == "reset"
    assert found["models"][1]["seen"][-1]["perplexity"] == pytest.approx(evaluated["ppl_token"])


def test_cloze_shows_accuracy_by_kind_and_json_items(rnnlm, models, tmp_path, pictures):
    items = "text\tanswer\tkind\nthe cat ___\tsat\tverb\nit is ___ to\thard\tother\n"
    (tmp_path / "items.tsv").write_text(items)
    shown = rnnlm("inspect", "cloze", "items.tsv", *models, "--plot", "cloze.svg")
    assert pictures["cloze.svg"].axes[0].get_ylabel() == "share of answers"
    assert [row[:5] for row in shown.rows[1:4]] == [
        ["2gram", "all", "all", "2", "0"], ["2gram", "kind", "verb", "1", "0"],
        ["2gram", "kind", "other", "1", "0"],
    ]  # fmt: skip
    found = rnnlm("inspect", "cloze", "items.tsv", *models, "--json").json
    answers = [each["item"]["answer"] for each in found["models"][0]["scores"]]
    assert answers == ["sat", "hard"] and "likeliest word" in found["verdict"]

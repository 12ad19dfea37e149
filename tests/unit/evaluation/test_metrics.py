"""One number and one evaluation for every task: what is stored is read again, and metrics are the
numbers of the evaluation that they come from."""

import json
from pathlib import Path

import pytest

from rnnlm.evaluation.metrics import Metric, shown
from rnnlm.models import registry

GOLDEN = Path(__file__).parents[2] / "cli" / "json_of_results.jsonl"
TASKS = {"kn": "language-model", "slots": "tagging", "several": "classification", "fra": "seq2seq"}


def results() -> dict[str, dict[str, object]]:
    found = dict(json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines())
    return {name: each for name, each in found.items() if name.startswith("results of ")}


def evaluation_of(name: str):
    """Return the evaluation that a model's folder holds."""
    task = TASKS.get(name.split()[2], "tagging" if "tagger" in name else "language-model")
    return registry.task(task).stored_evaluations(results()[name])["valid"]


@pytest.mark.parametrize("name", results())
def test_what_is_stored_is_read_again(name):
    assert json.dumps(evaluation_of(name).to_dict()) == json.dumps(results()[name]["valid"])


@pytest.mark.parametrize("name", results())
def test_metrics_are_the_numbers_that_are_stored(name):
    found, stored = evaluation_of(name), results()[name]["valid"]
    columns = {each["column"]: each for each in stored.get("columns", [])}
    for metric in found.metrics:
        assert metric.value == columns.get(metric.column, stored)[metric.name]
        assert metric.signature.startswith(("rnnlm:", f"{metric.name}|"))
    assert all(each.interval is not None for each in found.mains) == ("intervals" in name)


def test_unknown_field_from_later_version_is_ignored():
    stored = results()["results of kn"]["valid"]
    task = registry.task("language-model")
    [found] = task.stored_evaluations({"valid": stored | {"new": 1}}).values()
    assert found.to_dict() == stored


def test_each_metric_is_shown_in_its_unit():
    assert [Metric(name, 0.5).shown() for name in ("f1", "bleu", "ppl_token")] == [
        "50.00",
        "0.50",
        "0.50",
    ]
    assert Metric("bits_per_char", 1.23456).shown(4) == "1.2346"
    assert shown(None) == "-" and shown(2e9) == "2e+09" and shown(12345.6) == "12,345.60"
    assert Metric("ece", 0.1).higher_is_better is False and Metric("f1", 0.1).higher_is_better

"""What commands do with models of each task."""

import click
import pytest

from rnnlm.cli.main import COMMANDS, cli
from rnnlm.models import registry

TASKS = registry.all_tasks()
USED = {command: None for task in TASKS for command in task.commands}
USED_BY_TAGGERS = registry.task("tagging").commands
# parameters that name models
TAKE_MODELS = {"models", "model_names", "model_name", "names", "runs"}


def test_every_command_taking_a_model_is_in_table():
    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in COMMANDS}
    taking = {
        name
        for name, command in found.items()
        if {each.name for each in _parameters(command)} & TAKE_MODELS
    }
    assert taking == set(USED)


def _parameters(command):
    parts = (
        [command.get_command(None, name) for name in command.list_commands(None)]
        if isinstance(command, click.Group)
        else [command]
    )
    return [each for part in parts for each in part.params]


REFUSED = {
    "score": ("-m", "{model}", "go"), "generate": ("-m", "{model}"),
    "rescore": ("-m", "{model}", "--apply", "none"),
    "mix": ("{model}", "{model}", "--on", "none"),
    "tune": ("-m", "{model}+cache", "--on", "none"),
    "prune": ("-m", "{model}", "-o", "out", "--threshold", "1e-8"),
    "filter": ("{model}/README.md", "-m", "{model}", "-o", "out", "--max-perplexity", "9"),
}  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [
        name
        for name in USED
        if name not in ("tag", "classify", "translate") and name not in USED_BY_TAGGERS
    ],
)
def test_refused_language_model_command_names_the_right_one(rnnlm, tagger, classifier, command):
    for trained, what, instead in (
        (tagger, "a tagger of words", "tag"),
        (classifier, "a classifier of texts", "classify"),
    ):
        outcome = rnnlm(command, *(each.format(model=trained.folder) for each in REFUSED[command]))
        assert outcome.code == 2 and not outcome.out
        assert outcome.errors[0] == f"error: {trained.folder} is not a language model"
        assert what in outcome.errors[1] and outcome.errors[2].startswith(
            f"  try: rnnlm {instead} -m {trained.folder}"
        )


def test_model_info_shows_labels_figures_and_commands(rnnlm, slot_tagger):
    outcome = rnnlm("info", slot_tagger.folder)
    shown = dict(line.split("\t", 1) for line in reversed(outcome.out.splitlines()))
    assert shown["labels slots"] == "of each word, spans of 2 types in bio: place, time"
    assert shown["labels intent"] == "of each text, 2 labels: fare, flight"
    assert (
        "48 sentences" in shown["training text"]
        and "f1" in shown["valid"]
        and "f1|column:slots" in outcome.out
    )
    used = [
        line.split("\t")[1].strip('"').split()[1]
        for line in outcome.out.splitlines()
        if line.startswith("use it")
    ]
    assert used == ["tag", "eval", "compare"]
    described = rnnlm("info", slot_tagger.folder, "--json").json
    assert described["task"] == "tagging" and [each["column"] for each in described["labels"]] == [
        "slots",
        "intent",
    ]


@pytest.mark.parametrize("name", ["classifier", "slot_tagger"])
def test_a_whole_model_passes_each_check_of_labels(rnnlm, request, name):
    outcome = rnnlm("doctor", request.getfixturevalue(name).folder, "--json")
    checks = {each["name"]: each["result"] for each in outcome.json["checks"]}
    spans = {"spans": "ok"} if name != "classifier" else {}
    assert (
        checks
        == dict.fromkeys(
            ("config", "files", "arrays", "numbers", "labels", "sums", "padding"), "ok"
        )
        | spans
    )


def test_grid_runs_have_their_tasks_figures_and_curve(rnnlm, here, tagger):
    given = (
        "--valid",
        tagger.valid,
        "--task",
        "tagging",
        "--input-format",
        "columns",
        "--set",
        "hidden_size=4",
        "--set",
        "embedding_size=4",
        "--set",
        "criterion=f1",
    )
    outcome = rnnlm(
        "train",
        tagger.train,
        *given,
        "--budget",
        "2steps",
        "--grid",
        "output_layer=crf,softmax",
        "-o",
        "grid",
        "--json",
    )
    assert outcome.code == 0, outcome.err
    for run in outcome.json["runs"]:
        assert run["valid_f1_low"] <= run["valid_f1"] <= run["valid_f1_high"] and not [
            name for name in run if "ppl" in name
        ]
    header, *rows = (here / "grid" / "grid.tsv").read_text().splitlines()
    assert "valid_f1\t" in header and "ppl" not in header and len(rows) == 2
    assert "validation f1" in (here / "grid" / "curves.svg").read_text()
    assert rnnlm("report", "grid").out.splitlines()[0] == "run\tsteps\ttokens\tepochs\tseconds\tf1"

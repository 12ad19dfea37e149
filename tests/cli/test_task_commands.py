"""What commands do with models of each task."""

import click
import pytest

from rnnlm import registry
from rnnlm.cli.main import cli

pytestmark = pytest.mark.needs(
    "tasks/labelling",
    "tasks/seq2seq",
    "tools/compression",
    "tools/filtering",
    "tools/grids",
    "tools/mixtures",
    "tools/rescoring",
)

TASKS = registry.all_tasks()
USED = {command for task in TASKS for command in registry.commands_of(task)}
# parameters that name models
TAKE_MODELS = {"models", "model_names", "model_name", "names", "runs"}


def test_every_command_taking_a_model_is_in_table():
    taking = set()
    for name in cli.list_commands(None):
        command = cli.get_command(None, name)
        parts = [command]
        if isinstance(command, click.Group):
            parts = [command.get_command(None, part) for part in command.list_commands(None)]
        if {parameter.name for part in parts for parameter in part.params} & TAKE_MODELS:
            taking.add(name)
    assert taking == USED


REFUSED = {
    "score": "-m {0} go", "generate": "-m {0}", "next": "-m {0}", "rescore": "-m {0} --apply none",
    "mix": "{0} {0} --on none", "tune": "-m {0}+cache --on none",
    "prune": "-m {0} -o out --threshold 1e-8",
    "filter": "{0}/README.md -m {0} -o out --max-perplexity 9",
    "reading": "simulated -m {0}", "compress": "english -m {0} -o out",
    "decompress": "{0}/README.md -m {0}",
}  # fmt: skip


def test_all_commands_that_refuse_labels_are_tried():
    by_taggers = registry.commands_of(registry.task("tagging"))
    assert USED - {"tag", "classify", "translate"} - by_taggers == set(REFUSED)


@pytest.mark.parametrize("command", REFUSED)
def test_refused_language_model_command_names_the_right_one(rnnlm, tagger, classifier, command):
    for trained, what, instead in (
        (tagger, "a tagger", "tag"),
        (classifier, "a classifier", "classify"),
    ):
        outcome = rnnlm(f"{command} {REFUSED[command].format(trained.folder)}")
        assert outcome.code == 2 and not outcome.out
        error, why, hint = outcome.errors
        assert error == f"error: {trained.folder} is {what}"
        assert why.startswith(f"  why: rnnlm {command} needs a language model")
        assert hint.startswith(f"  try: rnnlm {instead} -m {trained.folder}")


def test_model_info_shows_labels_metrics_and_commands(rnnlm, slot_tagger):
    outcome = rnnlm("info", slot_tagger.folder)
    shown = {row[0]: row[1] for row in reversed(outcome.rows)}
    assert shown["labels slots"] == "of each word, spans of 2 types in bio: place, time"
    assert shown["labels intent"] == "of each text, 2 labels: fare, flight"
    assert "48 sentences" in shown["training text"] and "f1" in shown["valid"]
    assert "f1|column:slots" in outcome.out
    used = [row[1].split()[1] for row in outcome.rows if row[0] == "use it"]
    assert used == ["tag", "eval", "compare"]
    described = rnnlm("info", slot_tagger.folder, "--json").json
    columns = [each["column"] for each in described["labels"]]
    assert (described["task"], columns) == ("tagging", ["slots", "intent"])


@pytest.mark.parametrize("name, more", [("classifier", []), ("slot_tagger", ["spans"])])
def test_a_whole_model_passes_each_check_of_labels(rnnlm, request, name, more):
    outcome = rnnlm("doctor", request.getfixturevalue(name).folder, "--json")
    checks = {each["name"]: each["result"] for each in outcome.json["checks"]}
    named = ["config", "files", "arrays", "numbers", "labels", "sums", "padding", *more]
    assert checks == dict.fromkeys(named, "ok")


def test_grid_runs_have_their_tasks_metrics_and_curve(rnnlm, here, tagger):
    settings = "--set hidden_size=4 --set embedding_size=4 --set criterion=f1 --budget 2steps"
    outcome = rnnlm(
        f"train {tagger.train} --valid {tagger.valid} --task tagging --input-format columns"
        f" {settings} --grid output_layer=crf,softmax -o grid --json"
    )
    assert outcome.code == 0, outcome.err
    for run in outcome.json["runs"]:
        assert run["valid_f1_low"] <= run["valid_f1"] <= run["valid_f1_high"]
        assert not [name for name in run if "ppl" in name]
    header, *rows = (here / "grid" / "grid.tsv").read_text().splitlines()
    assert "valid_f1\t" in header and "ppl" not in header and len(rows) == 2
    assert "validation f1" in (here / "grid" / "curves.svg").read_text()
    assert rnnlm("report grid").rows[0] == ["run", "steps", "tokens", "epochs", "seconds", "f1"]

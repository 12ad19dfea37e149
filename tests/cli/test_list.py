"""`rnnlm list`: models, recipes and corpora."""

import dataclasses
import json
import os
import shutil
import tomllib

import pytest

from rnnlm import corpora
from rnnlm.training.recipes import recipe as overview
from support.failures import checked_error


def test_models_here_and_the_shipped_one_are_listed(rnnlm, models, here):
    shutil.copytree(models.unigram, here / "checkpoints" / "mine")
    shutil.copytree(models.lstm, here / "checkpoints" / "broken")
    (here / "checkpoints" / "broken" / "config.json").write_text("{")
    records = rnnlm("list", "--json").records
    assert [(each["model"], each["kind"], each["state"]) for each in records] == [
        ("demo", "lstm", "whole"), ("broken", "-", "damaged"), ("mine", "unigram", "whole")
    ]  # fmt: skip
    shown = rnnlm("list", "models")
    assert shown.code == 0 and shown.out.startswith("model\tkind\ttask\tstate\tpath\ndemo\tlstm\t")


def test_only_a_recipe_is_shown_by_its_name_as_toml(rnnlm):
    assert rnnlm("list", "corpora", "english").code == 2
    assert "'modls' is not one of" in rnnlm("list", "modls").err
    assert tomllib.loads(rnnlm("list", "recipes", "page").out)["budget"] == "800steps"
    assert json.loads(rnnlm("list", "recipes", "page", "--json").out)["budget"] == "800steps"


def test_the_bundled_corpus_is_listed_with_its_counts(rnnlm):
    shown = rnnlm("list", "corpora")
    columns, *rows = shown.rows
    assert (shown.code, shown.err) == (0, "")
    assert columns == ["corpus", "file", "lines", "words", "bytes", "path", "task", "licence"]
    assert {row[1]: row[3] for row in rows if row[0] == "english"} == {
        "agreement.tsv": "6,064", "cloze.tsv": "3,382", "homophones.tsv": "6,032",
        "lessons.tsv": "296", "ratings.tsv": "460", "recency.tsv": "5,184",
        "simulated.tsv": "6,036", "test.txt": "18,698", "train.txt": "258,019", "valid.txt": "14,631",
    }  # fmt: skip


def test_labels_ids_and_tags_are_no_words(rnnlm):
    records = rnnlm("list corpora --json").records
    words = {(each["corpus"], each["file"]): each["words"] for each in records}
    conllu = corpora.part("words-and-tags", "test").read_text().splitlines()
    expected = sum(line.partition("\t")[0].isdigit() for line in conllu)
    assert words["words-and-tags", "test.conllu"] == expected
    rows = [line.split("\t") for line in corpora.part("travel", "valid").read_text().splitlines()]
    assert words["travel", "valid.tsv"] == sum(len(text.split()) for _, text, _ in rows[1:])


def test_json_has_one_line_per_file_that_exists(rnnlm):
    records = rnnlm("list", "corpora", "--json").records
    expected = [file for name in corpora.names() for file in corpora.FILES[name]]
    assert [record["file"] for record in records] == expected
    expected = {(name, ", ".join(corpora.TASKS[name]), "CC0-1.0") for name in corpora.names()}
    assert {(record["corpus"], record["task"], record["licence"]) for record in records} == expected
    assert {record["path"] for record in records} >= {str(corpora.part("english", "train"))}
    for record in records:
        assert os.path.getsize(record["path"]) == record["bytes"]


def test_user_text_beside_bundled_corpora_is_not_listed(rnnlm, tmp_path, monkeypatch):
    for name in corpora.names():
        shutil.copytree(corpora.FOLDER / name, tmp_path / name)
    for added in ("english/notes.txt", "mine/train.txt"):
        (tmp_path / added).parent.mkdir(exist_ok=True)
        (tmp_path / added).write_text("my own\n")
    before = [record["file"] for record in rnnlm("list corpora --json").records]
    monkeypatch.setattr(corpora, "FOLDER", tmp_path)
    assert [record["file"] for record in rnnlm("list corpora --json").records] == before


def test_terminal_shows_folder_once_without_folded_lines(rnnlm, terminal_of):
    terminal_of(80)
    lines = rnnlm("list", "corpora").plain.splitlines()
    expected = list(corpora.FILES["english"])
    assert [line.split()[1] for line in lines if line.startswith("english  ")] == expected
    assert f"english (language-model, CC0-1.0) is in {corpora.FOLDER / 'english'}" in lines


def test_all_recipes_are_listed_with_purpose_and_results(rnnlm):
    columns, *rows = rnnlm("list", "recipes").rows
    assert columns == ["recipe", "purpose", "published", "ours", "off by", "time"]
    assert [tuple(row) for row in rows] == [tuple(line.cells()) for line in overview.recipe_rows()]
    assert [row[0] for row in rows] == [*overview.names()] and all(all(row) for row in rows)


def test_the_table_for_a_paper_has_all_recipes(rnnlm):
    lines = rnnlm("list", "recipes", "--latex").out.splitlines()
    assert lines[0] == r"\begin{tabular}{llllll}"
    assert len(lines) == 6 + len(list(overview.names()))
    assert r"zaremba-small & two layers, 200 & 120.7 & 120.7 & $+$0.0\% & 30 min/1 \\" in lines
    for wrong in (("recipes", "lstm"), ("corpora",)):
        checked_error(rnnlm("list", *wrong, "--latex"), 2, "--latex is for the table of all")


def test_the_list_fits_80_columns_a_line_each(rnnlm, terminal_of):
    piped = rnnlm("list recipes")
    assert max(map(len, [*piped.out.splitlines(), *piped.err.splitlines()])) <= 80
    terminal_of(80)
    lines = rnnlm("list recipes").plain.splitlines()
    assert [line.split()[0] for line in lines[2:]] == [*overview.names()]
    assert max(map(len, lines)) <= 80


def test_json_has_one_line_per_recipe(rnnlm):
    records = rnnlm("list", "recipes", "--json").records
    assert records == [overview.record(overview.load(name)) for name in overview.names()]


@pytest.mark.parametrize("name", overview.names())
def test_one_recipe_is_shown_with_settings_and_source(rnnlm, name):
    recipe = overview.load(name)
    record = rnnlm("list", "recipes", name, "--json").json
    assert record == overview.record(recipe)
    facts, _, table = rnnlm("list", "recipes", name).out.partition("setting\tvalue\n")
    settings = {key: str(value) for key, value in recipe.settings.items()}
    assert dict(line.split("\t") for line in table.splitlines()) == settings
    shown = dict(line.split(": ", 1) for line in facts.splitlines())
    expected = {
        "about": recipe.description, "published": record["published"], "ours": record["measured"],
        "off by": record["off_by"], "source": recipe.source or None,
        "differences": recipe.differs or None,
    }  # fmt: skip
    assert {fact: shown.get(fact) for fact in expected} == expected
    assert shown["on your text"].endswith(f"--recipe {name}")


@pytest.mark.system("links")
def test_the_command_of_our_result_is_understood(rnnlm, here, models):
    """What a recipe says of its figure resolves: texts, settings and budget."""
    (here / "ptb.train.txt").symlink_to(models.text)
    (here / "ptb.valid.txt").symlink_to(models.valid)
    recipe = overview.load("awd-lstm-fast")
    told = rnnlm("list", "recipes", recipe.name).out
    assert f"measured with: {recipe.command_of_figure()}\n" in told
    settings = {"layers": 1, "layer_sizes": "none", "hidden_size": 640, "budget": "60m"}
    narrower = dataclasses.replace(recipe.measured, settings=settings)
    command = dataclasses.replace(recipe, measured=narrower).command_of_figure()
    begin = "rnnlm train ptb.train.txt --valid ptb.valid.txt --recipe awd-lstm-fast "
    assert command.startswith(begin)
    plan = rnnlm(*command.split()[1:], "--dry-run", "--json").json
    assert plan["settings"]["hidden_size"] == {"value": 640, "origin": "user"}
    assert plan["settings"]["budget"]["value"] == "60m"

"""`rnnlm list`: models. Recipes and corpora have files of their own."""

import json
import shutil
import tomllib


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


def test_only_a_recipe_is_shown_by_its_name(rnnlm):
    assert rnnlm("list", "corpora", "english").code == 2
    assert "'modls' is not one of" in rnnlm("list", "modls").err


def test_the_recipe_of_a_size_is_shown_as_toml(rnnlm):
    assert tomllib.loads(rnnlm("list", "recipes", "page").out)["budget"] == "800steps"
    assert json.loads(rnnlm("list", "recipes", "page", "--json").out)["budget"] == "800steps"
